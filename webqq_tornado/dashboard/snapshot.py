"""One update of the page: the numbers of a stream, put together on the server.

Tens of thousands of chains are counted in slices, between which the loop turns; of lists only the
top goes out.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..engine.chain import Chain
from ..engine.secrets import safe_text, safe_url
from .recorder import Exchange, Failure, Recorder, Sample

if TYPE_CHECKING:
    from ..engine.stream import HTTPStream

__all__ = ["Query", "take_snapshot"]

#: Chains that are looked at before the loop turns: about a millisecond.
_SLICE = 1000
_TOP = 15
_CHAINS = 50
_TIMELINE = 100
#: Characters of a dead letter's error and traceback.
_MAX_WORDS, _MAX_TRACE = 300, 4000
#: Seconds over which rates are taken.
_RATE_OVER = 5
_PERCENTILES = (50, 95, 99)


class Query(NamedTuple):
    """Filter of the listed chains, and the chain whose timeline is shown; "" and 0: any, none."""

    state: str = ""
    host: str = ""
    reader: str = ""
    text: str = ""
    chain: int = 0


class _Census:
    """Counts of the chains alive, and those that a query asks for."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.states: Counter[str] = Counter()
        self.hosts: Counter[str] = Counter()
        self.readers: Counter[str] = Counter()
        self.matches = 0
        self.listed: list[Chain] = []
        self.chosen: Chain | None = None

    def add(self, chain: Chain) -> None:
        if not chain.number or chain.done:
            return
        state = _state(chain)
        request = chain.request
        host = "" if request is None else request.host
        reader = chain.reader
        self.states[state] += 1
        if host:
            self.hosts[host] += 1
        self.readers[reader] += 1
        query = self.query
        if chain.number == query.chain:
            self.chosen = chain
        if (
            (query.state and query.state != state)
            or (query.host and query.host != host)
            or (query.reader and query.reader != reader)
        ):
            return
        url = "" if request is None else request.url
        if query.text and query.text not in chain.name.lower() and query.text not in url.lower():
            return
        self.matches += 1
        self.listed.append(chain)

    def cut(self) -> None:
        """Keep the oldest of those listed."""
        self.listed = nsmallest(_CHAINS, self.listed, key=attrgetter("number"))


async def take_snapshot(recorder: Recorder, query: Query) -> dict[str, Any]:
    """Put together one update of the page.

    Args:
        recorder: of the stream.
        query: what the page asks for.
    """
    stream = recorder.stream
    census = _Census(query)
    chains = tuple(stream.chains)
    for at in range(0, len(chains), _SLICE):
        for chain in chains[at : at + _SLICE]:
            census.add(chain)
        census.cut()
        await asyncio.sleep(0)
    stats = stream.stats()
    update = {
        "name": type(stream).__name__,
        "at": time.time(),
        "paused": stream.is_paused,
        "stats": stats._asdict(),
        "latency": percentiles(recorder.recent),
        "rates": rates(recorder.samples),
        "states": dict(census.states.most_common()),
        "hosts": _hosts(recorder, census.hosts),
        "readers": census.readers.most_common(_TOP),
        "matches": census.matches,
        "chains": [_chain(chain) for chain in census.listed if not chain.done],
        "slowest": [_exchange(each) for each in recorder.slowest()[:_TOP]],
        "failed": [_failure(each) for each in tuple(recorder.failures)[: -_TOP - 1 : -1]],
        "timeline": _timeline(recorder, census.chosen, query.chain) if query.chain else None,
        "journal": _journal(stream),
        "shards": None,
    }
    look: Any = getattr(stream, "look_at_shards", None)
    if look is not None:
        update |= _shards(query, *await look())
    return update


def _shards(query: Query, lines: Sequence[Any], chains: Sequence[Any]) -> dict[str, Any]:
    """Shards, and of each the chains that are sent next, which the journal knows and no process."""
    now = time.time()
    states = {name: sum(getattr(each, name) for each in lines) for name in ("ready", "delayed")}
    shown = [_waiting(each, now) for each in chains]
    return {
        "shards": [each._asdict() for each in lines],
        "states": {name: number for name, number in states.items() if number},
        "matches": states.get(query.state, 0) if query.state else sum(states.values()),
        "chains": [each for each in shown if _is_asked_for(each, query)],
    }


def _waiting(chain: Any, now: float) -> dict[str, Any]:
    return {
        "number": 0,
        "shard": chain.shard,
        "name": safe_text(chain.name),
        "state": "delayed" if chain.due is not None and chain.due > now else "ready",
        "reader": chain.reader,
        "url": safe_url(chain.url),
        "steps": chain.step,
        "retries": 0,
    }


def _is_asked_for(chain: Mapping[str, Any], query: Query) -> bool:
    is_of = query.state in ("", chain["state"]) and query.reader in ("", chain["reader"])
    return is_of and query.text in f"{chain['name']} {chain['url']}".lower()


def _journal(stream: HTTPStream) -> dict[str, Any] | None:
    """Numbers of the stream's journal, and its latest dead letters."""
    if stream.journal is None or not stream.journal.is_owned:
        return None
    counts = stream.journal.counts()
    return {
        "path": Path(stream.journal.path).name,
        "failed": stream.journal.failed_count(),
        "steps": counts.steps,
        "done": counts.done,
        "results": counts.results,
        "letters": [
            {
                "id": each.id,
                "name": each.name,
                "shard": each.shard if hasattr(stream, "look_at_shards") else None,
                "step": each.step,
                "url": safe_url(each.url),
                "error": safe_text(each.error or "")[:_MAX_WORDS],
                "trace": safe_text(each.trace or "")[-_MAX_TRACE:],
                "at": each.failed,
            }
            for each in stream.journal.latest_failures(_TOP)
        ],
    }


def percentiles(seconds: Iterable[float]) -> list[float | None]:
    """The 50th, 95th and 99th percentile by the nearest rank; None without any.

    Args:
        seconds: in any order.

    Example:
        >>> percentiles([0.1, 0.2, 0.3, 0.4])
        [0.2, 0.4, 0.4]
    """
    values = sorted(seconds)
    if not values:
        return [None] * len(_PERCENTILES)
    return [values[-(-len(values) * each // 100) - 1] for each in _PERCENTILES]


def rates(samples: Sequence[Sample]) -> dict[str, Any]:
    """Requests and bytes a second: of late, and requests and errors for each second before.

    Args:
        samples: oldest first.
    """
    taken = list(samples)
    pairs = list(pairwise(taken))
    late = (taken[max(0, len(taken) - 1 - _RATE_OVER)], taken[-1])
    return {
        "responses": _per_second(*late, "responses"),
        "errors": _per_second(*late, "errors"),
        "received": _per_second(*late, "received"),
        "history": [
            [round(_per_second(*pair, "responses"), 1), round(_per_second(*pair, "errors"), 1)]
            for pair in pairs
        ],
    }


def _per_second(before: Sample, after: Sample, field: str) -> float:
    seconds = after.at - before.at
    change: int = getattr(after, field) - getattr(before, field)
    return change / seconds if seconds > 0 else 0.0


def _hosts(recorder: Recorder, alive: Mapping[str, int]) -> list[dict[str, Any]]:
    """The hosts with most chains, and after them those with most requests."""
    windows = recorder.hosts
    names = sorted(
        {*windows, *alive},
        key=lambda name: (alive.get(name, 0), windows[name].requests if name in windows else 0),
        reverse=True,
    )[:_TOP]
    return [
        {
            "host": name,
            "chains": alive.get(name, 0),
            "requests": windows[name].requests if name in windows else 0,
            "errors": windows[name].errors if name in windows else 0,
            "latency": percentiles(windows[name].recent if name in windows else ()),
        }
        for name in names
    ]


def _state(chain: Chain) -> str:
    return "paused" if chain.is_paused else chain.state.value


def _chain(chain: Chain) -> dict[str, Any]:
    request = chain.request
    return {
        "number": chain.number,
        "name": safe_text(chain.name),
        "state": _state(chain),
        "reader": chain.reader,
        "url": "" if request is None else safe_url(request.url),
        "steps": chain.steps,
        "retries": chain.retries,
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {**exchange._asdict(), "url": safe_url(exchange.url)}


def _failure(failure: Failure) -> dict[str, Any]:
    url = safe_url(failure.url) if failure.url else ""
    return {**failure._asdict(), "url": url, "words": safe_text(failure.words)}


def _timeline(recorder: Recorder, chain: Chain | None, number: int) -> dict[str, Any]:
    """The recorded timeline of a chain; `chain` None: it has ended."""
    exchanges = [each for each in tuple(recorder.exchanges) if each.number == number]
    failures = [each for each in recorder.failures if each.number == number and each.is_final]
    now: dict[str, Any] = {"number": number, "name": f"chain-{number}", "state": "ended"}
    if chain is not None and not chain.done:
        now = _chain(chain)
        now["under_way"] = recorder.sent.elapsed(chain)
    elif failures:
        now["state"] = "failed"
    return {
        **now,
        "exchanges": [_exchange(each) for each in exchanges[-_TIMELINE:]],
        "failures": [_failure(each) for each in failures],
    }
