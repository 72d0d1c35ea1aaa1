"""The command `run`: a flow of the user's own, from a file or a module."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from ..engine.stats import Stats
from ..engine.stream import HTTPStream
from ..flows.flow import Flow
from .console import Screen, show_logs
from .flow_loader import find_flow, given_arguments, make_flow
from .flow_runner import Outcome, dashboard_of, run_flow, say_of_journal
from .http_options import http_options, take_http_options
from .journal_options import (
    journal_errors,
    journal_of,
    journal_option,
    opened,
    said_of,
)
from .param_types import TEXT
from .results import Results, output_options
from .run_items import RunItems, takes_items
from .running import run_coroutine
from .settings import options

__all__ = ["run"]


@click.command()
@click.argument("flow", type=TEXT, metavar="FLOW")
@click.argument("words", type=TEXT, nargs=-1, metavar="[ARGUMENT]...")
@click.option(
    "-a",
    "--argument",
    "named",
    type=TEXT,
    multiple=True,
    metavar="NAME=VALUE",
    help="Named argument of the flow; may be given more than once.",
)
@click.option(
    "--fields",
    type=TEXT,
    default="",
    metavar="NAME,...",
    help="Columns of the items' file, in order; by default those of the first item.",
)
@click.option(
    "--dashboard", is_flag=True, help="Show what the flow does on a page, at the address printed."
)
@click.option(
    "--dashboard-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port of that page, on this machine alone; by default a free one.",
)
@journal_option
@click.option(
    "--dask",
    type=TEXT,
    metavar="ADDRESS",
    help="Run it in shards on a Dask cluster (tcp://host:8786), or on local:N processes.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 10_000),
    default=64,
    metavar="N",
    help="Shards of a new journal with --dask; by default 64.",
)
@http_options()
@output_options
@options("verbose")
def run(
    flow: str, words: tuple[str, ...], named: tuple[str, ...], fields: str, **choices: Any
) -> None:
    """Run a flow of your own: a subclass of HTTPStream.

    FLOW is FILE.py:CLASS or PACKAGE.MODULE:CLASS. ARGUMENTs go to its constructor in order, or by
    name as NAME=VALUE, and become numbers, paths and so on by its annotations and defaults. What
    the options below say counts more than what the flow says itself.

    What the flow emits goes to --output, if that ends with .csv, .jsonl, .parquet or .sqlite; the
    file has .part behind its name until the flow has ended well. Without it each item is a line of
    JSON on standard output.

    With --journal the flow may be killed at any moment, and the same command goes on: what it emits
    is in the journal, or once in the file of --output (.parquet is a folder then). See the command
    journal.

    With --dask the journal's shards run on the workers of a Dask cluster, which have to be able to
    import the flow. The journal is in a database then, or with local:N also in a file.

    The exit code is 1 if a chain has failed, and 3 if the journal cannot be written. Keys of
    --json: event ("end"), flow, done, failed, cancelled (chains), requests, responses, retries,
    received (bytes), seconds, error (the first one, or null), signal (0 if none); with a journal
    results, ready, delayed.

    \b
    Examples:
      python -m webqq_tornado run poll.py:Poll
      python -m webqq_tornado run crawl.py:Crawl --journal crawl.db -o items.jsonl
      python -m webqq_tornado run crawl.py:Crawl --journal crawl.db --dask local:4
      python -m webqq_tornado run poll.py:Poll http://127.0.0.1:8100/ interval=0.5
      python -m webqq_tornado run shop.flows:Prices -a day=5 --bearer-file token
      python -m webqq_tornado run shop.flows:Prices -o all.csv --fields name,price
      python -m webqq_tornado run shop.flows:Prices --cache shop.cache
    """  # noqa: D301 - click reads the backspace
    http, verbose = take_http_options(choices), choices.pop("verbose")
    page = _port_of_page(choices.pop("dashboard"), choices.pop("dashboard_port"))
    screen = Screen()
    show_logs(screen if screen.is_terminal else Screen(is_error=True), verbose)
    kind = find_flow(flow)
    positional, by_name = given_arguments(kind, words, named)
    path, journal = choices.pop("output"), choices.pop("journal")
    dask, shards = choices.pop("dask"), choices.pop("shards")
    if dask is not None and journal is None:
        raise click.UsageError("--dask goes with --journal, in which its shards are")
    has_items = takes_items(path, fields, is_json=choices["is_json"])
    with journal_errors(), Results(screen, None if has_items else path, **choices) as results:
        settings = http.stream_arguments()
        items = RunItems(path if has_items else None, fields, results)
        if dask is not None:
            from .run_shards import made_in_worker  # noqa: PLC0415 - few runs need it

            make = functools.partial(made_in_worker, positional, by_name, settings)
            raise SystemExit(
                run_coroutine(
                    _run_shards(
                        kind,
                        make,
                        journal=journal,
                        dask=dask,
                        shards=shards,
                        screen=screen,
                        items=items,
                        page=page,
                        results=results,
                    )
                )
            )
        if journal is not None:
            settings["journal"] = journal = journal_of(journal)
        begin = items.taking(make_flow(kind, positional, by_name, settings))

        async def whole() -> Outcome:
            async with opened(journal, kind):
                await items.open(journal)
                return await run_flow(
                    begin, screen, watches_output=path is None, page=page, drain=items.drain
                )

        outcome = run_coroutine(whole())
        items.close(is_whole=outcome.exit_code == 0)
        _sum_up(results, kind.__name__, outcome)
        if http.cache is not None:
            results.say(f"cache: {http.cache.summary()}")
        say_of_journal(results, outcome, is_exported=items.is_export)
    raise SystemExit(outcome.exit_code)


async def _run_shards(
    kind: type[HTTPStream],
    make: Any,
    *,
    journal: str | Path,
    dask: str,
    shards: int,
    screen: Screen,
    items: RunItems,
    page: int | None,
    results: Results,
) -> int:
    """Run a flow in shards, say what has come of it, and return the exit code."""
    from .run_shards import run_in_shards  # noqa: PLC0415 - few runs need it

    try:
        ran, found, number = await run_in_shards(
            kind,
            make,
            journal,
            dask,
            shards=shards,
            screen=screen,
            on_open=items.open,
            drain=items.drain,
            page=page,
            serve_page=dashboard_of,
        )
    finally:
        items.close(is_whole=True)
    seen = ran.progress
    results.say(
        f"{kind.__name__}: {found.done} chains done, {found.failed} failed, {found.cancelled} "
        f"cancelled; {seen.responses} responses, {seen.received} bytes"
    )
    results.record(
        {
            "event": "end",
            "flow": kind.__name__,
            **{key: getattr(found, key) for key in ("done", "failed", "cancelled")},
            **{key: getattr(seen, key) for key in _COUNTS[3:]},
            "signal": number,
            **{name: getattr(found, name) for name in _KEPT},
        }
    )
    was_complete = not seen.requests and found.finished is not None
    lines = said_of(ran.journal.path, found, was_complete=was_complete, is_exported=items.is_export)
    for line in lines:
        results.say(line)
    return 128 + number if number else int(bool(found.failed))


def _sum_up(results: Results, name: str, outcome: Outcome) -> None:
    flow, stats, error = outcome.flow, outcome.stats, outcome.flow.first_error
    text = flow.summary() if isinstance(flow, Flow) else ""
    if text:
        results.say(text)
    results.say(summary(name, stats))
    results.record(
        {
            "event": "end",
            "flow": name,
            **{key: getattr(stats, key) for key in _COUNTS},
            "seconds": round(stats.elapsed, 3),
            "error": None if error is None else f"{type(error).__name__}: {error}",
            "signal": outcome.number,
            **_kept_counts(outcome),
            **(flow.figures() if isinstance(flow, Flow) else {}),
        }
    )


def _kept_counts(outcome: Outcome) -> dict[str, object]:
    kept = outcome.kept
    return {} if kept is None else {name: getattr(kept, name) for name in _KEPT}


_KEPT = ("results", "ready", "delayed")
_COUNTS = ("done", "failed", "cancelled", "requests", "responses", "retries", "received")


def _port_of_page(is_asked: bool, port: int | None) -> int | None:
    return 0 if is_asked and port is None else port


def summary(name: str, stats: Stats) -> str:
    """One line at the end."""
    rate = stats.responses / stats.elapsed if stats.elapsed else 0.0
    return (
        f"{name}: {stats.done} chains done, {stats.failed} failed, {stats.cancelled} cancelled; "
        f"{stats.responses} responses, {stats.received} bytes in {stats.elapsed:.2f} s "
        f"({rate:.0f}/s)"
    )
