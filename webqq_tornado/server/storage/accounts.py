"""Accounts and what people tell about themselves.

Passwords are kept as md5(password), because WebQQ's login proves knowledge of exactly that
(see `protocol.hashes.password_hash`). A reader of the file can sign in: it has mode 0600.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import fields

from ...database import transaction
from ...protocol import wire
from ...protocol.hashes import password_digest
from ...protocol.models.people import Birthday, Profile
from .database import checked_name
from .rows import ACCOUNT, Account

__all__ = ["AccountTable", "constellation", "zodiac"]

#: The first QQ number given out: Tencent's own began there, too.
FIRST_NUMBER = 10001
#: Longest text of a field of the profile.
_TEXT_LENGTH = 200
#: Texts of the profile, as the protocol calls them; "lnick" is a column of its own.
_TEXTS = (
    *("phone", "mobile", "email", "occupation", "college", "country", "province", "city"),
    *("homepage", "personal"),
)
_GENDERS = ("male", "female", "unknown")
#: Numbers of the profile: the highest that the protocol knows of each.
_NUMBERS = {"blood": 5, "face": 999, "allow": 2}
#: First days of the signs of the zodiac from Aquarius (1) on, as (month, day).
_SIGNS = (
    *((1, 20), (2, 19), (3, 21), (4, 20), (5, 21), (6, 22)),
    *((7, 23), (8, 23), (9, 23), (10, 24), (11, 23), (12, 22)),
)


class AccountTable:
    """Accounts and profiles.

    Args:
        db: the open database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def create(self, nick: str, password: str, number: int | None = None) -> Account:
        """A new account.

        Args:
            nick: 1 to 24 characters.
            password: not empty.
            number: QQ number; by default the next free one.

        Raises:
            ValueError: an argument is out of range, or the number is taken.
        """
        nick = checked_name(nick, "nick")
        if not password:
            raise ValueError("a password is needed")
        if number is None:
            row = self._db.execute("SELECT max(number) FROM account").fetchone()
            number = max(FIRST_NUMBER, (row[0] or 0) + 1)
        digest = password_digest(password)
        try:
            self._db.execute(
                "INSERT INTO account (number, nick, password, created) VALUES (?, ?, ?, ?)",
                (number, nick, digest, int(time.time())),
            )
        except sqlite3.IntegrityError:
            raise ValueError(f"account {number} exists already") from None
        return Account(number, nick, digest)

    def set_password(self, number: int, password: str) -> None:
        """Give an account another password.

        Args:
            number: QQ number.
            password: not empty.

        Raises:
            ValueError: it is empty.
        """
        if not password:
            raise ValueError("a password is needed")
        digest = password_digest(password)
        self._db.execute("UPDATE account SET password = ? WHERE number = ?", (digest, number))

    def get(self, number: int) -> Account | None:
        """The account with this QQ number."""
        if not 0 < number < 2**63:
            return None
        row = self._db.execute(
            f"SELECT {ACCOUNT} FROM account WHERE number = ?", (number,)
        ).fetchone()
        return Account(*row) if row else None

    def all(self) -> list[Account]:
        """All accounts."""
        rows = self._db.execute(f"SELECT {ACCOUNT} FROM account")
        return [Account(*row) for row in rows]

    def local(self) -> dict[str, int]:
        """QQ numbers of the accounts whose passwords are kept beside this file, by their part."""
        return dict(self._db.execute("SELECT part, account FROM local_account"))

    def set_local(self, accounts: Mapping[str, int]) -> None:
        """Note which accounts these are: a password file that is lost can be made anew then.

        Args:
            accounts: QQ numbers by their part ("bot", "user").
        """
        with transaction(self._db):
            for part, number in accounts.items():
                self._db.execute(
                    "INSERT OR REPLACE INTO local_account (part, account) VALUES (?, ?)",
                    (part, number),
                )

    def profile(self, number: int) -> Profile | None:
        """An account's profile; constellation and Chinese sign follow from the birthday."""
        account = self.get(number)
        if account is None:
            return None
        (text,) = self._db.execute(
            "SELECT profile FROM account WHERE number = ?", (number,)
        ).fetchone()
        fields = json.loads(text)
        birthday = Birthday(*fields.pop("birthday", ()))
        return Profile(
            uin=number,
            account=number,
            nick=account.nick,
            lnick=account.lnick,
            face=account.face,
            allow=account.allow,
            vip_info=account.vip_level,
            birthday=birthday,
            constel=constellation(birthday),
            shengxiao=zodiac(birthday),
            **fields,
        )

    def change_profile(self, number: int, changes: Mapping[str, object]) -> None:
        """Change fields of a profile.

        Args:
            number: whose.
            changes: by the names of `protocol.models.Profile`; a birthday is a list of three.

        Raises:
            ValueError: a name is none of the profile's, or its value is out of range.
        """
        fields = _checked(changes)
        columns = {name: fields.pop(name) for name in _COLUMNS if name in fields}
        with transaction(self._db):
            for name, value in columns.items():
                self._db.execute(f"UPDATE account SET {name} = ? WHERE number = ?", (value, number))
            self._db.execute(
                "UPDATE account SET profile = json_patch(profile, ?) WHERE number = ?",
                (json.dumps(fields), number),
            )

    def set_vip_level(self, number: int, level: int) -> None:
        """Set the VIP level of an account; 0 for none."""
        self._db.execute("UPDATE account SET vip_level = ? WHERE number = ?", (level, number))


#: Fields of a profile with a column of their own.
_COLUMNS = ("nick", "lnick", "face", "allow")


def _checked(changes: Mapping[str, object]) -> dict[str, object]:
    known = {field.name for field in fields(Profile)}
    checked: dict[str, object] = {}
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"{name} is no part of a profile")
        checked[name] = _checked_value(name, value)
    return checked


def _checked_value(name: str, value: object) -> object:
    if name == "nick" and isinstance(value, str):
        return checked_name(value, "nick")
    if name in (*_TEXTS, "lnick") and isinstance(value, str) and len(value) <= _TEXT_LENGTH:
        return wire.clean(value)
    if name == "gender" and value in _GENDERS:
        return value
    if name == "birthday":
        return _checked_birthday(value)
    if type(value) is int and 0 <= value <= _NUMBERS.get(name, -1):
        return value
    raise ValueError(f"{name} is not what a profile can have there")


def _checked_birthday(value: object) -> list[int]:
    match value:
        case [0, 0, 0] | (0, 0, 0):
            return [0, 0, 0]
        case [int(year), int(month), int(day)] if (
            1880 <= year <= 2100 and 1 <= month <= 12 and 1 <= day <= 31
        ):
            return [year, month, day]
    raise ValueError("a birthday is a year, a month and a day")


def constellation(birthday: Birthday) -> int:
    """Number of the sign of the zodiac, 1 for Aquarius to 12 for Capricorn; 0 without a birthday.

    Example:
        >>> constellation(Birthday(1989, 1, 30))
        1
    """
    if not birthday.month:
        return 0
    passed = sum((birthday.month, birthday.day) >= first for first in _SIGNS)
    return passed or len(_SIGNS)


def zodiac(birthday: Birthday) -> int:
    """Number of the Chinese sign, 1 for the rat to 12 for the pig; 0 without a birthday.

    The year begins with spring, on the 4th of February (a capture of 2016 has a person of
    January 1989 as a dragon, 5).

    Example:
        >>> zodiac(Birthday(1984, 5, 1))
        1
    """
    if not birthday.year:
        return 0
    return (birthday.year - ((birthday.month, birthday.day) < (2, 4)) - 4) % 12 + 1
