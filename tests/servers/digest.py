"""A server, or a proxy, that wants HTTP's digest authentication (RFC 7616)."""

from __future__ import annotations

import asyncio
import hashlib
import re

from servers.raw import answer, requests


class Challenging:
    """A server, or a proxy, that takes each nonce once; user ann, password right.

    Args:
        says_stale: to those that come with a nonce that was taken before.
        is_proxy: it challenges as one; behind CONNECT it is the server, too.
    """

    def __init__(self, *, says_stale: bool = False, is_proxy: bool = False) -> None:
        self._says_stale, self._is_proxy = says_stale, is_proxy
        self._nonces = 0
        self.asked: list[bool] = []  # with credentials?

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            method = head.split(b" ")[0].decode()
            if self._is_good(method, head.decode()):
                tunnel = b"HTTP/1.1 200 OK\r\n\r\n"
                writer.write(tunnel if method == "CONNECT" else answer(method.encode()))
                if method == "CONNECT":
                    return await _serve_inside(reader, writer)
            else:
                writer.write(self._challenge(had_nonce=b"nonce=" in head))

    def _is_good(self, method: str, head: str) -> bool:
        said = dict(re.findall(r'(\w+)="?([^",\r]+)"?', head.partition("uthorization: Digest")[2]))
        self.asked.append(bool(said))
        if said.get("nonce") != f"n{self._nonces}":
            return False
        self._nonces += 1
        secret, what = _md5("ann:here:right"), _md5(f"{method}:{said['uri']}")
        parts = (secret, said["nonce"], said["nc"], said["cnonce"], said["qop"], what)
        return said["response"] == _md5(":".join(parts))

    def _challenge(self, *, had_nonce: bool) -> bytes:
        self._nonces += 1
        name, status = (
            (b"Proxy-Authenticate", b"407 No")
            if self._is_proxy
            else (b"WWW-Authenticate", b"401 No")
        )
        stale = b", stale=true" if had_nonce and self._says_stale else b""
        line = b'%s: Digest realm="here", nonce="n%d", qop="auth"%s' % (name, self._nonces, stale)
        return answer(b"who?", line, status=status)


async def _serve_inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)  # what follows would be TLS
    writer.close()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
