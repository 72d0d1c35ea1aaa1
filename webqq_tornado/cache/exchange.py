"""One request in the hands of the cache: what hishel's rules say, done with what is stored."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.request import parse_http_list

import hishel

from ..engine.framing import unix_time
from ..engine.response import Response
from ..engine.secrets import is_secret_name
from ..engine.transport.caching import Asked, Verdict
from ..engine.transport.replay import Answer
from .storage import Pairs, Row, Storage, lists_of, value_of

__all__ = ["CACHED", "CacheExchange", "Counts", "directives_of"]

logger = logging.getLogger("webqq_tornado.engine")

#: Methods whose responses are kept.
CACHED = frozenset({"GET", "HEAD"})
#: Directives against a use without the server's word.
_STRICT = frozenset({"no-cache", "must-revalidate"})
#: Headers of responses that are taken when they come, and never again.
_ONCE = frozenset({"set-cookie", "set-cookie2"})
#: Of who is not let in yet, and of a server that has too much to do, or fails: kept, the next try,
#: after a login or a while, would get it again and again.
_PASSING = frozenset({401, 403, 407, 429, *range(500, 600)})
#: Of those the ones for which `stale-if-error` is (RFC 5861, 4).
_FAILURES = frozenset({500, 502, 503, 504})
#: Without one of these a response can be neither fresh nor confirmed.
_USEFUL = frozenset({"etag", "last-modified", "expires", "cache-control"})


@dataclass
class Counts:
    """Responses so far, see `HTTPCache`; and whether the file fails."""

    hits: int = 0
    confirmed: int = 0
    misses: int = 0

    is_failing: bool = False

    @contextlib.contextmanager
    def reported(self, what: str) -> Iterator[None]:
        """Log an error of the file: a cache that fails is none, and no reason to fail.

        Args:
            what: cannot be done then. Of errors in a row the first is a warning.
        """
        try:
            yield
            self.is_failing = False
        except sqlite3.Error as error:
            level = logging.DEBUG if self.is_failing else logging.WARNING
            logger.log(level, "the cache cannot %s, which goes without it: %s", what, error)
            self.is_failing = True


class CacheExchange:
    """A request, from the look into the cache to the response: see `engine.transport.caching`.

    Args:
        storage: to look into.
        counts: of the cache.
        options: of the rules.
        asked: the request.
    """

    def __init__(
        self, storage: Storage, counts: Counts, options: hishel.CacheOptions, asked: Asked
    ) -> None:
        self._storage, self._counts, self._options = storage, counts, options
        self._asked, self._wanted = asked, directives_of(asked.request.header_pairs)
        self._at = time.time()
        self.answer: Answer | None = None
        self.conditions: Sequence[tuple[str, str]] = ()
        self._rows: dict[uuid.UUID, Row] = {}
        request = asked.request
        credentials = [
            text
            for name, value in request.header_pairs
            if is_secret_name(name) or name.lower() == "cookie"
            for text in (name.lower(), value)
        ]
        url = request.url.partition("#")[0]
        self._key = storage.digest(asked.user, asked.origin, url, *credentials)
        self._request = hishel.Request(request.method, url)
        #: A `CacheMiss` or `NeedRevalidation`, once `look_up` has decided so.
        self._state: Any = None

    def look_up(self) -> None:
        """Decide by what is stored: answer, or send, maybe with conditions."""
        rows = self._storage.rows(self._key)
        self._rows = {uuid.UUID(int=row.id): row for row in rows}
        names = {name for row in rows for name in row.vary}
        headers = {name: self._varied(name) for name in names}
        if self._is_to_be_confirmed:
            headers["cache-control"] = "no-cache"
        self._request = hishel.Request(
            self._request.method, self._request.url, hishel.Headers(dict(headers))
        )
        entries = [row.entry(self._at, self._request) for row in rows]
        state = hishel.IdleClient(self._options).next(self._request, entries)
        if isinstance(state, hishel.FromCache):
            self.answer = self._stored(state, {"Age": state.entry.response.headers["age"]})
            self._counts.hits += self.answer is not None
        if self.answer is None and "only-if-cached" in self._wanted:
            self.answer = Answer(504, reason="Gateway Timeout")  # RFC 9111, 5.2.1.7
        if isinstance(state, hishel.NeedRevalidation):
            # With the headers as they came, which a 304 is merged with.
            state.revalidating_entries = [
                self._as_it_came(entry) for entry in state.revalidating_entries
            ]
            self.conditions = [
                (name, value)
                for name in ("If-None-Match", "If-Modified-Since")
                if (value := state.request.headers.get(name))
            ]
        elif self.answer is None and not isinstance(state, hishel.CacheMiss):
            state = hishel.CacheMiss(self._options, self._request)
        self._state = state

    @property
    def _is_to_be_confirmed(self) -> bool:
        """The client wants no answer without the server's word; the rules know `no-cache` alone."""
        if self._wanted.keys() & {"no-cache", "max-age", "min-fresh"}:
            return True
        pairs = self._asked.request.header_pairs
        return not self._wanted and value_of(pairs, "pragma").lower() == "no-cache"

    def _varied(self, name: str) -> str:
        """A digest of the request's header that `Vary` names."""
        asked = self._asked
        values = [v for one, v in asked.request.header_pairs if one.lower() == name]
        if name == "cookie":
            values.append(asked.cookies())
        elif name == "user-agent" and not values:
            values.append(asked.user_agent)
        return self._storage.digest("vary", *values).hex() if any(values) else ""

    def _as_it_came(self, entry: hishel.Entry) -> hishel.Entry:
        row = self._rows[entry.id]
        # Without the age that it had: after a 304 that of the 304 counts.
        kept = [pair for pair in row.headers if pair[0].lower() != "age"]
        stored = hishel.Response(row.status, hishel.Headers(dict(lists_of(kept))))
        return hishel.Entry(entry.id, entry.request, stored)

    def _stored(self, state: hishel.FromCache, added: Mapping[str, str]) -> Answer | None:
        row = self._rows[state.entry.id]
        body = self._storage.body(row, self._at)
        if body is None:
            return None
        kept = [pair for pair in row.headers if pair[0].title() not in added]
        return Answer(row.status, (*kept, *added.items()), body, reason=row.reason)

    def take(self, response: Response) -> Answer | Verdict:
        """See `engine.transport.caching.Exchange`."""
        if response.status in _FAILURES and (stale := self.fail()) is not None:
            return stale
        with self._counts.reported("keep a response"):
            return self._taken(response)
        return Verdict.AGAIN if response.status == 304 else Verdict.KEEP

    def fail(self) -> Answer | None:
        """See `engine.transport.caching.Exchange`."""
        with self._counts.reported("look for a response"):
            return self._stale()
        return None

    def _stale(self) -> Answer | None:
        """A stored response that its server allows to use while it fails (RFC 5861, 4)."""
        now = time.time()
        for row in sorted(self._rows.values(), key=lambda row: -row.received):
            says = directives_of(row.headers)
            is_ours = row.method == self._asked.request.method and all(
                self._varied(name) == value for name, value in row.vary.items()
            )
            limit = _seconds(says, "max-age") + _seconds(says, "stale-if-error")
            if not is_ours or "stale-if-error" not in says or says.keys() & _STRICT:
                continue
            if row.age(now) <= limit and (body := self._storage.body(row, now)) is not None:
                kept = (pair for pair in row.headers if pair[0].lower() != "age")
                headers = (*kept, ("Age", str(int(row.age(now)))))
                self._counts.hits += 1
                return Answer(row.status, headers, body, reason=row.reason)
        return None

    def _taken(self, response: Response) -> Answer | Verdict:
        received = time.time()
        pairs = tuple((name, str(value)) for name, value in response.headers.items())
        if unix_time(value_of(pairs, "date")) is None:  # RFC 9110, 6.6.1
            kept = (pair for pair in pairs if pair[0].lower() != "date")
            pairs = (*kept, ("Date", formatdate(received, usegmt=True)))
        came = hishel.Response(response.status, hishel.Headers(dict(lists_of(pairs))))
        state: Any = self._state.next(came)
        while isinstance(state, (hishel.InvalidateEntries, hishel.NeedToBeUpdated)):
            if isinstance(state, hishel.InvalidateEntries):
                self._storage.remove(id_.int for id_ in state.entry_ids)
            else:
                for entry in state.updating_entries:
                    self._update(entry, received)
            state = state.next()
        if isinstance(state, hishel.FromCache):
            answer = self._stored(state, {})
            if answer is not None:
                self._counts.confirmed += 1
                return answer
            state = hishel.CacheMiss(self._options, self._request)
        if isinstance(state, hishel.CacheMiss):
            self._state, self.conditions = state, ()
            return Verdict.AGAIN
        self._replace(state, response, pairs, received)
        return Verdict.KEEP

    def _update(self, entry: hishel.Entry, received: float) -> None:
        row = self._rows[entry.id]
        merged = entry.response.headers
        spelt = {name.lower(): name for name, _ in row.headers}
        headers = tuple(
            (spelt.get(name.lower(), name), value)
            for name in merged
            if name.lower() not in _ONCE
            for value in merged.get_list(name) or ()
        )
        self._rows[entry.id] = row._replace(headers=headers, asked=self._at, received=received)
        self._storage.update(row.id, headers, self._at, received)

    def _replace(self, state: Any, response: Response, pairs: Pairs, received: float) -> None:
        """Store what came, if it may be, in the place of what it is another version of."""
        method = self._asked.request.method
        if method not in CACHED:
            return
        self._counts.misses += 1
        names = _vary_of(pairs)
        vary = {name: self._varied(name) for name in sorted(names)}
        others = [
            row.id
            for row in self._rows.values()
            if row.method == method
            and all(self._varied(name) == value for name, value in row.vary.items())
        ]
        may_be = isinstance(state, hishel.StoreAndUse) and "*" not in names
        may_be = may_be and response.status not in _PASSING
        if may_be and _USEFUL & {name.lower() for name, _ in pairs}:
            allowed = {name.lower() for name in state.response.headers} - _ONCE
            headers = tuple(pair for pair in pairs if pair[0].lower() in allowed)
            row = Row(
                0, method, vary, response.status, response.reason, headers, self._at, received,
                received,
            )  # fmt: skip
            self._storage.store(self._key, row, response.body, others)
        elif response.ok:
            self._storage.remove(others)


def _vary_of(pairs: Pairs) -> set[str]:
    values = (value for name, value in pairs if name.lower() == "vary")
    return {one.strip().lower() for value in values for one in value.split(",") if one.strip()}


def _seconds(directives: Mapping[str, str], name: str) -> int:
    value = directives.get(name, "")
    return int(value[:12]) if value.isascii() and value.isdecimal() else 0


def directives_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Directives of `Cache-Control`."""
    values = (value for name, value in pairs if name.lower() == "cache-control")
    each = (one.partition("=") for value in values for one in parse_http_list(value))
    return {name.strip().lower(): value.strip('" ') for name, _, value in each}
