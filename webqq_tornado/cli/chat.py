"""The main job: a bot online on an embedded server, or on one elsewhere, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from ..engine.stream import HTTPStream
from ..flows.bot import Bot
from ..flows.client import Client
from ..protocol.endpoints import Endpoints
from ..server.app import WebQQServer
from ..server.storage import Storage
from .accounts import Household, household
from .console import Screen
from .prompt import HELP, Prompt
from .serving import serve_tls, show_tls

__all__ = ["ServerOptions", "chat_elsewhere", "chat_here", "serve"]

logger = logging.getLogger("webqq_tornado.cli")

#: The port that the embedded server likes best.
FIRST_PORT = 8100
#: Seconds for chains under way when leaving.
DRAIN_SECONDS = 3.0
#: What a shell says of a process that Ctrl-C has ended.
INTERRUPTED = 130


class ServerOptions(NamedTuple):
    """How to start a server.

    Args:
        port: None takes 8100 or the next free one.
        address: that it listens on.
        state_dir: its folder.
        has_tls: https as well.
        tls_port: None takes 8443 or the next free one.
    """

    port: int | None
    address: str
    state_dir: Path
    has_tls: bool = False
    tls_port: int | None = None


async def chat_here(options: ServerOptions, plugins: Sequence[Path], screen: Screen) -> None:
    """Start a server, a bot on it, and a prompt for the user."""
    server = start_server(options)
    try:
        home = household(server.storage, options.state_dir)
        stream = HTTPStream()
        endpoints = Endpoints.at(server.url)
        client = Client(stream, home.bot.account, home.bot.password, endpoints, name="bot")
        bot = _bot(client, home.bot.nick, plugins)
        # What the user says and hears stands at the prompt already.
        user = Client(
            stream,
            home.user.account,
            home.user.password,
            endpoints,
            name="you",
            log_level=logging.DEBUG,
        )
        clients = [client, user] if screen.is_terminal else [client]
        try:
            for one in clients:
                await one.login()
            stopped = _catch_signals()
            _introduce(server, home, screen)
            prompt = Prompt(user, screen, bot.name) if screen.is_terminal else None
            await _until(stopped, prompt)
        finally:
            await _leave(stream, clients)
    finally:
        await server.close()


async def chat_elsewhere(
    url: str, account: int, password: str, plugins: Sequence[Path], screen: Screen
) -> None:
    """A bot on a server elsewhere, and a prompt in the name of its account."""
    stream = HTTPStream()
    client = Client(stream, account, password, Endpoints.at(url), name=str(account))
    _bot(client, str(account), plugins)
    try:
        await client.login()
        stopped = _catch_signals()
        screen.say(f"{account} is online at {url}.", style="bold")
        if screen.is_terminal:
            screen.say(*HELP, "", style="dim")
        await _until(stopped, Prompt(client, screen) if screen.is_terminal else None)
    finally:
        await _leave(stream, [client])


async def serve(options: ServerOptions, screen: Screen) -> None:
    """Run the server alone."""
    server = start_server(options)
    try:
        home = household(server.storage, options.state_dir)
        stopped = _catch_signals()
        _show_passwords(home, screen)
        if options.has_tls:
            place = (options.state_dir, options.address, options.tls_port)
            show_tls(serve_tls(server, *place), server, screen)
        screen.say(
            f"Serving WebQQ on {server.url}",
            f"Open {server.signin_url(home.user.account)} to be signed in as {home.user.nick},",
            f"or {server.url} to sign in or register.",
            "From another terminal:",
            f"  python -m webqq_tornado --server {server.url} --account {home.bot.account}",
        )
        await _until(stopped, None)
    finally:
        await server.close()


def start_server(options: ServerOptions) -> WebQQServer:
    """A server that listens.

    Raises:
        StorageError: its folder can not be used.
        PortTaken: the port, or all that were tried, are taken.
    """
    server = WebQQServer(Storage(options.state_dir / "server.db"))
    try:
        if options.port is None:
            server.listen_on_free_port(FIRST_PORT, address=options.address)
        else:
            server.listen(options.port, options.address)
    except OSError:
        server.storage.close()
        raise
    return server


def _bot(client: Client, name: str, plugins: Sequence[Path]) -> Bot:
    bot = Bot(client, name)
    for path in plugins:
        bot.load_plugin(path)
    return bot


def _introduce(server: WebQQServer, home: Household, screen: Screen) -> None:
    _show_passwords(home, screen)
    screen.say("")
    screen.say("The bot is online. Talk to it in the browser (this link works once):", style="bold")
    screen.say(f"  {server.signin_url(home.user.account)}", style="underline")
    if screen.is_terminal:
        screen.say("or right here.", style="bold")
        screen.say(*HELP, "", style="dim")


def _show_passwords(home: Household, screen: Screen) -> None:
    if not home.is_new:
        return
    screen.say("", "First start: these accounts were made. Their passwords are shown only now.")
    for login in (home.user, home.bot):
        screen.say(f"  {login.nick:<4} account {login.account}  password {login.password}")


def _catch_signals() -> asyncio.Event:
    """Ctrl-C and SIGTERM set the event. The second one ends the process at once."""
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(INTERRUPTED)
        logger.info("leaving")
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


async def _until(stopped: asyncio.Event, prompt: Prompt | None) -> None:
    """Until somebody stops us, or the prompt ends."""
    waiting = [asyncio.ensure_future(stopped.wait())]
    if prompt is not None:
        waiting.append(asyncio.ensure_future(prompt.run()))  # type: ignore[arg-type]
    _, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    stopped.set()


async def _leave(stream: HTTPStream, clients: Sequence[Client]) -> None:
    await asyncio.gather(*(client.logout() for client in clients))
    await stream.drain(DRAIN_SECONDS)
    stream.close()


def read_password(account: int, path: Path | None, given: str | None) -> str:
    """The password from where it was given, else asked for.

    Raises:
        click.ClickException: the file can not be read, or there is nobody to ask.
    """
    if given:
        return given
    if path is not None:
        try:
            return path.read_text(encoding="utf-8").split("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise click.ClickException(f"password file {path}: {error}") from None
    if not os.isatty(0):
        raise click.ClickException(
            "no password: set WEBQQ_PASSWORD, give --password-file, or start it on a terminal"
        )
    password: str = click.prompt(f"Password of {account}", hide_input=True)
    return password
