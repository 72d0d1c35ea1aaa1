"""Files of messages: the page uploads them, and anyone with an address downloads them.

An address contains the hash of the bytes, which nobody can guess: bots and old clients download
pictures without signing in, as they did from QQ.
"""

from __future__ import annotations

from tornado.web import stream_request_body

from ..downloads import write_file
from ..handlers import Handler, LargeBody
from ..storage import TooLarge
from ..storage.files import MAX_FILE, file_name
from .api import PageHandler, refuse, sentence

__all__ = ["ROUTES"]


@stream_request_body
class UploadHandler(LargeBody, PageHandler):
    """Stores a file."""

    largest = MAX_FILE

    def check_before_body(self) -> None:
        """Refuse requests without a session, and those of other pages."""
        self.me()
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.is_own(origin):
            refuse(403, "Requests from other pages are refused")
        self.fields = self.query()

    def post(self) -> None:
        """Store the body; return the file's name, size and address."""
        name = file_name(self.fields.get("name", ""))
        try:
            row = self.server.storage.files.add(self.received, name)
        except TooLarge as error:
            refuse(413, sentence(error))
        except ValueError as error:
            refuse(400, sentence(error))
        self.write(
            {
                "file": row.name,
                "name": name,
                "size": row.size,
                "width": row.width,
                "height": row.height,
                "url": f"/files/{row.name}",
            }
        )


class FileHandler(Handler):
    """A stored file."""

    async def get(self, name: str) -> None:
        """Return its bytes, or with `thumb=1` a thumbnail."""
        files = self.server.storage.files
        row = files.get(name)
        path = files.path(name) if row else None
        if row is None or path is None:
            refuse(404, "There is no such file")
        wants_thumbnail = row.is_picture and self.get_query_argument("thumb", "") == "1"
        await write_file(self, row, (files.thumbnail(row) if wants_thumbnail else None) or path)

    head = get


ROUTES: tuple[tuple[str, type[Handler]], ...] = (
    (r"/page/files", UploadHandler),
    (r"/files/([0-9a-f]{64}\.[a-z0-9]{1,8})", FileHandler),
)
