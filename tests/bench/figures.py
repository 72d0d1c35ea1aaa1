"""What is not a rate: memory of chains that are held, lateness of chains that are delayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import holder
from .children import Cores, json_of, python
from .report import Figure

_HELD, _DELAYED = 10_000, 50_000
#: Seconds that delayed chains idle, from the start of making them, and over which they then start.
_WAIT, _SPREAD = 6.0, 5.0


class Waits(NamedTuple):
    """What these need to run.

    Args:
        url: of nginx.
        cores: where to run.
        sockets: that one process may have.
    """

    url: str
    cores: Cores
    sockets: int

    def held(self) -> Iterator[Figure | str]:
        """Chains in a long poll, and aiohttp's tasks."""
        number = min(_HELD, self.sockets)
        for measure, who, limit in (("held", "ours", 16.0), ("held_aiohttp", "aiohttp", None)):
            with holder.running(self.cores.server) as url:
                facts = self._measure(measure, number, url)
            yield Figure("held", f"memory for each, {who}", facts["each_kib"], "KiB", limit)
            if facts["good"] != number:
                yield f"{who}: {facts['good']} of {number} polls were answered with 200"

    def delayed(self) -> Iterator[Figure | str]:
        """Chains that wait for their time."""
        facts = self._measure("delayed", _DELAYED, self.url, _WAIT, _SPREAD)
        yield Figure("delayed", "start late by, 99th percentile", facts["p99_ms"], "ms", 5.0)
        yield Figure("delayed", "start late by, median", facts["p50_ms"], "ms")
        yield Figure("delayed", "start late by, at most", facts["max_ms"], "ms")
        yield Figure("delayed", "CPU while they all wait", facts["idle_cpu"], "%", 5.0)
        if facts["good"] != _DELAYED:
            yield f"{facts['good']} of {_DELAYED} chains were answered with 200"
        if facts["idle_for"] < 1:
            yield f"making the chains left {facts['idle_for']:.1f} s to idle, that is too little"

    def _measure(self, name: str, *arguments: object) -> Any:
        command = python("waiting", name, *arguments)
        return json_of(command, self.cores.client, _WAIT + _SPREAD)


#: By the name for the command line: title, and how it is measured.
FIGURES: dict[str, tuple[str, Callable[[Waits], Iterator[Figure | str]]]] = {
    "held": (f"{_HELD:,} chains in a long poll at once", Waits.held),
    "delayed": (f"{_DELAYED:,} delayed chains", Waits.delayed),
}
