"""Quoted messages: asked for by their ids, which is all that a message has of them.

An id holds for one run of an implementation: NC remembers the last 5,000 messages, and others
count anew. So what was learned by an id is forgotten with the connection, and kept in the store
with the message that quotes it.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Any, Protocol

from ...onebot.v11.actions import Answer
from ...onebot.v11.content import content_of
from ...onebot.v11.events import parse_message_event
from ...onebot.v11.values import Fields, object_of
from ...protocol.content import dump_content, parse_dumped
from ...protocol.models.content import Content, Reply
from ..contacts import Message
from ..quote import Quote
from ..store import Store, StoreError
from .directory import NetworkDirectory
from .transport import ActionFailed

__all__ = ["Quotes"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Seconds for an answer: the message that quotes waits for it, and so does its conversation.
_TIMEOUT = 5.0
#: Quoted messages that are remembered, and that the store has of one account.
_REMEMBERED, _KEPT = 1000, 500
#: Characters of a content that is kept.
_MOST_SIZE = 64 * 1024


class Owner(Protocol):
    """The part of an account that asks."""

    account: int
    name: str
    store: Store | None
    directory: NetworkDirectory

    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """Send an action; return the answer, whatever it says."""


class Quotes:
    """Finds what a message quotes.

    Args:
        owner: asks.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._known: OrderedDict[int, Quote | None] = OrderedDict()
        self._keys: OrderedDict[str, None] | None = None  # in the store, the oldest first

    def forget(self) -> None:
        """Ids may mean other messages from now on."""
        self._known.clear()

    async def of(self, message: Message) -> Quote | None:
        """The message that one quotes; None if it quotes none, or that cannot be had.

        Args:
            message: as listeners get it.
        """
        reply = next((part for part in message.content.parts if isinstance(part, Reply)), None)
        if reply is None or not reply.id:  # LG has 0 for a message that it does not know
            return None
        key = f"{message.msg_id} {message.time} {reply.id}"
        quote = self._kept(key)
        if quote is None:
            quote = await self._asked(reply.id)
            if quote is not None:
                self._keep(key, quote)
        return quote

    async def _asked(self, id_: int) -> Quote | None:
        if id_ in self._known:
            return self._known[id_]
        try:
            answer = await self._owner.answer_to("get_msg", {"message_id": id_}, _TIMEOUT)
        except ActionFailed as error:  # there may be an answer the next time
            logger.debug("%s: what is quoted cannot be had: %s", self._owner.name, error)
            return None
        quote = self._read(id_, answer)
        self._known[id_] = quote
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return quote

    def _read(self, id_: int, answer: Answer) -> Quote | None:
        owner = self._owner
        try:
            if not answer.is_ok:
                raise ValueError(str(answer))
            values = object_of(answer.data, "a message")
            event = parse_message_event({"message_id": id_, **values, "self_id": owner.account})
        except ValueError as error:
            logger.debug("%s: what is quoted cannot be had: %s", owner.name, error)
            return None
        name = event.sender.card or event.sender.nickname
        known = owner.directory.name_of(event.group_id, event.user_id)
        content = content_of(
            event.message, lambda who: owner.directory.name_of(event.group_id, who)
        )
        return Quote(id_, event.user_id, name or known, content, event.time)

    # -- in the store ----------------------------------------------------------------------------

    @property
    def _namespace(self) -> str:
        return f"onebot quotes {self._owner.account}"

    def _kept(self, key: str) -> Quote | None:
        store = self._owner.store
        if store is None:
            return None
        try:
            kept = store.get(self._namespace, key)
            return _quote_in(kept) if kept is not None else None
        except (StoreError, ValueError, KeyError, TypeError) as error:
            logger.debug("%s: a quote in the store cannot be read: %s", self._owner.name, error)
            return None

    def _keep(self, key: str, quote: Quote) -> None:
        store = self._owner.store
        if store is None:
            return
        try:
            content = dump_content(quote.content)
            if len(content) > _MOST_SIZE:
                return
            value = {**_fields_of(quote), "content": content, "at": time.time()}
            keys = self._keys_in(store)
            store.put(self._namespace, key, value)
            keys[key] = None
            while len(keys) > _KEPT:
                store.delete(self._namespace, keys.popitem(last=False)[0])
        except (StoreError, ValueError) as error:
            logger.debug("%s: a quote is not kept: %s", self._owner.name, error)

    def _keys_in(self, store: Store) -> OrderedDict[str, None]:
        if self._keys is None:
            values = store.values(self._namespace)
            self._keys = OrderedDict.fromkeys(sorted(values, key=lambda key: _age(values[key])))
        return self._keys


def _fields_of(quote: Quote) -> dict[str, Any]:
    return {"id": quote.id, "sender": quote.sender, "name": quote.name, "time": quote.time}


def _quote_in(value: Any) -> Quote:
    content: Content = parse_dumped(value["content"])
    return Quote(value["id"], value["sender"], value["name"], content, value["time"])


def _age(value: Any) -> float:
    at = value.get("at") if isinstance(value, dict) else None
    return at if isinstance(at, (int, float)) else 0.0
