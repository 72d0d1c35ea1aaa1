"""State of applications that speak OneBot: settings, events, how far each of them is."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping

from ...database import transaction
from .rows import LoggedEvent

__all__ = ["OneBotTable"]

#: Seconds for which an event waits for an application that is away.
KEPT_SECONDS = 86_400
_EVENT = "id, coalesce(message, 0), coalesce(body, ''), time"


class OneBotTable:
    """Settings of the accounts that applications drive, and the events to report to these.

    Args:
        db: the open database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def settings(self) -> dict[int, str]:
        """Settings as JSON, by account."""
        return dict(self._db.execute("SELECT account, settings FROM onebot_account"))

    def set_settings(self, account: int, settings: str) -> None:
        """Store the settings of an account."""
        self._db.execute("INSERT OR REPLACE INTO onebot_account VALUES (?, ?)", (account, settings))

    def log(self, accounts: Iterable[int], body: str) -> None:
        """Store an event that is no message; a message is stored with itself.

        Args:
            accounts: to whose applications it is reported.
            body: JSON.
        """
        now = int(time.time())
        with transaction(self._db):
            self._db.executemany(
                "INSERT INTO onebot_event (account, body, time) VALUES (?, ?, ?)",
                [(account, body, now) for account in accounts],
            )

    def events(self, account: int, after: int, limit: int = 100) -> list[LoggedEvent]:
        """Events of an account that follow one, oldest first."""
        rows = self._db.execute(
            f"SELECT {_EVENT} FROM onebot_event WHERE account = ? AND id > ? ORDER BY id LIMIT ?",
            (account, after, limit),
        )
        return [LoggedEvent(*row) for row in rows]

    def last_event(self, account: int) -> int:
        """Id of the last event of an account, or of the last one that is gone."""
        (last,) = self._db.execute(
            "SELECT max((SELECT max(id) FROM onebot_event WHERE account = ?), "
            "(SELECT max(event) FROM onebot_cursor WHERE account = ?), 0)",
            (account, account),
        ).fetchone()
        if last is None:
            (last,) = self._db.execute(
                "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'onebot_event'), 0)"
            ).fetchone()
        return int(last)

    def cursors(self, account: int) -> dict[str, int]:
        """The last event that each application of an account has, by its target."""
        return dict(
            self._db.execute(
                "SELECT target, event FROM onebot_cursor WHERE account = ?", (account,)
            )
        )

    def set_cursors(self, cursors: Mapping[tuple[int, str], int]) -> None:
        """Store how far applications are.

        Args:
            cursors: the last event that each has, by account and target; others stay as they are.
        """
        with transaction(self._db):
            self._db.executemany(
                "INSERT OR REPLACE INTO onebot_cursor VALUES (?, ?, ?)",
                [(*whose, event) for whose, event in cursors.items()],
            )

    def drop_cursor(self, account: int, target: str) -> None:
        """Forget how far an application is that comes no more."""
        self._db.execute(
            "DELETE FROM onebot_cursor WHERE account = ? AND target = ?", (account, target)
        )

    def prune(self, account: int, read: int, keep: int) -> None:
        """Drop events that nobody waits for any more.

        Args:
            account: QQ number.
            read: the last event that all applications have.
            keep: events that wait at most.
        """
        self._db.execute(
            "DELETE FROM onebot_event WHERE account = :own AND (id <= :read OR time < :since "
            "OR id <= (SELECT id FROM onebot_event WHERE account = :own ORDER BY id DESC "
            "LIMIT 1 OFFSET :keep))",
            {
                "own": account,
                "read": read,
                "since": int(time.time()) - KEPT_SECONDS,
                "keep": keep,
            },
        )

    # -- likes ----------------------------------------------------------------------------------

    def like(self, liker: int, account: int, times: int, most: int) -> int:
        """Like an account; return how often, as there is a limit for each day.

        Args:
            liker: QQ number.
            account: who is liked.
            times: how often.
            most: in one day.
        """
        today = int(time.time()) // 86_400
        row = self._db.execute(
            "SELECT day, times FROM liked WHERE liker = ? AND account = ?", (liker, account)
        ).fetchone()
        before = row[1] if row and row[0] == today else 0
        given = max(0, min(times, most - before))
        self._db.execute(
            "INSERT OR REPLACE INTO liked VALUES (?, ?, ?, ?)",
            (liker, account, today, before + given),
        )
        return given
