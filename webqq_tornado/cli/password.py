"""The command `password`: change the password of an account, or sign it out everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from .console import Screen, printable, show_logs
from .first_start import remember_password
from .local_server import server_here
from .page_client import signed_in
from .password_source import read_password
from .running import run_coroutine
from .settings import options
from .targets import AccountTarget, account_target

__all__ = ["password"]


@click.command()
@options("server", "account", "password_file", "state_dir", "verbose")
@click.option(
    "--new-password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Its first line is the new password; without it, you are asked.",
)
@click.option(
    "--sign-out-everywhere",
    is_flag=True,
    help="Keep the password, and end all sessions: browsers, programs and bots.",
)
@click.pass_context
def password(context: click.Context, /, **choices: Any) -> None:
    """Change the password of --account; sessions of the former one are signed out.

    The server is a running one of this package; without --server, the one that runs here. For an
    account of the first start the new password is saved in the state directory, too.

    \b
    Examples:
      python -m webqq_tornado password
      python -m webqq_tornado password --account 10001 --sign-out-everywhere
    """  # noqa: D301 - click reads the backspace
    show_logs(Screen(is_error=True), choices.pop("verbose"))
    state_dir, file = choices["state_dir"], choices.pop("new_password_file")
    ends_all = choices.pop("sign_out_everywhere")
    who = account_target(context, qr=False, open_pictures=False, **choices)
    who.check_server()
    current = read_password(who.account, who.password_file, who.password)
    if ends_all:
        said = run_coroutine(_sign_out(who, current))
    else:
        changed = _new_password(who, file)
        said = run_coroutine(_change(who, current, changed))
        if who.url == server_here(state_dir).url:
            remember_password(state_dir, who.account, changed)
    Screen().say(printable(said))


def _new_password(who: AccountTarget, file: Path | None) -> str:
    if file is not None:
        return read_password(who.account, file, None)
    if not os.isatty(0):
        raise click.ClickException(
            "no new password: give --new-password-file, or start it on a terminal"
        )
    changed: str = click.prompt(
        f"New password of {who.account}", hide_input=True, confirmation_prompt=True, err=True
    )
    return changed


async def _change(who: AccountTarget, current: str, changed: str) -> str:
    async with signed_in(who, current) as page:
        await page.ask("/page/password", {"current": current, "new": changed})
        return f"The password of {page.me['nick']} ({who.account}) is changed."


async def _sign_out(who: AccountTarget, current: str) -> str:
    async with signed_in(who, current) as page:
        await page.ask("/page/signout", {"everywhere": True})
        return f"{page.me['nick']} ({who.account}) is signed out everywhere."
