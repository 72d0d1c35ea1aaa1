"""A session kept in a file or a store: a program that starts again need not log in again."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

from ...engine.session import CookieJar
from ...protocol.models import Secret

__all__ = ["KeptSession"]

logger = logging.getLogger("webqq_tornado.webqq")


class KeptSession(NamedTuple):
    """What it takes to go on with a session.

    Args:
        account: QQ number.
        dialect: name of the dialect that it speaks.
        clientid: number that the client picked for it.
        psessionid: of the session.
        nick: of the account.
        cookies: arguments for `CookieJar.set`, one for each cookie.

    Example:
        >>> kept = KeptSession.load(Path("10001.session"))
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
        return f"<KeptSession of {self.account} in {self.dialect}>"

    @classmethod
    def load(cls, path: Path) -> KeptSession | None:
        """The session in a file; None if there is none, or it is damaged (which is logged)."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _warn(str(path), error)
            return None

    @classmethod
    def parse(cls, text: str, place: str) -> KeptSession | None:
        """The session in a text; None if it is damaged (which is logged).

        Args:
            text: as `text` has it.
            place: where it was, for the log.
        """
        try:
            values = json.loads(text)
            return cls(
                int(values["account"]),
                str(values["dialect"]),
                int(values["clientid"]),
                Secret(values["psessionid"]),
                str(values["nick"]),
                tuple(map(dict, values["cookies"])),
            )
        except (ValueError, TypeError, KeyError) as error:
            _warn(place, error)
            return None

    @property
    def text(self) -> str:
        """All of it as JSON: a secret."""
        return json.dumps(self._asdict())

    def save(self, path: Path) -> None:
        """Write it to a file that only its owner may read, in one step.

        Raises:
            OSError: it can not be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)  # one that a crash left may have another mode
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.text)
        draft.replace(path)

    def restore(self, jar: CookieJar) -> None:
        """Put its cookies into a jar."""
        for cookie in self.cookies:
            jar.set(**cookie)


def _warn(place: str, error: Exception) -> None:
    logger.warning("%s holds no session (%s): logging in anew", place, type(error).__name__)


def cookies_of(jar: CookieJar) -> tuple[dict[str, Any], ...]:
    """The cookies of a jar, as `KeptSession` has them."""
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
