"""Upkeep of an open session besides its polls: heartbeats and fresh contacts."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Protocol

from ..engine.chain import Chain
from ..engine.errors import StreamError
from ..engine.links import Errback, Link, Next
from ..engine.response import Response
from ..protocol import forms, webqq3
from ..protocol.dialect import Dialect
from ..protocol.endpoints import Endpoints
from ..protocol.models.login import Session
from .contacts import Contacts
from .contacts_fetch import ContactsFetch

__all__ = ["Keepalive"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Seconds between heartbeats, and between fetches of the contacts (pual_bot 2013).
HEARTBEAT_SECONDS, CONTACTS_SECONDS = 60.0, 300.0


class OnlineClient(Protocol):
    """The part of a client that its upkeep uses."""

    name: str
    endpoints: Endpoints
    dialect: Dialect
    session: Session | None

    def add_chain(self, first: Next, name: str, errback: Errback | None = None) -> Chain:
        """Start a chain in the account's name."""

    def fetch(self, then: Callable[[Contacts], Link]) -> ContactsFetch:
        """A fetch of the contacts in the open session."""

    def know(self, contacts: Contacts) -> None:
        """Replace the contacts."""

    def check_poll(self) -> None:
        """The server could not be reached for a while."""


class Keepalive:
    """The chains *heartbeat* and *contacts*.

    Args:
        client: whose session it is.
    """

    def __init__(self, client: OnlineClient) -> None:
        self._client = client
        self._is_refreshing = self._is_stale = False
        self._had_trouble = False  # with the network, since the last heartbeat that was answered
        self._beats = 0

    def start(self) -> None:
        """The session is open."""
        if self._client.dialect.heartbeat is not None:
            first = self._heartbeat(_first_of(HEARTBEAT_SECONDS))
            self._client.add_chain(first, "heartbeat", self._on_heartbeat_error)
        first = self._contacts(_first_of(CONTACTS_SECONDS))
        self._client.add_chain(first, "contacts", self._on_contacts_error)

    def stop(self) -> None:
        """The session is gone, and all its chains."""
        self._is_refreshing = self._is_stale = self._had_trouble = False

    def refresh_contacts(self) -> None:
        """Fetch them now, and once more if they change meanwhile."""
        self._is_stale = True
        if not self._is_refreshing and self._client.session is not None:
            self._is_refreshing, self._is_stale = True, False
            first = self._client.fetch(self._on_refreshed).first()
            self._client.add_chain(first, "refresh contacts", self._on_not_refreshed)

    def _on_refreshed(self, contacts: Contacts) -> Link:
        self._client.know(contacts)
        self._is_refreshing = False
        if self._is_stale:
            self.refresh_contacts()
        return None

    def _on_not_refreshed(self, error: Exception) -> Link:
        self._is_refreshing = False
        logger.debug("%s: contacts stay as they are: %s", self._client.name, error)
        return None

    def _contacts(self, delay: float | None = None) -> Next:
        return self._client.fetch(self._on_contacts).first(delay or CONTACTS_SECONDS)

    def _on_contacts(self, contacts: Contacts) -> Link:
        self._client.know(contacts)
        return self._contacts()

    def _on_contacts_error(self, error: Exception) -> Link:
        logger.debug("%s: contacts stay as they are: %s", self._client.name, error)
        return self._contacts()

    def _heartbeat(self, delay: float | None = None) -> Next:
        self._beats += 1
        form = forms.HeartbeatForm(self._beats, int(time.time() * 1000))
        request = webqq3.HEARTBEAT.request(self._client.endpoints, form)  # of that dialect alone
        return Next(request, self._on_heartbeat, delay or HEARTBEAT_SECONDS)

    def _on_heartbeat(self, _response: Response) -> Link:
        if self._had_trouble:
            self._client.check_poll()
        self._had_trouble = False
        return self._heartbeat()

    def _on_heartbeat_error(self, error: Exception) -> Link:
        logger.debug("%s: heartbeat: %s", self._client.name, error)
        self._had_trouble |= isinstance(error, StreamError)
        return self._heartbeat()  # whether one is online is for poll to say


def _first_of(period: float) -> float:
    """Sooner than the later ones: accounts that log in together go on at times of their own."""
    return period * random.uniform(0.2, 1)  # noqa: S311 - no secret
