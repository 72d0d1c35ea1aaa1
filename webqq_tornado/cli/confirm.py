"""The command `confirm`: confirm a client's QR code without a camera or browser."""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

import click

from .console import Screen, printable, show_logs
from .login_prompt import ask
from .page_client import PageClient, signed_in
from .param_types import SECONDS
from .password_source import read_password
from .running import run_coroutine
from .settings import options
from .targets import AccountTarget, account_target

__all__ = ["confirm"]

#: Seconds between two requests for a code.
_POLL_SECONDS = 0.5


@click.command()
@options("server", "account", "password_file", "state_dir", "verbose")
@click.option("--refuse", is_flag=True, help="Refuse the client instead: it shows a new code.")
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
    help="Seconds to wait for a code, if there is none yet.",
)
@click.pass_context
def confirm(context: click.Context, /, **choices: Any) -> None:
    """Sign in the client that shows the newest QR code, as --account.

    The client is at this machine's own address. A pipe is not asked: give --number where others
    use the machine too. The server is a running one of this package; without --server, the one
    that runs on this machine.

    \b
    Example:
      python -m webqq_tornado confirm --account 10001 --wait 30
    """  # noqa: D301 - click reads the backspace
    screen = Screen()
    show_logs(Screen(is_error=True), choices.pop("verbose"))
    wait, is_refused = choices.pop("wait"), choices.pop("refuse")
    number = choices.pop("number")
    who = account_target(context, qr=False, open_pictures=False, **choices)
    who.check_server()
    password = read_password(who.account, who.password_file, who.password)
    decision = _Decision(wait, str(number or ""), is_confirmed=not is_refused)
    screen.say(run_coroutine(_decide(who, password, decision)))


class _Decision(NamedTuple):
    """The decision of the user.

    Args:
        wait: seconds to wait for a code.
        number: of the code; empty for the newest one.
        is_confirmed: False to refuse the client.
    """

    wait: float
    number: str
    is_confirmed: bool


async def _decide(who: AccountTarget, password: str, decision: _Decision) -> str:
    """Confirm or refuse the login; return a sentence for the user."""
    async with signed_in(who, password) as page:
        me = page.me
        client = await _client_of(page, decision)
        await _compare_numbers(client, decision)
        await page.ask("/page/qr", {"id": client["id"], "confirm": decision.is_confirmed})
    verb = (
        f"is signed in as {me['nick']} ({me['account']})"
        if decision.is_confirmed
        else "was refused"
    )
    return printable(f"{_name(client)} {verb}.")


def _name(client: dict[str, Any]) -> str:
    program = f" ({client['program']})" if client.get("program") else ""
    return f"The client at {client['address']}{program}"


async def _compare_numbers(client: dict[str, Any], decision: _Decision) -> None:
    """Let the person at the terminal compare the numbers.

    Raises:
        click.ClickException: the numbers differ.
    """
    shown = printable(f"{_name(client)} shows the number {client.get('number', '?')}.")
    if decision.number or not (os.isatty(0) and os.isatty(2)):
        Screen(is_error=True).say(shown)
        return
    verb = "Sign it in" if decision.is_confirmed else "Refuse it"
    answer = await ask(f"{shown} {verb}? [y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise click.ClickException("nothing was decided; --number NN names another code")


async def _client_of(page: PageClient, decision: _Decision) -> dict[str, Any]:
    """The client that showed its QR code last, or shows the given number.

    Raises:
        click.ClickException: there is no such client.
    """
    until, delay = time.monotonic() + decision.wait, 0.0
    while True:
        waiting = (await page.ask("/page/qr", delay=delay)).get("waiting") or []
        for client in waiting:
            if decision.number in ("", client.get("number")):
                return dict(client)
        if time.monotonic() >= until:
            which = f" with the number {decision.number}" if decision.number else ""
            raise click.ClickException(
                f"no QR code{which} waits at {page.url}: let the client show one first, or wait "
                "for it with --wait SECONDS (a code is good for two and a half minutes)"
            )
        delay = _POLL_SECONDS
