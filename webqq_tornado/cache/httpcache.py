"""`HTTPCache`: what users make, and the transport asks."""

from __future__ import annotations

import os

try:
    import hishel
except ImportError as missing:
    raise ImportError(
        "webqq_tornado.cache needs hishel: pip install 'webqq_tornado[cache]'"
    ) from missing

from ..database import DatabaseError
from ..engine.closing import ClosedByBlock
from ..engine.transport.caching import Asked
from .exchange import CACHED, CacheExchange, Counts, directives_of
from .storage import Storage

__all__ = ["CacheError", "HTTPCache"]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
#: Requests that ask for a part, or compare by themselves (RFC 9110, 13 and 14).
_PASS_BY = frozenset(
    ("range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range")
)


class CacheError(Exception):
    """The file of a cache cannot be used; the message says which, why, and what to do.

    Example:
        >>> try:
        ...     cache = HTTPCache("/etc/passwd")
        ... except CacheError as error:
        ...     print(error)
    """


class HTTPCache(ClosedByBlock):
    """A private HTTP cache in an SQLite file, for any number of streams on one thread.

    Args:
        path: of the file, which is made; ":memory:" keeps nothing.
        max_size: bytes of all responses; the least recently used go first.
        max_body_size: bytes of a body; larger ones are not kept.
        allow_stale: use what is no longer fresh, unless the server forbids it, instead of asking.

    Raises:
        CacheError: the file is no cache, or cannot be written.

    Example:
        >>> with HTTPCache("cache.sqlite") as cache:
        ...     Titles(cache=cache).run()
        ...     print(cache)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = ":memory:",
        *,
        max_size: int = 512 * 2**20,
        max_body_size: int = 32 * 2**20,
        allow_stale: bool = False,
    ) -> None:
        if max_size < 1 or max_body_size < 1:
            raise ValueError(
                f"max_size and max_body_size are 1 or more, not {min(max_size, max_body_size)}"
            )
        self._counts = Counts()
        self._options = hishel.CacheOptions(shared=False, allow_stale=allow_stale)
        self._is_closed = False
        try:
            self._storage = Storage(path, max_size, max_body_size)
        except DatabaseError as error:
            raise CacheError(str(error)) from error

    def __repr__(self) -> str:
        return f"<HTTPCache {self.summary()}>"

    def __len__(self) -> int:
        """Number of stored responses."""
        return len(self._storage)

    def __bool__(self) -> bool:
        return True

    @property
    def hits(self) -> int:
        """Responses that came without a request to the server."""
        return self._counts.hits

    @property
    def confirmed(self) -> int:
        """Responses that the server has confirmed by a 304."""
        return self._counts.confirmed

    @property
    def misses(self) -> int:
        """Responses that the server has sent whole, to requests that a cache may answer."""
        return self._counts.misses

    def summary(self) -> str:
        """Return these numbers, and the bytes stored, as a line."""
        return (
            f"{self.hits} hits, {self.confirmed} confirmed, {self.misses} misses, "
            f"{self._storage.size:,} bytes"
        )

    def clear(self) -> None:
        """Forget all responses."""
        self._storage.clear()

    def close(self) -> None:
        """Close the file; what is asked afterwards passes by."""
        if not self._is_closed:
            self._is_closed = True
            self._storage.close()

    def ask(self, asked: Asked) -> CacheExchange | None:
        """Look for a response; the transport does so.

        Args:
            asked: the request.
        """
        request = asked.request
        names = {name.lower() for name, _ in request.header_pairs}
        is_out = names & _PASS_BY or "no-store" in directives_of(request.header_pairs)
        if self._is_closed or is_out:
            return None
        if request.method in _SAFE and (request.method not in CACHED or request.body is not None):
            return None
        exchange = CacheExchange(self._storage, self._counts, self._options, asked)
        with self._counts.reported("look for a response"):
            exchange.look_up()
            return exchange
        return None
