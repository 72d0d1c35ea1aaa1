"""Fetch a paged list into a file of JSON lines.

    Sync("http://example.org/api/items", "items.jsonl").run()

An example of the engine: one chain, in which the reader of each page returns the next page's link;
the flow's policy retries failures. A mark beside the incomplete file, replaced in one step after
each page, shows where to resume: however the process ends, no item is lost or doubled.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.errors import ProtocolError, StreamError
from ..engine.limits import Limits
from ..engine.links import Link
from ..engine.request import Request
from ..engine.response import Response
from ..engine.secrets import safe_url
from ..engine.transport.download import is_replaced, part_path
from ..engine.urls import join_url
from ..files import read_json, reason, replaced_file
from ..retry import Retry
from .flow import Flow, Report
from .linkheader import HeaderLink, parse_links

__all__ = ["Sync"]


class _Mark(NamedTuple):
    """The point at which an interrupted sync resumes.

    Args:
        of: first URL and the two keys.
        url: of the page after the last written one.
        pages: written.
        items: written.
        size: bytes of the file so far.
    """

    of: list[str]
    url: str
    pages: int
    items: int
    size: int


class Sync(Flow):
    """A list in pages, whose items go into one file.

    A page is JSON: a list, or an object with the list under `items`. The next page is the target of
    the `Link` header with rel="next" (RFC 8288), or the URL under `following`; it may be relative.
    The file gets its name after the last page. An interrupted sync of the same list into the same
    file resumes after its last page, unless the file is a pipe or a device.

    Args:
        url: of the first page.
        path: of the file, one item a line.
        items: key of the list in a page.
        following: key of the next page's URL.
        spacing: minimum seconds between two pages.
        resume: False starts over.
        arguments: of `Flow`.

    Attributes:
        pages: so far, with those of a resumed sync.
        items_written: likewise.
        is_resumed: whether it resumed an interrupted sync.

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
        resume: bool = True,
        **arguments: Any,
    ) -> None:
        arguments.setdefault("retry", Retry())
        super().__init__(limits=Limits(spacing=spacing), **arguments)
        self._first = Request(url)
        self._path = Path(path)
        is_file = is_replaced(self._path)
        self._part = part_path(self._path) if is_file else self._path
        self._bookmark = self._part.with_name(self._part.name + ".next") if is_file else None
        self._items = items
        self._following = following
        self._resumes = resume
        self._seen: set[str] = set()
        self.is_resumed = False
        # Of a run with the same journal: pages and items so far, bytes of the file, and its end.
        kept = self.state.get("sync", (0, 0, None, False))
        self.pages, self.items_written, self._size, self._is_whole = kept
        self.done = self.items_written

    def begin(self) -> Iterator[Link]:
        """The first page, or that after the last written one."""
        with _told(self._part):
            mark = self._mark() if self._resumes else None
            self._part.parent.mkdir(parents=True, exist_ok=True)
            if mark is None:
                self._forget_mark()
                self._part.write_bytes(b"")
            else:
                os.truncate(self._part, mark.size)
        url = self._first.url if mark is None else self._go_on(mark)
        self._keep(is_whole=False)
        yield self._link(url)

    def _go_on(self, mark: _Mark) -> str:
        self.is_resumed = True
        self.pages, self.items_written = mark.pages, mark.items
        self.done = mark.items
        shown = safe_url(mark.url)
        self.tell(
            f"goes on after {mark.pages} pages with {mark.items} items: {shown}",
            **{"event": "resumed", "pages": mark.pages, "items": mark.items, "url": shown},
        )
        return mark.url

    @property
    def _of_what(self) -> list[str]:
        return [self._first.url, self._items, self._following]

    def _mark(self) -> _Mark | None:
        """The point at which an earlier sync of the same list was interrupted."""
        if self._bookmark is None:
            return None
        try:
            mark = _Mark(**read_json(self._bookmark))
            is_good = mark.of == self._of_what and 0 <= mark.size <= self._part.stat().st_size
            return mark if is_good and Request(mark.url) else None
        except (OSError, ValueError, TypeError):
            return None  # missing or damaged: start over

    def _set_mark(self, url: str) -> None:
        if self._bookmark is None:
            return
        size = self._part.stat().st_size
        mark = _Mark(self._of_what, url, self.pages, self.items_written, size)
        with replaced_file(self._bookmark) as file:  # private: URLs may contain tokens
            json.dump(mark._asdict(), file)

    def _forget_mark(self) -> None:
        if self._bookmark is not None:
            self._bookmark.unlink(missing_ok=True)

    def _link(self, url: str) -> Link:
        if url in self._seen:
            self._forget_mark()
            raise ProtocolError(f"the pages lead in a circle, back to {safe_url(url)}")
        self._seen.add(url)
        return url, self._read

    def _read(self, response: Response) -> Link:
        if response.status != 200:
            raise ProtocolError(
                f"{safe_url(response.url)}: status {response.status}, no page{self._hint}"
            )
        document = _document(response)
        items = document.get(self._items) if isinstance(document, dict) else document
        if not isinstance(items, list):
            raise ProtocolError(f"{safe_url(response.url)}: there is no list at {self._items!r}")
        following = self._next_url(response, document)
        with _told(self._part):
            self._cut_what_was_redone()
            self._write(items)
            self.pages += 1
            self.done = self.items_written = self.items_written + len(items)
            self._keep(is_whole=following is None)
            if following is not None:
                self._set_mark(following)
                return self._link(following)
            if self._part != self._path:
                self._part.replace(self._path)
            self._forget_mark()
        self._is_whole = True
        return None

    def _cut_what_was_redone(self) -> None:
        """Take back what a page has written whose link is read again, as the journal says."""
        if self._size is None or self._bookmark is None:
            return
        if not self._part.exists() and self._path.exists():  # it was the last page
            self._path.replace(self._part)
        os.truncate(self._part, self._size)

    def _keep(self, *, is_whole: bool) -> None:
        if self.journal is not None and self._bookmark is not None:
            self._size = self._part.stat().st_size
            self.state["sync"] = [self.pages, self.items_written, self._size, is_whole]

    def _write(self, items: list[Any]) -> None:
        # A lone surrogate, which UTF-8 lacks, stays escaped.
        with self._part.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in items)

    @property
    def _hint(self) -> str:
        """A hint at the mistake in the first page's request."""
        if not self.is_resumed or len(self._seen) > 1:
            return ""
        return "; an earlier sync was to go on there: resume=False (--restart) begins anew"

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
        """Pages, items, and the file."""
        where = self._path if self._is_whole else self._part
        row = (str(self.pages), str(self.items_written), str(where))
        values = {"pages": self.pages, "items": self.items_written, "file": str(where)}
        values["is_whole"] = self._is_whole
        return Report(("pages", "items", "file"), [row], self._is_whole, [values])


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Convert errors of the disk to errors of the flow."""
    try:
        yield
    except OSError as error:
        is_path = isinstance(error, (FileExistsError, NotADirectoryError))
        why = "a part of its path is no folder" if is_path else reason(error)
        raise StreamError(f"{path} cannot be written: {why}") from error


def _is_next(link: HeaderLink, response: Response) -> bool:
    if "next" not in link.relations:
        return False
    # A link with an anchor is that resource's link.
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
