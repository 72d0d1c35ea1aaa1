"""The page's API as a table: the fields of each request. Requests are checked by it.

A line is a field: its name, its `Kind` with bounds, whether it is required. `PageHandler.json` and
`PageHandler.query` check all requests by this table, so that no handler meets a number that SQLite
cannot store, a boolean instead of a number, or half a character. `openapi` is the same table for
programs.

Example:
    >>> operation_of("POST", "/page/typing").read({"conversation": "friend:10001", "x": 1})
    {'conversation': 'friend:10001'}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...protocol.fields import MOST_SAFE, TRUTH, Kind, choice, several, text, whole
from ...protocol.models.content import Content, UnknownPart
from ..storage import FILE_SEGMENTS, load_content

__all__ = ["OPERATIONS", "Operation", "Parameter", "openapi", "operation_of"]


class Parameter(NamedTuple):
    """A field of a JSON body, or of a query.

    Args:
        name: in the request.
        kind: type and bounds of its value.
        is_needed: False for an optional one.
    """

    name: str
    kind: Kind
    is_needed: bool = True


class Operation(NamedTuple):
    """An operation of the page's API.

    Args:
        method: "GET", with its parameters in the query, or "POST", in a JSON object.
        path: of the address.
        summary: one line of documentation.
        parameters: its fields.
        is_closed: True if unknown fields are refused: where each is a change, none may be lost.
        quota: its rate limit, by name in `quotas.QUOTAS`; empty: none.
    """

    method: str
    path: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    is_closed: bool = False
    quota: str = ""

    def read(self, raw: Mapping[str, object]) -> dict[str, Any]:
        """The fields of a request, checked.

        Raises:
            ValueError: names the first that is missing or invalid.
        """
        known = {parameter.name for parameter in self.parameters}
        for name in raw.keys() - known if self.is_closed else ():
            raise ValueError(f"{name[:80]!r} cannot be changed here")
        return {
            parameter.name: _value(parameter, raw[parameter.name])
            for parameter in self.parameters
            if parameter.name in raw or _is_required(parameter)
        }

    def read_query(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """The fields of a query, where each value is text.

        Raises:
            ValueError: as above.
        """
        kinds = {parameter.name: parameter.kind for parameter in self.parameters}
        return self.read({name: _typed(kinds.get(name), text) for name, text in texts.items()})


def _is_required(parameter: Parameter) -> bool:
    if parameter.is_needed:
        raise ValueError(f"{parameter.name} is missing")
    return False


def _value(parameter: Parameter, raw: object) -> object:
    try:
        return parameter.kind.parse(raw)
    except ValueError as error:
        raise ValueError(f"{parameter.name}: {error}") from None


def _typed(kind: Kind | None, text: str) -> object:
    is_number = kind is not None and kind.schema.get("type") == "integer"
    digits = text.removeprefix("-")
    if is_number and digits.isascii() and digits.isdigit() and len(digits) < 20:
        return int(text)
    return text


# --- kinds -------------------------------------------------------------------------------------

_PARTS = 4096
#: Kinds of segments that the page may send; see `storage.contents`.
_PAGE_SEGMENTS = frozenset({"at", "reply", *FILE_SEGMENTS})


def _page_content(raw: object) -> Content:
    content = load_content(raw)
    for part in content.parts:
        if isinstance(part, UnknownPart) and part.kind not in _PAGE_SEGMENTS:
            raise ValueError(f"the page cannot send a segment {part.kind}")
    return content


_CONTENT = Kind(
    _page_content,
    list,
    schema={
        "type": "array",
        "maxItems": _PARTS,
        "items": {
            "oneOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "prefixItems": [{"const": "face"}, {"type": "integer"}],
                    "minItems": 2,
                    "maxItems": 2,
                },
                {
                    "type": "array",
                    "prefixItems": [{"enum": sorted(_PAGE_SEGMENTS)}, {"type": "object"}],
                    "minItems": 2,
                    "maxItems": 2,
                },
            ]
        },
    },
)
"""A message: texts, ["face", number], and segments such as ["image", {"file": name}]."""
ACCOUNT = whole(1)
"""A QQ number."""
NAME = text(200)
"""A name; storage checks it further, with errors for the user."""
CONVERSATION = text(40)
""""friend:N", "group:N", "discussion:N" or "session:N"."""
PASSWORD = text(1000)
ACCOUNTS = several(ACCOUNT, 500)
_MESSAGE = whole(0, MOST_SAFE)
_SECRET = text(200)

_CONVERSATION = Parameter("conversation", CONVERSATION)


def _optional(name: str, kind: Kind) -> Parameter:
    return Parameter(name, kind, is_needed=False)


#: Texts of a profile.
_TEXTS = (
    *("lnick", "phone", "mobile", "email", "occupation", "college"),
    *("country", "province", "city", "homepage", "personal"),
)
_PROFILE = (
    _optional("nick", NAME),
    *(_optional(name, text(200)) for name in _TEXTS),
    _optional("gender", choice("male", "female", "unknown")),
    _optional("birthday", several(whole(0, 2100), 3, 3)),
    _optional("blood", whole(0, 5)),
    _optional("face", whole(0, 999)),
    _optional("allow", whole(0, 2)),
)
_ROOM = (Parameter("name", NAME), Parameter("members", ACCOUNTS))

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/page/signin",
        "Sign in by account and password, or by the token of a link",
        (
            _optional("account", ACCOUNT),
            _optional("password", PASSWORD),
            _optional("link", _SECRET),
        ),
    ),
    Operation(
        "POST",
        "/page/register",
        "Register an account and sign in",
        (Parameter("nick", NAME), Parameter("password", PASSWORD)),
        quota="registration",
    ),
    Operation(
        "POST",
        "/page/signout",
        "Sign this browser out, or the account everywhere",
        (_optional("everywhere", TRUTH),),
    ),
    Operation(
        "POST",
        "/page/password",
        "Change the user's password, and end all other sessions",
        (Parameter("current", PASSWORD), Parameter("new", PASSWORD)),
        quota="change",
    ),
    Operation("GET", "/page/state", "The state with which the page starts", quota="load"),
    Operation(
        "GET",
        "/page/messages",
        "Messages of a conversation, the oldest first",
        (
            _CONVERSATION,
            _optional("before", _MESSAGE),
            _optional("after", _MESSAGE),
            _optional("limit", whole(1)),
        ),
        quota="load",
    ),
    Operation(
        "GET",
        "/page/search",
        "Messages with all words of a text, the newest first",
        (
            Parameter("text", text(100, 1)),
            _optional("before", _MESSAGE),
            _optional("limit", whole(1)),
        ),
        quota="search",
    ),
    Operation(
        "POST",
        "/page/messages",
        "Send a message; the same nonce again is the same message",
        (
            _CONVERSATION,
            Parameter("content", _CONTENT),
            _optional("nonce", text(64, pattern=r"^[\x20-\x7e]*$")),
        ),
        quota="message",
    ),
    Operation(
        "POST",
        "/page/files",
        "Store a file, the body of the request, to be sent with a message",
        (_optional("name", text(300)),),
        quota="upload",
    ),
    Operation(
        "POST",
        "/page/recall",
        "Recall a message",
        (Parameter("message", _MESSAGE),),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/poke",
        "Poke a friend, or a member of a group",
        (_CONVERSATION, Parameter("account", ACCOUNT)),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/join",
        "Request to join a group",
        (Parameter("group", ACCOUNT), _optional("text", text(1000))),
        quota="request",
    ),
    Operation(
        "POST",
        "/page/grouprequest",
        "Accept a request to join a group or an invitation to one, or refuse it",
        (Parameter("id", _MESSAGE), Parameter("accept", TRUTH)),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/read",
        "Mark a conversation as read up to a message",
        (_CONVERSATION, Parameter("message", _MESSAGE)),
        quota="reading",
    ),
    Operation(
        "POST",
        "/page/typing",
        "Report to a friend that the user is typing",
        (_CONVERSATION,),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/friends",
        "Add a friend, or send a friend request",
        (Parameter("account", ACCOUNT), _optional("text", text(1000))),
        quota="request",
    ),
    Operation(
        "POST",
        "/page/friend",
        "Change a friend's mark or heading, or remove the friend",
        (
            Parameter("account", ACCOUNT),
            _optional("mark", NAME),
            _optional("category", whole(0, 255)),
            _optional("remove", TRUTH),
        ),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/headings",
        "Add a heading; rename or remove one by its number",
        (_optional("number", whole(0, 255)), Parameter("name", NAME)),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/requests",
        "Accept a friend request, or refuse it",
        (Parameter("account", ACCOUNT), Parameter("accept", TRUTH)),
        quota="change",
    ),
    Operation("GET", "/page/profile", "The user's own profile"),
    Operation(
        "POST",
        "/page/profile",
        "Change fields of the profile",
        _PROFILE,
        is_closed=True,
        quota="change",
    ),
    Operation("POST", "/page/groups", "Create a group with friends", _ROOM, quota="room"),
    Operation("POST", "/page/discussions", "Create a discussion with friends", _ROOM, quota="room"),
    Operation(
        "POST",
        "/page/room",
        "Change a room or the user's settings of it; each field is one change",
        (
            _CONVERSATION,
            _optional("name", NAME),
            _optional("memo", text(2000)),
            _optional("mark", NAME),
            _optional("card", NAME),
            _optional("mask", whole(0, 2)),
            _optional("add", ACCOUNTS),
            _optional("remove", ACCOUNT),
            _optional("admin", ACCOUNT),
            _optional("is_admin", TRUTH),
            _optional("member", ACCOUNT),
            _optional("title", NAME),
            _optional("ban", ACCOUNT),
            _optional("seconds", whole(0, 30 * 86_400)),
            _optional("silence", TRUTH),
            _optional("leave", TRUTH),
        ),
        is_closed=True,
        quota="change",
    ),
    Operation("GET", "/page/onebot", "OneBot 11 settings of the user's account"),
    Operation(
        "POST",
        "/page/onebot",
        "Change those settings",
        (
            _optional("is_on", TRUTH),
            _optional("token", text(200)),
            _optional("format", choice("array", "string")),
            _optional("heartbeat", whole(0, 3_600_000)),
            _optional("reports_own", TRUTH),
            _optional("reverse", several(text(2000), 10)),
            _optional("post", several(text(2000), 10)),
            _optional("secret", text(200)),
        ),
        is_closed=True,
        quota="change",
    ),
    Operation(
        "GET",
        "/page/qr",
        "Clients that show a QR code; with its id, one",
        (_optional("id", _SECRET),),
    ),
    Operation(
        "POST",
        "/page/qr",
        "Confirm or refuse a client that shows a QR code",
        (Parameter("id", _SECRET), Parameter("confirm", TRUTH)),
    ),
)
_BY_PATH = {(operation.method, operation.path): operation for operation in OPERATIONS}


def operation_of(method: str, path: str) -> Operation:
    """The operation of a request.

    Raises:
        KeyError: there is none; a test checks that each route has its operation above.
    """
    return _BY_PATH[method, path]


def openapi() -> dict[str, Any]:
    """The table as an OpenAPI 3.1 document.

    Example:
        >>> openapi()["paths"]["/page/typing"]["post"]["summary"]
        'Report to a friend that the user is typing'
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    info = {"title": "The page of webqq_tornado's server", "version": "1"}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "responses": {"default": _RESPONSE}}
    if operation.method == "GET":
        described["parameters"] = [
            {"in": "query", "name": name, "required": is_needed, "schema": dict(kind.schema)}
            for name, kind, is_needed in operation.parameters
        ]
        return described
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: dict(kind.schema) for name, kind, _ in operation.parameters},
        "required": [name for name, _, is_needed in operation.parameters if is_needed],
        "additionalProperties": not operation.is_closed,
    }
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {**described, "requestBody": body}


_RESPONSE = {"description": 'JSON; with a status of 400 and above {"error": the reason}'}
