"""Gzip with several members (RFC 1952, 2.2), of which libcurl decodes none but the first.

A server that compresses piece by piece sends such bodies (Kubernetes, logs in object stores), and
some send zeros behind the last one. As gzip does we skip these, and ignore what is no gzip.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Sequence

__all__ = ["ACCEPTED", "Members", "inflated"]

#: Codings that `inflated` can undo, as a header line.
ACCEPTED = b"Accept-Encoding: deflate, gzip"

_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS
#: Bytes that are given on at once, however far they inflate.
_PIECE = 256 * 1024


class Members:
    """Takes a body as it was sent, as libcurl's WRITEFUNCTION does, and gives it on decoded.

    Args:
        write: takes the decoded chunks; returns None, or 0 for no more.

    Raises:
        zlib.error: by the call: a member is corrupt.

    Example:
        >>> chunks = []
        >>> Members(chunks.append)(gzip.compress(b"a") + gzip.compress(b"b"))
        >>> chunks
        [b'a', b'b']
    """

    def __init__(self, write: Callable[[bytes], int | None]) -> None:
        self._write = write
        self._member: zlib._Decompress | None = None
        self._begun = b""  # of the next one
        self._is_over = False

    def __call__(self, chunk: bytes) -> int | None:
        """Take the next bytes of the body; returns 0 when no more is wanted, else None."""
        while chunk and not self._is_over:
            if self._member is None:
                chunk = self._begin(chunk)
                continue
            # Piece by piece: of a few KiB that become GiB `write` stops after the first ones.
            data = self._member.decompress(chunk, _PIECE)
            chunk = self._member.unconsumed_tail
            if data and self._write(data) is not None:
                return 0
            if self._member.eof:
                chunk, self._member = self._member.unused_data, None
        return None

    def _begin(self, chunk: bytes) -> bytes:
        """Begin the next member, if it is one; returns what is to be decoded."""
        chunk = (self._begun + chunk).lstrip(b"\0")
        self._begun = b""
        if chunk.startswith(_MAGIC):
            self._member = zlib.decompressobj(_GZIP)
            return chunk
        # Nothing but zeros so far, or the first of its two bytes: the next chunk tells.
        if _MAGIC.startswith(chunk):
            self._begun = chunk
        else:
            self._is_over = True
        return b""


def inflated(body: bytes, codings: Sequence[bytes], limit: int) -> bytes:
    """A whole body as it was before its codings; from one that is none of `ACCEPTED` on as it is.

    Args:
        body: as it was sent.
        codings: that were done to it, in this order, in lower case.
        limit: bytes of what comes out.

    Raises:
        zlib.error: it is not what they say.
        OverflowError: it is larger.

    Example:
        >>> inflated(gzip.compress(b"a"), [b"gzip"], 100)
        b'a'
    """
    # They are listed as they were applied (RFC 9110, 8.4): the last is undone first.
    for coding in reversed(codings):
        if coding in (b"gzip", b"x-gzip"):
            body = _gunzipped(body, limit)
        elif coding == b"deflate":
            body = _undeflated(body, limit)
        elif coding not in (b"identity", b"none"):
            break
    return body


def _gunzipped(body: bytes, limit: int) -> bytes:
    if not body.startswith(_MAGIC):
        raise zlib.error("it does not begin as gzip does")
    chunks: list[bytes] = []

    def write(chunk: bytes) -> None:
        chunks.append(chunk)
        if sum(map(len, chunks)) > limit:
            raise OverflowError(limit)

    Members(write)(body)
    return b"".join(chunks)


def _undeflated(body: bytes, limit: int) -> bytes:
    """Inflate deflate with or without zlib's header: servers disagree (RFC 9110, 8.4.1.2)."""
    # One byte more than the limit tells that it is passed. (No limit is the largest number.)
    most = min(limit + 1, sys.maxsize)
    try:
        data = zlib.decompressobj().decompress(body, most)
    except zlib.error:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, most)
    if len(data) > limit:
        raise OverflowError(limit)
    return data
