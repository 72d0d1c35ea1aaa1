"""The commands, and how their errors are told: one line, and an exit code that is not 0."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..engine.errors import StreamError
from ..flows.bot import PluginError
from ..flows.client import LoginError
from ..protocol.errors import ProtocolError
from ..server.app import PortTaken
from ..server.storage import StorageError
from .chat import (
    INTERRUPTED,
    ServerOptions,
    chat_elsewhere,
    chat_here,
    read_password,
)
from .chat import serve as serve_alone
from .console import Screen, show_logs
from .flow import find_flow, run_flow, summary
from .settings import SETTINGS, options

__all__ = ["main"]

#: What can go wrong without anybody's program being wrong.
_EXPECTED = (LoginError, PluginError, PortTaken, StorageError, StreamError)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@options("server", "account", "password_file", "plugin", "state_dir", "port", "address", "verbose")
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
    plugins = list(rest["plugin"])
    if server is None:
        here = ServerOptions(rest["port"], rest["address"], rest["state_dir"])
        _run(chat_here(here, plugins, screen))
        return
    if account is None:
        raise click.UsageError("--server needs --account: whom to log in as")
    password = read_password(account, password_file, _password(context))
    _run(chat_elsewhere(_checked_url(server), account, password, plugins, screen))


@main.command()
@options("state_dir", "port", "address", "verbose")
def serve(state_dir: Path, port: int | None, address: str, verbose: bool) -> None:
    """Run the server alone. Accounts are made on its page."""
    screen = Screen()
    show_logs(screen, verbose)
    _run(serve_alone(ServerOptions(port, address, state_dir), screen))


@main.command()
@click.argument("flow", metavar="PACKAGE.MODULE:FLOW")
@options("verbose")
def run(flow: str, verbose: bool) -> None:
    """Run a flow of your own: a subclass of HTTPStream."""
    screen = Screen()
    show_logs(screen, verbose)
    kind = find_flow(flow)
    stats = _run(run_flow(kind, screen))
    screen.say(summary(kind.__name__, stats))
    sys.exit(1 if stats.failed or stats.cancelled else 0)


def _password(context: click.Context) -> str | None:
    setting = SETTINGS["password"]
    given: str | None = (context.default_map or {}).get(setting.key)
    return os.environ.get(setting.variable) or given


def _checked_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--server {url}: give a URL such as http://127.0.0.1:8100")
    return url


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(coroutine)
    except ProtocolError as error:
        raise click.ClickException(f"that is no WebQQ server: {error}") from None
    except _EXPECTED as error:
        text = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
        raise click.ClickException(text) from None
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
