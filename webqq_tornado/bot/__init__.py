"""A bot: handlers, commands, schedules and plugins for one account or several.

>>> from webqq_tornado.bot import Bot
>>> bot = Bot(client)
>>> @bot.command("ping")
... def ping(message):
...     message.reply("pong")

Reading order: `bot` has the decorators, which put `rules` into the scopes of `registry`;
`dispatch` takes each message through middlewares and rules, and `invocation` calls the handlers.
`account` says what a bot needs of an account.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from ..client.lookup import ContactError
    from .bot import Bot
    from .current import bot
    from .message import Message, Person
    from .permissions import GROUP_ADMIN, GROUP_OWNER, OWNER, Permission
    from .plugins import PluginError
    from .questions import NoAnswerError
    from .ratelimit import Rate
    from .rules import Handler
    from .schedule import Cron, Every

__all__ = [
    "GROUP_ADMIN",
    "GROUP_OWNER",
    "OWNER",
    "Bot",
    "ContactError",
    "Cron",
    "Every",
    "Handler",
    "Message",
    "NoAnswerError",
    "Permission",
    "Person",
    "PluginError",
    "Rate",
    "bot",
]

#: Where the public names are.
_MODULES = {
    "bot": "Bot",
    "current": "bot",
    "message": "Message Person",
    "permissions": "GROUP_ADMIN GROUP_OWNER OWNER Permission",
    "questions": "NoAnswerError",
    "plugins": "PluginError",
    "ratelimit": "Rate",
    "rules": "Handler",
    "schedule": "Cron Every",
    ".client.lookup": "ContactError",
}

if TYPE_CHECKING:
    _MODULE_OF: dict[str, str]
else:  # where type checkers would take any name for one of ours
    _MODULE_OF, __getattr__, __dir__ = lazy_names(globals(), _MODULES)


class _Package(ModuleType):
    """The package, of which `bot` is the bot, and not the module that is called so as well."""

    def __setattr__(self, name: str, value: object) -> None:
        # The import of a submodule ends with setting it here.
        if name != "bot" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
