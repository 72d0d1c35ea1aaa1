"""The commands `http`, one request with httpie's items, and `shell`, its response in Python."""

from __future__ import annotations

import code
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..engine.lifecycle import run_whole
from ..engine.request import Request
from ..engine.response import Response
from ..engine.secrets import is_secret_name, safe_url
from ..engine.stream import HTTPStream
from .console import Screen, printable, show_logs
from .curl_command import curl_of, from_curl
from .errors import INTERRUPTED
from .http_items import Kind, OneShot, with_items
from .http_options import HTTPOptions, http_options, take_http_options
from .param_types import TEXT
from .pretty import body_text, coloured, lexer_of
from .running import run_coroutine
from .settings import options

__all__ = ["http", "shell"]

#: Printed parts, by option.
_HEAD, _BODY = "head", "body"
#: Methods that are known in any case; others are in capitals, or they would be names of hosts.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
#: Styles of the body.
_PRETTY = ("all", "colors", "format", "none")
#: Protocol names, by `http.client`'s numbers.
_VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


@click.command()
@click.argument("words", type=TEXT, nargs=-1, metavar="[METHOD] URL [ITEM]...")
@http_options()
@click.option("-f", "--form", "is_form", is_flag=True, help="The fields are a form, not JSON.")
@click.option("--multipart", "is_multipart", is_flag=True, help="The form is one in parts.")
@click.option("--raw", type=TEXT, metavar="TEXT", help="The body, as it is.")
@click.option("--headers", "shown", flag_value=_HEAD, help="Print status and headers alone.")
@click.option("-b", "--body", "shown", flag_value=_BODY, help="Print the body alone.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write the body to a file, in one step when it is whole; - is standard output.",
)
@click.option(
    "--pretty",
    type=click.Choice(_PRETTY),
    metavar="HOW",
    help="all, colors, format or none: colours, JSON in lines. On a terminal all, else none.",
)
@click.option("-d", "--details", is_flag=True, help="Print the request, too; secrets as stars.")
@click.option("--as-curl", is_flag=True, help="Send nothing: print the curl command.")
@click.option(
    "--from-curl", type=TEXT, metavar="COMMAND", help="Send what a curl command does; ITEMs add."
)
@options("verbose")
def http(words: tuple[str, ...], **choices: Any) -> None:
    """Send one request, and print the response.

    ITEMs are name==value for the query, Header:value, key=value and key:=JSON for a body, which
    is JSON (or with --form a form), key@FILE for a form with files, or @FILE, which is the body.
    Values come from a file with =@FILE, ==@FILE, :=@FILE and :@FILE; FILE may be - for standard
    input. "Header:" sends no such header, "Header;" an empty one. In JSON, a[b]=1 and a[]=1 are
    values further down. METHOD is GET, or POST with a body. URL may be :PORT/PATH on this machine.
    In a pipe the body alone comes, byte by byte.

    The exit code is 0 for a status below 400, else 1. --as-curl has what the ITEMs say, secrets
    included, and nothing of the options.

    \b
    Examples:
      python -m webqq_tornado http :8200/prices page==2
      python -m webqq_tornado http PUT :8200/files/a.json name=Ann age:=7
      python -m webqq_tornado http POST :8200/jobs X-Trace:1 @job.json --details
      python -m webqq_tornado http :8200/upload title=Cat picture@cat.png
      python -m webqq_tornado http :8200/mail Cookie:session=1 --as-curl
      python -m webqq_tornado http --from-curl "curl http://127.0.0.1:8200/jobs"
    """  # noqa: D301 - click reads the backspace
    given, verbose = take_http_options(choices), choices.pop("verbose")
    show_logs(Screen(is_error=True), verbose)
    command = choices.pop("from_curl")
    shot, items = _began(words) if command is None else (from_curl(command), words)
    shot = _whole(shot, items, choices)
    is_raw = choices["output"] == Path("-")
    choices["output"] = None if is_raw else choices["output"]
    request = _request_of(shot, choices["output"])
    if choices["as_curl"]:
        click.echo(curl_of(shot))
        return
    screen = Screen()
    is_raw = is_raw or (choices["pretty"] in (None, "none") and not screen.is_terminal)
    if is_raw and choices["shown"] != _HEAD and choices["output"] is None and given.cache is None:
        response = run_coroutine(_piped(request, given, screen, choices))
    else:
        response = run_coroutine(_response_to(request, given))
        _show(response, screen, choices, is_raw=is_raw)
    raise SystemExit(0 if response.status < 400 else 1)


def _began(words: Sequence[str]) -> tuple[OneShot, Sequence[str]]:
    has_method = len(words) > 1 and (words[0].isupper() or words[0].upper() in _METHODS)
    has_method = has_method and words[0].isalpha()
    method, rest = (words[0].upper(), words[1:]) if has_method else ("", words)
    if not rest:
        raise click.UsageError("Missing argument 'URL': give one, such as :8200/prices")
    return OneShot(method, _url(rest[0])), rest[1:]


def _url(text: str) -> str:
    if text.startswith(":"):
        return "http://127.0.0.1" + (text if text[1:2].isdigit() else text[1:])
    return text if "://" in text else f"http://{text}"


def _whole(shot: OneShot, items: Sequence[str], choices: dict[str, Any]) -> OneShot:
    kind = Kind(choices["is_form"], choices["is_multipart"])
    raw = choices["raw"]
    shot = with_items(shot, items, kind)
    if raw is None:
        return shot
    if shot.body is not None:
        raise click.UsageError("--raw is the whole body: give it without other fields and files")
    return shot.with_body(raw.encode(), "application/json" if _is_json(raw) else None)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _request_of(shot: OneShot, output: Path | None = None) -> Request:
    try:
        return Request(
            shot.url, shot.verb, list(shot.headers), shot.body, sink=output, **shot.options
        )
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from None


async def _response_to(request: Request, given: HTTPOptions) -> Response:
    async with HTTPStream(**given.stream_arguments([request.url])) as stream:
        return await stream.fetch(request)


async def _piped(
    request: Request, given: HTTPOptions, screen: Screen, choices: dict[str, Any]
) -> Response:
    """Write the body as it comes: it may be larger than memory, or have no end."""
    async with (
        HTTPStream(**given.stream_arguments([request.url])) as stream,
        stream.open(request) as response,
    ):
        _show_heads(response, screen, choices, has_colours=False)
        async for piece in response.stream:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    return response


def _show(response: Response, screen: Screen, choices: dict[str, Any], *, is_raw: bool) -> None:
    shown, how = choices["shown"], choices["pretty"]
    how = how or ("all" if screen.is_terminal else "none")
    has_colours = how in ("all", "colors")
    if has_colours and choices["pretty"]:
        screen = Screen(has_colours=True)
    _show_heads(response, screen, choices, has_colours=has_colours)
    if shown == _HEAD:
        return
    if choices["output"] and response.ok:
        Screen(is_error=True).say(f"the body is in {choices['output']}")
    elif is_raw:
        sys.stdout.buffer.write(response.body)
        sys.stdout.buffer.flush()
    else:
        text = body_text(response, is_formatted=how in ("all", "format"))
        lexer = lexer_of(str(response.headers.get("Content-Type", "")))
        screen.text(coloured(text, lexer if has_colours else "text"))


def _show_heads(
    response: Response, screen: Screen, choices: dict[str, Any], *, has_colours: bool
) -> None:
    """Show what is wanted of the request and of the response's head."""
    shown = choices["shown"]
    if choices["details"]:
        is_known = response.request.method in _METHODS  # to pygments' lexer
        _say(screen, _lines_of(response), has_colours and is_known)
        screen.say("")
    if shown == _HEAD or choices["details"] or (shown is None and screen.is_terminal):
        _say(screen, _head_of(response), has_colours)
        if shown != _HEAD:
            screen.say("")


def _say(screen: Screen, lines: Sequence[str], has_colours: bool) -> None:
    screen.text(coloured("\n".join(lines), "http" if has_colours else "text"))


def _head_of(response: Response) -> list[str]:
    version = _VERSIONS.get(response.version, str(response.version))
    line = f"HTTP/{version} {response.status} {response.reason}".rstrip()
    return [line, *(f"{name}: {value}" for name, value in response.headers.items())]


def _lines_of(response: Response) -> list[str]:
    request = response.request
    version = _VERSIONS.get(response.version, str(response.version))
    pairs = [(n, "***" if is_secret_name(n) else v) for n, v in request.header_pairs]
    return [
        f"{request.method} {printable(safe_url(request.url))} HTTP/{version}",
        *(f"{n}: {printable(v)}" for n, v in pairs),
    ]


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
