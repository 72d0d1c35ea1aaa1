"""Links as rows of a journal, and rows as links."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Any

from ..journal.codec import pack, unpack
from ..journal.errors import JournalError
from ..journal.records import ChainRow, Failed
from .chain import Chain
from .errors import LinkError
from .kept_readers import KeptReader, Readers
from .kept_records import KeptMark, Record
from .kept_requests import IdempotencyKeys, KeptRequest, kept_request, restored_request
from .keys import mark_of
from .links import Next, described
from .request import Request
from .session import Session

if TYPE_CHECKING:
    from ..journal.sqlite import Journal
    from .stream import HTTPStream

__all__ = ["Rows", "failure_of", "storable"]

_NO_READER = KeptReader("")


class Rows:
    """Rows of the links of one stream.

    Args:
        stream: whose links, readers and sessions.
        readers: their names.
        keys: that tell a POST that is sent again from another one.
    """

    def __init__(self, stream: HTTPStream, readers: Readers, keys: IdempotencyKeys) -> None:
        self._stream = stream
        self._readers = readers
        self._keys = keys

    def plain(self, request: Any) -> Request:
        """Return the request without what we have added to it.

        Args:
            request: of a link.
        """
        # What the session adds comes from code: it may be secret, and be another one next time.
        given = request if request.defaulted is None else request.defaulted[2]
        return self._keys.removed(given)

    def row(self, record: Record, chain: Chain, link: Next, plain: Request) -> ChainRow:
        """Return the row of a chain with its next link.

        Args:
            record: of the chain.
            chain: whose link.
            link: checked.
            plain: its request, see `plain`.

        Raises:
            LinkError: something of it cannot be kept.
        """
        kept = kept_request(plain, self._readers)
        reader = self._reader(link)
        # None leaves that of the link before, False is none.
        errback = chain._errback if link.errback is None else link.errback or None
        failing = _NO_READER if errback is None else self._readers.kept(errback, "errback")
        old = record.row
        return ChainRow(
            record.id,
            record.step,
            # That of the first link for good: commands know the chain by it.
            storable(link.name or chain._name) if old is None else old.name,
            # A draft has its key here until its reader has returned, and only then is it followed.
            None if link.key is None else mark_of(link.key),
            kept.url,
            kept.rest,
            kept.body,
            reader.spec or None,
            reader.args,
            failing.spec or None,
            failing.args,
            self._data(link),
            self._session_name(link.session or chain.session),
            self._priority(chain._priority if link.priority is None else link.priority),
            # The wall clock: the loop's own says nothing to the next process.
            time.time() + link.delay if link.delay else None,
            link.delay or None,
            None if old is None else old.deadline,
        )

    def has_same_args(self, function: Any, args: str | None) -> bool:
        """Return True if a row would have these arguments of a reader now.

        Args:
            function: the reader.
            args: text of the row.
        """
        if args is None:
            return True
        try:
            return self._readers.kept(function).args == args
        except LinkError:  # what they hold now cannot be kept: whoever makes the row says so
            return False

    def _reader(self, link: Next) -> KeptReader:
        if link.readback is None:
            return _NO_READER
        kept = self._readers.kept(link.readback)
        if not link.data:
            return kept
        # The names are a part of the shape that is compared with the code at the next start.
        names = ",".join(sorted(link.data))
        spec = kept.spec[:-1] + "," if kept.spec.endswith(")") else kept.spec + "("
        return kept._replace(spec=f"{spec}{names})")

    @staticmethod
    def _priority(priority: int) -> int:
        if not -(2**63) <= priority < 2**63:
            raise LinkError(
                f"priority {priority} cannot be kept in the journal, whose numbers have 64 bits"
            )
        return priority

    @staticmethod
    def _data(link: Next) -> str | None:
        if not link.data:
            return None
        try:
            return pack(dict(link.data))
        except (TypeError, ValueError) as error:
            name = next((n for n, one in link.data.items() if not _packs(one)), "")
            raise LinkError(
                f"data[{name!r}] for the reader {described(link.readback)} cannot be kept in the "
                f"journal: {error}: give JSON values (or bytes, dates, paths, tuples)"
            ) from None

    def _session_name(self, session: Session) -> str:
        # The next run has its name alone, by which it is to find one of its own.
        if session.name and self._stream._sessions.get(session.name) is not session:
            raise LinkError(
                f"session {session.name!r} cannot be kept in the journal: it is none that "
                "HTTPStream.session of this stream gave"
            )
        return session.name

    def check_readers(self, journal: Journal) -> None:
        """Look up all readers that chains wait for.

        Args:
            journal: that they are in.

        Raises:
            JournalError: some are gone, or take other arguments; names each, and the remedy.
        """
        # All of them before the first request, and in one message: each is a line to be written.
        problems = [
            f"{count} chain{'s' * (count > 1)} wait{'s' * (count == 1)} for {problem}"
            for spec, args, data, count in journal.readers()
            if (problem := self._readers.check(spec, args, data)) is not None
        ]
        if problems:
            raise JournalError(f"{journal.path}: {'; '.join(problems)}")

    def link_of(self, row: ChainRow) -> Next:
        """Return the link of a row, which carries its mark.

        Args:
            row: of the file.
        """
        wait = 0.0
        if row.due is not None:  # a clock that was set back stops nobody
            wait = min(row.delay or 0.0, max(0.0, row.due - time.time()))
        found = self._readers.found
        return Next(
            restored_request(KeptRequest(row.url, row.request, row.body), self._readers),
            None if row.reader is None else found(row.reader, row.args),
            wait,
            # Not None, which would leave that of the chain above it.
            False if row.errback is None else found(row.errback, row.errback_args),
            self._stream.session(row.session) if row.session else self._stream._session,
            row.name,
            row.priority,
            None if row.data is None else unpack(row.data),
            KeptMark.of(Record(row.id, row.step, row)),
        )


def failure_of(error: BaseException) -> Failed:
    """Return what is kept of the error that has ended a chain.

    Args:
        error: of the chain.
    """
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    name = type(error).__name__
    return Failed(time.time(), storable(f"{name}: {error}") or name, storable(trace) or "")


def storable(text: str | None) -> str | None:
    """Return text that a database takes: without halves of surrogate pairs.

    Args:
        text: any.
    """
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _packs(value: object) -> bool:
    try:
        pack(value)
    except (TypeError, ValueError):
        return False
    return True
