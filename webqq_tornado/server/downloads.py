"""Answers that are stored files: no browser takes one for a page, or runs it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from .handlers import Handler
from .storage.files import file_name
from .storage.rows import FileRow

__all__ = ["write_file"]

#: Bytes that are read and written at once.
_PIECE = 256 * 1024


async def write_file(handler: Handler, row: FileRow, path: Path) -> None:
    """Answer with a file that no browser takes for a page.

    Args:
        handler: of the request; its argument `name` is the name to save it under.
        row: what is known of it.
        path: where its bytes are.
    """
    is_small = path.name != row.name
    with open(path, "rb") as file:  # noqa: ASYNC230 - local, and read in pieces
        handler.set_header("Content-Type", _kind_of(file.read(12)) if is_small else row.type)
        file.seek(0)
        handler.set_header("Content-Length", str(os.fstat(file.fileno()).st_size))
        handler.set_header("Cache-Control", "private, max-age=31536000, immutable")
        handler.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        if not row.is_picture:
            name = file_name(handler.get_query_argument("name", row.name))
            where = f"attachment; filename*=UTF-8''{quote(name)}"
            handler.set_header("Content-Disposition", where)
        if handler.request.method == "HEAD":
            return
        while piece := file.read(_PIECE):
            handler.write(piece)
            await handler.flush()


def _kind_of(head: bytes) -> str:
    return "image/webp" if head[8:12] == b"WEBP" else "image/jpeg"
