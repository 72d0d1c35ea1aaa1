"""`bot`: the bot that loads the plugin, for `from webqq_tornado.bot import bot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .registry import current_owner

if TYPE_CHECKING:
    from .bot import Bot

__all__ = ["bot"]

_NO_BOT = (
    "there is no bot here: `from webqq_tornado.bot import bot` is the bot that loads a plugin, and"
    " works in its file and in the functions that it registers; a program makes one: Bot()"
)


class _CurrentBot:
    """Proxy of the bot whose plugin or handler runs, looked up at each use."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # `inspect` and the like ask any object for these
            raise AttributeError(name)
        return getattr(_current(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_current(), name, value)

    def __repr__(self) -> str:
        return "<the bot that loads the plugin>" if current_owner() is None else repr(_current())


def _current() -> object:
    owner = current_owner()
    if owner is None:
        raise RuntimeError(_NO_BOT)
    return owner


#: In a plugin: the bot that loads it, or whose handler runs.
bot: Bot = cast("Bot", _CurrentBot())
