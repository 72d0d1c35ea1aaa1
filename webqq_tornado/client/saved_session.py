"""A session kept in a file or a store: a program that starts again need not log in again."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.session import CookieJar
from ..files import FileError, read_text, replaced_file
from ..protocol.models.login import Secret
from .store import Store

__all__ = ["SavedSession", "SessionStorage", "cookies_of"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Exceptions for JSON that is damaged, or of another program.
_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class SavedSession(NamedTuple):
    """The values that resume a session.

    Args:
        account: QQ number.
        dialect: name of its dialect.
        clientid: number of the client in it.
        psessionid: of the session.
        nick: of the account.
        cookies: arguments for `CookieJar.set`, one for each cookie.

    Example:
        >>> kept = SavedSession.load(Path("10001.session"))
        >>> if kept is not None:
        ...     kept.restore(jar)
    """

    account: int
    dialect: str
    clientid: int
    psessionid: Secret
    nick: str
    cookies: tuple[dict[str, Any], ...]

    def __repr__(self) -> str:
        return f"<SavedSession of {self.account} in {self.dialect}>"

    @classmethod
    def load(cls, path: Path) -> SavedSession | None:
        """The session in a file; None if there is none, or it is damaged (which is logged)."""
        if not os.path.lexists(path):
            return None
        try:
            return cls.parse(read_text(path, "the session"), str(path))
        except FileError as error:
            _warn(str(error))
            return None

    @classmethod
    def parse(cls, text: str, place: str) -> SavedSession | None:
        """The session in a text; None if it is damaged (which is logged).

        Args:
            text: as `text` has it.
            place: where it was, for the log.
        """
        try:
            return _checked(json.loads(text))
        except _DAMAGE as error:
            _warn(f"{place} holds no session ({type(error).__name__})")
            return None

    @property
    def text(self) -> str:
        """The session as JSON: a secret."""
        return json.dumps(self._asdict())

    def save(self, path: Path) -> None:
        """Write it to a file that only its owner may read, in one step.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replaced_file(path) as file:
            file.write(self.text)

    def restore(self, jar: CookieJar) -> None:
        """Put its cookies into a jar."""
        for cookie in self.cookies:
            jar.set(**cookie)


class SessionStorage:
    """Place where a client keeps its session: a file, else the store, else none.

    Args:
        file: path, for a file that only its owner may read.
        store: of the client.
    """

    def __init__(self, file: Path | None = None, store: Store | None = None) -> None:
        self._file, self._store = file, store

    def load(self, account: int) -> SavedSession | None:
        """The session that was saved last; None if there is none that can be read.

        Args:
            account: QQ number; a file may hold the session of another one.
        """
        if self._file is not None:
            return SavedSession.load(self._file)
        text = self._store.load_session(account) if self._store is not None else None
        return SavedSession.parse(text, f"the store, of {account},") if text else None

    def save(self, session: SavedSession) -> None:
        """Replace the session by a newer one.

        Args:
            session: the newer one.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is not None:
            session.save(self._file)
        elif self._store is not None:
            self._store.save_session(session.account, session.text)

    def delete(self, account: int) -> None:
        """Delete the session.

        Args:
            account: QQ number.

        Raises:
            OSError: the file cannot be deleted.
        """
        if self._file is not None:
            self._file.unlink(missing_ok=True)
        elif self._store is not None:
            self._store.forget_session(account)


def _checked(values: Any) -> SavedSession:
    """The session in decoded JSON.

    Raises:
        ValueError: it is not a session; TypeError, KeyError and AttributeError mean the same.
    """
    kept = SavedSession(
        _number(values["account"]),
        _text(values["dialect"]),
        _number(values["clientid"]),
        Secret(_text(values["psessionid"])),
        _text(values["nick"]),
        tuple(map(dict, values["cookies"])),
    )
    jar = CookieJar()
    try:
        kept.restore(jar)  # an invalid cookie is found here, not in a login
    finally:
        jar.close()
    return kept


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("not a valid number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()  # a lone surrogate cannot be sent
    return value


def _warn(why: str) -> None:
    logger.warning("%s: logging in anew", why)


def cookies_of(jar: CookieJar) -> tuple[dict[str, Any], ...]:
    """The cookies of a jar as a `SavedSession` stores them."""
    return tuple(
        {
            "name": cookie.name,
            "value": cookie.value or "",
            "domain": cookie.domain,
            "path": cookie.path,
            "expires": cookie.expires or 0,
            "secure": cookie.secure,
            "subdomains": cookie.domain_initial_dot,
            "http_only": cookie.has_nonstandard_attr("HttpOnly"),
        }
        for cookie in jar
    )
