"""Built-in commands of every bot: ping, uptime, help, echo."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from .message import Message
from .rules import Rule, pattern_of

__all__ = ["builtin_rules", "up_for"]


def builtin_rules(
    name: Callable[[Message], str], commands: Callable[[], Mapping[str, Rule]]
) -> list[Rule]:
    """The rules of the commands.

    Args:
        name: by which users address the bot in the conversation of a message.
        commands: all commands, also of plugins, by their words.
    """
    began = time.monotonic()

    def ping(message: Message) -> None:
        message.reply("pong")

    def uptime(message: Message) -> None:
        message.reply(f"up {up_for(time.monotonic() - began)}")

    def help_(message: Message) -> None:
        message.reply(_help(message.rest.casefold(), name(message) or "me", commands()))

    def echo(message: Message) -> None:
        message.reply(message.rest or "echo what?")

    alone, one_word = pattern_of(r"^$"), pattern_of(r"^\S*$")
    return [
        Rule(ping, command="ping", text=alone, help="answers pong"),
        Rule(uptime, command="uptime", text=alone, help="tells how long the bot has been up"),
        Rule(help_, command="help", text=one_word, help="lists the commands; help WORD tells more"),
        Rule(echo, command="echo", help="repeats the text that follows"),
    ]


def _help(word: str, name: str, commands: Mapping[str, Rule]) -> str:
    if word in commands:
        return f"{word}: {commands[word].help or 'it has no help text'}"
    known = ", ".join(commands)
    return f"I know: {known}. In a group, say !ping or @{name} ping; help WORD tells more."


def up_for(seconds: float) -> str:
    """A time in days, hours, minutes and seconds.

    Args:
        seconds: of the time.

    Example:
        >>> up_for(3661)
        '1 h 1 min 1 s'
    """
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (left, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
