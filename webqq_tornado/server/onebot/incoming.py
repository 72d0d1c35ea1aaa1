"""Messages of applications as contents: pictures and files are fetched and stored on the way.

A file comes as ``base64://``, by ``http(s)://``, as ``file://`` where that is allowed, or under the
name of one that was received. Of ``url``, ``file`` and ``path`` the first that is not empty counts
(NC api/msg.ts).
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from ...engine.errors import StreamError
from ...engine.request import Request
from ...engine.response import Response
from ...onebot.v11.actions import ActionError, Retcode
from ...onebot.v11.segments import Segment, Segments, parse_message
from ...onebot.v11.values import id_in
from ...protocol.models.content import Content, Face, Part
from ..storage import FILE_SEGMENTS, SEGMENTS, FileRow, Storage, dump_content, segment
from ..storage.files import MAX_FILE, MAX_PICTURE, file_name

__all__ = ["Fetcher", "content_of", "decoded", "name_in", "stored_file", "stored_forward"]

#: Seconds to fetch a file in.
_FETCH_SECONDS = 60.0
#: Nodes of a forwarded message, and how deep such messages lie in each other.
_MOST_NODES, _MOST_DEPTH = 200, 4
#: Characters of a forwarded message at most, and how deep the data of a segment may be nested.
_MOST_FORWARDED, _MOST_NESTED = 1024**2, 32
#: Segments of the standard that mean nothing any more, or are handled elsewhere.
_IGNORED = frozenset({"anonymous"})


class Fetcher(Protocol):
    """An account, as far as contents need it."""

    number: int
    storage: Storage

    @property
    def reads_files(self) -> bool:
        """True if file:// is allowed."""

    def own_file(self, url: str) -> str:
        """Name of the stored file that a URL of this server means; empty for other URLs."""

    async def spend(self, quota: str) -> None:
        """Keep a quota."""

    async def fetch(self, request: Request) -> Response:
        """The answer to a request, through the engine and under the rules for addresses."""


async def content_of(account: Fetcher, segments: Segments, depth: int = 0) -> Content:
    """The content that a message has, with its files stored.

    Args:
        account: who sends it.
        segments: the message.
        depth: how many forwarded messages it lies in.

    Raises:
        ActionError: a segment is unknown, or its file cannot be had.
    """
    if any(one.type == "node" for one in segments):
        name = await stored_forward(account, segments, depth)
        return Content.of(segment("forward", {"id": name}))
    parts = [await _part_of(account, one) for one in segments if one.type not in _IGNORED]
    return Content.of(*parts)


async def _part_of(account: Fetcher, one: Segment) -> Part:
    if one.type == "text":
        return one.text("text").replace("\r\n", "\n").replace("\r", "\n")
    if one.type == "face":
        return _face(one)
    if one.type in FILE_SEGMENTS:
        return await _file_part(account, one)
    if one.type not in SEGMENTS:
        raise ActionError(f"segments of type {one.type[:40]!r} cannot be sent", Retcode.BAD_REQUEST)
    data = {name: value for name, value in one.data.items() if value != ""}
    if _is_deeper(data, _MOST_NESTED):
        raise ActionError(f"{one.type}: its data is nested too deeply", Retcode.BAD_REQUEST)
    return segment(one.type, data)


def _is_deeper(value: object, levels: int) -> bool:
    """Return True if JSON is nested deeper: what a reader with less stack could not read."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inside) and (levels == 0 or any(_is_deeper(one, levels - 1) for one in inside))


def _face(one: Segment) -> Part:
    number = one.text("id").strip()
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ActionError(f"face: {number[:40]!r} is no number", Retcode.BAD_REQUEST)
    return Face(int(number))


async def _file_part(account: Fetcher, one: Segment) -> Part:
    # Of a received file its address may be dead and its name known, or the other way round.
    names = (one.text(name) for name in ("file", "file_id", "path"))
    known = next((name for name in names if account.storage.files.get(name)), "")
    source = known or one.text("url", "file", "path", "file_id")
    is_picture = one.type == "image"
    row = await stored_file(account, source, one.text("name"), is_picture=is_picture)
    given = one.text("name") or name_in(source)
    kept = {name: one.text(name) for name in ("summary", "sub_type", "type") if one.text(name)}
    if one.text("subType"):  # GC's word for it
        kept["sub_type"] = one.text("subType")
    return segment(one.type, {**kept, "file": row.name, "name": file_name(given or row.name)})


def name_in(source: str) -> str:
    """The name of a file in its URL or path; empty where the file itself is written there."""
    if source.startswith("base64://") or source.startswith("data:"):
        return ""
    try:
        return unquote(urlsplit(source).path.rpartition("/")[2])
    except ValueError:
        return ""


async def stored_file(
    account: Fetcher,
    source: str,
    name: str = "",
    *,
    is_picture: bool = False,
    headers: Mapping[str, str] | None = None,
) -> FileRow:
    """Store the file that a segment or an action names.

    Args:
        account: who sends it.
        source: where it is.
        name: that it is given; else that of its source.
        is_picture: whether it has to be a picture.
        headers: of the request, where it is fetched.

    Raises:
        ActionError: it cannot be had, is too large, or no picture.
    """
    if not source:
        raise ActionError("the file is missing: give file", Retcode.BAD_REQUEST)
    known = account.storage.files.get(account.own_file(source) or source)
    if known is not None and (known.is_picture or not is_picture):
        return known
    await account.spend("upload")
    limit = MAX_PICTURE if is_picture else MAX_FILE
    data = await _bytes_of(account, source, limit, headers)
    try:
        return account.storage.files.add(data, name or name_in(source), is_picture=is_picture)
    except ValueError as error:
        raise ActionError(f"the file cannot be taken: {error}") from None
    except OSError as error:
        raise ActionError(f"the file cannot be stored: {error.strerror}") from None


async def _bytes_of(
    account: Fetcher, source: str, limit: int, headers: Mapping[str, str] | None
) -> bytes:
    scheme, _, rest = source.partition(":")
    match scheme.lower():
        case "base64":
            return decoded(rest.removeprefix("//"))
        case "data":
            kind, _, data = rest.partition(",")
            if not kind.endswith(";base64"):
                raise ActionError("a data: URL has to be one of base64", Retcode.BAD_REQUEST)
            return decoded(data)
        case "http" | "https":
            return await _fetched(account, source, limit, headers)
        case "file":
            return _read(account, source, limit)
    raise ActionError(
        f"there is no file {source[:60]!r} here: give base64://, http://, https:// or the name of"
        " a received file"
    )


def decoded(text: str) -> bytes:
    """The bytes of a base64 text, in either alphabet, with or without its end.

    Raises:
        ActionError: it is damaged.
    """
    plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ActionError("the base64 of the file is damaged", Retcode.BAD_REQUEST) from None


async def _fetched(
    account: Fetcher, url: str, limit: int, headers: Mapping[str, str] | None
) -> bytes:
    try:
        request = Request(
            url,
            headers=dict(headers or {}),
            request_timeout=_FETCH_SECONDS,
            max_body_size=limit,
            follow_redirects=True,
        )
        response = await account.fetch(request)
    except (StreamError, ValueError, TypeError) as error:
        raise ActionError(f"the file cannot be fetched: {error}") from None
    if not response.ok:
        raise ActionError(f"the file cannot be fetched: {url[:200]} answers {response.status}")
    return response.body


def _read(account: Fetcher, url: str, limit: int) -> bytes:
    if not account.reads_files:
        raise ActionError(
            "file:// is not allowed here: send base64://, or set reads_files for this account"
        )
    host, path = _place_of(url)
    if host not in ("", "localhost"):
        raise ActionError(f"{url[:200]}: files of another machine cannot be read")
    try:
        if not path.is_absolute() or not path.is_file():
            raise ActionError(f"there is no file {path}")
        with path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise ActionError(f"{path} cannot be read: {error}") from None


def _place_of(url: str) -> tuple[str, Path]:
    """Host and path of a file:// URL.

    Applications write paths as they are: with "#", "?" and "%" (GC issues 169, 1435), and with a
    fourth slash (GC issue 540). A path that is there as it is written is meant.
    """
    host, slash, rest = url.partition(":")[2].removeprefix("//").partition("/")
    written = Path(slash + rest)
    try:
        is_there = written.is_file()
    except (OSError, ValueError):  # a NUL, or too long
        is_there = False
    return host, written if is_there else Path(unquote(slash + rest))


# --- forwarded messages -------------------------------------------------------------------------


async def stored_forward(account: Fetcher, nodes: Segments, depth: int = 0) -> str:
    """Store messages that are passed on together; return the name they are found under.

    Args:
        account: who sends them.
        nodes: segments of type ``node``: an id of a message, or author and content.
        depth: how many forwarded messages they lie in.

    Raises:
        ActionError: there are none, too many, or one is none.
    """
    if not nodes or len(nodes) > _MOST_NODES or depth >= _MOST_DEPTH:
        raise ActionError(
            f"a forwarded message has 1 to {_MOST_NODES} nodes, {_MOST_DEPTH} deep at most",
            Retcode.BAD_REQUEST,
        )
    made = [await _node(account, one, depth) for one in nodes]
    name, text = secrets.token_urlsafe(24), json.dumps(made, ensure_ascii=False)
    if len(text) > _MOST_FORWARDED:
        raise ActionError(f"the forwarded message has more than {_MOST_FORWARDED} characters")
    account.storage.messages.add_forward(name, text)
    return name


async def _node(account: Fetcher, one: Segment, depth: int) -> dict[str, Any]:
    if one.type != "node":
        raise ActionError("nodes cannot be mixed with other segments", Retcode.BAD_REQUEST)
    if one.text("id"):
        return _passed_on(account, one.text("id"))
    try:
        content = parse_message(one.data.get("content"))
    except ValueError as error:
        raise ActionError(f"content of a node: {error}", Retcode.BAD_REQUEST) from None
    if not content:
        raise ActionError("a node has content, or the id of a message", Retcode.BAD_REQUEST)
    user = one.text("user_id", "uin").strip()
    made = await content_of(account, content, depth + 1)
    return {
        "user_id": id_in(user) or account.number,
        "nickname": one.text("nickname", "name")[:60] or user or str(account.number),
        "time": id_in(one.text("time")),
        "content": json.loads(dump_content(made)),
    }


def _passed_on(account: Fetcher, number: str) -> dict[str, Any]:
    message = account.storage.messages.get(id_in(number.strip()))
    if message is None or not sees(account.storage, account.number, message.id):
        raise ActionError(f"there is no message {number[:40]!r} to pass on")
    author = account.storage.accounts.get(message.sender)
    return {
        "user_id": message.sender,
        "nickname": author.nick if author else str(message.sender),
        "time": message.time,
        "content": json.loads(dump_content(message.content)),
    }


def sees(storage: Storage, account: int, number: int) -> bool:
    """Return True if an account can see a message.

    Args:
        storage: of the server.
        account: QQ number.
        number: id of the message.
    """
    message = storage.messages.get(number)
    if message is None:
        return False
    if message.kind in ("group", "discussion"):
        return storage.rooms.is_member(message.target, account)
    return account in (message.sender, message.target)
