"""Chains that keep a session alive beside its polls: heartbeats and fresh contacts."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from ..engine.errors import StreamError
from ..engine.links import Link, Next
from ..engine.response import Response
from ..protocol import forms, webqq3
from .contacts import Contacts
from .contacts_fetch import ContactsFetch
from .context import ClientContext
from .directory import Directory

__all__ = ["Keepalive"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Seconds between heartbeats, and between fetches of the contacts (pual_bot 2013).
HEARTBEAT_SECONDS, CONTACTS_SECONDS = 60.0, 300.0


class Keepalive:
    """The chains *heartbeat* and *contacts*.

    Args:
        context: of the client.
        directory: gets the contacts.
    """

    def __init__(self, context: ClientContext, directory: Directory) -> None:
        self._context = context
        self._directory = directory
        self._is_refreshing = self._is_stale = False
        self._had_trouble = False  # of the network, since the last heartbeat with an answer
        self._beats = 0

    def start(self) -> None:
        """Start both chains in an open session."""
        if self._context.connection.dialect.heartbeat is not None:
            first = self._heartbeat(_first_of(HEARTBEAT_SECONDS))
            self._context.add_chain(first, "heartbeat", self._on_heartbeat_error)
        first = self._contacts(_first_of(CONTACTS_SECONDS))
        self._context.add_chain(first, "contacts", self._on_contacts_error)

    def stop(self) -> None:
        """Note that the session has ended, and all its chains."""
        self._is_refreshing = self._is_stale = self._had_trouble = False

    def refresh_contacts(self) -> None:
        """Fetch the contacts now, and once more if they change meanwhile."""
        self._is_stale = True
        if not self._is_refreshing and self._context.connection.session is not None:
            self._is_refreshing, self._is_stale = True, False
            first = self._fetch(self._on_refreshed)
            self._context.add_chain(first, "refresh contacts", self._on_not_refreshed)

    def _fetch(self, then: Callable[[Contacts], Link], delay: float = 0) -> Next:
        return ContactsFetch(self._context.connection, self._context.account, then).first(delay)

    def _on_refreshed(self, contacts: Contacts) -> Link:
        self._directory.update(contacts)
        self._is_refreshing = False
        if self._is_stale:
            self.refresh_contacts()
        return None

    def _on_not_refreshed(self, error: Exception) -> Link:
        self._is_refreshing = False
        logger.debug("%s: the contacts were not refreshed: %s", self._context.name, error)
        return None

    def _contacts(self, delay: float | None = None) -> Next:
        return self._fetch(self._on_contacts, delay or CONTACTS_SECONDS)

    def _on_contacts(self, contacts: Contacts) -> Link:
        self._directory.update(contacts)
        return self._contacts()

    def _on_contacts_error(self, error: Exception) -> Link:
        logger.debug("%s: the contacts were not refreshed: %s", self._context.name, error)
        return self._contacts()

    def _heartbeat(self, delay: float | None = None) -> Next:
        self._beats += 1
        form = forms.HeartbeatForm(self._beats, int(time.time() * 1000))
        request = self._context.connection.request(webqq3.HEARTBEAT, form)  # SmartQQ has none
        return Next(request, self._on_heartbeat, delay or HEARTBEAT_SECONDS)

    def _on_heartbeat(self, _response: Response) -> Link:
        if self._had_trouble:
            self._context.report_reachable()
        self._had_trouble = False
        return self._heartbeat()

    def _on_heartbeat_error(self, error: Exception) -> Link:
        logger.debug("%s: heartbeat: %s", self._context.name, error)
        self._had_trouble |= isinstance(error, StreamError)
        return self._heartbeat()  # only poll decides that the session is lost


def _first_of(period: float) -> float:
    """Seconds to the first run: a random part, so that accounts that log in together spread out."""
    return period * random.uniform(0.2, 1)  # noqa: S311 - no secret
