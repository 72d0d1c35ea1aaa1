"""The command `chat`: the prompt on an account that is online here or elsewhere."""

from __future__ import annotations

from typing import Any

import click

from .accounts_online import contact_meant, online
from .chat_prompt import HELP, Prompt
from .param_types import TEXT
from .running import catch_signals, run_coroutine, until_stopped
from .targets import account_and_screen, account_options, complete_names

__all__ = ["chat"]


@click.command()
@click.argument("target", type=TEXT, required=False, default="", shell_complete=complete_names)
@account_options
@click.option("--bell", is_flag=True, help="Ring the terminal's bell for each message.")
@click.pass_context
def chat(context: click.Context, /, target: str, bell: bool, **choices: Any) -> None:
    """Chat at the prompt, with TARGET to begin with.

    Names and faces complete with Tab; Alt+Enter begins a new line; /help says the rest.

    \b
    Examples:
      python -m webqq_tornado chat
      python -m webqq_tornado chat Playground --bell
    """  # noqa: D301 - click reads the backspace
    who, screen = account_and_screen(context, choices)
    if not screen.is_attended:
        raise click.ClickException("chat needs a terminal; in a pipe use send and history")

    async def run() -> None:
        async with online(who, listens=True) as client:
            to = await contact_meant(client, target) if target else ""
            stopped = catch_signals()
            screen.say(*HELP, "", style="dim")
            await until_stopped(stopped, Prompt(client, screen, to, has_bell=bell).run())

    run_coroutine(run())
