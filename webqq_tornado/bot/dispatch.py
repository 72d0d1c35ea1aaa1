"""Dispatch of a bot's incoming messages: answers, middlewares, commands, handlers, listeners."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from typing import Protocol

from ..client import contacts
from ..client.receipt import SendError
from ..client.state import ClientEvent, State, StateChange
from ..engine.errors import StreamError
from ..protocol.codes import Status
from ..protocol.errors import ProtocolError
from ..protocol.models import StatusChange
from .account import Account, Incoming
from .acknowledgement import Acknowledgement
from .conversations import ConversationQueues
from .event_types import BotEvent
from .events import events_of
from .invocation import HandlerInvoker, log_failure, logger
from .message import Host, Message, conversation_of, message_of, with_quote
from .permissions import is_permitted
from .questions import PendingQuestions
from .registry import CallNext, Middleware, Registration, Registry
from .rules import Rule

__all__ = ["Dispatch"]


class Answering(Host, Protocol):
    """The part of a bot that its dispatch uses."""

    at_most_once: bool


class Dispatch:
    """Passes events and messages of clients to handlers and listeners.

    Args:
        bot: that receives them.
        scopes: with rules, listeners and middlewares.
        calls: for calling them.
        owners: QQ numbers of the bot's owners.
    """

    def __init__(
        self, bot: Answering, scopes: Registry, calls: HandlerInvoker, owners: frozenset[int]
    ) -> None:
        self._bot, self._scopes, self._calls = bot, scopes, calls
        self._owners = owners
        self._is_closed = False
        self.asks = PendingQuestions()
        self._conversations = ConversationQueues()
        self._statuses: dict[Account, dict[int, Status]] = {}

    def close(self) -> None:
        """Stop handling: the next process handles the rest."""
        self._is_closed = True
        _acknowledge_own()
        self._conversations.close()

    def take(self, client: Account, heard: ClientEvent) -> None:
        """Pass an event of a client to the listeners.

        Args:
            client: that received it.
            heard: the event; messages come by `deliver`.
        """
        if isinstance(heard, contacts.Message):
            return
        if isinstance(heard, StateChange) and heard.state.is_over:
            _acknowledge_own()
        before = self._status_before(client, heard)
        for name, event in events_of(client, heard, before):
            self._notify(name, event)

    def commands(self) -> dict[str, Rule]:
        """All commands by their words; a later one replaces one with the same word."""
        return {rule.command: rule for _, rule in self._rules() if rule.command}

    # -- events -------------------------------------------------------------------------------

    def _status_before(self, client: Account, heard: ClientEvent) -> Status:
        """Former status of a friend; offline if the login's list lacks the friend."""
        if isinstance(heard, StateChange) and heard.state is State.ONLINE:
            presences = client.contacts.presences
            self._statuses[client] = {uin: one.status for uin, one in presences.items()}
        if not isinstance(heard, StatusChange):
            return Status.OFFLINE
        known = self._statuses.setdefault(client, {})
        before = known.get(heard.uin, Status.OFFLINE)
        known[heard.uin] = heard.status
        return before

    def _notify(self, name: str, event: BotEvent) -> None:
        for scope in self._scopes:
            for listener in tuple(scope.listeners):
                if name in listener.names:
                    self._calls.start(scope, listener.function, f"the event {name}", event)

    # -- messages -----------------------------------------------------------------------------

    def deliver(self, client: Account, incoming: Incoming) -> None:
        """Pass a message of a client to the handlers.

        Args:
            client: that received it.
            incoming: of the message.
        """
        if self._is_closed:
            return
        message = message_of(self._bot, client, incoming)
        at_most_once = self._bot.at_most_once
        if at_most_once and incoming.tries:
            logger.info("message of %s: dropped, its handling had begun", message.sender)
            incoming.done()
        elif not message.again and self.asks.answer(message):
            incoming.done()
        else:
            acknowledgement = Acknowledgement(
                incoming, at_most_once=at_most_once, is_closed=lambda: self._is_closed
            )
            job = functools.partial(self._handle, message, acknowledgement)
            self._conversations.add(conversation_of(message), job)

    async def _handle(self, message: Message, acknowledgement: Acknowledgement) -> None:
        message = await with_quote(message)
        steps = [(scope, step) for scope in self._scopes for step in scope.middlewares]
        acknowledgement.begin()
        try:
            await self._pass(message, steps, acknowledgement)
        except SystemExit:
            acknowledgement.give()  # a handler that ends the program has ended
            raise
        acknowledgement.end()

    async def _pass(
        self,
        message: Message,
        steps: list[tuple[Registration, Middleware]],
        acknowledgement: Acknowledgement,
    ) -> None:
        """Call the first middleware, which calls the next one."""
        if not steps:
            await self._handlers(message, acknowledgement)
            return
        (scope, middleware), *rest = steps
        call_next = self._once(middleware, rest, acknowledgement)
        try:
            await self._calls.within(scope, middleware, message, message, call_next)
        except Exception as error:
            log_failure(middleware, message, error)

    def _once(
        self,
        middleware: Middleware,
        rest: list[tuple[Registration, Middleware]],
        acknowledgement: Acknowledgement,
    ) -> CallNext:
        was_called = False

        async def call_next(message: Message) -> None:
            nonlocal was_called
            if was_called:
                raise RuntimeError("call_next was called already: it may be called once")
            was_called = True
            await self._pass(message, rest, acknowledgement)

        return call_next

    async def _handlers(self, message: Message, acknowledgement: Acknowledgement) -> None:
        commands = self.commands()
        everyone = list(self._rules())
        # A command that another one has replaced does not count.
        first = [(scope, rule) for scope, rule in everyone if commands.get(rule.command) is rule]
        for scope, rule in (*first, *(one for one in everyone if not one[1].command)):
            await self._apply(scope, rule, message, acknowledgement)

    def _rules(self) -> Iterator[tuple[Registration, Rule]]:
        for scope in self._scopes:
            for rule in tuple(scope.rules):
                yield scope, rule

    async def _apply(
        self, scope: Registration, rule: Rule, message: Message, acknowledgement: Acknowledgement
    ) -> None:
        try:
            applied = await rule.applied(message)
            may = applied is not None and await self._is_admitted(rule, applied)
        except (SendError, StreamError, ProtocolError) as error:
            logger.warning(
                "message of %s: the QQ number is not available: %s", message.sender, error
            )
            acknowledgement.cut_off()
            return
        if applied is None or not may or not scope.is_open:
            return
        if rule.is_concurrent:
            task = self._calls.start(scope, rule.handler, applied, applied)
            if task is not None:
                acknowledgement.wait_for(task, scope, is_apart=True)
        else:
            wait = functools.partial(acknowledgement.wait_for, scope=scope, is_apart=False)
            await self._calls.finish(scope, rule.handler, applied, applied, on_task=wait)

    async def _is_admitted(self, rule: Rule, message: Message) -> bool:
        """Check the sender's permission and rate; tell the sender if the message is refused."""
        permission, limiter = rule.permission, rule.limiter
        if permission and not await is_permitted(permission, message, self._owners):
            _tell_sender(message, rule.refusal)
            return False
        if limiter is None:
            return True
        decision = limiter.admit(message.sender, time.monotonic())
        if decision.is_first:
            _tell_sender(message, rule.notice.replace("{wait}", str(math.ceil(decision.wait))))
        return decision.is_allowed


def _acknowledge_own() -> None:
    """Release the message whose handler closes the bot or logs the account out."""
    acknowledgement = Acknowledgement.current()
    if acknowledgement is not None:
        acknowledgement.give()


def _tell_sender(message: Message, text: str) -> None:
    if text:
        message.reply(text, at_sender=True)
