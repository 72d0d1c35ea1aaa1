"""A body that goes to a file: it has its name when it is whole, and can be resumed until then.

Until it is whole a body for a path is in `NAME.part`. With `Request(resume=True)` what has come so
far is asked for no more: `NAME.part.json` keeps what the server said that identifies the version
(a strong ETag, or else Last-Modified), and the next request asks for the rest of that version
(`Range` and `If-Range`, RFC 9110, 13.1.5 and 14.2). If there is another one meanwhile, the server
sends all of it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from .errors import ProtocolError, TooLargeError, safe_url
from .inflow import is_replaced, part_path
from .request import Request
from .response import Response

__all__ = ["FileSink"]

#: Bytes of an answer that is no success, kept for the reader instead of going to a file.
_MAX_ERROR_PAGE = 16 * 2**20
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
#: The files that are being written.
_claimed: set[Path] = set()
_PARTIAL, _NOT_SATISFIABLE = 206, 416


class Answered(Protocol):
    """What it needs of its transfer."""

    body: list[bytes]

    def answer(self) -> Response:
        """Status and headers of the final answer."""


class _Known(NamedTuple):
    """What is known of a file that came in part."""

    size: int
    validator: str


class FileSink:
    """Where the body of one response goes.

    Args:
        request: whose `sink` is a file or path.
        transfer: that brings the body.
    """

    def __init__(self, request: Request, transfer: Answered) -> None:
        sink = request.sink
        self._request = request
        self._transfer = transfer
        self._path = Path(sink) if isinstance(sink, os.PathLike) else None
        self._file: IO[bytes] | None = None if isinstance(sink, os.PathLike) else sink  # type: ignore[assignment]
        self._answer: Response | None = None
        self._kept = 0
        self._is_claimed = False
        #: It gets its name when it is whole.
        self._is_replaced = self._path is not None and is_replaced(self._path)
        self._known = self._look() if request.resume and self._is_replaced else None

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """To ask for the rest only."""
        if self._known is None:
            return ()
        return ("Range", f"bytes={self._known.size}-"), ("If-Range", self._known.validator)

    def write(self, chunk: bytes) -> None:
        """Some more of the body.

        Raises:
            OSError: it can not be written.
            TooLargeError: it is an error page without an end.
            ProtocolError: it is not the part that was asked for.
        """
        if self._answer is None:
            self._answer = self._transfer.answer()
        status = self._answer.status
        if 200 <= status < 300:
            self._opened(self._answer).write(chunk)
            return
        self._kept += len(chunk)
        if self._kept > _MAX_ERROR_PAGE:
            request = self._request
            raise TooLargeError(
                f"{request.method} {safe_url(request.url)}: an answer of status {status} is kept "
                f"for the reader, and has more than {_MAX_ERROR_PAGE} bytes",
                request=request,
            )
        self._transfer.body.append(chunk)

    def finish(self, answer: Response) -> None:
        """All of the body has come.

        Raises:
            OSError: it can not be written.
            ProtocolError: it is not the part that was asked for.
        """
        if self._path is None:
            if self._file is not None:
                self._file.flush()
        elif 200 <= answer.status < 300:
            self._opened(answer).close()
            if self._is_replaced:
                self._check_size(answer)
                self._part.replace(self._path)
                self._sidecar.unlink(missing_ok=True)
        elif answer.status == _NOT_SATISFIABLE and self._known is not None:
            self._settle(answer)

    def close(self) -> None:
        """It has ended, one way or another; what has come stays."""
        if self._is_claimed:
            _claimed.discard(self._part)
        if self._path is not None and self._file is not None:
            self._file.close()

    # -- parts ----------------------------------------------------------------------------------

    @property
    def _part(self) -> Path:
        assert self._path is not None  # noqa: S101 - asked for paths only
        return part_path(self._path)

    @property
    def _sidecar(self) -> Path:
        return self._part.with_name(self._part.name + ".json")

    def _opened(self, answer: Response) -> IO[bytes]:
        if self._file is None and not self._is_replaced:
            assert self._path is not None  # noqa: S101 - else there is a file
            self._file = self._path.open("wb")
        elif self._file is None:
            self._claim()
            if answer.status == _PARTIAL and self._known is not None:
                self._check_part(answer, self._known)
                self._file = self._part.open("ab")
            else:
                self._note(answer)
                self._file = self._part.open("wb")
        return self._file

    def _claim(self) -> None:
        """No other link may write there meanwhile: both would come out as a mixture."""
        if self._is_claimed:
            return
        if self._part in _claimed:
            raise OSError(errno.EBUSY, "another link writes this file", str(self._part))
        _claimed.add(self._part)
        self._is_claimed = True

    def _look(self) -> _Known | None:
        """What is there of the file already, if it can be gone on with."""
        try:
            facts = json.loads(self._sidecar.read_text(encoding="utf-8"))
            if facts["url"] != _digest(self._request.url):
                return None
            size = self._part.stat().st_size
            return _Known(size, str(facts["validator"])) if size else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _note(self, answer: Response) -> None:
        """Keep what identifies this version, before its first byte."""
        self._sidecar.unlink(missing_ok=True)
        validator = _validator(answer)
        if self._request.resume and validator:
            facts = {"url": _digest(self._request.url), "validator": validator}
            self._sidecar.write_text(json.dumps(facts), encoding="utf-8")

    def _check_part(self, answer: Response, known: _Known) -> None:
        start, _ = _content_range(answer)
        if start != known.size:
            raise self._wrong(f"it begins at {start}, not at {known.size}")
        # There are servers that do not look at If-Range.
        name = "ETag" if known.validator.startswith('"') else "Last-Modified"
        said = str(answer.headers.get(name, known.validator)).removeprefix("W/")
        if said != known.validator:
            raise self._wrong("it is of another version")

    def _check_size(self, answer: Response) -> None:
        if answer.status != _PARTIAL or self._known is None:
            return
        _, total = _content_range(answer)
        size = self._part.stat().st_size
        if total is not None and size != total:
            raise self._wrong(f"the file has {size} bytes then, not {total}")

    def _settle(self, answer: Response) -> None:
        """There is no rest to be had: either all is there, or what is there is worth nothing."""
        _, total = _content_range(answer)
        if self._known is not None and total == self._known.size and self._path is not None:
            self._part.replace(self._path)
            self._sidecar.unlink(missing_ok=True)
        else:
            self._forget()

    def _wrong(self, why: str) -> ProtocolError:
        self._forget()
        request = self._request
        return ProtocolError(
            f"{request.method} {safe_url(request.url)}: the server sent a part that was not asked "
            f"for: {why}; send again to begin anew",
            request=request,
        )

    def _forget(self) -> None:
        with contextlib.suppress(OSError):
            self._sidecar.unlink(missing_ok=True)


def _digest(url: str) -> str:
    # There may be secrets in it.
    return hashlib.sha256(url.encode()).hexdigest()


def _validator(answer: Response) -> str:
    """What `If-Range` takes: no weak ETag."""
    etag = str(answer.headers.get("ETag", ""))
    if etag:
        return "" if etag.startswith("W/") else etag
    return str(answer.headers.get("Last-Modified", ""))


def _content_range(answer: Response) -> tuple[int | None, int | None]:
    """First byte and size of the whole, as far as they are said."""
    match = _CONTENT_RANGE.fullmatch(str(answer.headers.get("Content-Range", "")))
    if match is None:
        return None, None
    start, total = match.groups()
    return int(start) if start else None, None if total == "*" else int(total)
