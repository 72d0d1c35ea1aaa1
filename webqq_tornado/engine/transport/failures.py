"""libcurl's error codes as errors of the engine, each with its phase and a remedy."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import (
    ConnectError,
    ProtocolError,
    ProxyError,
    RedirectError,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
    TooLargeError,
)
from ..secrets import safe_text, safe_url

__all__ = ["from_curl"]


class _Cause(NamedTuple):
    """The error class, the phase and the remedy of a libcurl error code."""

    error: type[StreamError]
    phase: str
    remedy: str


_CHECK_TLS = "check the server's certificate, or give ca_certs= a file with its CA"
_CHECK_FILES = "check the files in ca_certs=, client_cert= and client_key=, or SSL_CERT_FILE"
_CHECK_PROXY = "check proxy= and the proxy's log"
_BROKE_OFF = "the server or a proxy closed the connection; send again if that is safe"
_SEND_AGAIN = "give body= a function that returns a new iterator each time, or a path"
_RAW = "send decompress_response=False to see it raw"
_LOOK = "send follow_redirects=False to look at where it leads"
_NOT_HTTP = "check that this port speaks HTTP in the version asked for"

#: curl_easy_perform's CURLcode (libcurl-errors(3)) to class, phase, remedy.
_CAUSES = {
    1: _Cause(RedirectError, "choosing the scheme", _LOOK),
    3: _Cause(StreamError, "reading the URL", "correct the URL"),
    5: _Cause(ProxyError, "resolving the proxy", _CHECK_PROXY),
    6: _Cause(ResolveError, "resolving the host", "check the host's name and the DNS"),
    7: _Cause(ConnectError, "connecting", "check that the server runs and that the port is right"),
    8: _Cause(ProtocolError, "reading the headers", _NOT_HTTP),
    16: _Cause(ProtocolError, "framing HTTP/2", _NOT_HTTP),
    18: _Cause(ProtocolError, "reading the body", _BROKE_OFF),
    # Its "Refused WebSocket upgrade".
    22: _Cause(ProtocolError, "opening the WebSocket", _NOT_HTTP),
    # What our callbacks refuse has an error of its own; libcurl decodes nothing by itself.
    23: _Cause(ProtocolError, "decoding the body", _RAW),
    26: _Cause(StreamError, "reading the body to send", "check the file to upload"),
    27: _Cause(StreamError, "allocating memory", "hold fewer transfers at once"),
    28: _Cause(TimeoutError, "waiting", "raise request_timeout= or connect_timeout=, or try later"),
    35: _Cause(TLSError, "the TLS handshake", "check that this port speaks TLS, and its versions"),
    43: _Cause(StreamError, "setting options", "check the request's options"),
    45: _Cause(ConnectError, "binding the interface", "check network_interface="),
    # It follows no redirects here: it repeats what the server refuses, such as `Expect`, by 417.
    47: _Cause(ProtocolError, "sending again", "leave out expect_100_continue= and Expect"),
    52: _Cause(ProtocolError, "waiting for the headers", _BROKE_OFF),
    55: _Cause(ProtocolError, "sending", _BROKE_OFF),
    56: _Cause(ProtocolError, "receiving", _BROKE_OFF),
    58: _Cause(TLSError, "loading the client certificate", _CHECK_FILES),
    59: _Cause(TLSError, "choosing the ciphers", "check tls_ciphers= and tls13_ciphers="),
    60: _Cause(TLSError, "verifying the server", _CHECK_TLS),
    61: _Cause(ProtocolError, "decoding the body", _RAW),
    63: _Cause(TooLargeError, "reading the body", "raise max_body_size=, or ask for less"),
    65: _Cause(StreamError, "sending the body again", _SEND_AGAIN),
    77: _Cause(TLSError, "loading the CA certificates", _CHECK_FILES),
    82: _Cause(TLSError, "loading the list of revoked certificates", _CHECK_FILES),
    83: _Cause(TLSError, "verifying the server's issuer", _CHECK_TLS),
    90: _Cause(TLSError, "verifying the server's pinned key", _CHECK_TLS),
    91: _Cause(TLSError, "verifying the state of the server's certificate", _CHECK_TLS),
    92: _Cause(ProtocolError, "an HTTP/2 stream", _BROKE_OFF),
    95: _Cause(ProtocolError, "framing HTTP/3", _NOT_HTTP),
    96: _Cause(ConnectError, "connecting by QUIC", _NOT_HTTP),
    100: _Cause(TooLargeError, "reading the headers", "make the server send fewer headers"),
    97: _Cause(ProxyError, "the handshake with the proxy", _CHECK_PROXY),
}
_BAD_REDIRECT = _Cause(RedirectError, "following the redirect", _LOOK)
_NO_DESCRIPTOR = _Cause(
    ConnectError,
    "opening a socket",
    "this process has as many files open as it may: lower max_clients=, or raise ulimit -n",
)
_UNKNOWN = _Cause(StreamError, "the transfer", "see libcurl-errors(3) for this code")


def from_curl(
    code: int,
    text: str,
    *,
    method: str,
    url: str,
    request: object,
    is_proxied: bool = False,
    is_tunnelling: bool = False,
    lacks_descriptors: bool = False,
) -> StreamError:
    """Convert a libcurl error code to an error.

    Args:
        code: a CURLcode other than 0.
        text: libcurl's own words for this transfer, may be empty.
        method: of the request, for the message.
        url: of the request; shown without credentials.
        request: kept on the error.
        is_proxied: it went by a proxy: then that is what could not be reached.
        is_tunnelling: the proxy had not made the connection yet: what came is its own.
        lacks_descriptors: this process can open no socket.
    """
    cause = _CAUSES.get(code, _UNKNOWN)
    is_proxys = is_tunnelling or (is_proxied and code == _CONNECTING)
    # First: libcurl only says that it could not connect, be it to the server or to a proxy.
    if lacks_descriptors:
        cause = _NO_DESCRIPTOR
    elif is_proxys or (code == _RECEIVING and "CONNECT" in text):
        # A proxy that refuses CONNECT is among libcurl's errors of receiving.
        cause = _CAUSES[97]
    elif code in (_SENDING, _RECEIVING) and "alert" in text:  # TLS 1.3: after our handshake
        cause = _CAUSES[35]
    elif code in (1, 3) and "redirect" in text:  # what is wrong is not the URL we were given
        cause = _BAD_REDIRECT
    elif (code == 1 and "HTTP" in text) or (code == 61 and "Transfer-Encoding" in text):
        cause = _CAUSES[8]  # the answer's version, and the way that its body is framed
    why = f": {safe_text(_PROXY_URL.sub('', text).rstrip('. '))}" if text else ""
    message = f"{method} {safe_url(url)}: {cause.phase} failed{why}; {cause.remedy}"
    return cause.error(message, request=request, code=code)


#: libcurl shows the whole of a proxy's URL that it cannot read, which is why it has no parts.
_PROXY_URL = re.compile(r"(?<=proxy syntax) in '.*'", re.DOTALL)
_CONNECTING, _SENDING, _RECEIVING = 7, 55, 56
