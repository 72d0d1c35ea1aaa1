"""The main job: a bot on the embedded server, or on one elsewhere, until a signal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..bot.account import Account
from ..bot.bot import Bot
from ..client.client import Client
from ..client.onebot.account import OneBotAccount
from ..client.state import State
from ..client.store import Store
from ..engine.stream import HTTPStream
from ..protocol.dialect import WEBQQ3
from ..protocol.endpoints import Endpoints
from ..server.app import WebQQServer
from ..server.onebot.settings import OneBotSettings
from ..server.storage import Storage
from .accounts_online import DRAIN_SECONDS, all_online, presence_of
from .chat_prompt import HELP, Prompt
from .console import Screen, printable
from .first_start import FirstStartAccounts, Login, first_start_accounts, remember_password
from .local_server import locked_state_dir, remove_address, write_address
from .login_prompt import LoginPrompt
from .old_clients import allow_many_connections, serve_tls, show_tls
from .onebot_accounts import OneBotTarget, onebots_online, until_rejected
from .onebot_served import configure
from .presence import BOT, YOU, Name, Presence
from .running import catch_signals, until_stopped
from .targets import AccountTarget, session_file

__all__ = [
    "BotOptions",
    "ServerOptions",
    "chat_elsewhere",
    "chat_here",
    "serve",
]

logger = logging.getLogger("webqq_tornado.cli")

#: Folder in the state directory for the clients of its server.
_HERE = Path("clients", "here")
#: Preferred port of the embedded server.
FIRST_PORT = 8100


class ServerOptions(NamedTuple):
    """Options of a server.

    Args:
        port: None takes 8100 or the next free one.
        address: that it listens on.
        state_dir: its folder.
        has_tls: serve https, too.
        tls_port: None takes 8443 or the next free one.
        served: accounts that programs drive by OneBot, with their settings.
    """

    port: int | None
    address: str
    state_dir: Path
    has_tls: bool = False
    tls_port: int | None = None
    served: Mapping[int, OneBotSettings] = {}


class BotOptions(NamedTuple):
    """Options of the bot.

    Args:
        plugins: files, packages or modules.
        owners: QQ numbers.
        reloads: whether changed plugins are reloaded.
        at_most_once: see `Bot`.
    """

    plugins: Sequence[Path] = ()
    owners: Sequence[int] = ()
    reloads: bool = False
    at_most_once: bool = False

    def of(self, owner: int) -> BotOptions:
        """The same options, with an owner if none was named."""
        return self if self.owners else self._replace(owners=(owner,))


async def chat_here(options: ServerOptions, wanted: BotOptions, screen: Screen) -> None:
    """Start a server, a bot on it, and a prompt for the user."""
    async with running(options) as server:
        home = first_start_accounts(server.storage, options.state_dir)
        for line in configure(server, options.served):
            screen.say(line)
        stream, store = HTTPStream(), Store(options.state_dir / _HERE / "client.db")
        # The prompt shows the user's own messages itself.
        client = _client_of(home.bot, server, stream, store, name="bot", log_level=logging.INFO)
        user = _client_of(home.user, server, stream, store, log_level=logging.DEBUG)
        bot = _bot(client, home.bot.nick, wanted.of(home.user.account))
        named = [(user, YOU), (client, BOT)] if screen.is_attended else [(client, BOT)]
        presences = [_presence(one, name, screen, options.state_dir) for one, name in named]
        try:
            for presence in reversed(presences):
                await presence.sign_in()
            stopped = catch_signals()
            _introduce(server, home, screen, is_bot_online=client.state is State.ONLINE)
            prompt = None
            if screen.is_attended:
                prompt = Prompt(user, screen, home.bot.account, presences)
            await until_stopped(stopped, prompt.run() if prompt is not None else None)
        finally:
            for presence in presences:
                presence.close()
            bot.close()
            await asyncio.gather(*(one.logout() for one, _ in named))
            await stream.drain(DRAIN_SECONDS)
            stream.close()
            store.close()


def _client_of(
    login: Login, server: WebQQServer, stream: HTTPStream, store: Store, **rest: Any
) -> Client:
    return Client(
        stream,
        login.account,
        login.password,
        Endpoints.at(server.url),
        store=store,
        session_file=session_file(store.path.parent, login.account, WEBQQ3),
        **rest,
    )


def _presence(client: Client, name: Name, screen: Screen, state_dir: Path) -> Presence:
    """One that asks for the password only if it is not the one that we know any more."""

    async def password(_is_wrong: bool) -> str:
        return await LoginPrompt(state_dir / _HERE, client.account).password()

    def say(line: str) -> None:
        screen.say(line, style="yellow")

    def remember(password: str) -> None:
        try:
            remember_password(state_dir, client.account, password)
        except click.ClickException as error:
            say(error.message)

    is_attended = screen.is_attended
    return Presence(
        client, name, say, is_attended=is_attended, password=password, remember=remember
    )


async def chat_elsewhere(
    everyone: Sequence[AccountTarget],
    wanted: BotOptions,
    screen: Screen,
    onebots: Sequence[OneBotTarget] = (),
) -> None:
    """A bot for each account, on servers elsewhere; a prompt if it is one account of WebQQ.

    Args:
        everyone: the accounts of WebQQ.
        wanted: of every bot; plugins of one account alone come with it.
        screen: of the person who runs them.
        onebots: the accounts that implementations of OneBot hold.
    """
    bots: list[Bot] = []

    def prepare(who: AccountTarget | OneBotTarget, account: Account) -> None:
        own = wanted._replace(plugins=[*wanted.plugins, *who.plugins])
        bots.append(_bot(account, "", own))

    async with AsyncExitStack() as opened:
        # Accounts of one kind go on where nobody answers those of the other kind.
        connecting = onebots_online(onebots, prepare, is_alone=not everyone)
        others = await opened.enter_async_context(connecting)
        is_alone = not any(one.is_online for one in others)
        listening = all_online(
            everyone, listens=True, log_level=logging.INFO, prepare=prepare, is_alone=is_alone
        )
        found = await opened.enter_async_context(listening) if everyone else []
        opened.push_async_callback(close_all, bots)
        stopped = catch_signals()
        for who, client in (one for one in found if one[1].is_online):
            screen.say(printable(f"{_called(client)} is online at {who.url}."), style="bold")
        for account in (one for one in others if one.account):
            way = account.transports[0].name
            held = f"{account.implementation or 'an implementation of OneBot'} at {way}"
            screen.say(printable(f"{_called(account)} is {account.state.value}, by {held}."),
                       style="bold")  # fmt: skip
        await _serve(found, others, screen, stopped)


async def _serve(
    found: Sequence[tuple[AccountTarget, Client]],
    others: Sequence[OneBotAccount],
    screen: Screen,
    stopped: asyncio.Event,
) -> None:
    """Run until a signal, the end of the prompt, or until no account can come back."""
    has_prompt = screen.is_attended and len(found) == 1 and not others
    # Without a prompt nobody presses Enter, so accounts come back by themselves.
    shown = screen if has_prompt else Screen(is_error=True)
    presences = [presence_of(who, one, Name(_called(one)), shown) for who, one in found]
    running: Coroutine[Any, Any, object] | None = None
    if has_prompt:
        screen.say(*HELP, "", style="dim")
        running = Prompt(found[0][1], screen, presences=presences).run()
    elif others and not found:
        running = until_rejected(others)
    try:
        await until_stopped(stopped, running)
    finally:
        for presence in presences:
            presence.close()


async def close_all(bots: Sequence[Bot]) -> None:
    """Close all bots."""
    for bot in bots:
        bot.close()


def _called(client: Account) -> str:
    return f"{client.account} ({client.nick})" if client.nick else str(client.account)


@asynccontextmanager
async def running(options: ServerOptions) -> AsyncIterator[WebQQServer]:
    """Run a server for the block; other commands find it by the state directory.

    Raises:
        StorageError: its folder cannot be used.
        PortTaken: the port, or each one tried, is taken.
    """
    lock = locked_state_dir(options.state_dir)
    try:
        server = start_server(options)
        lock.say(server.url)
        try:
            write_address(options.state_dir, server.url)
            yield server
        finally:
            remove_address(options.state_dir)
            await server.close()
    finally:
        lock.release()


async def serve(options: ServerOptions, screen: Screen) -> None:
    """Run the server alone."""
    async with running(options) as server:
        home = first_start_accounts(server.storage, options.state_dir)
        stopped = catch_signals()
        _show_passwords(home, screen)
        for line in configure(server, options.served):
            screen.say(line)
        if options.has_tls:
            place = (options.state_dir, options.address, options.tls_port)
            show_tls(serve_tls(server, *place), server, screen)
        screen.say(
            f"Serving WebQQ on {server.url}",
            f"Open {server.signin_url(home.user.account)} to be signed in as {home.user.nick},",
            f"or {server.url} to sign in or register.",
            "From another terminal:",
            "  python -m webqq_tornado chat",
            f"  python -m webqq_tornado --server {server.url} --account {home.bot.account}",
        )
        await until_stopped(stopped, None)


def start_server(options: ServerOptions) -> WebQQServer:
    """A server that listens.

    Raises:
        StorageError: its folder cannot be used.
        PortTaken: the port, or all that were tried, are taken.
    """
    allow_many_connections()
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


def _bot(client: Account, name: str, wanted: BotOptions) -> Bot:
    bot = Bot(client, name, owners=wanted.owners, at_most_once=wanted.at_most_once)
    for path in wanted.plugins:
        bot.load_plugin(path)
    if wanted.reloads:
        bot.watch_plugins()
    return bot


def _introduce(
    server: WebQQServer, home: FirstStartAccounts, screen: Screen, *, is_bot_online: bool
) -> None:
    _show_passwords(home, screen)
    screen.say("")
    there = "The bot is online. " if is_bot_online else ""
    screen.say(f"{there}Talk to it in the browser (this link works once):", style="bold")
    screen.say(f"  {server.signin_url(home.user.account)}", style="underline")
    if screen.is_attended:
        screen.say("or right here.", style="bold")
        screen.say(*HELP, "", style="dim")


def _show_passwords(home: FirstStartAccounts, screen: Screen) -> None:
    if home.is_new:
        why = "First start: these accounts were made."
    elif home.renewal:
        why = f"{home.renewal}: these accounts have new passwords, and all else that they had."
    else:
        return
    screen.say("", f"{why} Their passwords are shown only now.")
    for login in (home.user, home.bot):
        screen.say(f"  {login.nick:<4} account {login.account}  password {login.password}")
