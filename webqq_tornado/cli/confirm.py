"""The command `confirm`: let in the client that shows a QR code, without a camera or a browser."""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

import click

from ..engine.errors import StreamError
from ..engine.response import Response
from ..engine.stream import HTTPStream
from .asking import ask
from .console import Screen, printable, show_logs
from .exits import unreachable
from .numbers import SECONDS
from .passwords import read_password
from .running import run_coroutine
from .settings import options
from .who import Who, who_is_meant

__all__ = ["confirm"]

#: Seconds between two looks for a code, and for any one answer.
_LOOK_SECONDS, _TIMEOUT = 0.5, 30.0


@click.command()
@options("server", "account", "password_file", "state_dir", "verbose")
@click.option("--refuse", is_flag=True, help="Refuse it instead: it shows a new code.")
@click.option(
    "--number",
    type=click.IntRange(10, 99),
    metavar="NN",
    help="The number below the client's code; without it, the newest code, and you are asked.",
)
@click.option(
    "--wait",
    type=SECONDS,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a code that is not there yet.",
)
@click.pass_context
def confirm(context: click.Context, /, **choices: Any) -> None:
    """Let in the client that shows the newest QR code, as --account.

    Clients at this machine's own address are meant. In a pipe nobody is asked: give --number where
    others use the machine as well. The server is a running one of this package; without --server,
    the one that runs here.

    \b
    Example:
      python -m webqq_tornado confirm --account 10001 --password-file secret --wait 30
    """  # noqa: D301 - click reads the backspace
    screen = Screen()
    show_logs(Screen(is_error=True), choices.pop("verbose"))
    wait, is_refused = choices.pop("wait"), choices.pop("refuse")
    number = choices.pop("number")
    who = who_is_meant(context, qr=False, open_pictures=False, **choices)
    password = read_password(who.account, who.password_file, who.password)
    meant = _Meant(wait, str(number or ""), is_let_in=not is_refused)
    screen.say(run_coroutine(_decide(who, password, meant)))


class _Meant(NamedTuple):
    """What is to be decided.

    Args:
        wait: seconds for a code that is not there yet.
        number: of the code; empty for the newest one.
        is_let_in: or refused.
    """

    wait: float
    number: str
    is_let_in: bool


async def _decide(who: Who, password: str, meant: _Meant) -> str:
    """What was done, in a sentence."""
    stream = HTTPStream()
    page = _Page(stream, who.url, who.place)
    try:
        me = await page.sign_in(who.account, password)
        try:
            client = await page.client_meant(meant)
            await _agree(client, meant)
            await page.ask("/page/qr", {"id": client["id"], "confirm": meant.is_let_in})
        finally:
            await page.ask("/page/signout", {})
    finally:
        stream.close()
    verb = f"is signed in as {me['nick']} ({me['account']})" if meant.is_let_in else "was refused"
    return printable(f"{_name(client)} {verb}.")


def _name(client: dict[str, Any]) -> str:
    program = f" ({client['program']})" if client.get("program") else ""
    return f"The client at {client['address']}{program}"


async def _agree(client: dict[str, Any], meant: _Meant) -> None:
    """Let the person at the terminal compare the numbers.

    Raises:
        click.ClickException: they are not the same.
    """
    shown = printable(f"{_name(client)} shows the number {client.get('number', '?')}.")
    if meant.number or not (os.isatty(0) and os.isatty(2)):
        Screen(is_error=True).say(shown)
        return
    verb = "Let it in" if meant.is_let_in else "Refuse it"
    answer = await ask(f"{shown} {verb}? [y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise click.ClickException("nothing was decided; --number NN names another code")


class _Page:
    """The part of the page's API that a decision takes.

    Args:
        stream: asks.
        url: of the server.
        place: that the URL is from.
    """

    def __init__(self, stream: HTTPStream, url: str, place: str) -> None:
        self._stream = stream
        self._url = url
        self._headers: dict[str, str] = {}
        self._place = place

    async def sign_in(self, account: int, password: str) -> dict[str, Any]:
        """Who one is.

        Raises:
            click.ClickException: there is no such server, or it refuses the password.
        """
        answer = await self.ask("/page/signin", {"account": account, "password": password})
        if not isinstance(answer.get("self"), dict):
            raise _no_server(self._url)
        self._headers["Authorization"] = f"Bearer {answer.get('token', '')}"
        return dict(answer["self"])

    async def client_meant(self, meant: _Meant) -> dict[str, Any]:
        """The client that showed its QR code last, or shows the number that was given.

        Raises:
            click.ClickException: none does.
        """
        until, delay = time.monotonic() + meant.wait, 0.0
        while True:
            waiting = (await self.ask("/page/qr", delay=delay)).get("waiting") or []
            for client in waiting:
                if meant.number in ("", client.get("number")):
                    return dict(client)
            if time.monotonic() >= until:
                which = f" with the number {meant.number}" if meant.number else ""
                raise click.ClickException(
                    f"no QR code{which} waits at {self._url}: let the client show one first, or "
                    "wait for it with --wait SECONDS (a code is good for two and a half minutes)"
                )
            delay = _LOOK_SECONDS

    async def ask(self, path: str, body: object = None, delay: float = 0.0) -> dict[str, Any]:
        """One request; its answer, an empty one where there is none.

        Raises:
            click.ClickException: there is no such server, or it refuses.
        """
        address = self._url + path
        headers = self._headers
        request = (
            self._stream.make_get_request(address, headers=headers)
            if body is None
            else self._stream.make_post_request(address, json=body, headers=headers)
        )
        try:
            response = await self._stream.fetch(request, delay=delay, timeout=_TIMEOUT + delay)
        except StreamError as error:
            raise click.ClickException(unreachable(self._url, self._place, error)) from None
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
