"""The page's API as a table: what each request may hold. Requests are read by it, and no others.

One line a field: its name, its `Kind` with bounds, whether it is needed. `PageHandler.json` and
`PageHandler.query` read what came by this table and nothing else, so that no handler meets a number
that SQLite cannot take, a truth in the place of a number, or half a character. `openapi` is the
same table for programs.

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
        kind: what it may be.
        is_needed: whether a request without it is refused.
    """

    name: str
    kind: Kind
    is_needed: bool = True


class Operation(NamedTuple):
    """One thing that the page asks for.

    Args:
        method: "GET", with its parameters in the query, or "POST", in a JSON object.
        path: of the address.
        summary: what it does.
        parameters: what it may hold.
        is_closed: whether other fields are refused: where each is a change, one must not be lost.
        quota: how often it may come, by its name in `quotas.QUOTAS`; empty: without a bound.
    """

    method: str
    path: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    is_closed: bool = False
    quota: str = ""

    def read(self, raw: Mapping[str, object]) -> dict[str, Any]:
        """The fields that came, checked.

        Raises:
            ValueError: names the first that is missing, or is not what it may be.
        """
        known = {parameter.name for parameter in self.parameters}
        for name in raw.keys() - known if self.is_closed else ():
            raise ValueError(f"{name[:80]!r} is nothing that can be changed here")
        return {
            parameter.name: _value(parameter, raw[parameter.name])
            for parameter in self.parameters
            if parameter.name in raw or _is_missed(parameter)
        }

    def read_query(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """The same for a query, where all that came is text.

        Raises:
            ValueError: as above.
        """
        kinds = {parameter.name: parameter.kind for parameter in self.parameters}
        return self.read({name: _typed(kinds.get(name), text) for name, text in texts.items()})


def _is_missed(parameter: Parameter) -> bool:
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
#: Segments that the page sends; see `storage.contents`.
_FROM_PAGE = frozenset({"at", "reply", *FILE_SEGMENTS})


def _page_content(raw: object) -> Content:
    content = load_content(raw)
    for part in content.parts:
        if isinstance(part, UnknownPart) and part.kind not in _FROM_PAGE:
            raise ValueError(f"a page sends no segment {part.kind}")
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
                    "prefixItems": [{"enum": sorted(_FROM_PAGE)}, {"type": "object"}],
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
"""Storage says what a name may be, in words for the person; none is longer than this."""
CONVERSATION = text(40)
""""friend:N", "group:N", "discussion:N" or "session:N"."""
PASSWORD = text(1000)
ACCOUNTS = several(ACCOUNT, 500)
_MESSAGE = whole(0, MOST_SAFE)
_SECRET = text(200)

_IN = Parameter("conversation", CONVERSATION)


def _maybe(name: str, kind: Kind) -> Parameter:
    return Parameter(name, kind, is_needed=False)


#: Texts of a profile.
_TEXTS = (
    *("lnick", "phone", "mobile", "email", "occupation", "college"),
    *("country", "province", "city", "homepage", "personal"),
)
_PROFILE = (
    _maybe("nick", NAME),
    *(_maybe(name, text(200)) for name in _TEXTS),
    _maybe("gender", choice("male", "female", "unknown")),
    _maybe("birthday", several(whole(0, 2100), 3, 3)),
    _maybe("blood", whole(0, 5)),
    _maybe("face", whole(0, 999)),
    _maybe("allow", whole(0, 2)),
)
_ROOM = (Parameter("name", NAME), Parameter("members", ACCOUNTS))

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/page/signin",
        "Sign in by account and password, or by the token of a link",
        (_maybe("account", ACCOUNT), _maybe("password", PASSWORD), _maybe("link", _SECRET)),
    ),
    Operation(
        "POST",
        "/page/register",
        "Make an account, and sign in as it",
        (Parameter("nick", NAME), Parameter("password", PASSWORD)),
        quota="registration",
    ),
    Operation(
        "POST",
        "/page/signout",
        "Sign this browser out, or the account everywhere",
        (_maybe("everywhere", TRUTH),),
    ),
    Operation(
        "POST",
        "/page/password",
        "Change one's password, and sign out everywhere else",
        (Parameter("current", PASSWORD), Parameter("new", PASSWORD)),
        quota="change",
    ),
    Operation("GET", "/page/state", "All that a page begins with", quota="load"),
    Operation(
        "GET",
        "/page/messages",
        "Messages of a conversation, the oldest first",
        (_IN, _maybe("before", _MESSAGE), _maybe("after", _MESSAGE), _maybe("limit", whole(1))),
        quota="load",
    ),
    Operation(
        "GET",
        "/page/search",
        "Messages that have all words of a text, the newest first",
        (Parameter("text", text(100, 1)), _maybe("before", _MESSAGE), _maybe("limit", whole(1))),
        quota="search",
    ),
    Operation(
        "POST",
        "/page/messages",
        "Send a message; the same nonce again is the same message",
        (_IN, Parameter("content", _CONTENT), _maybe("nonce", text(64, pattern=r"^[\x20-\x7e]*$"))),
        quota="message",
    ),
    Operation(
        "POST",
        "/page/files",
        "Store a file, the body of the request, to be sent with a message",
        (_maybe("name", text(300)),),
        quota="upload",
    ),
    Operation(
        "POST",
        "/page/recall",
        "Take a message back",
        (Parameter("message", _MESSAGE),),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/poke",
        "Poke a friend, or a member of a group",
        (_IN, Parameter("account", ACCOUNT)),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/join",
        "Ask to come into a group",
        (Parameter("group", ACCOUNT), _maybe("text", text(1000))),
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
        (_IN, Parameter("message", _MESSAGE)),
        quota="reading",
    ),
    Operation("POST", "/page/typing", "Tell a friend that one is writing", (_IN,), quota="change"),
    Operation(
        "POST",
        "/page/friends",
        "Make friends, or ask to be one",
        (Parameter("account", ACCOUNT), _maybe("text", text(1000))),
        quota="request",
    ),
    Operation(
        "POST",
        "/page/friend",
        "Name a friend, sort them, or be friends no more",
        (
            Parameter("account", ACCOUNT),
            _maybe("mark", NAME),
            _maybe("category", whole(0, 255)),
            _maybe("remove", TRUTH),
        ),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/headings",
        "Make a heading; name one anew, or remove it, by its number",
        (_maybe("number", whole(0, 255)), Parameter("name", NAME)),
        quota="change",
    ),
    Operation(
        "POST",
        "/page/requests",
        "Accept a friend request, or refuse it",
        (Parameter("account", ACCOUNT), Parameter("accept", TRUTH)),
        quota="change",
    ),
    Operation("GET", "/page/profile", "One's own profile"),
    Operation(
        "POST", "/page/profile", "Change some of it", _PROFILE, is_closed=True, quota="change"
    ),
    Operation("POST", "/page/groups", "Make a group of oneself and friends", _ROOM, quota="room"),
    Operation(
        "POST", "/page/discussions", "Make a discussion of oneself and friends", _ROOM, quota="room"
    ),
    Operation(
        "POST",
        "/page/room",
        "Change a room, or how one has it; each field is one change",
        (
            _IN,
            _maybe("name", NAME),
            _maybe("memo", text(2000)),
            _maybe("mark", NAME),
            _maybe("card", NAME),
            _maybe("mask", whole(0, 2)),
            _maybe("add", ACCOUNTS),
            _maybe("remove", ACCOUNT),
            _maybe("admin", ACCOUNT),
            _maybe("is_admin", TRUTH),
            _maybe("member", ACCOUNT),
            _maybe("title", NAME),
            _maybe("ban", ACCOUNT),
            _maybe("seconds", whole(0, 30 * 86_400)),
            _maybe("silence", TRUTH),
            _maybe("leave", TRUTH),
        ),
        is_closed=True,
        quota="change",
    ),
    Operation("GET", "/page/onebot", "How programs drive one's own account by OneBot 11"),
    Operation(
        "POST",
        "/page/onebot",
        "Change some of that",
        (
            _maybe("is_on", TRUTH),
            _maybe("token", text(200)),
            _maybe("format", choice("array", "string")),
            _maybe("heartbeat", whole(0, 3_600_000)),
            _maybe("reports_own", TRUTH),
            _maybe("reverse", several(text(2000), 10)),
            _maybe("post", several(text(2000), 10)),
            _maybe("secret", text(200)),
        ),
        is_closed=True,
        quota="change",
    ),
    Operation(
        "GET", "/page/qr", "Clients that show a QR code; with its id, one", (_maybe("id", _SECRET),)
    ),
    Operation(
        "POST",
        "/page/qr",
        "Let a client in, or do not",
        (Parameter("id", _SECRET), Parameter("confirm", TRUTH)),
    ),
)
_BY_PLACE = {(operation.method, operation.path): operation for operation in OPERATIONS}


def operation_of(method: str, path: str) -> Operation:
    """The operation of a request.

    Raises:
        KeyError: there is none; each route that takes one has its line above, a test says.
    """
    return _BY_PLACE[method, path]


def openapi() -> dict[str, Any]:
    """The table as an OpenAPI 3.1 document, for programs that read such.

    Example:
        >>> openapi()["paths"]["/page/typing"]["post"]["summary"]
        'Tell a friend that one is writing'
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    info = {"title": "The page of webqq_tornado's server", "version": "1"}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "responses": {"default": _ANSWER}}
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


_ANSWER = {"description": 'JSON; with a status of 400 and above {"error": the reason}'}
