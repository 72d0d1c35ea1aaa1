"""Questions that libcurl's callbacks ask about header lines before they are parsed.

They are the lines of all answers of one transfer: interim ones, challenges, the final one, and
after its end the trailers.
"""

from __future__ import annotations

import re

__all__ = [
    "STATUS_LINE",
    "announced_size",
    "begins_answer",
    "codings_of",
    "is_cut",
    "is_interim",
    "last_status",
    "leads_on",
]

#: As libcurl takes it; a trailer may have "HTTP/2" for a name.
STATUS_LINE = re.compile(rb"HTTP/[0-9.]+ ")
_ENDS = (b"\r\n", b"\n")
#: Statuses of answers that another one follows (RFC 9110, 15.2); 101 is no such.
_INTERIM = frozenset({100, *range(102, 200)})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def announced_size(lines: list[bytes]) -> int:
    """The Content-Length of the last answer, bytes; -1 without one."""
    for line in _headers(lines):
        value = line[15:].strip()
        if line[:15].lower() == b"content-length:" and value.isdigit():
            return int(value)
    return -1


def codings_of(lines: list[bytes]) -> list[bytes]:
    """Content codings of the last response, in order, in lower case."""
    name = b"content-encoding:"
    values = [line[len(name) :] for line in _headers(lines) if line[: len(name)].lower() == name]
    # Several header lines are one list (RFC 9110, 5.3).
    return [coding.strip().lower() for coding in b",".join(values).split(b",") if coding.strip()]


def last_status(lines: list[bytes]) -> int:
    """The status of the last answer; 0 if there is none."""
    answer = _last_answer(lines)
    status = answer[0].split(None, 2)[1:2] if answer else []
    return int(status[0]) if status and status[0].isdigit() else 0


def leads_on(lines: list[bytes]) -> bool:
    """Return True if the last response is a redirect with a Location."""
    return last_status(lines) in _REDIRECTS and any(
        line[:9].lower() == b"location:" and line[9:].strip() for line in _headers(lines)
    )


def begins_answer(lines: list[bytes], line: bytes) -> bool:
    """Return True if the line that follows on these is the status line of an answer."""
    # Behind a body it would be a trailer, of such a name.
    return (not lines or lines[-1] in _ENDS) and STATUS_LINE.match(line) is not None


def is_interim(lines: list[bytes]) -> bool:
    """Return True if the last answer announces another one."""
    return last_status(lines) in _INTERIM


def is_cut(lines: list[bytes]) -> bool:
    """Return True if the headers of the last response are incomplete, or another was to follow."""
    # The final answer was to follow: the connection ended before it.
    if last_status(lines) in _INTERIM:
        return True
    return not any(line in _ENDS for line in _last_answer(lines))


def _last_answer(lines: list[bytes]) -> list[bytes]:
    for number in range(len(lines) - 1, -1, -1):
        is_first = not number or lines[number - 1] in _ENDS
        if is_first and STATUS_LINE.match(lines[number]):
            return lines[number:]
    return []


def _headers(lines: list[bytes]) -> list[bytes]:
    """Header lines of the last response, without its trailers (RFC 9110, 6.5.1)."""
    answer = _last_answer(lines)
    # Trailers come as header lines behind the body, and so behind the empty line.
    end = next((number for number, line in enumerate(answer) if line in _ENDS), len(answer))
    return answer[1:end]
