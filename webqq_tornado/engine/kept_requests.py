"""Requests as a journal keeps them: the URL, JSON of what else was said, and the body as bytes.

What a session's defaults add (headers, credentials) comes from code, and is not kept. A body that
is a path is kept as that, and so is a file of a form; functions are kept by name, as readers are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from ..journal.codec import pack, unpack
from .body import FilePart, Multipart, pairs_of
from .errors import LinkError
from .kept_readers import KeptReader, Readers
from .request import PLAIN, Request
from .secrets import safe_url

__all__ = ["IdempotencyKeys", "KeptRequest", "kept_request", "restored_request"]

# URL and body have columns of their own.
_NAMES = tuple(f.name for f in fields(Request) if f.init and f.name not in ("url", "body"))
#: Methods that a server may not take twice for the same.
_NOT_IDEMPOTENT = frozenset({"POST", "PATCH"})


class KeptRequest(NamedTuple):
    """A request as it is kept.

    Args:
        url: of it.
        rest: JSON of what else was said; None: nothing.
        body: bytes of it; None: it has none, or `rest` says where it is.
    """

    url: str
    rest: str | None = None
    body: bytes | None = None


def kept_request(request: Request, readers: Readers) -> KeptRequest:
    """Return what is to be kept of a request.

    Args:
        request: of a link.
        readers: names of the flow's functions.

    Raises:
        LinkError: something of it cannot be kept; names the argument, and the remedy.
    """
    if request.compiled is PLAIN:
        return KeptRequest(request.url)
    given = request.__dict__
    said = {name: given[name] for name in _NAMES if name in given}
    # Set on the request before and on the one after: the latter alone has what was added.
    without = request.defaulted
    if without is not None and without[1] is request:
        _leave_out_defaults(said, without[0])
    # What `Request` makes of a body, or of none.
    if said.get("method") == ("GET" if request.body is None else "POST"):
        del said["method"]
    body = given.get("body")
    kept = {name: _kept_value(request, name, value, readers) for name, value in said.items()}
    if body is not None and not isinstance(body, bytes):
        kept["body"], body = _kept_body(request, body), None
    if not kept:
        return KeptRequest(request.url, None, body)
    try:
        return KeptRequest(request.url, pack(kept), body)
    except (TypeError, ValueError) as error:
        raise _refused(request, ", ".join(kept), str(error)) from None


def _leave_out_defaults(said: dict[str, Any], defaults: Any) -> None:
    """Drop what the session's defaults add: it may be secret, and be another next time."""
    if "headers" in said:
        said["headers"] = tuple(pair for pair in said["headers"] if pair not in defaults.headers)
        if not said["headers"]:
            del said["headers"]
    for name, value in defaults.options.items():
        # Also where the user has said the same: it is added again.
        if said.get(name) == value:
            del said[name]


def _kept_value(request: Request, name: str, value: Any, readers: Readers) -> Any:
    # Any object is tagged, so that a mapping of the user's is not taken for a tag.
    if isinstance(value, os.PathLike):
        return {"": "path", "v": os.fspath(value)}
    if callable(value):
        try:
            return {"": "function", "v": list(readers.kept(value, name))}
        except LinkError as error:
            raise _refused(request, name, error.message) from None
    # Paths and functions are dealt with: this one is open, and is closed with the process.
    if name == "sink":
        raise _refused(request, name, "an open file cannot be kept: give its path")
    return {"": "", "v": dict(value)} if isinstance(value, Mapping) else value


def _kept_body(request: Request, body: Any) -> Any:
    if isinstance(body, os.PathLike):
        return {"": "path", "v": os.fspath(body)}
    if isinstance(body, Multipart):
        files = [
            (name, _place(file.content), file.filename, file.content_type)
            for name, file in pairs_of(body.files)
        ]
        return {"": "multipart", "v": [list(body.fields), files]}
    raise _refused(
        request, "body", "a file or an iterator is used up when it was sent: give bytes or a path"
    )


def _place(content: Any) -> Any:
    return content if isinstance(content, bytes) else os.fspath(content)


def _refused(request: Request, name: str, why: str) -> LinkError:
    return LinkError(
        f"argument {name} of {request.method} {safe_url(request.url)} cannot be kept in the "
        f"journal: {why}",
        request=request,
    )


def restored_request(kept: KeptRequest, readers: Readers) -> Request:
    """Return the request that was kept.

    Args:
        kept: of `kept_request`.
        readers: names of the flow's functions.

    Raises:
        LookupError: a function of it is gone.
        ValueError: it is none any more.
    """
    if kept.rest is None and kept.body is None:
        # PLAIN again, for which a journal and the transport have short ways.
        return Request.of(kept.url)
    said = {name: _restored(value, readers) for name, value in unpack(kept.rest or "{}").items()}
    if kept.body is not None:
        said["body"] = kept.body
    return Request(kept.url, **said)


def _restored(value: Any, readers: Readers) -> Any:
    if not isinstance(value, dict):
        return value
    kind, what = value[""], value["v"]
    return _RESTORED[kind](what, readers)


def _restored_form(what: Any, _readers: Readers) -> Multipart:
    parts, files = what
    return Multipart(
        tuple(parts),
        tuple(
            (name, FilePart(one if isinstance(one, bytes) else Path(one), filename, kind))
            for name, one, filename, kind in files
        ),
    )


_RESTORED: Mapping[str, Callable[[Any, Readers], Any]] = {
    "": lambda what, _: what,
    "path": lambda what, _: Path(what),
    "function": lambda what, readers: readers.found(*KeptReader(*what)),
    "multipart": _restored_form,
}


class IdempotencyKeys:
    """Values of the header by which a server knows that a request came before.

    They follow from the flow, the chain and the step, so that the same link has the same one after
    a restart; and they are known again, so that a request that a reader sends on has its own.

    Args:
        flow: 16 bytes that are the flow's own.
        header: name of the header; None: there is none.
    """

    def __init__(self, flow: bytes, header: str | None) -> None:
        self._flow = flow
        self._header = header

    def added(self, request: Request, chain: int, step: int) -> Request:
        """Return the request with the header, if it needs one and has none of the user's.

        Args:
            request: of a link.
            chain: id of the chain.
            step: number of the link.
        """
        if self._header is None or request.method not in _NOT_IDEMPOTENT:
            return request
        lower = self._header.lower()
        pairs = request.header_pairs
        given = [value for name, value in pairs if name.lower() == lower]
        # The user's own: who has made it says when it is another one.
        if given and not all(map(self._is_ours, given)):
            return request
        # Ours is of an earlier link, whose request the reader sends on.
        others = [pair for pair in pairs if pair[0].lower() != lower]
        return request.replace(headers=[*others, (self._header, self._key(f"{chain}:{step}"))])

    def removed(self, request: Request) -> Request:
        """Return the request as the user gave it.

        Args:
            request: with the header, or without.
        """
        if self._header is None or request.method not in _NOT_IDEMPOTENT or not request.headers:
            return request
        lower, pairs = self._header.lower(), request.header_pairs
        others = [
            (name, value)
            for name, value in pairs
            if name.lower() != lower or not self._is_ours(value)
        ]
        return request if len(others) == len(pairs) else request.replace(headers=others)

    def _key(self, link: str) -> str:
        return str(self._mark(blake2b(link.encode(), key=self._flow, digest_size=8).digest()))

    def _mark(self, head: bytes) -> UUID:
        """A UUID of the version that is for one's own use, of which the end follows from the rest.

        RFC 9562, 5.8.
        """
        # Version 8 is the high half of octet 6; the variant, 10 in binary, begins octet 8.
        head = head[:6] + bytes([head[6] & 0x0F | 0x80, head[7]])
        tail = bytearray(blake2b(head, key=self._flow, digest_size=8).digest())
        tail[0] = tail[0] & 0x3F | 0x80
        return UUID(bytes=head + bytes(tail))

    def _is_ours(self, value: str) -> bool:
        # By its end, which the flow's own bytes make of its head: no list of all keys is kept.
        try:
            return self._mark(UUID(value).bytes[:8]) == UUID(value)
        except ValueError:
            return False
