"""Sign-ins: browsers, login tickets, open sessions. They survive a restart.

Nor does a clock that is put back and is right again: a time of use is never put back, and who
signs in meanwhile was last seen when anybody was.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable

from ...database import transaction
from .rows import SessionRow, Ticket

__all__ = ["SessionTable"]

#: A browser that was away for longer signs in again: 30 days.
PAGE_SESSION_SECONDS = 30 * 86400
#: The same for a client of the protocol, by its cookie ptwebqq.
TICKET_SECONDS = 30 * 86400
#: A place that an account has not signed in from for longer is a new one: 90 days.
PLACE_SECONDS = 90 * 86400
#: Places of an account that are remembered: devices, and addresses.
_MOST_PLACES = 50


class SessionTable:
    """Sessions of the page, tickets and sessions of the protocol.

    Args:
        db: the open database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    # -- browsers -----------------------------------------------------------------------------

    def add_page_session(self, token: str, account: int) -> None:
        """Store the sign-in of a browser. Only a digest of its token is kept."""
        now = int(time.time())
        self._db.execute("DELETE FROM page_session WHERE used < ?", (now - PAGE_SESSION_SECONDS,))
        self._db.execute(
            "INSERT INTO page_session VALUES (?, ?, max(?, coalesce("
            "(SELECT max(used) FROM page_session), 0)))",
            (_digest(token), account, now),
        )

    def page_account(self, token: str) -> int | None:
        """The account of a browser session; each use keeps the session alive."""
        now, digest = int(time.time()), _digest(token)
        row = self._db.execute(
            "SELECT account, used FROM page_session WHERE token = ? AND used >= ?",
            (digest, now - PAGE_SESSION_SECONDS),
        ).fetchone()
        if row is None:
            return None
        if row[1] < now - 3600:  # not a write for each request
            self._db.execute("UPDATE page_session SET used = ? WHERE token = ?", (now, digest))
        return int(row[0])

    def remove_page_session(self, token: str) -> None:
        """Delete the sign-in of a browser."""
        self._db.execute("DELETE FROM page_session WHERE token = ?", (_digest(token),))

    def sign_out_everywhere(self, account: int, but: str = "") -> None:
        """End all sessions of browsers, and all logins of clients.

        Args:
            account: QQ number.
            but: the token of a browser that stays signed in.
        """
        with transaction(self._db):
            self._db.execute(
                "DELETE FROM page_session WHERE account = ? AND token != ?", (account, _digest(but))
            )
            self._db.execute("DELETE FROM ticket WHERE account = ?", (account,))

    # -- tickets: after a restart of the server clients go on by their cookies ----------------

    def add_ticket(self, ptwebqq: str, ticket: Ticket) -> None:
        """Store a login. Only a digest of the cookie is kept."""
        now = int(time.time())
        self._db.execute("DELETE FROM ticket WHERE used < ?", (now - TICKET_SECONDS,))
        self._db.execute(
            "INSERT INTO ticket VALUES (?, ?, ?, max(?, coalesce("
            "(SELECT max(used) FROM ticket), 0)))",
            (_digest(ptwebqq), *ticket, now),
        )

    def ticket(self, ptwebqq: str) -> Ticket | None:
        """The login that a cookie proves; using it keeps it alive."""
        now, digest = int(time.time()), _digest(ptwebqq)
        row = self._db.execute(
            "SELECT account, dialect, used FROM ticket WHERE ptwebqq = ? AND used >= ?",
            (digest, now - TICKET_SECONDS),
        ).fetchone()
        if row is None:
            return None
        if row[2] < now - 3600:  # not a write for each request
            self._db.execute("UPDATE ticket SET used = ? WHERE ptwebqq = ?", (now, digest))
        return Ticket(*row[:2])

    def remove_ticket(self, ptwebqq: str) -> None:
        """Delete a login."""
        self._db.execute("DELETE FROM ticket WHERE ptwebqq = ?", (_digest(ptwebqq),))

    # -- where accounts have signed in from ---------------------------------------------------

    def know_places(self, account: int, places: Iterable[str], former: str = "") -> None:
        """Store a place of a sign-in. Only digests are kept, of the latest ones.

        Args:
            account: QQ number.
            places: what the place is known by, the surest first.
            former: what it was known by before instead, to all accounts that know it.
        """
        now = int(time.time())
        places = list(places)
        with transaction(self._db):
            self._db.execute(
                "UPDATE known_place SET place = ? WHERE place = ?",
                (_digest(places[0]), _digest(former)),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO known_place VALUES (?, ?, ?)",
                [(account, _digest(place), now) for place in places],
            )
            self._db.execute(
                "DELETE FROM known_place WHERE account = ? AND (used < ? OR place NOT IN (SELECT "
                "place FROM known_place WHERE account = ? ORDER BY used DESC, rowid DESC LIMIT ?))",
                (account, now - PLACE_SECONDS, account, _MOST_PLACES),
            )

    def is_known_place(self, account: int, place: str) -> bool:
        """Return True if an account has signed in from a place lately."""
        row = self._db.execute(
            "SELECT 1 FROM known_place WHERE account = ? AND place = ? AND used >= ?",
            (account, _digest(place), int(time.time()) - PLACE_SECONDS),
        ).fetchone()
        return row is not None

    def forget_places(self, account: int, but: Iterable[str] = ()) -> None:
        """Forget the places of an account, as after a change of the password.

        Args:
            account: QQ number.
            but: what stays known.
        """
        kept = [_digest(place) for place in but]
        marks = ", ".join("?" * len(kept))
        self._db.execute(
            f"DELETE FROM known_place WHERE account = ? AND place NOT IN ({marks})",
            (account, *kept),
        )

    # -- sessions of the protocol -------------------------------------------------------------

    def put(self, session: SessionRow) -> None:
        """Store the session of an account; it replaces the former one."""
        self._db.execute(
            "INSERT OR REPLACE INTO session (psessionid, vfwebqq, ptwebqq, account, dialect, "
            "status, seed) VALUES (?, ?, ?, ?, ?, ?, ?)",
            session,
        )

    def all(self) -> list[SessionRow]:
        """All open sessions."""
        return [SessionRow(*row) for row in self._db.execute(f"SELECT {_SESSION} FROM session")]

    def set_status(self, psessionid: str, status: str) -> None:
        """Store the status of a session."""
        self._db.execute("UPDATE session SET status = ? WHERE psessionid = ?", (status, psessionid))

    def remove(self, psessionid: str) -> None:
        """Delete a session."""
        self._db.execute("DELETE FROM session WHERE psessionid = ?", (psessionid,))


_SESSION = "psessionid, vfwebqq, ptwebqq, account, dialect, status, seed"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
