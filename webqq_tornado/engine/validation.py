"""Validation of a `Request`'s arguments: a table of names and functions."""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from email.message import Message
from typing import Any

from tornado.httputil import HTTPHeaders

from .secrets import safe_text, safe_url

__all__ = [
    "CHECKS",
    "TOKEN",
    "Headers",
    "check_plugs",
    "check_public_only",
    "check_timeout",
    "checked_headers",
    "settled_headers",
]

#: What headers may be given as: a mapping, or pairs where a name may come twice.
Headers = Mapping[str, str] | Iterable[tuple[str, str]]

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
#: In lower case: a request with one of these is `framing`'s business.
RULED_HEADERS = frozenset({"content-length", "host", "proxy-authorization", "transfer-encoding"})
_UNSAFE_VALUE = re.compile(r"[\r\n\0]")
#: One that is sent as it is: safe, encodable, and without blanks around it.
_PROPER_VALUE = re.compile(r"(?![ \t])[^\r\n\0\ud800-\udfff]*(?<![ \t])")
#: A name or address (of IPv6 in brackets), and maybe a port.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]@,]+)(:\d{1,5})?")
_SIGNATURE = re.compile(r"\w+(:[\w-]+){0,3}")
TLS_VERSIONS = ("1.0", "1.1", "1.2", "1.3")
HTTP_VERSIONS = ("1.0", "1.1", "2", "2-prior-knowledge", "3")


def _is_from_0_to(end: int, value: Any) -> bool:
    # NaN is not: each comparison with it is False. Text raises TypeError.
    try:
        return bool(0 <= value < end)
    except TypeError:
        return False


def check_timeout(name: str, value: object) -> None:
    """Refuse what is no number of seconds.

    Args:
        name: of the argument.
        value: of it.

    Raises:
        ValueError: with the remedy for what other clients take.
    """
    if not _is_from_0_to(10**6, value):
        raise ValueError(
            f"{name} is seconds from 0 (no limit) to a million, not {value!r}{_remedy(value)}"
        )


def _remedy(value: object) -> str:
    if isinstance(value, timedelta):
        return ": give its total_seconds()"
    if isinstance(value, tuple) or hasattr(value, "connect"):  # requests'; httpx' and aiohttp's
        return ": timeout= is for all of the request, connect_timeout= and idle_timeout= for parts"
    return ""


def _check_keepalive(name: str, value: object) -> None:
    if not _is_from_0_to(_MOST_KEEPALIVE, value):
        raise ValueError(f"{name} is seconds from 0 (off) to {_MOST_KEEPALIVE}, not {value!r}")


#: Of Linux, which takes no longer pause (tcp(7)).
_MOST_KEEPALIVE = 32767


def _check_count(name: str, value: object) -> None:
    if not _is_from_0_to(2**62, value):
        raise ValueError(f"{name} is a number, 0 or more, not {value!r}")


def _check_word(*words: object) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if value not in words:
            raise ValueError(f"{name} {value!r} is not one of {', '.join(map(str, words))}")

    return check


def _check_line(name: str, value: object) -> None:
    # Into a header line, or to a proxy as one.
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"{name} is text, not {type(value).__name__}")
    if isinstance(value, str) and _UNSAFE_VALUE.search(value):
        raise ValueError(f"{name} has CR, LF or NUL in it")


def _check_ports(name: str, value: object) -> None:
    # A single port is a range of one.
    ports = value if isinstance(value, tuple) else (value, value)
    are_numbers = len(ports) == 2 and all(isinstance(port, int) for port in ports)
    if not are_numbers or not 0 < ports[0] <= ports[1] < 65536:
        raise ValueError(f"{name} is a port, or the first and the last of a range, not {value!r}")


def _check_addresses(name: str, value: Mapping[str, str]) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is a mapping of host to address, not {type(value).__name__}")
    for host, address in value.items():
        if not _HOST.fullmatch(host) or not _HOST.fullmatch(address):
            raise ValueError(
                f"{name} is of host or host:port to address or address:port (of IPv6 in "
                f"brackets), not {safe_text(str(host))!r} to {safe_text(str(address))!r}"
            )


def _check_https(name: str, value: str) -> None:
    if not value.lower().startswith("https://"):
        raise ValueError(f"{name} is an https URL, not {safe_url(value)!r}")


def _check_signature(name: str, value: str) -> None:
    if not _SIGNATURE.fullmatch(value):
        raise ValueError(f"{name} is PROVIDER:PROVIDER[:REGION[:SERVICE]], not {value!r}")


def _check_weight(name: str, value: int) -> None:
    if not 1 <= value <= 256:
        raise ValueError(f"{name} is from 1 to 256, not {value}")


def _check_function(name: str, value: object) -> None:
    if not callable(value):
        raise ValueError(f"{name} is a function, not {type(value).__name__}")


def _check_words(name: str, value: object) -> None:
    # Text is iterable: it would be so many words of one letter.
    if isinstance(value, str):
        raise ValueError(f"{name} are several words, such as [{value!r}]")
    words = list(value)  # type: ignore[call-overload]
    if len(set(words)) < len(words):
        raise ValueError(f"{name} has one word twice")
    for word in words:
        if not isinstance(word, str) or not TOKEN.fullmatch(word):
            raise ValueError(f"{name} are tokens, such as chat, and {word!r} is none")


def check_public_only(setting: Callable[[str], Any]) -> None:
    """Refuse what goes around the look at the server's address.

    Args:
        setting: returns the value of an argument by its name.

    Raises:
        ValueError: names it.
    """
    for name, why in _NOT_WITH_PUBLIC_ONLY.items():
        if setting(name):
            raise ValueError(f"public_only=True with {name}=: {why}")


_NOT_WITH_PUBLIC_ONLY = {
    "proxy": "a proxy connects to what it likes; proxy='' goes without it",
    "unix_socket": "that is a socket of this machine",
    "doh_url": "libcurl does not let the resolver's own address be looked at",
}


def _check_sink(name: str, value: object) -> None:
    is_taken = callable(value) or isinstance(value, os.PathLike) or hasattr(value, "write")
    if not is_taken or isinstance(value, io.TextIOBase):
        raise ValueError(
            f"{name} is a function of bytes, a file that is open in binary mode, or a path, "
            f"not {type(value).__name__}"
        )


def check_plugs(**given: object) -> None:
    """Refuse what cannot be an argument of a stream: else its first request would fail.

    Args:
        given: the arguments; None: it is not given.

    Raises:
        ValueError: names one, and what it takes.
    """
    for name, value in given.items():
        fits, what = _PLUGS[name]
        # The class itself has the methods, too, and is what one forgets to call.
        if value is not None and (isinstance(value, type) or not fits(value)):
            shown = value.__name__ if isinstance(value, type) else type(value).__name__
            kind = "the class " if isinstance(value, type) else ""
            raise ValueError(f"{name} is {what}, not {kind}{shown}")


def _has(method: str) -> Callable[[Any], bool]:
    return lambda value: hasattr(value, method)


def _is_path_or(method: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (str, os.PathLike)) or hasattr(value, method)


#: What an argument is known by, and what it is.
_PLUGS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "auth": (
        lambda value: isinstance(value, tuple) or hasattr(value, "covers"),
        "(user, password), or credentials such as BearerAuth(...) of webqq_tornado.auth",
    ),
    "breaker": (_has("admit"), "a CircuitBreaker() of webqq_tornado.retry"),
    "cache": (_is_path_or("ask"), "the path of its file, or an HTTPCache(...)"),
    "replay": (
        lambda value: callable(value) or hasattr(value, "answer"),
        "a HARReplay(...), or a function of requests",
    ),
    "retry": (
        callable,
        "a policy such as Retry(stop=stop_after_attempt(3)) of webqq_tornado.retry and tenacity",
    ),
}


#: By the names of the arguments.
CHECKS: dict[str, Callable[[str, Any], None]] = {
    "connect_timeout": check_timeout,
    "request_timeout": check_timeout,
    "idle_timeout": check_timeout,
    "ping_interval": check_timeout,
    "max_redirects": _check_count,
    "max_body_size": _check_count,
    "max_header_size": _check_count,
    "max_header_count": _check_count,
    "body_size": _check_count,
    "sink": _check_sink,
    "on_progress": _check_function,
    "on_header_line": _check_function,
    "prepare_curl": _check_function,
    "subprotocols": _check_words,
    "http_version": _check_word(*HTTP_VERSIONS),
    "auth_mode": _check_word("basic", "digest"),
    "proxy_auth_mode": _check_word("basic", "digest"),
    "ip_version": _check_word(4, 6),
    "local_port": _check_ports,
    "happy_eyeballs_delay": check_timeout,
    "resolve": _check_addresses,
    "doh_url": _check_https,
    "tls_min_version": _check_word(*TLS_VERSIONS),
    "tls_max_version": _check_word(*TLS_VERSIONS),
    "aws_sigv4": _check_signature,
    "stream_weight": _check_weight,
    "tcp_keepalive": _check_keepalive,
    "no_proxy": _check_line,
    "tls_ciphers": _check_line,
    "tls13_ciphers": _check_line,
    "pinned_public_key": _check_line,
    "user_agent": _check_line,
    "auth_username": _check_line,
    "auth_password": _check_line,
    "proxy": _check_line,
    "network_interface": _check_line,
    "unix_socket": _check_line,
}


def _shown_name(name: object) -> str:
    # The user may have written the whole line: "Authorization: Bearer ...".
    return repr(safe_text(name) if isinstance(name, str) else name)


def checked_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    """Headers as pairs.

    Raises:
        ValueError: one is none that can be sent; names it.
    """
    return settled_headers(headers)[0]


def settled_headers(headers: Headers) -> tuple[tuple[tuple[str, str], ...], bool]:
    """Headers as pairs, and whether one of `RULED_HEADERS` is among them.

    Raises:
        ValueError: as `checked_headers`.
    """
    try:
        pairs = tuple((name, value) for name, value in _items_of(headers))
    except (TypeError, ValueError) as error:
        raise ValueError("headers are a mapping, or pairs of name and value") from error
    is_proper, is_ruled = True, False
    for name, value in pairs:
        if not isinstance(name, str):
            raise ValueError(f"header name {_shown_name(name)} is not a token such as Accept")
        # Refuses names that are no token, too: all that is asked of a name is asked once.
        if _is_ruled(name):
            is_ruled = True
        if not isinstance(value, str):
            raise ValueError(
                f"header {name} has a value of type {type(value).__name__}, not str"
                f"{_value_remedy(value)}"
            )
        if not _PROPER_VALUE.fullmatch(value):
            _check_value(name, value)
            is_proper = False
    if not is_proper:
        # Blanks are SP and HTAB alone (RFC 9110, 5.6.3); others that Unicode has are a value's.
        pairs = tuple((name, value.strip(" \t")) for name, value in pairs)
    return pairs, is_ruled


@functools.lru_cache(1024)  # a program has few names, and passes them again and again
def _is_ruled(name: str) -> bool:
    if not TOKEN.fullmatch(name):
        raise ValueError(f"header name {_shown_name(name)} is not a token such as Accept")
    return name.lower() in RULED_HEADERS


def _items_of(headers: Any) -> Iterable[Any]:
    if isinstance(headers, HTTPHeaders):
        return headers.get_all()  # items() joins those of one name, cookies too, by a comma
    # A Message is no Mapping, and may have one name several times.
    is_message = isinstance(headers, (Mapping, Message))
    return headers.items() if is_message else headers  # type: ignore[no-any-return]


def _value_remedy(value: object) -> str:
    if value is None:
        return ": leave it out, or send it empty by ''"
    return ": give value.decode()" if isinstance(value, bytes) else ""


def _check_value(name: str, value: str) -> None:
    if _UNSAFE_VALUE.search(value):
        raise ValueError(f"header {name} has CR, LF or NUL in its value")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"header {name} has half of a surrogate pair in its value") from error
