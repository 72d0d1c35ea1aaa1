"""The commands for everyday flows: monitor, sync, job, mirror."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from ..engine.request import Request
from ..files import read_json
from ..flows.flow import Flow
from ..flows.job import Job
from ..flows.mirror import Mirror
from ..flows.monitor import Monitor
from ..flows.sync import Sync
from .console import Screen, show_logs
from .flow_runner import Outcome, run_flow, say_of_journal
from .http_options import HTTPOptions, http_options, take_http_options
from .journal_options import journal_errors, journal_of, journal_option, opened
from .param_types import SECONDS, TEXT
from .results import Results, output_options
from .running import run_coroutine
from .settings import options
from .textfiles import text_of

__all__ = ["job", "mirror", "monitor", "sync"]

F = TypeVar("F", bound=Callable[..., Any])


def _seconds(name: str, default: float, says: str) -> Callable[[F], F]:
    return click.option(
        name, type=SECONDS, default=default, show_default=True, metavar="SECONDS", help=says
    )


def _key(flag: str, default: str, says: str, name: str | None = None) -> Callable[[F], F]:
    """An option for a key of the server's JSON; `name` is the argument's, if not the flag's."""
    return click.option(
        flag, name or flag.lstrip("-"), type=TEXT, default=default, show_default=True,
        metavar="KEY", help=says,
    )  # fmt: skip


class _URL(click.types.StringParamType):
    """An address of http or https."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        url: str = TEXT.convert(value, param, ctx)
        try:
            if Request(url).is_socket:
                raise ValueError("WebSockets are for flows of your own")
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return url


URL = _URL()


@click.command()
@click.argument("urls", type=URL, nargs=-1, required=True, metavar="URL...")
@_seconds("--interval", 30.0, "Seconds between two checks.")
@click.option(
    "--rounds",
    type=click.IntRange(1),
    metavar="N",
    help="Checks of each URL; by default until Ctrl-C.",
)
@journal_option
@http_options(timeout=10.0)
@output_options
@options("verbose")
def monitor(urls: tuple[str, ...], **choices: Any) -> None:
    """Check URLs over and over; say when and why one goes down or comes back.

    A status below 400 is up. The exit code is 0 if all are up at the end. Keys of a line of
    --json: event (up, down; end for each URL in the end), time (Unix), url, last, cause,
    seconds_before (how long it was the other way); in the end url, is_up, since, checks, failed,
    mean_ms, max_ms, last, cause.

    \b
    Examples:
      python -m webqq_tornado monitor http://127.0.0.1:8100/ --interval 10
      python -m webqq_tornado monitor https://example.org/ --rounds 3 --json
    """  # noqa: D301 - click reads the backspace
    http = take_http_options(choices)
    choices["timeout"] = http.timeout
    _run(Monitor, (urls,), http._replace(timeout=None), urls, choices, has_times=True)


@click.command()
@click.argument("url", type=URL)
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@_key("--items", "items", "Key of a page's list.")
@_key("--next", "next", "Key of the next page's URL.", "following")
@_seconds("--spacing", 0.0, "Seconds between two pages.")
@click.option("--restart", is_flag=True, help="Start over instead of resuming an earlier run.")
@journal_option
@http_options()
@output_options
@options("verbose")
def sync(url: str, path: Path, restart: bool, **choices: Any) -> None:
    """Fetch a list in pages from URL into PATH, as JSON lines.

    An interrupted sync resumes if it is called with the same URL and keys; PATH appears when it
    is complete. Keys of a line of --json: event (resumed, end), pages, items; url, or
    file and is_whole in the end.

    \b
    Examples:
      python -m webqq_tornado sync https://example.org/api/items items.jsonl
      python -m webqq_tornado sync https://a.example/x x.jsonl --bearer-file key
    """  # noqa: D301 - the same
    http = take_http_options(choices)
    choices["resume"] = not restart
    _run(Sync, (url, path), http, [url], choices)


@click.command()
@click.argument("url", type=URL)
@click.option(
    "--data",
    type=TEXT,
    default="{}",
    show_default=True,
    metavar="JSON",
    help="JSON of the job, or @FILE.",
)
@_key("--state", "state", "Key of the state.")
@_seconds("--interval", 2.0, "Seconds between two questions.")
@_seconds("--max-retry-after", 3600.0, "Seconds that the server may ask to wait.")
@journal_option
@http_options()
@output_options
@options("verbose")
def job(url: str, data: str, **choices: Any) -> None:
    """Submit a job to URL, and wait until it is done.

    Keys of a line of --json: event (submitted, state, end), url or state; in the end state,
    questions, result (the server's last response).

    \b
    Examples:
      python -m webqq_tornado job https://example.org/jobs --data '{"input": 3}'
      python -m webqq_tornado job https://example.org/jobs --data @job.json --json
    """  # noqa: D301 - the same
    http = take_http_options(choices)
    _run(Job, (url, _json_of(data)), http, [url], choices)


@click.command()
@click.argument("urls", callback=text_of, metavar="LIST")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--per-host",
    default=4,
    show_default=True,
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Downloads at once from one host.",
)
@journal_option
@http_options()
@output_options
@options("verbose")
def mirror(urls: str, folder: Path, **choices: Any) -> None:
    """Keep copies of the URLs in LIST (one a line, - for standard input) in FOLDER.

    A file that is there is fetched only if it has changed; interrupted downloads resume; --timeout
    is for the next byte. Credentials go to all hosts in LIST. Keys of a line of --json: event
    (fetched, missed, end), url, path, bytes, cause; in the end files, fetched, unchanged, missed,
    bytes.

    \b
    Examples:
      python -m webqq_tornado mirror list-of-urls.txt copies
      echo https://example.org/a.iso | python -m webqq_tornado mirror - copies
    """  # noqa: D301 - the same
    lines = [line.strip() for line in urls.split("\n")]
    wanted = [line for line in lines if line and not line.startswith("#")]
    http = take_http_options(choices)
    choices["timeout"] = http.timeout
    hosts = [url for url in wanted if _is_url(url)]
    _run(Mirror, (wanted, folder), http._replace(timeout=None), hosts, choices)


def _is_url(text: str) -> bool:
    try:
        Request(text)
    except ValueError:
        return False
    return True


def _json_of(text: str) -> Any:
    try:
        return read_json(text[1:]) if text.startswith("@") else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text}: {error}", param_hint="--data") from None


def _run(
    kind: type[Flow],
    arguments: Sequence[Any],
    http: HTTPOptions,
    hosts: Sequence[str],
    choices: dict[str, Any],
    *,
    has_times: bool = False,
) -> NoReturn:
    """Run a flow, show its results, and end the process.

    Args:
        kind: of the flow.
        arguments: of the flow, in order.
        http: options of all requests.
        hosts: URLs of hosts that may get credentials.
        choices: other options: of the output, and named arguments of the flow.
        has_times: whether lines have a time.
    """
    screen = Screen()
    show_logs(screen if screen.is_terminal else Screen(is_error=True), choices.pop("verbose"))
    path, is_json = choices.pop("output"), choices.pop("is_json")
    output = Results(screen, path, is_json=is_json, has_times=has_times)
    choices["journal"] = journal_of(choices.get("journal"))
    with journal_errors(), output as results:

        def begin() -> Flow:
            settings: dict[str, Any] = {"say": results.say, "record": results.record}
            try:
                return kind(*arguments, **settings, **http.stream_arguments(hosts), **choices)
            except ValueError as error:
                raise click.UsageError(str(error)) from None

        async def whole() -> Outcome:
            async with opened(choices.get("journal"), kind):
                return await run_flow(begin, screen, watches_output=path is None)

        outcome = run_coroutine(whole())
        flow = outcome.flow
        assert isinstance(flow, Flow)  # noqa: S101 - for the type checker
        report = flow.report()
        results.report(report)
        say_of_journal(results, outcome)
    raise SystemExit(outcome.exit_code or (0 if report.is_good else 1))
