"""An account's settings: what is on, where applications are, tokens, the format of messages.

They come from the TOML file, from options or from the page, and are kept in the store as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from ...onebot.v11.tokens import Role

__all__ = ["OneBotSettings", "Post", "Reverse", "SettingsError"]

#: Events that wait for an application at most, and milliseconds between heartbeats.
KEEP, HEARTBEAT = 1000, 30_000
_MOST_KEPT, _MOST_URLS = 100_000, 10
#: Milliseconds of the shortest and the longest interval.
_HEARTBEATS = (1000, 3_600_000)


class SettingsError(ValueError):
    """A setting is not what it can be; the message names it."""


@dataclass(frozen=True, slots=True)
class Reverse:
    """A WebSocket that the server opens to an application.

    Args:
        url: ws:// or wss://.
        role: "Universal"; "API" and "Event" for two connections.
        token: that the application wants; that of the account if empty.
    """

    url: str
    role: str = "Universal"
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Post:
    """An address that events are posted to.

    Args:
        url: http:// or https://.
        secret: signs them.
    """

    url: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class OneBotSettings:
    """How applications drive an account.

    Args:
        is_on: whether they do.
        token: that they show; without one only programs on this machine are let in.
        format: "array" or "string": of messages in events.
        heartbeat: milliseconds between two; 0 for none.
        reports_own: whether the account's own messages are events (message_sent).
        keep: events that wait for an application that is away.
        port: of its own, where the account has the standard's paths; 0 for none.
        reverse: WebSockets that the server opens.
        post: addresses that events are posted to.
        reaches_private: whether addresses of private networks, and this machine, may be fetched
            from and connected to; None: if the server itself listens on this machine only.
        reads_files: whether file:// reads files of this machine.

    Example:
        >>> OneBotSettings.parse(
        ...     {"is_on": True, "token": "s3cret", "reverse": ["ws://a/ws"]}
        ... ).reverse
        (Reverse(url='ws://a/ws', role='Universal'),)
    """

    is_on: bool = True
    token: str = field(default="", repr=False)
    format: str = "array"
    heartbeat: int = HEARTBEAT
    reports_own: bool = False
    keep: int = KEEP
    port: int = 0
    reverse: tuple[Reverse, ...] = ()
    post: tuple[Post, ...] = ()
    reaches_private: bool | None = None
    reads_files: bool = False

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> OneBotSettings:
        """Settings of a JSON object or a TOML table; what is not given has its default.

        Args:
            values: by name; reverse and post are lists of URLs or of tables.

        Raises:
            SettingsError: a name is unknown, or a value is not what it can be.
        """
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise SettingsError(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
        checked: dict[str, Any] = {
            name: _CHECKS[name](name, value) for name, value in values.items()
        }
        return cls(**checked)

    def dump(self) -> dict[str, object]:
        """The reverse of `parse`."""
        return asdict(self)


def _truth(name: str, value: object) -> object:
    if not isinstance(value, bool):
        raise SettingsError(f"{name} is to be true or false")
    return value


def _whole(least: int, most: int, *, or_zero: bool = False) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if type(value) is not int or not (least <= value <= most or (or_zero and value == 0)):
            zero = "0 or " if or_zero else ""
            raise SettingsError(f"{name} is to be {zero}a number from {least} to {most}")
        return value

    return check


def _token(name: str, value: object) -> object:
    if not isinstance(value, str) or not value.isprintable() or " " in value or len(value) > 200:
        raise SettingsError(f"{name} is to be a text of up to 200 characters without blanks")
    return value


def _format(name: str, value: object) -> object:
    if value not in ("array", "string"):
        raise SettingsError(f'{name} is to be "array" or "string"')
    return value


def _url(name: str, value: object, schemes: tuple[str, ...]) -> str:
    if isinstance(value, str) and value.isprintable() and " " not in value and len(value) < 2000:
        try:
            parts = urlsplit(value)
            _ = parts.port  # read for its ValueError
        except ValueError:
            pass
        else:
            if parts.scheme in schemes and parts.hostname:
                return value
    raise SettingsError(f"{name}: {str(value)[:100]!r} is no URL with {' or '.join(schemes)}")


def _list(name: str, value: object) -> list[dict[str, object]]:
    if not isinstance(value, (list, tuple)) or len(value) > _MOST_URLS:
        raise SettingsError(f"{name} is to be a list of up to {_MOST_URLS} URLs")
    tables: list[Any] = [{"url": each} if isinstance(each, str) else each for each in value]
    if not all(isinstance(each, dict) and "url" in each for each in tables):
        raise SettingsError(f"{name}: each is to be a URL, or a table with url")
    return tables


def _only(name: str, table: Mapping[str, object], *known: str) -> None:
    if unknown := sorted(set(table) - {"url", *known}):
        raise SettingsError(f"{name} has an unknown key {unknown[0]!r}")


def _reverse(name: str, value: object) -> object:
    made = []
    for table in _list(name, value):
        _only(name, table, "role", "token")
        role = str(table.get("role", "Universal"))
        if role not in {each.value for each in Role}:
            raise SettingsError(f"{name}: role is to be Universal, API or Event")
        token = str(_token(f"{name}: token", table.get("token", "")))
        made.append(Reverse(_url(name, table["url"], ("ws", "wss")), role, token))
    return tuple(made)


def _post(name: str, value: object) -> object:
    made = []
    for table in _list(name, value):
        _only(name, table, "secret")
        secret = str(_token(f"{name}: secret", table.get("secret", "")))
        made.append(Post(_url(name, table["url"], ("http", "https")), secret))
    return tuple(made)


def _maybe_truth(name: str, value: object) -> object:
    return None if value is None else _truth(name, value)


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "is_on": _truth,
    "token": _token,
    "format": _format,
    "heartbeat": _whole(*_HEARTBEATS, or_zero=True),
    "reports_own": _truth,
    "keep": _whole(0, _MOST_KEPT),
    "port": _whole(0, 65_535),
    "reverse": _reverse,
    "post": _post,
    "reaches_private": _maybe_truth,
    "reads_files": _truth,
}
