"""The commands for everyday flows: monitor, sync, job, mirror."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich import box
from rich.table import Table

from ..files import read_json
from ..flows.job import Job
from ..flows.mirror import Mirror
from ..flows.monitor import Monitor
from ..flows.ready import ReadyFlow
from ..flows.sync import Sync
from .console import Screen, printable, show_logs
from .flow import run_flow
from .numbers import SECONDS, SOME_SECONDS
from .running import run_coroutine
from .settings import options
from .textfiles import text_of

__all__ = ["job", "mirror", "monitor", "sync"]

F = TypeVar("F", bound=Callable[..., Any])


def _seconds(name: str, kind: click.FloatRange, default: float, says: str) -> Callable[[F], F]:
    return click.option(
        name, type=kind, default=default, show_default=True, metavar="SECONDS", help=says
    )


@click.command()
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@_seconds("--interval", SECONDS, 30.0, "Seconds between two checks.")
@click.option("--rounds", type=click.IntRange(1), help="Checks of each; else until Ctrl-C.")
@_seconds("--timeout", SOME_SECONDS, 10.0, "Seconds that a check may take.")
@options("verbose")
def monitor(urls: tuple[str, ...], verbose: bool, **choices: Any) -> None:
    """Check URLs over and over; say when one goes down or comes back."""
    _run(lambda say: Monitor(urls, say=say, **choices), verbose)


@click.command()
@click.argument("url")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--items", default="items", show_default=True, help="Key of a page's list.")
@click.option("--next", "following", default="next", show_default=True, help="Key of its next URL.")
@_seconds("--spacing", SECONDS, 0.0, "Seconds between two pages.")
@options("verbose")
def sync(url: str, path: Path, verbose: bool, **choices: Any) -> None:
    """Fetch a list in pages from URL into PATH, as JSON lines."""
    _run(lambda say: Sync(url, path, say=say, **choices), verbose)


@click.command()
@click.argument("url")
@click.option("--data", default="{}", show_default=True, help="JSON of the job, or @FILE.")
@click.option("--state", default="state", show_default=True, help="Key of the state.")
@_seconds("--interval", SECONDS, 2.0, "Seconds between two questions.")
@_seconds("--max-retry-after", SECONDS, 3600.0, "Seconds that the server may ask to wait.")
@options("verbose")
def job(url: str, data: str, verbose: bool, **choices: Any) -> None:
    """Submit a job to URL, and wait until it is done."""
    value = _json_of(data)
    _run(lambda say: Job(url, value, say=say, **choices), verbose)


@click.command()
@click.argument("urls", callback=text_of, metavar="LIST")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--per-host", default=4, show_default=True, type=click.IntRange(1))
@options("verbose")
def mirror(urls: str, folder: Path, per_host: int, verbose: bool) -> None:
    """Keep copies of the URLs in LIST (one a line, - for standard input) in FOLDER."""
    lines = [line.strip() for line in urls.split("\n")]
    wanted = [line for line in lines if line and not line.startswith("#")]
    _run(lambda say: Mirror(wanted, folder, per_host=per_host, say=say), verbose)


def _json_of(text: str) -> Any:
    try:
        return read_json(text[1:]) if text.startswith("@") else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text}: {error}", param_hint="--data") from None


def _run(make: Callable[[Callable[[str], None]], ReadyFlow], verbose: bool) -> NoReturn:
    screen = Screen()
    show_logs(screen, verbose)
    made: list[ReadyFlow] = []

    def begin() -> ReadyFlow:
        try:
            made.append(make(lambda line: screen.say(printable(line))))
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        return made[0]

    run_coroutine(run_flow(begin, screen))
    report = made[0].report()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for number, title in enumerate(report.columns):
        table.add_column(title, overflow="fold", no_wrap=number > 0 and len(report.columns) > 3)
    for row in report.rows:
        table.add_row(*map(printable, row))
    screen.console.print(table)
    raise SystemExit(0 if report.is_good else 1)
