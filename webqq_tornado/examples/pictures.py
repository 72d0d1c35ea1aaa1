"""A plugin for today's QQ: it knows the pictures that it has seen, and mentions who sent them.

Run it for an account that NapCat, or another implementation of OneBot 11, holds::

    python -m webqq_tornado --plugin webqq_tornado.examples.pictures --onebot ws://127.0.0.1:3001
"""

from __future__ import annotations

import hashlib

from webqq_tornado.bot import Bot, Message
from webqq_tornado.client import At, Attachment, Content, OneBotAccount

__all__ = ["setup"]


def setup(bot: Bot) -> None:
    """Register the handler; the bot calls this when it loads the plugin.

    Args:
        bot: to register it with.
    """

    @bot.on_message
    async def look(message: Message) -> None:
        account, seen = message.client, bot.store("pictures")
        pictures = [part for part in message.content.parts if isinstance(part, Attachment)]
        if not isinstance(account, OneBotAccount) or message.late:
            return
        for part in pictures:
            picture = await account.picture(part)
            mark = hashlib.sha256(picture.data).hexdigest()
            if mark in seen:
                at = At(message.sender.uin, message.sender.name)
                message.reply(Content.of(at, f" that one is of {seen[mark]}"))
            seen.setdefault(mark, message.sender.name)
