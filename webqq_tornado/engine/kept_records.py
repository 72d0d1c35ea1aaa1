"""Records of chains that a journal keeps, and marks that links carry on their way to it.

A link that is in the file, or that `begin` has given, carries a mark in the place of its key, which
is text: so it passes whatever looks at links.
"""

from __future__ import annotations

from ..journal.records import ChainRow
from .links import Next
from .request import Request

__all__ = ["BegunMark", "KeptMark", "Record", "id_of"]


class Record:
    """A chain as the journal knows it.

    Attributes:
        id, step: of its row.
        row: the last one that was noted; of which `url` may be another by now.
        request, readback: of the link in it.
        is_timed: the row has a time or tries, which the next link is to clear.
        results: texts of what its reader has emitted.
        spilled: how many of them are drafts in the file.
        drafts: ids of links that are.
        keys: that its reader has noted.
        is_gathering: the reader has returned a `Gather`, with which its results wait.
    """

    __slots__ = (
        *("drafts", "id", "is_gathering", "is_timed", "keys", "readback", "request", "results"),
        *("row", "spilled", "step", "url"),
    )  # fmt: skip

    def __init__(self, number: int, step: int = 0, row: ChainRow | None = None) -> None:
        self.id = number
        self.step = step
        self.row = row
        # Apart from the row: a link of which only the URL is another one makes no new row.
        self.url = "" if row is None else row.url
        self.request: Request | None = None
        self.readback: object = None
        self.is_timed = row is not None and (row.due is not None or row.tries > 0)
        self.results: list[str] | None = None
        self.spilled = 0
        self.drafts: list[range] = []
        self.keys: list[bytes] | None = None
        self.is_gathering = False


class BegunMark(str):
    """The place of a link in `begin`, in the place of its key, which is the text."""

    number: int
    key: str | None
    results: list[str]

    @classmethod
    def of(cls, number: int, key: str | None, results: list[str]) -> BegunMark:
        """Return the mark of a link.

        Args:
            number: its place, from 1.
            key: its own.
            results: texts of what `begin` has emitted before it.
        """
        begun = cls(key or "")
        begun.number, begun.key, begun.results = number, key, results
        return begun


class KeptMark(str):
    """A link that is in the file, in the place of its key."""

    record: Record

    @classmethod
    def of(cls, record: Record) -> KeptMark:
        """Return the mark of a link.

        Args:
            record: of its chain.
        """
        kept = cls("")
        kept.record = record
        return kept


def id_of(link: Next) -> int:
    """Return the id of the chain that a link is of.

    Args:
        link: one that is in the file.
    """
    assert isinstance(link.key, KeptMark)  # noqa: S101 - the caller knows
    return link.key.record.id
