"""Fetch a list that comes in pages into a file of JSON lines.

    Sync("http://example.org/api/items", "items.jsonl").run()

An example of the engine: one chain, each page's reader returns the next page's link; what fails is
tried again by the flow's policy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..engine.chain import Link
from ..engine.errors import ProtocolError, StreamError, safe_url
from ..engine.inflow import is_replaced, part_path
from ..engine.limits import Limits
from ..engine.request import Request
from ..engine.response import Response
from ..engine.urls import join_url
from ..retry import Retry
from .linkheader import HeaderLink, parse_links
from .ready import ReadyFlow, Report

__all__ = ["Sync"]


class Sync(ReadyFlow):
    """All items of a list in pages.

    A page is JSON: a list, or an object with the list under `items`. The next page is where the
    `Link` header's rel="next" leads (RFC 8288), or the URL under `following`; relative ones will
    do. The file gets its name when the last page is in it.

    Args:
        url: of the first page.
        path: of the file, one item a line.
        items: key of the list in a page.
        following: key of the next page's URL.
        spacing: seconds at least from one page to the next.
        arguments: of `ReadyFlow`.

    Attributes:
        pages: so far.
        items_written: so far.

    Example:
        >>> Sync("http://example.org/api/items", "items.jsonl").run()
    """

    def __init__(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        items: str = "items",
        following: str = "next",
        spacing: float = 0.0,
        **arguments: Any,
    ) -> None:
        arguments.setdefault("retry", Retry())
        super().__init__(limits=Limits(spacing=spacing), **arguments)
        self._first = Request(url)
        self._path = Path(path)
        self._part = part_path(self._path) if is_replaced(self._path) else self._path
        self._items = items
        self._following = following
        self._seen: set[str] = set()
        self._is_whole = False
        self.pages = self.items_written = 0

    def begin(self) -> Iterator[Link]:
        """The first page."""
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._part.write_bytes(b"")
        except OSError as error:
            raise StreamError(f"{self._part} can not be written: {error.strerror}") from error
        yield self._link(self._first.url)

    def _link(self, url: str) -> Link:
        if url in self._seen:
            raise ProtocolError(f"the pages lead in a circle, back to {safe_url(url)}")
        self._seen.add(url)
        return url, self._read

    def _read(self, response: Response) -> Link:
        if response.status != 200:
            raise ProtocolError(f"{safe_url(response.url)}: status {response.status}, no page")
        document = _document(response)
        items = document.get(self._items) if isinstance(document, dict) else document
        if not isinstance(items, list):
            raise ProtocolError(f"{safe_url(response.url)}: there is no list at {self._items!r}")
        # Half a character, which UTF-8 has not, stays escaped as it was.
        with self._part.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        self.pages += 1
        self.items_written += len(items)
        self.done = self.items_written
        following = self._next_url(response, document)
        if following is not None:
            return self._link(following)
        if self._part != self._path:
            self._part.replace(self._path)
        self._is_whole = True
        return None

    def _next_url(self, response: Response, document: Any) -> str | None:
        links = parse_links(response.headers.get_all("Link", []))
        url: Any = next((link.target for link in links if _is_next(link, response)), None)
        if url is None and isinstance(document, dict):
            url = document.get(self._following) or None
        if url is None:
            return None
        if not isinstance(url, str):
            raise ProtocolError(f"{safe_url(response.url)}: {self._following!r} is no URL: {url!r}")
        return _seen_from(response, url)

    def report(self) -> Report:
        """Pages, items, and where they are."""
        where = self._path if self._is_whole else self._part
        row = (str(self.pages), str(self.items_written), str(where))
        return Report(("pages", "items", "file"), [row], self._is_whole)


def _is_next(link: HeaderLink, response: Response) -> bool:
    if "next" not in link.relations:
        return False
    # One with an anchor is a link of that to the target.
    return link.anchor is None or _seen_from(response, link.anchor) == _seen_from(response, "")


def _seen_from(response: Response, url: str) -> str:
    try:
        return join_url(response.url, url).partition("#")[0]
    except ValueError as error:
        raise ProtocolError(f"{safe_url(response.url)}: the next page: {error}") from None


def _document(response: Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise ProtocolError(f"{safe_url(response.url)}: this page is not JSON ({error})") from None
