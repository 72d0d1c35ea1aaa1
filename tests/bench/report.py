"""From rounds to a table, and to JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .scenarios import Round, Scenario

_HEAD = ("", "requests/s", "from - to", "CPU us", "core", "ours is", "promised", "")
_WIDTHS = (26, 10, 17, 7, 5, 8, 8, 6)


class Row(NamedTuple):
    """A client in a closed loop.

    Args:
        scenario: its name.
        peer: the client.
        rate: requests a second, median of the rounds.
        low: the slowest round.
        high: the fastest.
        cpu_us: microseconds of CPU for a request; 0 if not known.
        core: how much of its core it used, 0 to 1. Far from 1, the client is not what limits:
            the server does, or somebody else had the core.
        ratio: ours by this one's rate: median of the ratios of each round.
        promised: what that ratio should be, if we say something.
    """

    scenario: str
    peer: str
    rate: float
    low: float
    high: float
    cpu_us: float
    core: float
    ratio: float
    promised: float | None

    @property
    def is_kept(self) -> bool:
        """The promise, if there is one."""
        return self.promised is None or self.ratio >= self.promised


class Figure(NamedTuple):
    """A single figure that is not a rate.

    Args:
        scenario: its name.
        what: in words.
        value: in `unit`.
        unit: such as "ms".
        limit: that we promise not to exceed; None for what is shown to compare.
    """

    scenario: str
    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_kept(self) -> bool:
        """The promise, if there is one."""
        return self.limit is None or self.value <= self.limit


@dataclass(slots=True)
class Report:
    """All that came out."""

    versions: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    #: Rounds and figures that do not count, and why. There should be none.
    problems: list[str] = field(default_factory=list)
    rounds: dict[str, list[Round]] = field(default_factory=dict)

    def missed(self) -> list[Row | Figure]:
        """Promises that were not kept."""
        return [line for line in (*self.rows, *self.figures) if not line.is_kept]

    def write(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rounds = {name: [one._asdict() for one in some] for name, some in self.rounds.items()}
        facts = {
            "machine": machine(),
            "versions": self.versions,
            "rows": [row._asdict() for row in self.rows],
            "figures": [figure._asdict() for figure in self.figures],
            "problems": self.problems,
            "rounds": rounds,
        }
        path.write_text(json.dumps(facts, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Where it ran."""
    with open("/proc/cpuinfo") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }


def rows_of(scenario: Scenario, rounds: Sequence[Round]) -> list[Row]:
    """A row for each client, ours first."""
    ours = [one for one in rounds if one.peer == scenario.us]
    theirs = {peer: [one for one in rounds if one.peer == peer] for peer in scenario.peers}
    ran = {scenario.us: ours} | {peer: its for peer, its in theirs.items() if its}
    return [_row(scenario, peer, ours, its) for peer, its in ran.items()]


def _row(scenario: Scenario, peer: str, ours: Sequence[Round], theirs: Sequence[Round]) -> Row:
    rates = [one.rate for one in theirs]
    cpu = statistics.median(one.cpu / max(one.count, 1) for one in theirs)
    pairs = zip(ours, theirs, strict=False)
    return Row(
        scenario=scenario.name,
        peer=peer,
        rate=statistics.median(rates),
        low=min(rates),
        high=max(rates),
        cpu_us=cpu * 1e6,
        core=statistics.median(one.cpu / one.seconds for one in theirs),
        ratio=statistics.median(us.rate / max(them.rate, 0.1) for us, them in pairs),
        promised=scenario.promises.get(peer),
    )


def head() -> str:
    """The table's first line."""
    return _line(_HEAD)


def table(scenario: Scenario, rows: Iterable[Row]) -> Iterator[str]:
    """A scenario's lines in the table."""
    yield ""
    yield scenario.title
    for row in rows:
        is_ours = row.peer == scenario.us
        yield _line(
            (
                f"  {row.peer}",
                f"{row.rate:,.0f}",
                f"{row.low:,.0f} - {row.high:,.0f}",
                f"{row.cpu_us:.1f}" if row.cpu_us else "",
                f"{row.core:.0%}" if row.core else "",
                "" if is_ours else f"{row.ratio:.2f} x",
                "" if row.promised is None else f"{row.promised:.2f} x",
                _verdict(row, row.promised),
            )
        )


def figures_table(title: str, figures: Iterable[Figure]) -> Iterator[str]:
    """Lines for figures that are no rates."""
    yield ""
    yield title
    for figure in figures:
        limit = "" if figure.limit is None else f"<= {figure.limit:g}"
        verdict = _verdict(figure, figure.limit)
        value = f"{figure.value:,.2f} {figure.unit}"
        yield f"  {figure.what:<62}{value:>14}  {limit:>8}  {verdict}".rstrip()


def _verdict(line: Row | Figure, promise: float | None) -> str:
    if promise is None:
        return ""
    return "kept" if line.is_kept else "MISSED"


def _line(cells: Sequence[str]) -> str:
    first, *others = cells
    rest = (f"{cell:>{width}}" for cell, width in zip(others, _WIDTHS[1:], strict=True))
    return f"{first:<{_WIDTHS[0]}}{'  '.join(rest)}".rstrip()
