"""Words in messages: an index of all of them by three letters in a row, in any script.

Three in a row (SQLite's FTS5 with its tokenizer "trigram", since 3.34) find a part of a word, and
words of scripts that write no spaces. What is shorter, as most words of Chinese are, no such index
finds: `MessageTable.search` then reads the messages themselves, some at a time.
"""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Sequence

from ...database import INDEXED, index_words, transaction, words_query
from .contents import content_text, load_content

__all__ = ["MessageIndex", "folded", "plain_text"]

#: Messages that are put into the index at once, which takes about 5 ms: each time a segment is
#: written, whatever is in it.
_BATCH = 256


def folded(text: str) -> str:
    """A text in the form in which those that look the same, but for case and width, are equal.

    Args:
        text: in any script, with accents as letters of their own or not.

    Example:
        >>> folded("Ｑｕｉｎｃｅ Straße") == folded("quince STRASSE")
        True
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def plain_text(stored: str) -> str:
    """The folded text of a content as the table `message` has it."""
    return folded(content_text(load_content(json.loads(stored))))


class MessageIndex:
    """The table `message_index` beside the table `message`.

    Args:
        db: of the server.

    Attributes:
        is_there: whether this SQLite has what it takes; else the messages themselves are read.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        last = index_words(db, "message_index", "content=''")
        self._last = last or 0
        self.is_there = last is not None
        if self.is_there:
            self.complete()
        self._tried = self._last  # the last message at which it was to be completed

    def added(self, message: int) -> None:
        """A message has this id; now and then those that were added are put into the index."""
        if self.is_there and message >= self._tried + _BATCH:
            self._tried = message
            self.complete()

    def complete(self) -> None:
        """Put into the index what is missing there.

        A file that cannot be written blocks no message, and no search of what is there: the
        next call makes up for it.
        """
        try:
            while self._add_some():
                pass
        except sqlite3.OperationalError:
            return

    def _add_some(self) -> bool:
        rows = self._db.execute(
            "SELECT id, content FROM message WHERE id > ? ORDER BY id LIMIT ?", (self._last, _BATCH)
        ).fetchall()
        if not rows:
            return False
        with transaction(self._db):
            self._db.executemany(
                "INSERT INTO message_index (rowid, text) VALUES (?, ?)",
                [(number, plain_text(content)) for number, content in rows],
            )
        self._last = rows[-1][0]
        return len(rows) == _BATCH

    def query(self, words: Sequence[str]) -> str:
        """The MATCH expression for all of these words; empty where the index cannot find them.

        Args:
            words: folded.
        """
        query = words_query(word for word in words if len(word) >= INDEXED)
        return query if self.is_there else ""
