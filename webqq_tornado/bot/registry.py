"""Registrations of a plugin, or of the program itself, which are removed all at once.

The scope of a registration is a context variable: functions of a plugin run with it, and so do the
tasks that they start.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeAlias

from ..engine.eventloop import running_task
from .events import Listener
from .message import Message
from .rules import Rule
from .schedule import Scheduler

__all__ = ["CallNext", "Middleware", "Registration", "Registry", "current_owner"]

#: Function by which a middleware passes the message on.
CallNext: TypeAlias = Callable[[Message], Awaitable[None]]
#: An `async def` that gets each message and the function that passes it on.
Middleware: TypeAlias = Callable[[Message, CallNext], Awaitable[object]]

_current: ContextVar[Registration | None] = ContextVar("webqq_tornado scope", default=None)


class Registration:
    """The registrations of one plugin, or of the program.

    Args:
        name: of the plugin; empty for the program itself.
        owner: the bot.

    Attributes:
        is_open: whether it is in force.
        rules: conditions and handlers, as registered.
        listeners: of events, as registered.
        middlewares: as registered.
        timetables: schedulers; they run while it is open.
        running: tasks and futures that end with the registration.
    """

    def __init__(self, name: str = "", owner: object = None) -> None:
        self.name = name
        self._owner = None if owner is None else weakref.ref(owner)
        self.is_open = False
        self.rules: list[Rule] = []
        self.listeners: list[Listener] = []
        self.middlewares: list[Middleware] = []
        self.timetables: list[Scheduler] = []
        self.running: set[asyncio.Future[Any]] = set()

    def __repr__(self) -> str:
        return f"<Scope {self.name!r} {'open' if self.is_open else 'closed'}>"

    def open(self) -> None:
        """Put the registration in force."""
        self.is_open = True
        for timetable in self.timetables:
            timetable.start()

    def close(self) -> None:
        """Stop the schedules and cancel running handlers, except the caller."""
        self.is_open = False
        for timetable in self.timetables:
            timetable.stop()
        caller = running_task()
        for running in tuple(self.running):
            if running is not caller:
                running.cancel()

    def schedule(self, timetable: Scheduler) -> None:
        """Add a scheduler."""
        self.timetables.append(timetable)
        if self.is_open:
            timetable.start()

    def own(self, running: asyncio.Future[Any]) -> None:
        """End a task or future with the scope."""
        self.running.add(running)
        running.add_done_callback(self.running.discard)


class Registry:
    """The scopes of one bot, in order: its own commands, the program, the plugins.

    Args:
        names: of the first scopes.
        owner: the bot.
        is_open: put scopes in force at once, not in `open`.

    Example:
        >>> registry = Registry("commands", "")
        >>> registry.current
        <Scope '' open>
    """

    def __init__(self, *names: str, owner: object = None, is_open: bool = True) -> None:
        self._is_open = False
        self._owner = owner
        self._scopes = [Registration(name, owner) for name in names]
        # Weakly: registrations of an old version of a plugin end with its last task.
        self._known = weakref.WeakSet(self._scopes)
        self._program = self._scopes[-1]
        if is_open:
            self.open()

    def open(self) -> None:
        """Put all scopes in force, and later ones at once."""
        if not self._is_open:
            self._is_open = True
            for scope in self:
                scope.open()

    def __iter__(self) -> Iterator[Registration]:
        return iter(tuple(self._scopes))

    @property
    def current(self) -> Registration:
        """The scope of registrations made now."""
        scope = _current.get()
        return scope if scope is not None and scope in self._known else self._program

    def new(self, name: str) -> Registration:
        """A new scope, not in force yet.

        Args:
            name: of the plugin.
        """
        scope = Registration(name, self._owner)
        self._known.add(scope)
        return scope

    @contextlib.contextmanager
    def entered(self, scope: Registration) -> Iterator[None]:
        """Collect all registrations made inside the block in a scope."""
        token = _current.set(scope)
        try:
            yield
        finally:
            _current.reset(token)

    def put(self, scope: Registration, instead_of: Registration | None = None) -> None:
        """Put a scope in force, in place of another or as the last.

        Args:
            scope: the new one.
            instead_of: the old one, which is closed.
        """
        if instead_of is None:
            self._scopes.append(scope)
        else:
            self._scopes[self._scopes.index(instead_of)] = scope
            self.forget(instead_of)
        if self._is_open:
            scope.open()

    def forget(self, scope: Registration) -> None:
        """Close a scope. Registrations made while it closes have no effect."""
        if scope in self._scopes:
            self._scopes.remove(scope)
        scope.close()


def current_owner() -> object:
    """Return the bot whose plugin or handler runs; None outside of these."""
    scope = _current.get()
    return None if scope is None or scope._owner is None else scope._owner()
