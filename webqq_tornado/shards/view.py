"""A stream that stands for all shards, for those who look on: it sends nothing itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.stats import Stats
from ..engine.stream import HTTPStream
from ..journal.errors import JournalError
from ..journal.records import Counts, ListedChain, ShardCounts, Summary
from .running import ShardRun

__all__ = ["ShardLine", "ShardsView"]

#: Failed chains that are shown.
_LETTERS = 20
#: Shards that are shown, and chains of all of them.
_LINES, _CHAINS = 64, 64


class ShardLine(NamedTuple):
    """A shard as the page shows it.

    Args:
        shard: its number.
        state: what it does.
        worker: address of it; "" if it is on none.
        in_flight: requests.
        ready, delayed, failed: chains.
        next_due: Unix time of the first that is delayed; None: none is.
    """

    shard: int
    state: str
    worker: str
    in_flight: int
    ready: int
    delayed: int
    failed: int
    next_due: float | None


class ShardsView(HTTPStream):
    """The numbers of all shards as those of one stream.

    Args:
        run: of the shards.
    """

    def __init__(self, run: ShardRun) -> None:
        super().__init__()
        self._run = run
        self._view = _JournalView(run)

    async def refresh(self) -> None:
        """Read from the journal what is shown of it."""
        with contextlib.suppress(JournalError):
            await self._view.refresh()

    def stats(self) -> Stats:
        """Return the numbers of all shards together."""
        seen, kept = self._run.progress, self._view.summary
        shown = {name: getattr(seen, name) for name in _SHOWN}
        alive = 0 if kept is None else kept.ready + kept.delayed
        ends = {} if kept is None else {name: getattr(kept, name) for name in _ENDS}
        return super().stats()._replace(chains=alive, **shown, **ends)

    def pause(self) -> None:
        """Have all shards send nothing more until `resume`."""
        self._run.pause()

    def resume(self) -> None:
        """Go on where `pause` has stopped."""
        self._run.resume()

    @property
    def is_paused(self) -> bool:
        """All shards are, by `pause`."""
        return self._run.is_paused

    @property
    def journal(self) -> Any:
        """The journal, to look into."""
        return self._view

    async def look_at_shards(self) -> tuple[list[ShardLine], list[ListedChain]]:
        """The shards, those with most to do first, and of each the chains that are sent next."""
        journal = self._run.journal
        try:
            counts = {each.shard: each for each in await journal.shard_counts()}
        except JournalError:  # it is gone, for a while
            return [], []
        found = [self._line(shard, counts.get(shard)) for shard in range(journal.shards)]
        found.sort(key=lambda line: (-line.failed, -line.ready, -line.delayed, line.shard))
        del found[_LINES:]
        found.sort()
        waiting = [line.shard for line in found if line.ready or line.delayed]
        each = max(1, _CHAINS // max(1, len(waiting)))
        return found, await journal.chains_of_shards(waiting, each)

    def _line(self, shard: int, counts: ShardCounts | None) -> ShardLine:
        state, worker, in_flight = self._run.state_of(shard)
        _, ready, delayed, failed, due = counts or ShardCounts(shard, 0, 0, 0, None)
        return ShardLine(shard, state, worker, in_flight, ready, delayed, failed, due)


_SHOWN = (
    *("in_flight", "queued", "delayed", "requests", "responses", "errors", "retries"),
    "received",
)
_ENDS = ("done", "failed", "cancelled")


class _JournalView:
    """The numbers that a page shows of a journal, as of the last look.

    Args:
        run: of the shards.

    Attributes:
        summary: how far the flow is; None: not looked yet.
    """

    is_awaited = True

    def __init__(self, run: ShardRun) -> None:
        self._journal = run.journal
        self.summary: Summary | None = None
        self._letters: list[ListedChain] = []

    async def refresh(self) -> None:
        """Look."""
        self.summary = await self._journal.summary()
        self._letters = await self._journal.letters(_LETTERS)

    @property
    def is_owned(self) -> bool:
        """Return True when it has been looked at."""
        return self.summary is not None

    @property
    def path(self) -> Path | str:
        """Name of the journal."""
        return self._journal.path  # type: ignore[no-any-return]

    def counts(self) -> Counts:
        """Return the numbers so far."""
        found = self.summary
        assert found is not None  # noqa: S101 - `is_owned` says so
        return Counts(
            *(0, found.is_begun_all, found.steps, found.done, found.cancelled, found.results),
            *(0, 0, None),
        )

    def failed_count(self) -> int:
        """How many chains have failed."""
        return 0 if self.summary is None else self.summary.failed

    def latest_failures(self, limit: int) -> list[ListedChain]:
        """The chains that have failed last.

        Args:
            limit: so many at most.
        """
        return self._letters[:limit]

    async def ids_of(self, names: Sequence[str]) -> list[int]:
        """Ids of chains that have failed.

        Args:
            names: of them; all without any.
        """
        return await self._journal.ids_of(names)  # type: ignore[no-any-return]

    async def retry(self, ids: Sequence[int]) -> int:
        """Make chains that have failed ready again.

        Args:
            ids: of them.
        """
        return await self._journal.retry(ids)  # type: ignore[no-any-return]
