"""The command `confirm`: let in the client that shows a QR code, without a camera or a browser."""

from __future__ import annotations

import time
from typing import Any

import click

from ..engine.errors import StreamError
from ..engine.response import Response
from ..engine.stream import HTTPStream
from .console import Screen, printable, show_logs
from .numbers import SECONDS
from .passwords import read_password
from .running import run_coroutine
from .settings import options
from .who import who_is_meant

__all__ = ["confirm"]

#: Seconds between two looks for a code, and for any one answer.
_LOOK_SECONDS, _TIMEOUT = 0.5, 30.0


@click.command()
@options("server", "account", "password_file", "state_dir", "verbose")
@click.option("--refuse", is_flag=True, help="Refuse it instead: it shows a new code.")
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

    The server is a running one of this package; without --server, the one that runs here.

    \b
    Example:
      python -m webqq_tornado confirm --account 10001 --password-file secret --wait 30
    """  # noqa: D301 - click reads the backspace
    screen = Screen()
    show_logs(Screen(is_error=True), choices.pop("verbose"))
    wait, is_refused = choices.pop("wait"), choices.pop("refuse")
    who = who_is_meant(context, qr=False, open_pictures=False, **choices)
    password = read_password(who.account, who.password_file, who.password)
    decided = _decide(who.url, who.account, password, wait, is_let_in=not is_refused)
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
        self._headers: dict[str, str] = {}

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
        headers = self._headers
        request = (
            self._stream.make_get_request(address, headers=headers)
            if body is None
            else self._stream.make_post_request(address, json=body, headers=headers)
        )
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
