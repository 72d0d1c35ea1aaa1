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
from .settings import account_tables, hand_down, options
from .streams import Command
from .who import everyone_meant

__all__ = ["main"]

EPILOG = """\
Each option is also a variable (WEBQQ_SERVER for --server) and a key (server) of the TOML file
that --config or WEBQQ_CONFIG names; what is nearest to the command wins. The password is a
variable and a key alone. A table [[accounts]] has account, password or password_file or qr, and
may have server and plugin.

\b
Exit codes:
  0    it is done
  1    it did not work; one line on standard error says why
  2    wrong usage; one line says what to give
  130  ended by Ctrl-C"""


@click.group(
    cls=Command,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@options(
    *("server", "account", "password_file", "qr", "open_pictures"),
    *("plugin", "reload", "owner"),
    *("state_dir", "port", "address", "verbose"),
)
@click.version_option(__version__, prog_name="webqq_tornado")
@click.pass_context
def main(context: click.Context, /, **choices: Any) -> None:
    """A local QQ for bot developers: a WebQQ server, a bot on it, and you at the prompt.

    Without a command, all three start here. With --server, only a bot, which logs in there as
    --account; with several (or tables [[accounts]] in the file), a bot for each.

    \b
    Examples:
      python -m webqq_tornado
      python -m webqq_tornado --plugin hello.py --server http://127.0.0.1:8100 --account 10001
      python -m webqq_tornado send Bot "how are you?"
    """  # noqa: D301 - click reads the backspace
    if context.invoked_subcommand is not None:
        hand_down(context)
        return
    screen = Screen()
    show_logs(screen, choices.pop("verbose"))
    bot = BotOptions(choices.pop("plugin"), choices.pop("owner"), choices.pop("reload"))
    port, address = choices.pop("port"), choices.pop("address")
    if choices["server"] is None and not any(table.server for table in account_tables(context)):
        if choices["account"] or choices["qr"] or account_tables(context):
            raise click.UsageError("give --server URL too: where to log in")
        here = ServerOptions(port, address, choices["state_dir"])
        run_coroutine(chat_here(here, bot, screen))
        return
    if not (choices["account"] or choices["qr"] or account_tables(context)):
        raise click.UsageError("--server needs --account, or --qr: whom to log in as")
    run_coroutine(chat_elsewhere(everyone_meant(context, **choices), bot, screen))


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
