"""The command `confirm`: let in the client that shows a QR code, without a camera or a browser."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from ..engine.errors import StreamError
from ..engine.response import Response
from ..engine.stream import HTTPStream
from .console import Screen, printable, show_logs
from .passwords import read_password
from .running import run_coroutine
from .settings import SETTINGS, options

__all__ = ["confirm"]

#: Where `serve` listens unless told otherwise.
_DEFAULT_SERVER = "http://127.0.0.1:8100"
#: Seconds between two looks for a code, and for any one answer.
_LOOK_SECONDS, _TIMEOUT = 0.5, 30.0


@click.command()
@options("server", "account", "password_file", "verbose")
@click.option("--refuse", is_flag=True, help="Refuse it instead: it shows a new code.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a code that is not there yet.",
)
@click.pass_context
def confirm(
    context: click.Context,
    /,
    server: str | None,
    account: int | None,
    password_file: Path | None,
    **choices: Any,
) -> None:
    """Let in the client that shows the newest QR code, as --account.

    The server is a running one of this package; without --server, the one that `serve` starts.
    """
    if account is None:
        raise click.UsageError("confirm needs --account: as whom the client is to be signed in")
    screen = Screen()
    show_logs(screen, choices["verbose"])
    url = _checked(server or _DEFAULT_SERVER)
    password = read_password(account, password_file, _given_password(context))
    decided = _decide(url, account, password, choices["wait"], is_let_in=not choices["refuse"])
    screen.say(run_coroutine(decided))


async def _decide(url: str, account: int, password: str, wait: float, *, is_let_in: bool) -> str:
    """What was done, in a sentence."""
    stream = HTTPStream()
    page = _Page(stream, url)
    try:
        me = await page.sign_in(account, password)
        try:
            client = await page.newest_client(wait)
            await page.ask("/page/qr", {"id": client["id"], "confirm": is_let_in})
        finally:
            await page.ask("/page/signout", {})
    finally:
        stream.close()
    program = f" ({client['program']})" if client.get("program") else ""
    verb = f"is signed in as {me['nick']} ({me['account']})" if is_let_in else "was refused"
    return printable(f"The client at {client['address']}{program} {verb}.")


class _Page:
    """The part of the page's API that a decision takes.

    Args:
        stream: asks.
        url: of the server.
    """

    def __init__(self, stream: HTTPStream, url: str) -> None:
        self._stream = stream
        self._url = url

    async def sign_in(self, account: int, password: str) -> dict[str, Any]:
        """Who one is.

        Raises:
            click.ClickException: there is no such server, or it refuses the password.
        """
        answer = await self.ask("/page/signin", {"account": account, "password": password})
        if not isinstance(answer.get("self"), dict):
            raise _no_server(self._url)
        return dict(answer["self"])

    async def newest_client(self, wait: float) -> dict[str, Any]:
        """The client that showed its QR code last.

        Raises:
            click.ClickException: none shows one.
        """
        until, delay = time.monotonic() + wait, 0.0
        while True:
            waiting = (await self.ask("/page/qr", delay=delay)).get("waiting")
            if waiting:
                return dict(waiting[0])
            if time.monotonic() >= until:
                raise click.ClickException(
                    f"no QR code waits at {self._url}: let the client show one first, or wait for "
                    "it with --wait SECONDS (a code is good for two and a half minutes)"
                )
            delay = _LOOK_SECONDS

    async def ask(self, path: str, body: object = None, delay: float = 0.0) -> dict[str, Any]:
        """One request; its answer, an empty one where there is none.

        Raises:
            click.ClickException: there is no such server, or it refuses.
        """
        address = self._url + path
        request = address if body is None else self._stream.make_post_request(address, json=body)
        try:
            response = await self._stream.fetch(request, delay=delay, timeout=_TIMEOUT + delay)
        except StreamError as error:
            raise click.ClickException(
                f"{error.message}; start a server with `python -m webqq_tornado serve`, or name "
                "one with --server URL"
            ) from None
        return _read(response, self._url)


def _read(response: Response, url: str) -> dict[str, Any]:
    if response.status == 204:
        return {}
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        raise _no_server(url) from None
    if response.status != 200:
        why = answer.get("error") if isinstance(answer, dict) else None
        raise click.ClickException(f"{url} says: {printable(str(why or response.status))}")
    return answer if isinstance(answer, dict) else {}


def _no_server(url: str) -> click.ClickException:
    return click.ClickException(f"{url} is no server of webqq_tornado: give --server its address")


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.UsageError(f"--server {url}: give a URL such as {_DEFAULT_SERVER}")
    return url.rstrip("/")


def _given_password(context: click.Context) -> str | None:
    setting = SETTINGS["password"]
    given: str | None = (context.default_map or {}).get(setting.key)
    return os.environ.get(setting.variable) or given
