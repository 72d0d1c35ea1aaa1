"""The commands, and how their errors are told: one line, and an exit code that is not 0."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .. import __version__
from .account import COMMANDS
from .chat import BotOptions, ServerOptions, chat_elsewhere, chat_here
from .chat import serve as serve_alone
from .confirm import confirm
from .console import Screen, show_logs
from .flow import find_flow, run_flow, summary
from .ready import job, mirror, monitor, sync
from .running import run_coroutine
from .serving import SERVE_HELP
from .settings import options
from .who import who_is_meant

__all__ = ["main"]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@options(
    *("server", "account", "password_file", "qr", "plugin", "reload", "owner"),
    *("state_dir", "port", "address", "verbose"),
)
@click.version_option(__version__, prog_name="webqq_tornado")
@click.pass_context
def main(
    context: click.Context,
    /,
    server: str | None,
    account: int | None,
    password_file: Path | None,
    **rest: Any,
) -> None:
    """A local QQ for bot developers: a WebQQ server, a bot on it, and you at the prompt.

    Without a command, all three start here; with --server and --account, the bot logs in there.

    Each option is also a variable (WEBQQ_...) and a key of the TOML file given with --config:
    the option's name with _ for -. The password is a key and a variable (WEBQQ_PASSWORD), not
    an option.
    """
    if context.invoked_subcommand is not None:
        return
    screen = Screen()
    show_logs(screen, rest["verbose"])
    bot = BotOptions(rest["plugin"], rest["owner"], rest["reload"])
    if server is None:
        here = ServerOptions(rest["port"], rest["address"], rest["state_dir"])
        run_coroutine(chat_here(here, bot, screen))
        return
    if account is None and not rest["qr"]:
        raise click.UsageError("--server needs --account, or --qr: whom to log in as")
    who = who_is_meant(
        context,
        server=server,
        account=account,
        password_file=password_file,
        qr=rest["qr"],
        state_dir=rest["state_dir"],
    )
    run_coroutine(chat_elsewhere(who, bot, screen))


@main.command(help=SERVE_HELP)
@options("state_dir", "port", "address", "tls", "tls_port", "verbose")
def serve(state_dir: Path, port: int | None, address: str, **rest: Any) -> None:
    screen = Screen()
    show_logs(screen, rest["verbose"])
    has_tls = rest["tls"] or rest["tls_port"] is not None
    wanted = ServerOptions(port, address, state_dir, has_tls, rest["tls_port"])
    run_coroutine(serve_alone(wanted, screen))


@main.command()
@click.argument("flow", metavar="PACKAGE.MODULE:FLOW")
@options("verbose")
def run(flow: str, verbose: bool) -> None:
    """Run a flow of your own: a subclass of HTTPStream."""
    screen = Screen()
    show_logs(screen, verbose)
    kind = find_flow(flow)
    stats = run_coroutine(run_flow(kind, screen))
    screen.say(summary(kind.__name__, stats))
    sys.exit(1 if stats.failed or stats.cancelled else 0)


for command in (*COMMANDS, confirm, monitor, sync, job, mirror):
    main.add_command(command)
