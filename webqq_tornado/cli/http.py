"""The commands `http`, one request with httpie's items, and `shell`, its response in Python."""

from __future__ import annotations

import code
import importlib
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..engine.lifecycle import run_whole
from ..engine.request import Request
from ..engine.response import Response
from ..engine.secrets import is_secret_name, safe_url
from ..engine.stream import HTTPStream
from .console import Screen, printable, show_logs
from .errors import INTERRUPTED
from .http_items import OneShot, curl_of, from_curl, with_items
from .http_options import HTTPOptions, http_options, take_http_options
from .param_types import TEXT
from .running import run_coroutine
from .settings import options

__all__ = ["http", "shell"]

#: What is printed, by the switches.
_HEAD, _BODY = "head", "body"
#: As `http.client` counts them.
_VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


@click.command()
@click.argument("words", type=TEXT, nargs=-1, metavar="[METHOD] URL [ITEM]...")
@http_options()
@click.option("-f", "--form", "is_form", is_flag=True, help="The fields are a form, not JSON.")
@click.option("--headers", "shown", flag_value=_HEAD, help="Print status and headers alone.")
@click.option("-b", "--body", "shown", flag_value=_BODY, help="Print the body alone.")
@click.option("-d", "--details", is_flag=True, help="Print the request, too; secrets as stars.")
@click.option("--as-curl", is_flag=True, help="Send nothing: print the curl command.")
@click.option(
    "--from-curl", type=TEXT, metavar="COMMAND", help="Send what a curl command does; ITEMs add."
)
@options("verbose")
def http(words: tuple[str, ...], **choices: Any) -> None:
    """Send one request, and print the response.

    ITEMs are name==value for the query, Header:value, key=value and key:=JSON for a body, which
    is JSON (or with --form a form), or @FILE, which is the body. METHOD is GET, or POST with a
    body. URL may be :PORT/PATH on this machine. In a pipe the body alone comes, byte by byte.

    The exit code is 0 for a status below 400, else 1. --as-curl has what the ITEMs say, secrets
    included, and nothing of the options.

    \b
    Examples:
      python -m webqq_tornado http :8200/prices page==2
      python -m webqq_tornado http PUT http://127.0.0.1:8200/files/a.json name=Ann age:=7
      python -m webqq_tornado http POST :8200/jobs X-Trace:1 @job.json --details
      python -m webqq_tornado http :8200/mail Cookie:session=1 --as-curl
      python -m webqq_tornado http --from-curl "curl -X POST http://127.0.0.1:8200/jobs"
    """  # noqa: D301 - click reads the backspace
    given, verbose = take_http_options(choices), choices.pop("verbose")
    show_logs(Screen(is_error=True), verbose)
    command = choices.pop("from_curl")
    shot, items = _began(words) if command is None else (from_curl(command), words)
    shot = with_items(shot, items, is_form=choices.pop("is_form"))
    request = _request_of(shot)
    if choices["as_curl"]:
        click.echo(curl_of(shot))
        return
    response = run_coroutine(_response_to(request, given))
    _show(response, Screen(), choices["shown"], has_details=choices["details"])
    raise SystemExit(0 if response.status < 400 else 1)


def _began(words: Sequence[str]) -> tuple[OneShot, Sequence[str]]:
    has_method = len(words) > 1 and re.fullmatch("[A-Za-z]+", words[0]) is not None
    method, rest = (words[0].upper(), words[1:]) if has_method else ("", words)
    if not rest:
        raise click.UsageError("Missing argument 'URL': give one, such as :8200/prices")
    return OneShot(method, _url(rest[0])), rest[1:]


def _url(text: str) -> str:
    if text.startswith(":"):
        return "http://127.0.0.1" + (text if text[1:2].isdigit() else text[1:])
    return text if "://" in text else f"http://{text}"


def _request_of(shot: OneShot) -> Request:
    try:
        return Request(shot.url, shot.verb, list(shot.headers), shot.body or b"", **shot.options)
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from None


async def _response_to(request: Request, given: HTTPOptions) -> Response:
    async with HTTPStream(**given.stream_arguments([request.url])) as stream:
        return await stream.fetch(request)


def _show(response: Response, screen: Screen, shown: str | None, *, has_details: bool) -> None:
    if has_details:
        screen.say(*_lines_of(response.request), "")
    has_head = shown == _HEAD or has_details or (shown is None and screen.is_terminal)
    if has_head:
        version = _VERSIONS.get(response.version, str(response.version))
        line = f"HTTP/{version} {response.status} {printable(response.reason)}"
        screen.say(line.rstrip(), style="bold")
        screen.say(*(printable(f"{name}: {value}") for name, value in response.headers.items()))
    if shown == _HEAD:
        return
    if has_head:
        screen.say("")
    if screen.is_terminal:
        screen.say(printable(_pretty(response)))
    else:
        sys.stdout.buffer.write(response.body)
        sys.stdout.buffer.flush()


def _lines_of(request: Request) -> list[str]:
    pairs = [(n, "***" if is_secret_name(n) else v) for n, v in request.header_pairs]
    return [
        f"{request.method} {printable(safe_url(request.url))}",
        *(f"{n}: {printable(v)}" for n, v in pairs),
    ]


def _pretty(response: Response) -> str:
    """The body as text: JSON with a line for each value."""
    if b"\0" in response.body:
        return f"({len(response.body)} bytes that are no text; use a pipe)"
    try:
        return json.dumps(response.json(), indent=2, ensure_ascii=False)
    except ValueError:
        return response.text


@click.command()
@click.argument("words", type=TEXT, nargs=-1, metavar="[METHOD] URL [ITEM]...")
@http_options()
@options("verbose")
def shell(words: tuple[str, ...], **choices: Any) -> None:
    """Send one request, and look at its response in Python.

    `response`, `stream` and `fetch` (a URL, or a Request, to its response) are there. With
    IPython, if it is installed. The arguments are those of `http`.

    \b
    Example:
      python -m webqq_tornado shell http://127.0.0.1:8200/prices
    """  # noqa: D301 - click reads the backspace
    given, verbose = take_http_options(choices), choices.pop("verbose")
    show_logs(Screen(is_error=True), verbose)
    shot, items = _began(words)
    request = _request_of(with_items(shot, items))
    stream = HTTPStream(**given.stream_arguments([request.url]))

    def fetch(request: str | Request) -> Response:
        """Send a request, and return the response."""
        return run_whole(stream.ioloop, lambda: stream.fetch(request), stream.close)

    try:
        response = fetch(request)
        names = {"response": response, "stream": stream, "fetch": fetch}
        _interact(names, f"{response!r}\nresponse, stream, fetch(URL)")
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    finally:
        stream.close()


def _interact(names: dict[str, Any], banner: str) -> None:
    try:
        ipython = importlib.import_module("IPython")
    except ImportError:
        code.interact(banner, local=names, exitmsg="")
        return
    click.echo(banner)
    ipython.start_ipython(argv=["--no-banner"], user_ns=names)
