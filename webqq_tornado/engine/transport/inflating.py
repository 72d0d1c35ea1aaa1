"""Undoes the codings of bodies (RFC 9110, 8.4.1): gzip, deflate and br.

Not by libcurl's decoders: these take a body that is cut, and framed as if it were whole, for all of
it. They also know but the first of several gzip members (RFC 1952, 2.2), which a server sends that
compresses piece by piece (Kubernetes, logs in object stores), and refuse codings without a meaning.
As gzip does we skip zeros behind a member, and ignore what is no gzip there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import brotli  # type: ignore[import-untyped] # and its stubs are of an older version

__all__ = ["ACCEPTED", "Decoder", "UndecodableError", "inflated"]

#: Codings that are asked for.
ACCEPTED = "deflate, gzip, br"

_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS
#: Bytes that are given on at once, however far they inflate.
_PIECE = 64 * 1024
#: Codings of one body at most, as libcurl has it: each may inflate a thousandfold.
_MAX_CODINGS = 5


class UndecodableError(Exception):
    """A body is not what its Content-Encoding says, or only the beginning of that."""


class _Stage(Protocol):
    """One coding that is undone."""

    #: There is more to come.
    is_open: bool

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Give what becomes of the next bytes."""


class _Brotlis(Protocol):
    """Interface of `brotli.Decompressor`."""

    def process(self, data: bytes, *, output_buffer_limit: int) -> bytes:
        """Take some bytes, or none while it holds some back."""

    def can_accept_more_data(self) -> bool:
        """Return True if it holds nothing back."""

    def is_finished(self) -> bool:
        """Return True if all has come."""


class Decoder:
    """Undoes the codings of one body, as its bytes come.

    Args:
        codings: that were done to it, in this order, in lower case; from an unknown one on it is
            left as it is.

    Example:
        >>> decoder = Decoder([b"gzip"])
        >>> list(decoder.pieces(gzip.compress(b"a")))
        [b'a']
    """

    def __init__(self, codings: Sequence[bytes]) -> None:
        self._stages: list[tuple[bytes, _Stage]] = []
        # They are listed as they were applied (RFC 9110, 8.4): the last is undone first.
        for coding in reversed(codings):
            if coding in _STAGES:
                self._stages.append((coding, _STAGES[coding]()))
            elif coding not in (b"identity", b"none"):
                break
        if len(self._stages) > _MAX_CODINGS:
            raise UndecodableError(f"it has more than {_MAX_CODINGS} codings")

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Give what becomes of the next bytes, of up to about 64 KiB each.

        Args:
            chunk: as it was sent.

        Raises:
            UndecodableError: they are none of such a coding.
        """
        try:
            yield from self._from(0, chunk)
        except (zlib.error, brotli.error) as error:
            raise UndecodableError(str(error)) from error

    def _from(self, number: int, chunk: bytes) -> Iterator[bytes]:
        if number == len(self._stages):
            yield chunk
            return
        for piece in self._stages[number][1].pieces(chunk):
            yield from self._from(number + 1, piece)

    def check_end(self) -> None:
        """Check that all has come.

        Raises:
            UndecodableError: some is missing, although the body was framed as whole.
        """
        for coding, stage in self._stages:
            if stage.is_open:
                raise UndecodableError(f"the body ends in the middle of its {coding.decode()}")


class _Gzip:
    """Members of gzip, one behind the other."""

    is_open = True

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None
        self._begun = b""  # of the next one
        self._is_first = True
        self._is_over = False

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """See `_Stage`."""
        while chunk and not self._is_over:
            if self._member is None:
                chunk = self._begin(chunk)
                continue
            data = self._member.decompress(chunk, _PIECE)
            chunk = self._member.unconsumed_tail
            if self._member.eof:
                chunk, self._member = self._member.unused_data, None
                self.is_open = False
            if data:
                yield data

    def _begin(self, chunk: bytes) -> bytes:
        """Begin the next member, if it is one; returns what is to be decoded."""
        chunk = self._begun + chunk
        if not self._is_first:
            chunk = chunk.lstrip(b"\0")
        self._begun = b""
        if chunk.startswith(_MAGIC):
            self._member, self._is_first = zlib.decompressobj(_GZIP), False
            self.is_open = True
            return chunk
        # Nothing but zeros so far, or the first of its two bytes: the next chunk decides.
        if _MAGIC.startswith(chunk):
            self._begun = chunk
        elif self._is_first:
            raise zlib.error("it does not begin as gzip does")
        else:
            self._is_over = True
        return b""


class _Deflate:
    """Deflate with or without zlib's header: servers disagree (RFC 9110, 8.4.1.2)."""

    is_open = True

    def __init__(self) -> None:
        self._inflating: zlib._Decompress | None = None
        self._begun = b""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """See `_Stage`."""
        if self._inflating is None:
            chunk = self._begun + chunk
            if len(chunk) < 2:
                self._begun = chunk
                return
            # RFC 1950, 2.2: the method, and a check of both bytes.
            is_zlib = chunk[0] & 15 == zlib.DEFLATED and int.from_bytes(chunk[:2], "big") % 31 == 0
            self._inflating = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        while chunk and self.is_open:
            data = self._inflating.decompress(chunk, _PIECE)
            chunk, self.is_open = self._inflating.unconsumed_tail, not self._inflating.eof
            if data:
                yield data


class _Brotli:
    """RFC 7932."""

    is_open = True

    def __init__(self) -> None:
        self._inflating: _Brotlis = brotli.Decompressor()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """See `_Stage`."""
        while self.is_open:
            data = self._inflating.process(chunk, output_buffer_limit=_PIECE)
            self.is_open = not self._inflating.is_finished()
            if data:
                yield data
            if self._inflating.can_accept_more_data():
                return
            chunk = b""  # it has taken all, and holds back what is too much


_STAGES: dict[bytes, Callable[[], _Stage]] = {
    b"gzip": _Gzip,
    b"x-gzip": _Gzip,
    b"deflate": _Deflate,
    b"br": _Brotli,
}


def inflated(body: bytes, codings: Sequence[bytes], limit: int, *, is_part: bool = False) -> bytes:
    """A whole body as it was before its codings, see `Decoder`.

    Args:
        body: as it was sent.
        codings: as of `Decoder`.
        limit: bytes of what comes out.
        is_part: it is no more than a part of what was coded.

    Raises:
        UndecodableError: it is not what they say, or not all of it.
        OverflowError: it is larger.

    Example:
        >>> inflated(gzip.compress(b"a"), [b"gzip"], 100)
        b'a'
    """
    decoder = Decoder(codings)
    chunks, size = [], 0
    for piece in decoder.pieces(body):
        chunks.append(piece)
        size += len(piece)
        if size > limit:
            raise OverflowError(limit)
    if not is_part:
        decoder.check_end()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
