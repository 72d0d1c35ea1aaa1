"""`Bot`: handlers for what comes in to a client, a few commands, plugins.

Example of a plugin, a Python file in which `bot` is there from the beginning::

    @bot.on_message(text=r"weather in (.+)")
    async def weather(message):
        city = message.match[1]
        response = await bot.stream.fetch(f"https://example.org/weather?q={city}")
        message.reply(response.text)
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import logging
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, overload

from ..engine.stream import HTTPStream
from ..protocol.models import Content, FriendMessage, Group, GroupMessage
from .client import Client, Happening
from .contacts import Contact, name_of
from .outbox import Receipt

__all__ = ["Bot", "Handler", "Message", "PluginError"]

logger = logging.getLogger("webqq_tornado.webqq")

#: A function that takes a `Message`; what it returns is ignored; it may be `async def`.
Handler: TypeAlias = Callable[["Message"], object]


class PluginError(Exception):
    """A plugin can not be loaded; the message names file, line and error."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that came in, for a handler.

    Args:
        bot: that got it.
        event: as the protocol has it.
        sender: name of who wrote.
        contact: whom a reply goes to: the friend or the group.
        match: of the handler's `text=`, or None.
    """

    bot: Bot
    event: FriendMessage | GroupMessage
    sender: str
    contact: Contact
    match: re.Match[str] | None = None

    @property
    def content(self) -> Content:
        """Texts and faces in order."""
        return self.event.content

    @property
    def text(self) -> str:
        """The plain text, faces as their names in brackets."""
        return self.event.content.text

    @property
    def group(self) -> Group | None:
        """The group it came by; None from a friend."""
        return self.contact if isinstance(self.contact, Group) else None

    @property
    def at_me(self) -> bool:
        """Whether the bot is meant: by a friend always, in a group when addressed."""
        return self.group is None or self.bot.addressed(self.text) is not None

    def reply(self, content: Content | str) -> asyncio.Future[Receipt]:
        """Answer where it came from. The future is the receipt, and need not be awaited."""
        return self.bot.client.send(self.contact, content)


@dataclass(frozen=True, slots=True)
class _Rule:
    handler: Handler
    friend: str | None
    group: str | None
    text: re.Pattern[str] | None
    at_me: bool

    def match(self, message: Message) -> re.Match[str] | bool:
        """Whether the handler wants it."""
        group = message.group
        if self.friend is not None and (group is not None or message.sender != self.friend):
            return False
        if self.group is not None and (group is None or name_of(group) != self.group):
            return False
        if self.at_me and not message.at_me:
            return False
        return self.text.search(message.text) or False if self.text else True


class Bot:
    """Answers to what a client hears.

    Args:
        client: its account; the bot never answers that account's own messages.
        name: by which it is addressed in groups, as in "@name ping"; "!ping" always works. By
            default the account's nick.

    Example:
        >>> bot = Bot(client, name="Robot")
        >>> @bot.on_message(text="^hi")
        ... def greet(message):
        ...     message.reply(f"hello {message.sender}")
    """

    def __init__(self, client: Client, name: str = "") -> None:
        self.client = client
        self._name = name
        self._started_at = time.monotonic()
        self._rules: list[_Rule] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        client.on_event(self._on_event)

    @property
    def name(self) -> str:
        """By which it is addressed."""
        return self._name or self.client.nick

    @property
    def stream(self) -> HTTPStream:
        """The client's stream, for requests of handlers."""
        return self.client.stream

    @overload
    def on_message(self, handler: Handler, /) -> Handler: ...

    @overload
    def on_message(
        self,
        /,
        *,
        friend: str | None = None,
        group: str | None = None,
        text: str | None = None,
        at_me: bool = False,
    ) -> Callable[[Handler], Handler]: ...

    def on_message(
        self,
        handler: Handler | None = None,
        /,
        *,
        friend: str | None = None,
        group: str | None = None,
        text: str | None = None,
        at_me: bool = False,
    ) -> Handler | Callable[[Handler], Handler]:
        """Have a function called with each `Message`; as a decorator, bare or with conditions.

        Args:
            handler: the function, sync or async; one that raises is logged and stops nothing.
            friend: only of the friend with this name.
            group: only in the group with this name.
            text: only where this regular expression is found; see `Message.match`.
            at_me: only where the bot is meant.

        Raises:
            ValueError: `text` is no regular expression.
        """
        try:
            pattern = None if text is None else re.compile(text)
        except re.error as error:
            raise ValueError(f"text={text!r} is no regular expression: {error}") from error

        def register(function: Handler) -> Handler:
            self._rules.append(_Rule(function, friend, group, pattern, at_me))
            return function

        return register if handler is None else register(handler)

    def load_plugin(self, path: str | Path) -> None:
        """Run a Python file that registers handlers with the global name `bot`.

        If it defines `setup`, that is called with the bot.

        Raises:
            PluginError: there is no such file, or it fails.
        """
        path = Path(path)
        spec = importlib.util.spec_from_file_location(path.stem, path.absolute())
        if spec is None or spec.loader is None or not path.is_file():
            raise PluginError(f"plugin {path}: there is no such Python file")
        module = importlib.util.module_from_spec(spec)
        module.__dict__["bot"] = self
        try:
            spec.loader.exec_module(module)
            if callable(getattr(module, "setup", None)):
                module.setup(self)
        except Exception as error:
            raise PluginError(_where(error, path)) from error

    def addressed(self, text: str) -> str | None:
        """What is said to the bot in a group: after "!" or "@name"; None if it is not meant."""
        for mark in ("!", f"@{self.name}" if self.name else "!"):
            if text.startswith(mark):
                return text[len(mark) :].strip()
        return None

    # -- what comes in ------------------------------------------------------------------------

    def _on_event(self, event: Happening) -> None:
        if not isinstance(event, (FriendMessage, GroupMessage)):
            return
        message = self._message(event)
        if message is None or event.sender == self.client.account:
            return
        self._obey(message)
        for rule in tuple(self._rules):
            found = rule.match(message)
            if found:
                match = found if isinstance(found, re.Match) else None
                self._call(
                    rule.handler, Message(self, event, message.sender, message.contact, match)
                )

    def _message(self, event: FriendMessage | GroupMessage) -> Message | None:
        contacts = self.client.contacts
        contact: Contact | None = (
            contacts.groups.get(event.gid)
            if isinstance(event, GroupMessage)
            else contacts.friends.get(event.sender)
        )
        if contact is None:
            return None
        return Message(self, event, self.client.sender_name(event), contact)

    def _call(self, handler: Handler, message: Message) -> None:
        try:
            result = handler(message)
        except Exception:
            logger.exception("handler %s failed on %r", handler, message.text)
            return
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(result)
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._after(done, handler, message))

    def _after(self, task: asyncio.Task[Any], handler: Handler, message: Message) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error(
                "handler %s failed on %r", handler, message.text, exc_info=task.exception()
            )

    # -- commands -----------------------------------------------------------------------------

    def _obey(self, message: Message) -> None:
        said = message.text.strip() if message.group is None else self.addressed(message.text)
        if said is None:
            return
        word, _, rest = said.removeprefix("!").partition(" ")
        command = _COMMANDS.get(word.lower())
        if command is not None and (not rest or word.lower() == "echo"):
            message.reply(command(self, rest.strip()))

    def _ping(self, _rest: str) -> str:
        return "pong"

    def _uptime(self, _rest: str) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._started_at), 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
        shown = [f"{number} {unit}" for number, unit in parts if number]
        return f"up {' '.join(shown) or '0 s'}"

    def _help(self, _rest: str) -> str:
        names = ", ".join(_COMMANDS)
        return f"I know: {names}. In a group, say !ping or @{self.name or 'me'} ping."

    def _echo(self, rest: str) -> str:
        return rest or "echo what?"


_COMMANDS: dict[str, Callable[[Bot, str], str]] = {
    "ping": Bot._ping,
    "uptime": Bot._uptime,
    "help": Bot._help,
    "echo": Bot._echo,
}


def _where(error: Exception, path: Path) -> str:
    """File, line and error, in one line."""
    file = str(path.absolute())
    what, lines = " ".join(str(error).split()), []
    if isinstance(error, SyntaxError) and error.filename == file:
        what, lines = error.msg, [error.lineno]
    else:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == file]
    line = f", line {lines[-1]}" if lines else ""
    return f"plugin {path}{line}: {type(error).__name__}: {what}"
