"""A bot: handlers, commands, schedules and plugins for one account or several.

>>> from webqq_tornado.bot import Bot
>>> bot = Bot(client)
>>> @bot.command("ping")
... def ping(message):
...     message.reply("pong")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from ..client.lookup import ContactError
    from .bot import Bot
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
]

#: Where the public names are.
_MODULES = {
    "bot": "Bot",
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
