"""The opening handshake of a WebSocket: what is added to its request, and what must come back.

libcurl sends it as any other request, and reads the answer; `websockets` checks that to the letter
of RFC 6455, section 4.
"""

from __future__ import annotations

import codecs
import logging
import re
import zlib

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.exceptions import ProtocolError as BrokenRule
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    enable_client_permessage_deflate,
)
from websockets.frames import Frame, Opcode
from websockets.http11 import Response as TheirResponse
from websockets.protocol import State
from websockets.uri import parse_uri

from ..errors import ProtocolError
from ..request import Request
from ..response import Response
from ..secrets import safe_url
from ..transport.options import LIBCURL, has_protocol

__all__ = ["accept", "handshake_of", "protocol_for", "refusal"]

#: As of 8.16 libcurl takes what is to be sent from a callback, as in an upload.
_IS_SUPPORTED = has_protocol("wss", since=0x081000)
#: libcurl makes `Host` and the request line.
_ANY_URI = parse_uri("ws://localhost/")
#: The handshake's own, and what says that a body follows.
_NOT_THE_CALLERS = re.compile(
    r"connection|upgrade|content-length|transfer-encoding|sec-websocket-\w+", re.IGNORECASE
)
_SUBPROTOCOLS = "; give subprotocols="
_HTTP_1_1 = 11

# At DEBUG it would log what each frame says.
_logger = logging.getLogger("webqq_tornado.engine.frames")
_logger.setLevel(logging.INFO)


def protocol_for(request: Request, max_size: int, deflates: bool) -> ClientProtocol:
    """Both ends' rules for one connection, with a key of its own.

    Args:
        request: whose subprotocols are offered.
        max_size: bytes of a message; 0: no limit.
        deflates: offer permessage-deflate.

    Raises:
        ValueError: this libcurl cannot carry it, or a header is not the caller's to set.
    """
    if not _IS_SUPPORTED:
        raise ValueError(
            f"WebSockets need libcurl 8.16 or later, built with them, and not {LIBCURL}"
        )
    for name, _ in request.header_pairs:
        if _NOT_THE_CALLERS.fullmatch(name):
            instead = _SUBPROTOCOLS if name.lower().endswith("protocol") else ""
            raise ValueError(f"header {name} is made by the WebSocket's handshake{instead}")
    return ClientProtocol(
        _ANY_URI,
        extensions=enable_client_permessage_deflate(None) if deflates else None,
        subprotocols=list(request.subprotocols) or None,  # type: ignore[arg-type]
        state=State.OPEN,  # as far as the frames are concerned: the rest is done here
        max_size=max_size or None,
        logger=_logger,
    )


def handshake_of(request: Request, protocol: ClientProtocol) -> Request:
    """The request that opens the connection.

    Args:
        request: a socket's; limits of bodies and of whole transfers do not hold for it.
        protocol: whose key and offers it gets.
    """
    # libcurl makes the rest, and takes these in place of its own: of its key we would not know what
    # the server has to answer.
    own = [
        (name, value)
        for name, value in protocol.connect().headers.raw_items()
        if name.startswith("Sec-WebSocket-")
    ]
    # libcurl's limits would hold for the whole conversation. The link times the handshake itself,
    # pings find a silent server, and the protocol limits each message. Redirects are followed by
    # the link, as each handshake has a key of its own.
    return request.replace(
        headers=[*request.header_pairs, *own],
        http_version="1.1",
        request_timeout=0,
        idle_timeout=0,
        max_body_size=0,
        follow_redirects=False,
        decompress_response=False,
        expect_100_continue=False,
        stream=False,
        sink=None,
        resume=False,
        subprotocols=(),
    )


def accept(protocol: ClientProtocol, response: Response) -> None:
    """Check an answer of status 101 (RFC 6455, 4.1).

    Args:
        protocol: of the request; takes the extensions that were agreed on.
        response: the answer.

    Raises:
        ProtocolError: it is no handshake, or not of this request.
    """
    try:
        if response.version != _HTTP_1_1:
            raise InvalidHandshake("it is not HTTP/1.1")
        # Others may have values that HTTP takes and `Headers` does not.
        headers = Headers(
            (name, value)
            for name, value in response.headers.items()
            if _NOT_THE_CALLERS.fullmatch(name)
        )
        protocol.process_response(TheirResponse(response.status, response.reason, headers))
        protocol.extensions = [_TextCheck(), *map(_restarting, protocol.extensions)]
    except Exception as error:  # ValueErrors, too, of what they cannot parse
        why = f"the server's handshake is wrong: {error}"
        raise _protocol_error(response, why) from error


class _TextCheck(Extension):
    """Decode text as UTF-8 (RFC 6455, 8.1): the protocol leaves that to the reader of the message.

    Here it is found in its turn, before what comes after it is answered. Extensions see frames in
    reverse order: this one is the last to see what has come, decompressed.
    """

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None  # while text comes

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """See `websockets.extensions.Extension`."""
        if frame.opcode is Opcode.TEXT:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        elif frame.opcode is Opcode.BINARY:
            self._decoder = None
        # Control frames stand between the fragments of a message (RFC 6455, 5.4), and are no part
        # of its text.
        if self._decoder is not None and frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._decoder.decode(bytes(frame.data), final=frame.fin)
        return frame

    def encode(self, frame: Frame) -> Frame:
        """See `websockets.extensions.Extension`."""
        return frame


def _restarting(extension: Extension) -> Extension:
    return _Restarting(extension) if isinstance(extension, PerMessageDeflate) else extension


class _Restarting(Extension):
    """Decompress what comes after a DEFLATE block that is marked as final (RFC 7692, 7.2.3.4).

    Servers may end each message with one. To zlib that is the end of all: the protocol would read
    the messages that follow as empty ones.
    """

    def __init__(self, deflate: PerMessageDeflate) -> None:
        self._deflate = deflate
        self.name = deflate.name

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """See `websockets.extensions.Extension`."""
        deflate = self._deflate
        frame = deflate.decode(frame, max_size=max_size)
        # Without context takeover there is none between messages.
        decoder = getattr(deflate, "decoder", None)
        if decoder is not None and decoder.eof:
            if decoder.unused_data.strip(_PADDING):
                raise BrokenRule("compressed data after a final block")
            deflate.decoder = zlib.decompressobj(wbits=-deflate.remote_max_window_bits)
        return frame

    def encode(self, frame: Frame) -> Frame:
        """See `websockets.extensions.Extension`."""
        return self._deflate.encode(frame)


#: Bytes of the empty block behind a final one, of which the protocol adds the end.
_PADDING = b"\0\xff"


def refusal(response: Response) -> ProtocolError:
    """The error of an answer that is not 101.

    Args:
        response: kept on it.
    """
    words = f"{response.status} {response.reason}".rstrip()
    return _protocol_error(response, f"the server refused the WebSocket: HTTP {words}")


def _protocol_error(response: Response, why: str) -> ProtocolError:
    request = response.request
    error = ProtocolError(f"GET {safe_url(request.url)}: {why}", request=request)
    error.response = response
    return error
