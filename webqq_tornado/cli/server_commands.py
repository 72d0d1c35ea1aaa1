"""The program without a command, server, bot and prompt in one; and `serve`, the server alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .chat import BotOptions, ServerOptions, chat_elsewhere, chat_here
from .chat import serve as serve_alone
from .console import Screen, show_logs
from .running import run_coroutine
from .serving import SERVE_HELP
from .settings import account_tables, options
from .who import everyone_meant

__all__ = ["serve", "start"]


def start(context: click.Context, **choices: Any) -> None:
    """Start all three here; or a bot for each account on a server elsewhere.

    Args:
        context: of the main command.
        choices: its options.

    Raises:
        click.UsageError: they do not say whom to log in as, or where.
    """
    screen = Screen()
    show_logs(screen, choices.pop("verbose"))
    given = (choices.pop(key) for key in ("plugin", "owner", "reload", "at_most_once"))
    bot = BotOptions(*given)
    port, address = choices.pop("port"), choices.pop("address")
    tables = account_tables(context)
    is_anybody_named = choices["account"] or choices["qr"] or tables
    if choices["server"] is None and not any(table.server for table in tables):
        if is_anybody_named:
            raise click.UsageError("give --server URL too: where to log in")
        here = ServerOptions(port, address, choices["state_dir"])
        run_coroutine(chat_here(here, bot, screen))
        return
    if not is_anybody_named:
        raise click.UsageError("--server needs --account, or --qr: whom to log in as")
    run_coroutine(chat_elsewhere(everyone_meant(context, **choices), bot, screen))


@click.command(help=SERVE_HELP, short_help="Run the server alone.")
@options("state_dir", "port", "address", "tls", "tls_port", "verbose")
def serve(state_dir: Path, port: int | None, address: str, **rest: Any) -> None:  # noqa: D103 - SERVE_HELP
    screen = Screen()
    show_logs(screen, rest["verbose"])
    has_tls = rest["tls"] or rest["tls_port"] is not None
    wanted = ServerOptions(port, address, state_dir, has_tls, rest["tls_port"])
    run_coroutine(serve_alone(wanted, screen))
