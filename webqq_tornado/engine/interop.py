"""Other libraries' requests, as arguments of ours."""

from __future__ import annotations

import io
import unicodedata
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tornado.escape import native_str
from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders

from .urls import normal_host

__all__ = ["from_tornado", "from_urllib", "tornado_pairs", "tornado_settings"]


def from_urllib(request: urllib.request.Request) -> dict[str, Any]:
    """Arguments of `Request` for an `urllib.request.Request`.

    Raises:
        ValueError: its data is none that can be sent.
    """
    body = _urllib_body(request.data)
    # urllib itself makes up this type for a body when it sends; and it titles the names then.
    headers = {name.title(): _urllib_value(value) for name, value in request.header_items()}
    if body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    timeout = getattr(request, "timeout", None)
    return {
        "url": request.full_url,
        "method": request.get_method(),
        "headers": headers,
        "body": body,
        # Without one urllib has an object there that stands for the socket module's default.
        "request_timeout": timeout if isinstance(timeout, (int, float)) else None,
        "proxy": _urllib_proxy(request),
    }


def _urllib_body(data: Any) -> Any:
    """A body of ours for urllib's: bytes, a file, an iterable of bytes, a buffer."""
    if isinstance(data, str):
        raise ValueError("data of an urllib.request.Request is bytes, not str: encode it")
    # In one piece, whose length is known: an iterable would be sent chunked.
    if isinstance(data, (list, tuple)) and all(isinstance(one, bytes) for one in data):
        return b"".join(data)
    return data.read().encode() if isinstance(data, io.TextIOBase) else data


def _urllib_value(value: Any) -> Any:
    # As http.client.putheader.
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, int) else value


def _urllib_proxy(request: urllib.request.Request) -> str | None:
    """The proxy that set_proxy() has put in place of the host; for https it is a tunnel."""
    # For https `set_proxy` keeps the host there, and puts the proxy in its place.
    if getattr(request, "_tunnel_host", None):
        return f"http://{request.host}"
    return f"{request.type}://{request.host}" if request.has_proxy() else None


#: Arguments that mean the same in a `tornado.httpclient.HTTPRequest`.
_SHARED_WITH_TORNADO = (
    "connect_timeout",
    "request_timeout",
    "follow_redirects",
    "max_redirects",
    "decompress_response",
    "validate_cert",
    "ca_certs",
    "client_cert",
    "client_key",
    "user_agent",
    "network_interface",
    "expect_100_continue",
    "auth_mode",
)
#: Callbacks, which in a chain are other things, and what says so.
_NOT_IN_A_CHAIN = {
    "body_producer": "give an iterable as body",
    "header_callback": "Request has on_header_line",
    "prepare_curl_callback": "Request has prepare_curl",
    "streaming_callback": "Request has sink",
}
#: Keys of an `ssl_options` dict, which are `ssl.wrap_socket`'s, and our names for them.
_SSL_OPTIONS = {"certfile": "client_cert", "keyfile": "client_key", "ca_certs": "ca_certs"}


def from_tornado(request: HTTPRequest) -> dict[str, Any]:
    """Arguments of `Request` for a `tornado.httpclient.HTTPRequest`.

    What the caller left out is None here, and our own defaults apply: HTTPRequest fills in its own
    only when an AsyncHTTPClient fetches it.

    Raises:
        ValueError: it has callbacks, which in a chain are other things; or an argument that libcurl
            has nothing for.
    """
    refused = [name for name in _NOT_IN_A_CHAIN if getattr(request, name, None) is not None]
    if refused:
        remedies = "; ".join(_NOT_IN_A_CHAIN[name] for name in refused)
        raise ValueError(
            f"{', '.join(refused)} of an HTTPRequest is not supported in a chain: {remedies}"
        )
    return {"body": request.body, **tornado_settings(request)}


def tornado_settings(request: Any) -> dict[str, Any]:
    """Arguments of `Request` for an `HTTPRequest`, without its callbacks and the body.

    Args:
        request: an `HTTPRequest`, or what stands for one, with defaults.

    Raises:
        ValueError: one is nothing that libcurl has.
    """
    return {
        "url": native_str(request.url),
        "method": request.method,
        "headers": _tornado_headers(request),
        **{name: getattr(request, name) for name in _SHARED_WITH_TORNADO},
        "auth_username": _composed(request.auth_username),
        "auth_password": _composed(request.auth_password),
        # None: both, whether IPv6 was allowed or nothing was said.
        "ip_version": 4 if request.allow_ipv6 is False else None,
        **_ssl_of(request.ssl_options),
        **_proxy_of(request),
    }


def tornado_pairs(headers: Any) -> list[tuple[str, str]]:
    """Headers as an `HTTPRequest` may have them: HTTPHeaders, another mapping, or none."""
    if not headers:
        return []
    # `items` would join those of one name by a comma, which cookies do not survive.
    items = headers.get_all() if isinstance(headers, HTTPHeaders) else headers.items()
    return [(name, native_str(value)) for name, value in items]


def _tornado_headers(request: Any) -> list[tuple[str, str]]:
    pairs = tornado_pairs(request.headers)
    # As both of Tornado's clients.
    if request.method == "POST" and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "application/x-www-form-urlencoded"))
    return pairs


def _composed(text: str | None) -> str | None:
    # As tornado.httputil.encode_username_password: so that servers can compare (RFC 7617).
    return text if text is None else unicodedata.normalize("NFC", text)


def _ssl_of(options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not options.keys() <= _SSL_OPTIONS.keys():
        raise ValueError(
            "ssl_options can be a dict of certfile, keyfile and ca_certs here: libcurl has no "
            "ssl.SSLContext; see also client_cert, client_key, ca_certs and validate_cert"
        )
    return {_SSL_OPTIONS[name]: value for name, value in options.items()}


def _proxy_of(request: Any) -> dict[str, Any]:
    if not request.proxy_host or not request.proxy_port:
        return {}
    user = _composed(request.proxy_username) or ""
    password = _composed(request.proxy_password) or ""
    userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    # Tornado's client hands it to libcurl as it is, which takes a scheme in it.
    scheme, _, host = request.proxy_host.rpartition("://")
    return {
        "proxy": f"{scheme or 'http'}://{userinfo}{normal_host(host)}:{request.proxy_port}",
        "proxy_auth_mode": request.proxy_auth_mode,
    }
