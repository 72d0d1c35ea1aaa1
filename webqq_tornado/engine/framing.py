"""Headers that say where a message begins, ends and goes: what a caller may say in them.

libcurl sends them too, and where the two differ the rest of a body is a second request to the
server (RFC 9112, 11.2): so they are checked, and left to libcurl where it says the same.

And the dates in headers.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Mapping
from datetime import timezone
from email.message import Message
from typing import TYPE_CHECKING, Any, Protocol

from .urls import normal_host

if TYPE_CHECKING:
    from .validation import Headers

__all__ = ["settle_headers", "unix_time"]

Pairs = tuple[tuple[str, str], ...]

# 18 digits fit into the 63 bits that libcurl has for a length.
_LENGTH = re.compile(r"[0-9]{1,18}")


class Framed(Protocol):
    """The attributes of a request that framing reads."""

    @property
    def header_pairs(self) -> Pairs:
        """Headers as the caller gave them."""

    @property
    def body(self) -> Any:
        """Bytes, a `Multipart`, a source, or None."""

    @property
    def body_size(self) -> int | None:
        """Bytes in a source."""

    @property
    def proxy_headers(self) -> Headers | None:
        """Headers for the proxy alone."""


def settle_headers(
    request: Framed, *, is_form: bool, size_of: Callable[[Any], int | None]
) -> dict[str, Any]:
    """The arguments of the request that its headers change, these among them.

    Args:
        request: with headers.
        is_form: its body is a `Multipart`, which libcurl frames.
        size_of: bytes in a body of another kind, if that is known.

    Raises:
        ValueError: a header contradicts another one, or the body; says which, and the remedy.
    """
    # libcurl would send both, and two servers in a row may each believe another one: that is how
    # requests are smuggled (RFC 9112, 3.2 and 11.2).
    if len(_values(request, "host")) > 1:
        raise ValueError("header Host comes more than once: give one (RFC 9112, 3.2)")
    pairs = _without(request.header_pairs, *_DROPPED)
    settled: dict[str, Any] = {
        "headers": tuple((name, _settled(name, value, is_form)) for name, value in pairs)
    }
    lengths, codings = _values(request, "content-length"), _values(request, "transfer-encoding")
    if codings:
        _check_coding(request, codings, lengths)
    if lengths:
        length = _length(lengths)
        # Of a form libcurl alone knows the length, since it draws the boundary.
        settled.update({} if is_form else _size(request, length, size_of))
    if own := _values(request, "proxy-authorization"):
        settled["proxy_headers"] = _for_the_proxy(request, own)
    return settled


#: The first is libcurl's to say, the other one the proxy's to hear.
_DROPPED = ("content-length", "proxy-authorization")


def _settled(name: str, value: str, is_form: bool) -> str:
    # A URL's host has gone through IDNA; a header of the caller's has not.
    if name.lower() == "host" and not value.isascii():
        return normal_host(value)
    if name.lower() == "content-type" and is_form:
        return _multipart_type(value)
    return value


def _multipart_type(value: str) -> str:
    """The type of a `Multipart` without a boundary: that is libcurl's to draw."""
    message = Message()
    message["Content-Type"] = value
    if message.get_content_maintype() != "multipart":
        raise ValueError(
            f"header Content-Type of a Multipart body is multipart/form-data, not {value!r}: leave "
            "it out"
        )
    message.del_param("boundary")
    return str(message["Content-Type"])


def _values(request: Framed, wanted: str) -> list[str]:
    return [value for name, value in request.header_pairs if name.lower() == wanted]


def _without(pairs: Pairs, *names: str) -> Pairs:
    return tuple(pair for pair in pairs if pair[0].lower() not in names)


def _check_coding(request: Framed, codings: list[str], lengths: list[str]) -> None:
    if [coding.lower() for coding in codings] != ["chunked"]:
        raise ValueError(
            f"header Transfer-Encoding is chunked or left out, not {', '.join(codings)!r}: nothing "
            "else is done to a body"
        )
    if lengths:  # RFC 9112, 6.2: a server that believes the wrong one reads a second request
        raise ValueError("headers Transfer-Encoding and Content-Length exclude each other")
    if request.body is None:
        raise ValueError("header Transfer-Encoding is of a body, and there is none: leave it out")


def _length(lengths: list[str]) -> int:
    # Several that agree are one number (RFC 9110, 8.6), which may be padded by zeros.
    if len({value.lstrip("0") for value in lengths}) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise ValueError(f"header Content-Length is one number, not {', '.join(lengths)!r}")
    return int(lengths[0])


def _size(request: Framed, length: int, size_of: Callable[[Any], int | None]) -> dict[str, int]:
    """Options for a `Content-Length` that libcurl cannot compute."""
    body = request.body
    # What is in memory libcurl counts itself, and a number of ours could only be wrong.
    is_counted = body is None or isinstance(body, bytes)
    size = len(body or b"") if is_counted else request.body_size
    if size is None:
        size = size_of(body)
    if size is not None and size != length:
        raise ValueError(
            f"header Content-Length says {length}, and the body has {size} bytes: leave it out, "
            "they are counted"
        )
    return {} if is_counted else {"body_size": length}


def _for_the_proxy(request: Framed, own: list[str]) -> Pairs:
    # Among the request's own headers it would reach the server behind a tunnel, with the password.
    given = request.proxy_headers or ()
    pairs = tuple(given.items() if isinstance(given, Mapping) else given)
    others = _without(pairs, "proxy-authorization")
    return (*others, *(("Proxy-Authorization", value) for value in own))


def unix_time(date: str) -> float | None:
    """Unix time of an HTTP date, in any of its three forms (RFC 9110, 5.6.7).

    Args:
        date: a header's value.

    Returns:
        None if it is no date.

    Example:
        >>> unix_time("Thu, 01 Jan 1970 00:01:00 GMT")
        60.0
    """
    try:
        time = email.utils.parsedate_to_datetime(date)
        # One of the forms has no zone: it is meant in UTC, and not in ours.
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
