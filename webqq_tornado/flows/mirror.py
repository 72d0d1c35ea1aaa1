"""Keep copies of files: fetch new and changed ones, resume interrupted downloads.

    Mirror(["http://example.org/a.iso"], "copies").run()

An example of the engine: a lazily consumed generator of links, bodies that go to files, limits
for each host.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ..engine.errors import StreamError
from ..engine.framing import unix_time
from ..engine.limits import Limits
from ..engine.links import Link, Next
from ..engine.request import Request
from ..engine.response import Response
from ..engine.secrets import safe_url
from ..engine.transport.callbacks import Progress
from ..retry import Retry
from .flow import Flow, Report

__all__ = ["Mirror", "path_of"]

_NOT_MODIFIED, _NOT_SATISFIABLE = 304, 416


class Mirror(Flow):
    """Copies of files in a folder, by host and path.

    An existing copy is requested with `If-Modified-Since`; interrupted downloads resume.

    Args:
        urls: of the files.
        folder: of the copies.
        per_host: concurrent downloads from one host.
        timeout: seconds without a byte after which a download fails; None: 60.
        arguments: of `Flow`.

    Attributes:
        fetched, unchanged: numbers of files.
        missed: failed URLs with the reasons.
        received: bytes.

    Example:
        >>> Mirror(["http://example.org/a.iso"], "copies").run()
    """

    def __init__(
        self,
        urls: Iterable[str],
        folder: str | os.PathLike[str],
        *,
        per_host: int = 4,
        timeout: float | None = None,
        **arguments: Any,
    ) -> None:
        arguments.setdefault("retry", Retry())
        super().__init__(limits=Limits(per_host=per_host), **arguments)
        self._urls = list(dict.fromkeys(urls))
        self._folder = Path(folder)
        self._timeout = timeout
        self._received: dict[str, int] = {}
        kept = self.state.get("mirror", {})  # of a run with the same journal
        self.fetched, self.unchanged = kept.get("fetched", 0), kept.get("unchanged", 0)
        self.missed: dict[str, str] = dict(kept.get("missed", {}))
        self.done = kept.get("done", 0)
        self.total = len(self._urls)

    @property
    def received(self) -> int:
        """Bytes so far."""
        return sum(self._received.values())

    _begins_by_keys = True

    def begin(self) -> Iterator[Link]:
        """A chain for each file."""
        for url in self._urls:
            try:
                link = self._link(url)
            except (ValueError, OSError) as error:  # an invalid URL, or one whose copy has no place
                self._failed(url, error)
            else:
                yield link

    def _link(self, url: str) -> Next:
        path = self._folder / path_of(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        request = Request(
            url,
            headers=_condition(path),
            sink=path,
            resume=True,
            idle_timeout=self._timeout,
            on_progress=functools.partial(self._on_progress, url),
        )
        read = functools.partial(self._saved, path)
        return Next(request, read, errback=functools.partial(self._failed, url), key=url)

    def _on_progress(self, url: str, progress: Progress) -> None:
        self._received[url] = progress.received

    def _saved(self, path: Path, response: Response) -> None:
        url = response.request.url
        if response.status == _NOT_MODIFIED:
            self.unchanged += 1
        elif response.status < 300 or (response.status == _NOT_SATISFIABLE and path.exists()):
            self.fetched += 1
            size = path.stat().st_size
            self.tell(
                f"{path}  {size:,} bytes",
                event="fetched",
                url=safe_url(url),
                path=str(path),
                bytes=size,
            )
            _set_time(path, response)
        else:
            self._miss(url, f"status {response.status}")
        self._count()

    def _failed(self, url: str, error: Exception) -> None:
        if not isinstance(error, (StreamError, OSError, ValueError)):
            raise error
        self._miss(url, getattr(error, "message", str(error)))
        self._count()

    def _count(self) -> None:
        self.done += 1
        if self.journal is not None:
            self.state["mirror"] = {
                "fetched": self.fetched,
                "unchanged": self.unchanged,
                "missed": dict(self.missed),
                "done": self.done,
            }

    def _miss(self, url: str, why: str) -> None:
        self.missed[url] = why
        shown = safe_url(url)
        self.tell(f"missed {shown}: {why}", event="missed", url=shown, cause=why)

    def describe(self) -> str:
        """Bytes received so far."""
        megabytes = self.received / 1e6
        return f"Mirror: {megabytes:,.1f} MB, {len(self.missed)} missed"

    def report(self) -> Report:
        """Numbers of files, and bytes."""
        columns = ("files", "fetched", "unchanged", "missed", "bytes")
        numbers = (self.total or 0, self.fetched, self.unchanged, len(self.missed), self.received)
        is_good = not self.missed and self.done == self.total
        rows = [tuple(f"{number:,}" for number in numbers)]
        return Report(columns, rows, is_good, [dict(zip(columns, numbers, strict=True))])


def path_of(url: str) -> Path:
    """Path of a URL's copy, inside the folder.

    Args:
        url: absolute.

    Example:
        >>> str(path_of("http://example.org/a/b?c=1"))
        'example.org/a/b@c=1'
    """
    parts = urlsplit(url)
    names = [_safe(unquote(name)) for name in parts.path.split("/") if name]
    if not names or parts.path.endswith("/"):
        names.append("index.html")
    if parts.query:
        names[-1] += "@" + quote(parts.query, safe="=&")
    return Path(_safe(parts.netloc.rpartition("@")[2]), *names)


def _safe(name: str) -> str:
    kept = "".join("_" if character in '/\\:*?"<>|\0' else character for character in name)
    return kept.replace(".", "_") if set(kept) <= {"."} else kept


def _condition(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    changed = path.stat().st_mtime
    return {"If-Modified-Since": email.utils.formatdate(changed, usegmt=True)}


def _set_time(path: Path, response: Response) -> None:
    """Set the copy's time to the original's: the next run asks for changes since then."""
    changed = unix_time(str(response.headers.get("Last-Modified", "")))
    if changed is not None:
        # Some file systems cannot store the year 9999.
        with contextlib.suppress(OSError, OverflowError):
            os.utime(path, (changed, changed))
