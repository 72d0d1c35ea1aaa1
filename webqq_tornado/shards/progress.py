"""Numbers of all shards together, as workers tell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Merged", "ShardProgress"]

#: Numbers that go up; the others are of the moment.
_SO_FAR = ("requests", "responses", "errors", "retries", "received")


class ShardProgress(NamedTuple):
    """How far all shards are, as of the last second.

    Args:
        shards: how many there are.
        running: that have work on a worker.
        workers: processes of the cluster.
        requests, responses, errors, retries, received: since this run has begun.
        in_flight, queued, delayed: now.
        slices: that have ended.
        deaths: of workers with shards.

    Example:
        >>> await run_shards(Crawl, journal=url, dask="local:2", on_progress=print)
        ShardProgress(shards=64, running=64, workers=2, requests=5120, ...)
    """

    shards: int
    running: int = 0
    workers: int = 0
    requests: int = 0
    responses: int = 0
    errors: int = 0
    retries: int = 0
    received: int = 0
    in_flight: int = 0
    queued: int = 0
    delayed: int = 0
    slices: int = 0
    deaths: int = 0


class Merged:
    """Numbers of slices, added up.

    Args:
        shards: how many there are.

    Attributes:
        slices, deaths, workers: as of `ShardProgress`.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._ended: dict[str, float] = {}
        self._running: dict[int, Mapping[str, float]] = {}
        self.slices = self.deaths = self.workers = 0

    def note(self, shard: int, numbers: Mapping[str, float]) -> None:
        """Take what the slice of a shard says now.

        Args:
            shard: its number.
            numbers: by name.
        """
        before = self._running.get(shard, {})
        # Dask has begun the slice again at another worker, where it counts from 0.
        if any(numbers.get(name, 0) < before.get(name, 0) for name in _SO_FAR):
            self._add(before)
        self._running[shard] = numbers

    def _add(self, numbers: Mapping[str, float]) -> None:
        for name in _SO_FAR:  # Dask adds others to events
            self._ended[name] = self._ended.get(name, 0) + numbers.get(name, 0)

    def now(self, shard: int) -> Mapping[str, Any] | None:
        """Return what the slice of a shard has said last; None: it has none, or has said nothing.

        Args:
            shard: its number.
        """
        return self._running.get(shard)

    def end(self, shard: int, numbers: Mapping[str, float] | None) -> None:
        """Take what the slice of a shard has said last.

        Args:
            shard: its number.
            numbers: by name; None: the last reported ones.
        """
        last = self._running.pop(shard, {})
        self._add(numbers or last)
        self.slices += 1

    def progress(self) -> ShardProgress:
        """Return all of it."""
        total = dict.fromkeys(ShardProgress._fields[3:11], 0.0) | self._ended
        for numbers in self._running.values():
            for name in total:
                total[name] += numbers.get(name, 0)
        return ShardProgress(
            self._shards,
            len(self._running),
            self.workers,
            **{name: int(value) for name, value in total.items()},
            slices=self.slices,
            deaths=self.deaths,
        )
