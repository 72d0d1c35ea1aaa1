"""The command `journal`: how far a flow is, what is next, what has failed, and its results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from ..engine.secrets import safe_text, safe_url
from ..flows.export import Export
from ..flows.itemfile import checked_suffix
from ..journal.postgres import PostgresJournal
from ..journal.records import ListedChain, Summary
from ..journal.sqlite import Journal
from .console import Screen
from .journal_options import Blocking, failed_chains, journal_errors, journal_of
from .param_types import JOURNAL, TEXT
from .stdio import is_unicode_output
from .tables import show_table
from .targets import as_json

__all__ = ["journal"]

#: Chains that are shown of those that are next, and of each kind of failure.
_SHOWN = 5
_JSON = click.option("--json", "is_json", is_flag=True, help="Print JSON lines, for programs.")
_NAMES = click.argument("names", type=TEXT, nargs=-1, metavar="[NAME]...")


class _Journal(click.Group):
    """A group whose commands come behind the file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take options behind the file, and before a command, for those of the group."""
        if len(args) > 1 and args[1].startswith("-"):
            args = [*args[1:], args[0]]
        return super().parse_args(ctx, args)


@click.group(cls=_Journal, invoke_without_command=True)
@click.argument("file", type=JOURNAL)
@_JSON
@click.pass_context
def journal(context: click.Context, file: Path | str, is_json: bool) -> None:
    """Show how far the flow of the journal FILE is, what is next, and what has failed and why.

    FILE may be the URL of a database: postgresql://host/name.

    It may be running: only retry, drop and export want the journal for themselves. Keys of --json:
    flow, created, finished (Unix time or null), ready, delayed, next_due, done, failed, cancelled
    (chains), steps (links), results, waiting (of these, in the journal), is_begun_all, pid (0 if it
    does not run).

    \b
    Examples:
      python -m webqq_tornado journal crawl.db
      python -m webqq_tornado journal crawl.db list --failed
      python -m webqq_tornado journal crawl.db retry
      python -m webqq_tornado journal crawl.db export items.jsonl
    """  # noqa: D301 - click reads the backspace
    given = journal_of(file)
    context.obj = Blocking(given) if isinstance(given, PostgresJournal) else Journal(file)
    if context.invoked_subcommand is not None:
        return
    with journal_errors(), context.obj as opened:
        found = opened.summary()
        if is_json:
            _print_json(found.as_dict())
        else:
            _show_summary(Screen(), opened, found)


@journal.command("list")
@click.option("--failed", is_flag=True, help="Those that have failed, and why.")
@click.option("--trace", is_flag=True, help="With tracebacks.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="So many at most.")
@_JSON
@click.pass_obj
def list_chains(
    opened: Journal | Blocking, failed: bool, trace: bool, limit: int | None, is_json: bool
) -> None:
    """List the chains that are alive, or those that have failed.

    Keys of --json: id, name, step, url, reader, due (Unix time or null), error, trace, failed.
    """
    with journal_errors(), opened:
        chains = opened.chains(failed=failed or trace, limit=limit)
        if is_json:
            for chain in chains:
                _print_json(_shown(chain))
        else:
            _show_chains(Screen(), list(chains), has_traces=trace)


@journal.command()
@_NAMES
@click.pass_obj
def retry(opened: Journal | Blocking, names: tuple[str, ...]) -> None:
    """Make chains that have failed ready again: those of these NAMEs, or all."""
    with journal_errors(), opened:
        opened.own()
        count = opened.retry(opened.ids_of(names))
    click.echo(f"{count} chains are ready again: the flow's own command continues with them")


@journal.command()
@_NAMES
@click.option("--failed", is_flag=True, help="Chains that have failed; without NAMEs all of them.")
@click.option("--reader", type=TEXT, metavar="NAME", help="Chains that wait for this reader.")
@click.pass_obj
def drop(
    opened: Journal | Blocking, names: tuple[str, ...], failed: bool, reader: str | None
) -> None:
    """Forget chains, alive or failed: they count as cancelled."""
    if not names and not failed and reader is None:
        raise click.UsageError("name the chains to drop, or give --failed or --reader NAME")
    with journal_errors(), opened:
        opened.own()
        if reader is not None:
            wanted = [
                chain.id
                for is_failed in (False, True)
                for chain in opened.chains(failed=is_failed)
                if chain.reader in (reader, reader.rpartition(".")[2])
            ]
        else:
            wanted = opened.ids_of(names, failed=True if failed else None)
        count = opened.drop(wanted)
    click.echo(f"{count} chains dropped")


@journal.command()
@click.argument("output", type=click.Path(path_type=Path), metavar="OUTPUT")
@click.option(
    "--fields",
    type=TEXT,
    default="",
    metavar="NAME,...",
    help="Columns of the file, in order; by default those of the first result.",
)
@click.pass_obj
def export(opened: Journal | Blocking, output: Path, fields: str) -> None:
    """Move the results to OUTPUT, each once: .jsonl, .csv, .sqlite, or .parquet (a folder).

    Called again, it appends what has come since.
    """
    names = [name.strip() for name in fields.split(",") if name.strip()]
    try:
        checked_suffix(output)
        with journal_errors(), opened:
            opened.own()
            with _export(opened, output, names) as file:
                count = file.drain() if isinstance(opened, Journal) else opened.wait(file.drained())
                total = file.count
    except (ImportError, TypeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{count} results exported, {total} are in {output}")


def _export(opened: Journal | Blocking, output: Path, names: list[str]) -> Export:
    if isinstance(opened, Journal):
        return Export(opened, output, names)
    return opened.wait(Export.opened(opened.journal, output, names))


def _show_summary(screen: Screen, opened: Journal | Blocking, found: Summary) -> None:
    screen.say(f"{opened.path}: {found.flow}, {_state(found)}")
    began = "all links of begin" if found.is_begun_all else "links of begin, and more to come"
    screen.say(
        f"  chains   {found.ready} ready, {found.delayed} delayed, {found.done} done, "
        f"{found.failed} failed, {found.cancelled} cancelled; {began}"
    )
    screen.say(f"  results  {found.results}, {found.waiting} of them not exported")
    coming = list(opened.coming(_SHOWN))
    if coming:
        screen.say("")
        _show_chains(screen, coming, has_traces=False)
    if found.failed:
        screen.say("")
        _show_failures(screen, opened.chains(failed=True))
        screen.say(f"to try again: {failed_chains(opened.path)}")


def _state(found: Summary) -> str:
    if found.pid:
        return f"run by process {found.pid}"
    if found.finished is not None:
        return f"complete since {_time(found.finished)}"
    return f"begun {_time(found.created)}, stopped: its own command goes on"


def _show_chains(screen: Screen, chains: list[ListedChain], *, has_traces: bool) -> None:
    is_failed = any(chain.error is not None for chain in chains)
    rows = [
        (
            chain.name,
            str(chain.step),
            safe_url(chain.url),
            chain.reader or "-",
            safe_text(chain.error).partition("\n")[0] if chain.error is not None else _due(chain),
        )
        for chain in chains
    ]
    if rows and not has_traces:
        titles = ("chain", "step", "URL", "reader", "error" if is_failed else "due")
        show_table(screen, titles, rows)
    for row, chain in zip(rows, chains, strict=True) if has_traces else ():
        screen.say("  ".join(row))
        screen.say(safe_text(chain.trace or "").rstrip())


def _show_failures(screen: Screen, chains: Iterable[ListedChain]) -> None:
    """Failures by error and host, the most frequent first, each with an example."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], ListedChain] = {}
    for chain in chains:
        kind = (str(chain.error).partition(":")[0], urlsplit(chain.url).netloc.rpartition("@")[2])
        counts[kind] += 1
        examples.setdefault(kind, chain)
    rows = [
        (str(count), kind, host, safe_text(str(examples[kind, host].error)).partition("\n")[0])
        for (kind, host), count in counts.most_common(_SHOWN * 2)
    ]
    show_table(screen, ("failed", "error", "host", "such as"), rows)


def _due(chain: ListedChain) -> str:
    if chain.due is None:
        return "ready"
    return f"in {max(0, round(chain.due - time.time()))} s"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _shown(chain: ListedChain) -> dict[str, Any]:
    """A chain as values, without the secrets of its URL."""
    shown = {**chain._asdict(), "url": safe_url(chain.url)}
    for name in ("error", "trace"):
        shown[name] = None if shown[name] is None else safe_text(shown[name])
    return shown


def _print_json(values: dict[str, Any]) -> None:
    click.echo(as_json(values, is_ascii=not is_unicode_output()))
