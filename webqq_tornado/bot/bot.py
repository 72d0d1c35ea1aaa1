"""`Bot`: handlers, commands, schedules and plugins for the messages of one client or several.

Example of a plugin, a Python file that a bot loads; `bot` is defined without the import, too::

    from webqq_tornado.bot import bot


    @bot.command("weather", help="weather CITY", rate="5/min")
    async def weather(message):
        city = message.rest or (await message.ask("Which city?")).text
        response = await bot.stream.fetch(f"https://example.org/weather?q={city}")
        message.reply(response.text)

Order of calls:

- The messages of one conversation are handled one after the other, in the order of arrival;
  several conversations are handled concurrently. Of one message, first its command is called,
  then the handlers, in the order of registration. The next message does not wait for a handler
  that waits in `ask`, or for one with `concurrent=True`.
- An answer that `ask` waits for goes only there: neither middlewares nor handlers get it.
- Middlewares get a message before all handlers, in the order of registration.
- A message is handled when all its handlers have ended, also those with `concurrent=True` and
  those that wait in `ask`. If the client has a `store`, a message that is not handled when the
  process ends, even by kill -9, is delivered again by the next one (at least once), with
  `Message.again` set; with `at_most_once=True`, only if its handlers were not called yet. After
  three tries, each of which ended the process, the message is dropped and logged.
- An exception of a handler is logged, and does not affect others. An exception of a middleware
  is logged, and stops the message: the middleware may have been about to refuse it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, overload

from ..client.address import Kind
from ..client.contacts import Contact, name_of
from ..client.listeners import check_callable
from ..client.lookup import ContactError, found_by_one
from ..engine.eventloop import current_ioloop, refuse_running_loop
from ..engine.lifecycle import GRACE, checked_grace, run_whole, show_logs
from ..engine.stream import HTTPStream
from ..protocol.models import Content
from .account import Account
from .builtin_commands import builtin_rules
from .dispatch import Dispatch
from .event_types import check_event
from .events import Listener
from .invocation import HandlerInvoker, logger, release_turn
from .keyvalue import KeyValueStore, LateValues, MemoryValues, Values
from .lifecycle import SERVER, NewClient, NewOneBotAccount, serve_clients
from .mentions import said_to
from .message import Message, Person, with_quote
from .permissions import GROUP_ADMIN, GROUP_OWNER, OWNER, Permission, owners_of
from .plugins import Plugin, PluginError, Plugins
from .questions import NoAnswerError
from .ratelimit import Rate
from .registry import Middleware, Registry
from .rules import ContactSpec, Handler, rule_of
from .schedule import Cron, Every, Schedule, Scheduler
from .watchdog import place_of

__all__ = [
    "GROUP_ADMIN",
    "GROUP_OWNER",
    "OWNER",
    "Bot",
    "ContactError",
    "Handler",
    "Message",
    "NoAnswerError",
    "Permission",
    "Person",
    "PluginError",
    "Rate",
]

#: Seconds between two checks of the plugins' files.
LOOK_SECONDS = 1.0
#: Default notice for users over a handler's rate.
NOTICE = "You are sending commands too fast; try again in {wait} s, please."
#: Characters of a question in an error.
SHOWN = 60

F = TypeVar("F", bound=Callable[..., object])
#: Recipients of a question: the sender of a message, a person, a contact, a name or QQ number.
Whom: TypeAlias = "Message | Person | Contact | str | int"


class Bot:
    """Handlers, commands, schedules and plugins for the messages of one or several clients.

    Args:
        client: its account; the bot never answers that account's own messages. By default `run`
            creates it.
        name: by which users address it in groups, as in "@name ping"; "!ping" always works. By
            default the account's nick.
        owners: QQ numbers with the permission `OWNER`.
        store: keeps the values of `store`: a `webqq_tornado.client.store.Store`; by default the
            client's, else memory.
        refusal: reply to users who lack a permission; empty for none.
        at_most_once: acknowledge a message before its handlers are called, not after them; see
            above. Plugins may set the attribute.

    Raises:
        TypeError: an owner is not a number, or the store's methods are `async def`.

    Example:
        >>> bot = Bot(client, name="Robot", owners=[10001])
        >>> @bot.on_message(text="^hi")
        ... def greet(message):
        ...     message.reply(f"hello {message.sender}")
    """

    def __init__(
        self,
        client: Account | None = None,
        name: str = "",
        *,
        owners: int | Iterable[int] = (),
        store: Values | None = None,
        refusal: str = "",
        at_most_once: bool = False,
    ) -> None:
        self.at_most_once = at_most_once
        self.clients: list[Account] = []
        self.owners = owners_of(owners)
        self._name, self._refusal = name, refusal
        self._values = LateValues()
        if store is not None:
            self._values.use(store)
        self._scopes = Registry("commands", "", owner=self, is_open=False)
        self._calls = HandlerInvoker(self._scopes)
        self._dispatch = Dispatch(self, self._scopes, self._calls, self.owners)
        self._plugins = Plugins(self, self._scopes)
        self._looking: Scheduler | None = None
        commands, _ = self._scopes
        commands.rules += builtin_rules(
            lambda message: self.name_for(message.client), self._dispatch.commands
        )
        if client is not None:
            self.add(client)

    def __repr__(self) -> str:
        accounts = ", ".join(str(client.account) for client in self.clients)
        plugins = ", ".join(self._plugins.names) or "none"
        name = self.name if self.clients else self._name
        return f"<Bot {name!r} of {accounts or 'no account yet'}; plugins: {plugins}>"

    @property
    def client(self) -> Account:
        """The first client.

        Raises:
            RuntimeError: the bot has no client yet.
        """
        if not self.clients:
            raise RuntimeError("the bot has no client yet: call bot.run(), or use Bot(client)")
        return self.clients[0]

    def add(self, client: Account) -> None:
        """Add another client; `Message.client` and `Message.account` tell which one received.

        Args:
            client: of another account.
        """
        if client not in self.clients:
            self.clients.append(client)
            client.on_event(functools.partial(self._dispatch.take, client))
            client.on_incoming(functools.partial(self._dispatch.deliver, client))
            if not self._values.is_known:
                self._values.use(client.store or MemoryValues())
            self._scopes.open()
            if self._looking is not None:
                self._looking.start()

    def run(
        self,
        account: int = 0,
        password: str = "",
        *,
        server: str = SERVER,
        store: str | os.PathLike[str] | None = None,
        session_file: str | os.PathLike[str] | None = None,
        onebot: str | Iterable[str] = (),
        token: str = "",
        grace: float = GRACE,
        **options: Any,
    ) -> None:
        """Log in, and handle messages until SIGINT (Ctrl-C) or SIGTERM; then log out.

        A second signal ends it at once. Log lines go to standard error, unless logging has been
        configured. A bot that has clients already takes no account.

        Args:
            account: QQ number.
            password: its password.
            server: URL of the WebQQ server.
            store: file that keeps the outbox, the history and the values of `store`; by default
                all that is in memory.
            session_file: file that keeps the session, so that the next start needs no login.
            onebot: in place of `server`: the URL of an implementation of OneBot 11, such as
                "ws://127.0.0.1:3001", or several of one; see `OneBotAccount`.
            token: of that implementation.
            grace: seconds for running handlers and unsent messages at the end.
            options: further arguments of `Client`: dialect, on_captcha, on_qr ...; or of
                `OneBotAccount`: limits, max_picture_size.

        Raises:
            RuntimeError: the loop runs already: use `await bot.serve(...)`.
            ValueError: an account for a bot that has clients, or none for one that has none.
            LoginError: the server refuses the account, or it was logged in elsewhere.
            StreamError: the server cannot be reached at the login. (Later the bot reconnects.)
            ProtocolError: it is not a WebQQ server.
            StoreError: the store cannot be used.

        Example:
            >>> bot = Bot()
            >>> @bot.command("hello")
            ... def hello(message):
            ...     message.reply(f"hello {message.sender}")
            >>> bot.run(10001, "secret", server="http://127.0.0.1:8100")
        """
        refuse_running_loop("bot.run()", "await bot.serve()")
        show_logs()
        serving = functools.partial(
            self.serve, account, password, server=server, store=store, session_file=session_file,
            onebot=onebot, token=token, grace=grace, **options,
        )  # fmt: skip

        def close() -> None:
            for client in self.clients:
                client.stream.close()

        ioloop = self.client.stream.ioloop if self.clients else current_ioloop()
        run_whole(ioloop, serving, close)

    async def serve(
        self,
        account: int = 0,
        password: str = "",
        *,
        server: str = SERVER,
        store: str | os.PathLike[str] | None = None,
        session_file: str | os.PathLike[str] | None = None,
        onebot: str | Iterable[str] = (),
        token: str = "",
        grace: float = GRACE,
        signals: bool = True,
        **options: Any,
    ) -> None:
        """Do the same as `run` on a running loop; cancelling it ends the bot, too.

        Args:
            account: as for `run`, like the others.
            password: see there.
            server: see there.
            store: see there.
            session_file: see there.
            onebot: see there.
            token: see there.
            grace: see there.
            signals: False leaves SIGINT and SIGTERM to the program.
            options: see there.

        Raises:
            Exception: as for `run`.

        Example:
            >>> async def main():
            ...     Application(handlers).listen(8000)
            ...     await bot.serve(10001, "secret")
        """
        checked_grace(grace)
        async with contextlib.AsyncExitStack() as opened:
            if not self.clients:
                kept, session = (
                    None if path is None else Path(path) for path in (store, session_file)
                )
                new: NewClient | NewOneBotAccount
                if onebot:
                    new = NewOneBotAccount(account, onebot, token, kept, options)
                else:
                    new = NewClient(account, password, server, kept, session, options)
                self.add(await opened.enter_async_context(new.opened()))
            elif account or password or store or session_file or onebot or token or options:
                raise ValueError("the bot has clients already: give the account to Client alone")
            await serve_clients(self.clients, self, grace, catches_signals=signals)

    def running(self) -> set[asyncio.Task[Any]]:
        """Return the tasks of running handlers and schedules."""
        every = (task for scope in self._scopes for task in scope.running)
        return {task for task in every if isinstance(task, asyncio.Task)}

    def close(self) -> None:
        """Unload the plugins, stop the schedules, and cancel running handlers.

        Messages that are not handled by then are left to the next process.
        """
        self._dispatch.close()
        if self._looking is not None:
            self._looking.stop()
        for plugin in self._plugins:
            self._plugins.unload(plugin.name)
        for scope in self._scopes:
            self._scopes.forget(scope)

    @property
    def name(self) -> str:
        """The name by which users address the bot."""
        return self.name_for(self.client)

    @property
    def stream(self) -> HTTPStream:
        """The client's stream, for the handlers' own requests."""
        return self.client.stream

    def name_for(self, client: Account) -> str:
        """The bot's name for the contacts of a client.

        Args:
            client: one of `clients`.
        """
        return self._name or client.nick or str(client.account or "")

    def addressed(self, text: str) -> str | None:
        """The words to the bot in a group, after "!" or "@name"; None if it is not addressed.

        Args:
            text: of the message.
        """
        return said_to([self.name], text)

    def store(self, namespace: str = "") -> KeyValueStore:
        """A plugin's persistent values: a mapping from texts to JSON values.

        Args:
            namespace: separates the values of plugins; by default the plugin's name.

        Example:
            >>> seen = bot.store("seen")
            >>> seen["Ann"] = {"times": 3}
        """
        return KeyValueStore(self._values, namespace or self._scopes.current.name or "bot")

    # -- handlers -----------------------------------------------------------------------------

    @overload
    def on_message(self, handler: Handler, /) -> Handler: ...

    @overload
    def on_message(
        self,
        /,
        *,
        friend: ContactSpec | None = None,
        group: ContactSpec | None = None,
        discussion: ContactSpec | None = None,
        stranger: ContactSpec | None = None,
        text: str | re.Pattern[str] | None = None,
        at_me: bool = False,
        permission: Permission | None = None,
        refusal: str | None = None,
        rate: str | Rate | None = None,
        notice: str = NOTICE,
        concurrent: bool = False,
    ) -> Callable[[Handler], Handler]: ...

    def on_message(
        self,
        handler: Handler | None = None,
        /,
        *,
        friend: ContactSpec | None = None,
        group: ContactSpec | None = None,
        discussion: ContactSpec | None = None,
        stranger: ContactSpec | None = None,
        text: str | re.Pattern[str] | None = None,
        at_me: bool = False,
        permission: Permission | None = None,
        refusal: str | None = None,
        rate: str | Rate | None = None,
        notice: str = NOTICE,
        concurrent: bool = False,
    ) -> Handler | Callable[[Handler], Handler]:
        r"""Register a handler of messages; as a decorator, bare or with conditions.

        Args:
            handler: gets each `Message`; sync or async. Its exceptions are logged.
            friend: of friends with this name, mark or QQ number, of one of several, or of all
                friends (True). With `group`, `discussion` or `stranger` besides, of any of them.
            group: in groups, likewise; by mark or name.
            discussion: in discussions, likewise; they have no numbers.
            stranger: of strangers who write by way of a group or discussion. False, for any of
                the four, excludes them.
            text: regular expression that must be found; see `Message.match`.
            at_me: the bot must be addressed or named; `text` is then searched in `Message.said`.
            permission: required of the sender.
            refusal: reply to senders without the permission; by default the bot's own.
            rate: limit for each user: "5/min" or `Rate(5, 60)`.
            notice: reply, once in that time, to a user over the rate; ``{wait}`` is the number
                of seconds to wait. Empty for none.
            concurrent: later messages do not wait until it ends.

        Raises:
            ValueError: `text` is not a regular expression, or `rate` not a rate.
            TypeError: a name, mark or number is neither a text nor a number.

        Example:
            >>> @bot.on_message(group=["Square", 20001], text=r"(?i)\bhelp\b", rate="1/min")
            ... async def help_out(message):
            ...     await message.reply("What about?", at_sender=True)
        """
        register = self._registering(
            {"friend": friend, "group": group, "discussion": discussion, "stranger": stranger},
            refusal=refusal,
            text=text,
            at_me=at_me,
            permission=permission,
            rate=rate,
            notice=notice,
            is_concurrent=concurrent,
        )
        return register if handler is None else register(handler)

    def command(
        self,
        word: str,
        *,
        help: str = "",
        friend: ContactSpec | None = None,
        group: ContactSpec | None = None,
        discussion: ContactSpec | None = None,
        stranger: ContactSpec | None = None,
        text: str | re.Pattern[str] | None = None,
        permission: Permission | None = None,
        refusal: str | None = None,
        rate: str | Rate | None = None,
        notice: str = NOTICE,
        concurrent: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Register a command; as a decorator. "!help" lists it.

        Users call it in private by "weather" or "!weather", elsewhere by "!weather" or "@name
        weather"; the text that follows is `Message.rest`. A command replaces an earlier one with
        the same word.

        Args:
            word: of the command, in any case.
            help: shown to users by "!help".
            text: regular expression that must be found in the text that follows.
            friend: like the others, see `on_message`.
            group: see there.
            discussion: see there.
            stranger: see there.
            permission: see there.
            refusal: see there.
            rate: see there.
            notice: see there.
            concurrent: see there.

        Raises:
            ValueError: as for `on_message`; or `word` is not one word.
            TypeError: as for `on_message`.

        Example:
            >>> @bot.command("roll", help="rolls a die", rate="3/min")
            ... def roll(message):
            ...     message.reply(f"{message.sender} has a {random.randint(1, 6)}")
        """
        if len(word.split()) != 1 or word != word.strip():
            raise ValueError(f"command {word!r}: give one word; what follows it is message.rest")
        return self._registering(
            {"friend": friend, "group": group, "discussion": discussion, "stranger": stranger},
            refusal=refusal,
            text=text,
            command=word.removeprefix("!").casefold(),
            help=help,
            permission=permission,
            rate=rate,
            notice=notice,
            is_concurrent=concurrent,
        )

    def _registering(
        self, origins: dict[str, ContactSpec | None], *, refusal: str | None, **others: Any
    ) -> Callable[[Handler], Handler]:
        refusal = self._refusal if refusal is None else refusal
        kinds = {Kind(kind): given for kind, given in origins.items()}
        # Wrong arguments raise where they are given.
        rule = rule_of(print, origins=kinds, refusal=refusal, **others)

        def register(function: Handler) -> Handler:
            handler = check_callable(function, "a handler")
            self._scopes.current.rules.append(replace(rule, handler=handler))
            return function

        return register

    def on_event(self, *names: str) -> Callable[[F], F]:
        """Register a listener of events other than messages; as a decorator.

        Args:
            names: of the events: "friend_online", "kicked" ...; `events.EVENTS` lists
                them, with the type of the value that the function gets.

        Raises:
            ValueError: an event is unknown, or none is named.

        Example:
            >>> @bot.on_event("friend_online")
            ... def welcome(event):
            ...     event.client.send(event.friend.contact, "welcome back")
        """
        if not names or callable(names[0]):
            raise ValueError('on_event: name at least one event, as in @bot.on_event("kicked")')
        checked = frozenset(check_event(name) for name in names)

        def register(function: F) -> F:
            check_callable(function, "a listener")
            self._scopes.current.listeners.append(Listener(checked, function))
            return function

        return register

    def middleware(self, function: Middleware) -> Middleware:
        """Register a middleware, called with each message before the handlers; as a decorator.

        Args:
            function: an `async def`; gets the message and `call_next`, which it awaits with that
                message, or another (see `Message.with_text`), or not at all.

        Raises:
            TypeError: it is not an `async def`.

        Example:
            >>> @bot.middleware
            ... async def time_it(message, call_next):
            ...     began = time.perf_counter()
            ...     await call_next(message)
            ...     print(message.text, time.perf_counter() - began)
        """
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"middleware {function!r}: write async def f(message, call_next)")
        self._scopes.current.middlewares.append(function)
        return function

    # -- questions ----------------------------------------------------------------------------

    async def ask(self, whom: Whom, question: Content | str, timeout: float = 60) -> Message:
        """Ask a question, and wait for the next message, which then reaches no handler.

        Args:
            whom: a message, whose sender is asked where it came from; or a person, in private; or
                a group or discussion, any member of which may answer.
            question: content or text.
            timeout: seconds after the delivery of the question.

        Returns:
            The answer.

        Raises:
            NoAnswerError: a `TimeoutError`: no answer has come.
            SendError: the question was not delivered.
            ContactError: a `LookupError`: no contact has that name or number, or several have it;
                lists these with their numbers.

        Example:
            >>> answer = await bot.ask("Ann", "Shall I go on?", timeout=30)
            >>> is_yes = answer.text.strip().casefold() == "yes"
        """
        client, contact, person = await self._whom(whom)
        answer = self._dispatch.asks.expect(client, contact, person)
        self._scopes.current.own(answer)
        release_turn()
        try:
            await asyncio.shield(client.send(contact, question))
            return await with_quote(await asyncio.wait_for(answer, timeout))
        except asyncio.TimeoutError:
            asked = question if isinstance(question, str) else question.text
            asked = asked if len(asked) <= SHOWN else asked[: SHOWN - 1] + "…"
            who = person or name_of(contact)
            raise NoAnswerError(f"{who} did not answer {asked!r} within {timeout:g} s") from None
        finally:
            answer.cancel()

    async def _whom(self, whom: Whom) -> tuple[Account, Contact, Person | None]:
        if isinstance(whom, Message):
            return whom.client, whom.contact, whom.sender
        if isinstance(whom, Person):
            return whom.client, whom.contact, None
        if not isinstance(whom, (str, int)):
            clients = [client for client in self.clients if client.contacts.same(whom) is not None]
            return (clients or self.clients)[0], whom, None
        try:
            return *await found_by_one(self.clients, whom), None
        except ContactError as error:
            if error.candidates:
                raise
            raise ContactError(f"ask: there is no contact {whom!r}; {error}", error.name) from None

    # -- schedules ----------------------------------------------------------------------------

    def every(self, seconds: float) -> Callable[[F], F]:
        """Register a function to be called at an interval; as a decorator.

        It is called without arguments, whether the client is online or not. A time at which it
        still runs, or at which the machine slept, is left out.

        Args:
            seconds: between two calls, and before the first.

        Raises:
            ValueError: it is not above 0.

        Example:
            >>> @bot.every(3600)
            ... async def look():
            ...     response = await bot.stream.fetch("https://example.org/news")
        """
        return self._scheduling(Every(seconds, time.time()))

    def cron(self, expression: str, tz: str | tzinfo | None = None) -> Callable[[F], F]:
        """Have a function called at the times of a cron expression; else like `every`.

        Args:
            expression: minute, hour, day, month, day of the week.
            tz: zone, such as "Asia/Shanghai"; by default the machine's.

        Raises:
            ValueError: the expression, or the zone, is invalid.

        Example:
            >>> @bot.cron("0 9 * * 1-5", tz="Asia/Shanghai")
            ... def good_morning():
            ...     bot.client.send(bot.client.find("Square"), "good morning")
        """
        return self._scheduling(Cron(expression, tz))

    def _scheduling(self, schedule: Schedule) -> Callable[[F], F]:
        def register(function: F) -> F:
            check_callable(function, "what is to be done")
            scope = self._scopes.current
            running: asyncio.Task[None] | None = None

            def call() -> None:
                nonlocal running
                if running is None or running.done():
                    running = self._calls.start(scope, function, f"its schedule {schedule}")
                else:
                    logger.debug("%s still runs: skipped this time", place_of(function))

            scope.schedule(Scheduler(schedule, call, _LoopTimers(self)))
            return function

        return register

    # -- plugins ------------------------------------------------------------------------------

    @property
    def plugins(self) -> tuple[str, ...]:
        """Names of the plugins that are loaded."""
        return self._plugins.names

    def load_plugin(self, plugin: str | Path) -> Plugin:
        """Run a Python file, or package, that registers handlers with `bot`.

        `bot` is a global name in it, or imported from `webqq_tornado.bot`. A function `setup` is
        called with the bot, and `teardown` when it is unloaded, or when a new version has been
        set up in its place. A loaded plugin is reloaded.

        Args:
            plugin: a file, the folder of a package, or the name of an importable module.

        Raises:
            PluginError: it is not found, or it fails; then a loaded version stays.
        """
        return self._plugins.load(plugin)

    def unload_plugin(self, name: str) -> None:
        """Unload a plugin: end its handlers, schedules, middlewares, questions and tasks.

        Args:
            name: of its file or folder, without ".py".

        Raises:
            KeyError: no plugin has that name.
        """
        self._plugins.unload(name)

    def watch_plugins(self, seconds: float = LOOK_SECONDS) -> None:
        """Reload plugins whose files change, from now on.

        Args:
            seconds: between two checks of the files.
        """
        if self._looking is not None:
            self._looking.stop()
        self._looking = Scheduler(Every(seconds), self._plugins.look, _LoopTimers(self))
        if self.clients:
            self._looking.start()


class _LoopTimers:
    """Timers of the loop that a bot is on, once it is.

    Args:
        bot: which.
    """

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        """See `IOLoop`."""
        return self._bot.stream.ioloop.call_later(delay, callback)

    def remove_timeout(self, timeout: object) -> None:
        """See `IOLoop`."""
        self._bot.stream.ioloop.remove_timeout(timeout)
