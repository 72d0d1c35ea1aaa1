"""The page's search for messages."""

from __future__ import annotations

from ...protocol.fields import MOST_SAFE
from .api import PageHandler
from .views import message_view

__all__ = ["ROUTES"]

#: Messages of one response at most.
MOST_FOUND = 50


class SearchHandler(PageHandler):
    """Searches messages by their words."""

    def get(self) -> None:
        """Search the user's threads, newest first; `before` continues the search, or is null.

        A response may have fewer messages than the limit, or none, although older ones follow: each
        search is bounded in time, so that it does not delay other requests.
        """
        me, query = self.me(), self.query()
        before, limit = query.get("before", MOST_SAFE), min(query.get("limit", 30), MOST_FOUND)
        messages, rest = self.server.storage.messages.search(
            me.number, query["text"], before, limit
        )
        views = [message_view(self.server, me.number, message) for message in messages]
        self.write({"messages": views, "before": rest})


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = ((r"/page/search", SearchHandler),)
