"""The page looks for messages."""

from __future__ import annotations

from ...protocol.fields import MOST_SAFE
from .api import PageHandler
from .views import message_view

__all__ = ["ROUTES"]

#: Messages found that a page gets at once.
MOST_FOUND = 50


class SearchHandler(PageHandler):
    """Messages by their words."""

    def get(self) -> None:
        """Search the user's threads, newest first; `before` continues the search, or is null.

        There may be fewer than asked for, or none, though older ones follow: an answer is as long
        as the server can look without holding up others.
        """
        me, query = self.me(), self.query()
        before, limit = query.get("before", MOST_SAFE), min(query.get("limit", 30), MOST_FOUND)
        messages, rest = self.server.storage.messages.search(
            me.number, query["text"], before, limit
        )
        views = [message_view(self.server, me.number, message) for message in messages]
        self.write({"messages": views, "before": rest})


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = ((r"/page/search", SearchHandler),)
