"""A body that goes to a file: it has its name when it is whole, and can be resumed until then.

Until it is whole a body for a path is in `NAME.part`. With `Request(resume=True)` what has come so
far is asked for no more: `NAME.part.json` keeps what the server said that identifies the version,
and the next request asks for the rest of that version (`Range` and `If-Range`, RFC 9110, 13.1.5 and
14.2). If there is another one meanwhile, the server sends all of it.

Bytes are joined only where a strong validator says that they are of one version (RFC 9110,
15.3.7): an ETag that is not weak, or else a Last-Modified so much older than the answer that
nothing can have been changed after it in the same second (8.8.2.2). The part must repeat it, begin
where the file ends, and belong to a whole of the size that is known: there are servers that do not
look at `If-Range`. (A part by Last-Modified need not repeat the date, 15.3.7.) What is not so is an
error, and the next request begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

from ..errors import ProtocolError, TooLargeError
from ..framing import unix_time
from ..request import Request
from ..secrets import safe_url
from .download import add_chunk, claim, is_replaced, part_path, release, written_files

if TYPE_CHECKING:
    from ..response import Response

__all__ = ["FileSink"]

#: Bytes of an answer that is no success, kept for the reader instead of going to a file.
_MAX_ERROR_PAGE = 16 * 2**20
_CONTENT_RANGE = re.compile(
    r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE | re.ASCII
)
_STRONG_ETAG = re.compile(r'"[!#-~\x80-\xff]*"')
#: Seconds by which a Last-Modified is older than its answer, to be of one version for sure.
_SETTLED = 60.0
_NO_CONTENT, _RESET_CONTENT, _PARTIAL, _NOT_SATISFIABLE = 204, 205, 206, 416


class Answered(Protocol):
    """The part of a transfer that a file sink uses."""

    body: list[bytes]

    def answer(self) -> Response:
        """Status and headers of the final answer."""


class _Known(NamedTuple):
    """The state of a partial file.

    Args:
        size: bytes that are there.
        validator: of the version that they are of.
        total: bytes of the whole, if the server has said so.
        encoding: the Content-Encoding of the whole.
    """

    size: int
    validator: str
    total: int | None
    encoding: str


class FileSink:
    """File for the body of one response.

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
        self._claimed: frozenset[str] = frozenset()
        #: It gets its name when it is whole.
        self._is_replaced = self._path is not None and is_replaced(self._path)
        self._asks_for_part = any(name.lower() == "range" for name, _ in request.header_pairs)
        self._known = self._look() if self._can_resume else None

    @property
    def _may_be_part(self) -> bool:
        return self._asks_for_part or self._request.prepare_curl is not None  # it may ask, too

    @property
    def _can_resume(self) -> bool:
        """A range is asked for with GET only, and not where the caller asks for another one."""
        request = self._request
        is_asked_for = request.resume and self._is_replaced and not self._asks_for_part
        return is_asked_for and request.method == "GET"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers that ask for the rest only."""
        if self._known is None:
            return ()
        return ("Range", f"bytes={self._known.size}-"), ("If-Range", self._known.validator)

    def write(self, chunk: bytes) -> None:
        """Some more of the body.

        Raises:
            OSError: it cannot be written.
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
            raise TooLargeError(
                f"{self._where}: an answer of status {status} is kept "
                f"for the reader, and has more than {_MAX_ERROR_PAGE} bytes",
                request=self._request,
            )
        if self._transfer.body:
            add_chunk(self._transfer.body, chunk)
        else:
            self._transfer.body.append(chunk)

    def finish(self, answer: Response) -> None:
        """Finish: the body is complete.

        Raises:
            OSError: it cannot be written.
            ProtocolError: it is not the part that was asked for.
        """
        if self._path is None:
            if self._file is not None:
                # It is the caller's and stays open; a disk that is full is still this link's error.
                self._file.flush()
        elif 200 <= answer.status < 300:
            if self._has_content(answer):
                # An empty body makes an empty file. Closed before it is measured: what was buffered
                # counts, and may find the disk full.
                self._opened(answer).close()
                if self._is_replaced:
                    self._check_size(answer)
                    self._take_name(self._path)
        elif answer.status == _NOT_SATISFIABLE and self._known is not None:
            # Nothing is left to ask for (RFC 9110, 15.5.17): the last run may have ended between
            # the last byte and the name.
            self._settle(answer, self._known, self._path)

    def _has_content(self, answer: Response) -> bool:
        """Else it says nothing about the file, which stays as it is; an empty one is content."""
        is_told_without = answer.status in (_NO_CONTENT, _RESET_CONTENT)
        return self._request.method != "HEAD" and not is_told_without

    def close(self) -> None:
        """Close the file; received bytes stay."""
        # First: the file may fail to close on a full disk, and would be reserved for ever.
        release(self._claimed)
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
        # Else a piece would pass for the whole file.
        if self._known is None and answer.status == _PARTIAL and not self._may_be_part:
            raise self._wrong("all of it was asked for")
        if self._file is None and not self._is_replaced:
            assert self._path is not None  # noqa: S101 - else there is a file
            self._claim(self._path)
            self._file = self._path.open("wb")
        elif self._file is None:
            assert self._path is not None  # noqa: S101 - else there is a file
            self._claim(self._path)
            if answer.status == _PARTIAL and self._known is not None:
                self._check_part(answer, self._known)
                self._file = self._part.open("ab")
            else:
                # All of it comes: `If-Range` was not met, or nobody asked for a part.
                self._known = None
                # First, so that no validator is ever beside the bytes of another version.
                self._sidecar.unlink(missing_ok=True)
                self._file = self._part.open("wb")
                self._note(answer)
        return self._file

    def _claim(self, path: Path) -> None:
        if not self._claimed:
            self._claimed = claim(*written_files(path))

    @property
    def _digest(self) -> str:
        """Mark of the URL requested first: it may be redirected to another one each time."""
        return _digest(self._request.asked_url or self._request.url)

    def _look(self) -> _Known | None:
        """The state of the partial file, if it can be resumed."""
        try:
            facts = json.loads(self._sidecar.read_text(encoding="utf-8"))
            # Another URL was saved to the same path before.
            if facts["url"] != self._digest:
                return None
            size = self._part.stat().st_size
            known = _Known(
                size, str(facts["validator"]), facts.get("total"), str(facts.get("encoding", ""))
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        # An empty part spares nothing.
        return known if size else None

    def _note(self, answer: Response) -> None:
        """Keep what identifies this version, before its first byte."""
        validator = _validator(answer, time.time())
        if self._can_resume and validator:
            facts = {
                "url": self._digest,
                "validator": validator,
                "total": _length(answer),
                "encoding": _encoding(answer),
            }
            self._sidecar.write_text(json.dumps(facts), encoding="utf-8")

    def _check_part(self, answer: Response, known: _Known) -> None:
        first, last, total = _content_range(answer)
        if first is None or last is None:
            raise self._wrong("it does not say which part it is")
        if first != known.size:
            raise self._wrong(f"it begins at {first}, not at {known.size}")
        if not self._is_same(answer, known, total):
            raise self._wrong("it is of another version, or does not say of which")
        # Without the size of the whole nobody could tell when the file is complete.
        if total is None or last >= total or known.total not in (None, total):
            raise self._wrong(f"it ends at {last} of {total}, of {known.total} before")

    @staticmethod
    def _is_same(answer: Response, known: _Known, total: int | None) -> bool:
        """Return True if the part is of the version that is known."""
        # An answer to `If-Range` had better not repeat what the first one has said, but for the
        # ETag, which it must (RFC 9110, 15.3.7). There are servers that do not look at `If-Range`:
        # where nothing is repeated the size at least must be the same.
        headers = answer.headers
        if "Content-Encoding" in headers and _encoding(answer) != known.encoding:
            return False
        is_silent = "ETag" not in headers and "Last-Modified" not in headers
        is_by_date = _name_of(known.validator) == "Last-Modified"
        may_be_silent = is_silent and is_by_date and total is not None and total == known.total
        return may_be_silent or _repeats(answer, known.validator)

    def _check_size(self, answer: Response) -> None:
        if answer.status != _PARTIAL or self._known is None:
            return
        _, last, total = _content_range(answer)
        size = self._part.stat().st_size
        # Asked of the file itself: a server may send more or less than its Content-Range says.
        if last is None or size != last + 1:
            raise self._wrong(f"it ends at {size - 1}, not at {last}")
        if size != total:  # the server may send less than was asked for
            raise ProtocolError(
                f"{self._where}: the server sent the part up to {size} of {total} bytes; send "
                "again to go on",
                request=self._request,
            )

    def _take_name(self, path: Path) -> None:
        self._part.replace(path)
        self._sidecar.unlink(missing_ok=True)

    def _settle(self, answer: Response, known: _Known, path: Path) -> None:
        """No rest is available: the file is complete, or what is there is useless."""
        total = _content_range(answer)[2]
        is_whole = known.size == total and known.total in (None, total)
        # Where the size was known before, an answer that is silent contradicts nothing.
        is_same = _repeats(answer, known.validator) or (
            known.total is not None and not _says_version(answer, known.validator)
        )
        if not is_whole or not is_same:
            raise self._wrong("none is left, but this file is not the whole of one version")
        self._take_name(path)

    @property
    def _where(self) -> str:
        return f"{self._request.method} {safe_url(self._request.url)}"

    def _wrong(self, why: str) -> ProtocolError:
        if self._is_replaced:
            # Without it the next request asks for all, and the part is overwritten.
            with contextlib.suppress(OSError):
                self._sidecar.unlink(missing_ok=True)
        return ProtocolError(
            f"{self._where}: the server sent a part that was not asked for: {why}; send again to "
            "begin anew",
            request=self._request,
        )


def _digest(url: str) -> str:
    # There may be secrets in it.
    return hashlib.sha256(url.encode()).hexdigest()


def _validator(answer: Response, now: float) -> str:
    """A strong validator of the version, for `If-Range`; "" if there is none."""
    etag = str(answer.headers.get("ETag", "")).strip()
    if etag:
        # Beside an entity tag, be it a weak one, no date may be sent (RFC 9110, 13.1.5).
        return etag if _STRONG_ETAG.fullmatch(etag) else ""
    text = str(answer.headers.get("Last-Modified", "")).strip()
    changed = unix_time(text)
    answered = unix_time(str(answer.headers.get("Date", "")))
    if answered is None:  # RFC 9110, 6.6.1: then it is the time at which it came
        answered = now
    return text if changed is not None and answered - changed >= _SETTLED else ""


def _name_of(validator: str) -> str:
    return "ETag" if validator.startswith('"') else "Last-Modified"


def _says_version(answer: Response, validator: str) -> bool:
    return _name_of(validator) in answer.headers


def _repeats(answer: Response, validator: str) -> bool:
    """Return True if the response's own validator names that version."""
    return str(answer.headers.get(_name_of(validator), "")).strip() == validator


def _encoding(answer: Response) -> str:
    return str(answer.headers.get("Content-Encoding", "")).strip().lower()


def _length(answer: Response) -> int | None:
    text = str(answer.headers.get("Content-Length", "")).strip()
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _content_range(answer: Response) -> tuple[int | None, int | None, int | None]:
    """First and last byte and size of the whole, as far as they are said."""
    match = _CONTENT_RANGE.fullmatch(str(answer.headers.get("Content-Range", "")).strip())
    if match is None:
        return None, None, None
    first, last, total = (int(text) if text and text != "*" else None for text in match.groups())
    return first, last, total
