"""`python -m tests.bench`: run everything, print the table, write the figures.

Returns 1 if something that was measured is not what it claims to be (an answer that is no 200,
requests that the server has not seen, too many connections). A promise that is not kept is shown
as MISSED and is no failure: somebody else may have used the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from . import nginx, reference, report
from .children import Cores, json_of, output_of, python
from .figures import FIGURES, Waits
from .report import Figure, Report
from .scenarios import SCENARIOS, Loops, Scenario, problems_of

RESULTS = Path(__file__).parent / "results" / "latest.json"
_PACKAGES = (
    *("webqq_tornado", "tornado", "pycurl", "aiohttp", "uvloop", "httpx", "wreq", "pyreqwest"),
    *("pyqwest", "primp", "curl_cffi", "niquests", "aiosonic"),
)
#: Descriptors of a client that are no connections: the interpreter's files, pipes, epolls.
_SPARE_FILES = 200


class Bench(NamedTuple):
    """A run: what there is to run with, and what has come out so far."""

    loops: Loops
    waits: Waits
    report: Report

    def race(self, scenario: Scenario) -> None:
        """A closed loop."""
        rounds = []
        for one in self.loops.run(scenario):
            if isinstance(one, str):
                self.report.problems.append(f"{scenario.name}, {one}")
                continue
            rounds.append(one)
            found = (f"{scenario.name}, {one.peer}: {what}" for what in problems_of(scenario, one))
            self.report.problems.extend(found)
        rows = report.rows_of(scenario, rounds)
        self.report.rounds[scenario.name] = rounds
        self.report.rows.extend(rows)
        _show(report.table(scenario, rows))

    def weigh(self, name: str) -> None:
        """Figures that are no rates."""
        title, measure = FIGURES[name]
        figures = []
        for outcome in measure(self.waits):
            if isinstance(outcome, Figure):
                figures.append(outcome)
            else:
                self.report.problems.append(f"{name}: {outcome}")
        self.report.figures.extend(figures)
        _show(report.figures_table(title, figures))


def main() -> int:
    """Run what the command line asks for."""
    options = _parser().parse_args()
    sockets = _raise_file_limit() - _SPARE_FILES
    with _bench(options, sockets) as bench:
        if options.profile:
            _show([_profile(bench.loops)])
            return 0
        _show([_setting(bench), "", report.head()])
        for scenario in SCENARIOS:
            if not options.only or scenario.name in options.only:
                bench.race(scenario.within(sockets).installed())
        for name in FIGURES:
            if not options.only or name in options.only:
                bench.weigh(name)
    return _conclude(bench.report, options.json)


def _parser() -> argparse.ArgumentParser:
    names = [*(scenario.name for scenario in SCENARIOS), *FIGURES]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each: a look")
    parser.add_argument("--only", choices=names, action="append", help="may be given again")
    parser.add_argument(
        "--seconds",
        type=float,
        help="that count in a round (1.5; quick: 0.5), or of a chat (120; quick: 20)",
    )
    parser.add_argument("--minutes", type=float, help="of the soak (2; quick: 0.5)")
    parser.add_argument("--repeats", type=int, help="rounds of each client (3; quick: 1)")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write the figures")
    parser.add_argument(
        "--profile", action="store_true", help="only show where our time goes, at 64 connections"
    )
    return parser


@contextlib.contextmanager
def _bench(options: argparse.Namespace, sockets: int) -> Iterator[Bench]:
    seconds = options.seconds or (0.5 if options.quick else 1.5)
    repeats = options.repeats or (1 if options.quick else 3)
    cores = Cores.of_this_machine()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        program = reference.built(folder)
        with nginx.running(folder, cores.server, sockets + _SPARE_FILES) as server:
            loops = Loops(server, program, cores, seconds, repeats)
            chatting = options.seconds or (20.0 if options.quick else 120.0)
            minutes = options.minutes or (0.5 if options.quick else 2.0)
            waits = Waits(server.http, cores, sockets, chatting, minutes)
            yield Bench(loops, waits, Report(_versions(loops)))


def _raise_file_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = nginx.CONNECTIONS + 1000 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def _versions(loops: Loops) -> dict[str, str]:
    program = [str(loops.reference), "1", "0", "0", loops.nginx.http]
    h2load = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=True)
    return {
        "python": platform.python_version(),
        "reference": json_of(program, None, 0)["version"],
        "nginx": nginx.version(),
        "h2load": h2load.stdout.strip(),
        **{name: version for name in _PACKAGES if (version := _version_of(name))},
    }


def _version_of(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _setting(bench: Bench) -> str:
    where = report.machine()
    cores = bench.loops.cores
    pinning = f"clients on core {cores.client}, servers on core {cores.server}"
    lines = (
        f"{where['cpu']}, {where['cores']} cores, Linux {where['kernel']}, load {where['load']}",
        pinning if cores.server is not None else "ONE CORE for client and server: says little",
        ", ".join(f"{name} {version}" for name, version in bench.report.versions.items()),
        f"{bench.loops.repeats} rounds of {bench.loops.seconds:g} s; median, slowest - fastest",
    )
    return "\n".join(lines)


def _profile(loops: Loops) -> str:
    command = python("peers", "profiled", 64, 0.3, loops.seconds, loops.nginx.http)
    return output_of(command, loops.cores.client, loops.seconds)


def _conclude(outcome: Report, path: Path) -> int:
    outcome.write(path)
    missed = ", ".join(f"{line.scenario} ({line[1]})" for line in outcome.missed())
    _show(["", f"Missed: {missed or 'nothing'}. Figures in {path}."])
    _show(f"NOT VALID: {problem}" for problem in outcome.problems)
    return 1 if outcome.problems else 0


def _show(lines: Iterator[str] | list[str]) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
