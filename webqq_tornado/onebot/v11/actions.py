"""Actions of OneBot 11: names, parameters, calls and answers.

`ACTIONS` is the table (OB api/public.md, api/hidden.md; de facto: GC, NC, LG, LL as marked). A
call is read with `parse_call` (a frame) or `call_of` (HTTP), its parameters with
`Call.parameters`, which converts texts to numbers and booleans as the standard asks for; unknown
parameters are passed over (AQ adds ``self_id`` to every action), null ones are not given.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .segments import Segments, TooManySegments, build_array, parse_message
from .values import Fields, as_text, boolean, dump, load, number, object_of

__all__ = [
    "ACTIONS",
    "NO_ECHO",
    "Action",
    "ActionError",
    "Answer",
    "Call",
    "Mode",
    "Param",
    "Retcode",
    "build_answer",
    "build_call",
    "build_params",
    "call_of",
    "failure",
    "parse_answer",
    "parse_call",
]


class Retcode(enum.IntEnum):
    """Codes of answers. Go by ``status``: the codes differ between implementations.

    OB communication/ws.md has 0, 1 and the 14xx; GC 100 (failed) and 404, NC 1200 (failed; with
    "Timeout" the outcome is unknown) and 1400, LG 1 with ``failed`` and 9000.
    """

    OK = 0
    ASYNC = 1
    FAILED = 100
    NC_FAILED = 1200
    BAD_REQUEST = 1400
    NO_TOKEN = 1401
    WRONG_TOKEN = 1403
    NO_ACTION = 1404


class ActionError(ValueError):
    """An action cannot be done; becomes an answer ``failed``.

    Args:
        message: for people.
        retcode: of the answer.

    Attributes:
        echo: of the call, where its frame had one.
    """

    def __init__(self, message: str, retcode: int = Retcode.FAILED) -> None:
        super().__init__(message)
        self.message, self.retcode = message, retcode
        self.echo: object = NO_ECHO

    def __reduce__(self) -> tuple[type[ActionError], tuple[str, int]]:
        return type(self), (self.message, self.retcode)


class Mode(enum.Enum):
    """The suffix of an action: run at once, in the background, or in a paced queue."""

    PLAIN = ""
    ASYNC = "_async"
    RATE_LIMITED = "_rate_limited"


class _NoEcho:
    def __repr__(self) -> str:
        return "NO_ECHO"


#: The echo of a call that has none; null is an echo, too.
NO_ECHO = _NoEcho()
_REQUIRED = object()
_KINDS: dict[str, Callable[[object], object]] = {
    "number": number,
    "boolean": boolean,
    "text": as_text,
    "message": parse_message,
    "any": lambda raw: raw,
}


class Param(NamedTuple):
    """A parameter of an action.

    Args:
        name: of it.
        kind: ``number``, ``boolean``, ``text``, ``message`` or ``any``.
        default: where it is not given; without one it is needed.
        aliases: other names that occur.
    """

    name: str
    kind: str = "number"
    default: object = _REQUIRED
    aliases: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """True if it has no default."""
        return self.default is _REQUIRED


class Action(NamedTuple):
    """An action.

    Args:
        name: of it.
        params: that it takes.
        is_standard: whether the standard has it; else it is de facto.
    """

    name: str
    params: tuple[Param, ...] = ()
    is_standard: bool = True


_GROUP, _USER = Param("group_id"), Param("user_id")
_MESSAGE_ID = Param("message_id", aliases=("id",))
_PLAIN = Param("auto_escape", "boolean", False)
_ANY_GROUP, _ANY_USER = Param("group_id", default=0), Param("user_id", default=0)
_NO_CACHE = Param("no_cache", "boolean", False)
_ENABLE = Param("enable", "boolean", True)
_APPROVE = Param("approve", "boolean", True)
_FLAG = Param("flag", "text")
_MESSAGE = Param("message", "message")
_NODES = Param("messages", "message", aliases=("message",))
_DOMAIN = Param("domain", "text", "")
_DURATION = Param("duration", default=1800)
_HISTORY = (
    Param("message_seq", default=0, aliases=("message_id",)),
    Param("count", default=20),
    Param("reverse_order", "boolean", False, ("reverseOrder",)),
)
_FILE = Param("file", "text")
_TARGETS = ("target_directory",)
_FOLDER = Param("folder_id", "text", "", ("folder",))

_STANDARD = (
    Action("send_private_msg", (_USER, _MESSAGE, _PLAIN, _ANY_GROUP)),
    Action("send_group_msg", (_GROUP, _MESSAGE, _PLAIN)),
    Action(
        "send_msg",
        (Param("message_type", "text", ""), _ANY_USER, _ANY_GROUP, _MESSAGE, _PLAIN),
    ),
    Action("delete_msg", (_MESSAGE_ID,)),
    Action("get_msg", (_MESSAGE_ID,)),
    Action("get_forward_msg", (Param("id", "text", aliases=("message_id",)),)),
    Action("send_like", (_USER, Param("times", default=1))),
    Action("set_group_kick", (_GROUP, _USER, Param("reject_add_request", "boolean", False))),
    Action("set_group_ban", (_GROUP, _USER, _DURATION)),
    Action(
        "set_group_anonymous_ban",
        (
            _GROUP,
            Param("anonymous", "any", None),
            Param("anonymous_flag", "text", "", ("flag",)),
            _DURATION,
        ),
    ),
    Action("set_group_whole_ban", (_GROUP, _ENABLE)),
    Action("set_group_anonymous", (_GROUP, _ENABLE)),
    Action("set_group_admin", (_GROUP, _USER, _ENABLE)),
    Action("set_group_card", (_GROUP, _USER, Param("card", "text", ""))),
    Action("set_group_name", (_GROUP, Param("group_name", "text"))),
    Action("set_group_leave", (_GROUP, Param("is_dismiss", "boolean", False))),
    Action(
        "set_group_special_title",
        (_GROUP, _USER, Param("special_title", "text", ""), Param("duration", default=-1)),
    ),
    Action("set_friend_add_request", (_FLAG, _APPROVE, Param("remark", "text", ""))),
    Action(
        "set_group_add_request",
        (
            _FLAG,
            Param("sub_type", "text", "", ("type",)),
            _APPROVE,
            Param("reason", "text", ""),
        ),
    ),
    Action("get_login_info"),
    Action("get_stranger_info", (_USER, _NO_CACHE)),
    Action("get_friend_list", (_NO_CACHE,)),
    Action("get_group_info", (_GROUP, _NO_CACHE)),
    Action("get_group_list", (_NO_CACHE,)),
    Action("get_group_member_info", (_GROUP, _USER, _NO_CACHE)),
    Action("get_group_member_list", (_GROUP, _NO_CACHE)),
    Action("get_group_honor_info", (_GROUP, Param("type", "text", "all"))),
    Action("get_cookies", (_DOMAIN,)),
    Action("get_csrf_token", (_DOMAIN,)),
    Action("get_credentials", (_DOMAIN,)),
    Action("get_record", (_FILE, Param("out_format", "text", ""))),
    Action("get_image", (_FILE,)),
    Action("can_send_image"),
    Action("can_send_record"),
    Action("get_status"),
    Action("get_version_info"),
    Action("set_restart", (Param("delay", default=0),)),
    Action("clean_cache"),
    Action(".handle_quick_operation", (Param("context", "any"), Param("operation", "any"))),
)
_DE_FACTO = (
    Action("send_group_forward_msg", (_GROUP, _NODES)),
    Action("send_private_forward_msg", (_USER, _NODES)),
    Action(
        "send_forward_msg",
        (Param("message_type", "text", ""), _ANY_USER, _ANY_GROUP, _NODES),
    ),
    Action("get_group_msg_history", (_GROUP, *_HISTORY)),
    Action("get_friend_msg_history", (_USER, *_HISTORY)),
    Action("mark_msg_as_read", (_MESSAGE_ID,)),
    Action("mark_private_msg_as_read", (_USER,)),
    Action("mark_group_msg_as_read", (_GROUP,)),
    Action("_mark_all_as_read", ()),
    Action("forward_friend_single_msg", (_USER, _MESSAGE_ID)),
    Action("forward_group_single_msg", (_GROUP, _MESSAGE_ID)),
    Action("set_essence_msg", (_MESSAGE_ID,)),
    Action("delete_essence_msg", (_MESSAGE_ID,)),
    Action("get_essence_msg_list", (_GROUP,)),
    Action("group_poke", (_GROUP, _USER)),
    Action("friend_poke", (_USER, Param("target_id", default=0))),
    Action("send_poke", (_USER, _ANY_GROUP, Param("target_id", default=0))),
    Action(
        "set_msg_emoji_like",
        (_MESSAGE_ID, Param("emoji_id", "text"), Param("set", "boolean", True)),
    ),
    Action("unset_msg_emoji_like", (_MESSAGE_ID, Param("emoji_id", "text"))),
    Action(
        "set_group_reaction",
        (_GROUP, _MESSAGE_ID, Param("code", "text"), Param("is_add", "boolean", True)),
    ),
    Action("upload_group_file", (_GROUP, _FILE, Param("name", "text", ""), _FOLDER)),
    Action("upload_private_file", (_USER, _FILE, Param("name", "text", ""))),
    Action("get_group_root_files", (_GROUP,)),
    Action("get_group_files_by_folder", (_GROUP, _FOLDER)),
    Action("get_group_file_system_info", (_GROUP,)),
    Action("get_group_file_url", (_GROUP, Param("file_id", "text"), Param("busid", default=0))),
    Action("create_group_file_folder", (_GROUP, Param("name", "text", aliases=("folder_name",)))),
    Action("delete_group_folder", (_GROUP, _FOLDER)),
    Action("delete_group_file", (_GROUP, Param("file_id", "text"), Param("busid", default=0))),
    Action("delete_group_file_folder", (_GROUP, _FOLDER)),
    Action(
        "move_group_file",
        (_GROUP, Param("file_id", "text"), Param("target_parent_directory", "text", "", _TARGETS)),
    ),
    Action("rename_group_file", (_GROUP, Param("file_id", "text"), Param("new_name", "text"))),
    Action("get_private_file_url", (_ANY_USER, Param("file_id", "text"))),
    Action("get_file", (Param("file", "text", "", ("file_id",)),)),
    Action(
        "download_file",
        (
            Param("url", "text", ""),
            Param("base64", "text", ""),
            Param("name", "text", ""),
            Param("headers", "any", None),
            Param("thread_count", default=1),
        ),
    ),
    Action(
        "upload_file_stream",
        (
            Param("stream_id", "text"),
            Param("chunk_data", "text", ""),
            Param("chunk_index", default=-1),
            Param("total_chunks", default=0),
            Param("file_size", default=0),
            Param("expected_sha256", "text", ""),
            Param("is_complete", "boolean", False),
            Param("filename", "text", ""),
            Param("reset", "boolean", False),
            Param("verify_only", "boolean", False),
            Param("file_retention", default=0),
        ),
    ),
    Action("clean_stream_temp_file", ()),
    Action("_send_group_notice", (_GROUP, Param("content", "text"), Param("image", "text", ""))),
    Action("_get_group_notice", (_GROUP,)),
    Action("_del_group_notice", (_GROUP, Param("notice_id", "text"))),
    Action("get_group_system_msg", ()),
    Action("get_group_detail_info", (_GROUP,)),
    Action(
        "set_group_kick_members",
        (
            _GROUP,
            Param("user_id", "any", aliases=("user_ids",)),
            Param("reject_add_request", "boolean", False),
        ),
    ),
    Action("set_group_portrait", (_GROUP, _FILE)),
    Action("set_qq_avatar", (_FILE,)),
    Action("set_qq_profile", (Param("nickname", "text", ""), Param("personal_note", "text", ""))),
    Action("set_self_longnick", (Param("longNick", "text", "", ("long_nick",)),)),
    Action("set_online_status", (Param("status", default=10), Param("ext_status", default=0))),
    Action("set_friend_remark", (_USER, Param("remark", "text", ""))),
    Action("set_group_remark", (_GROUP, Param("remark", "text", ""))),
    Action("set_input_status", (_USER, Param("event_type", default=1))),
    Action("get_group_at_all_remain", (_GROUP,)),
    Action("get_online_clients", ()),
    Action("delete_friend", (Param("user_id", aliases=("friend_id",)),)),
    Action("get_unidirectional_friend_list", ()),
    Action("send_group_sign", (_GROUP,)),
    Action("set_group_sign", (_GROUP,)),
    Action("get_group_shut_list", (_GROUP,)),
    Action("get_friends_with_category", ()),
    Action("get_recent_contact", (Param("count", default=10),)),
    Action("get_guild_list", ()),
    Action("get_guild_service_profile", ()),
    Action("get_updates", (Param("limit", default=0), Param("timeout", default=0))),
)
#: The beginning of segments as JSON, with blanks in it where somebody has printed it for people.
_ARRAY = re.compile(r"\s*(?:\[\s*)?\{")
#: QQ's own result in NC's words for a failure: ``EventRet: {"result": -1, ...``.
_RESULT = re.compile(r'"result":\s*(-?\d{1,9})')

#: All actions by name.
ACTIONS: dict[str, Action] = {
    **{action.name: action for action in _STANDARD},
    **{action.name: action._replace(is_standard=False) for action in _DE_FACTO},
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an action.

    Args:
        action: its name, without the suffix.
        raw: parameters as they came.
        echo: goes back unchanged, of whatever type; `NO_ECHO` if none was given.
        mode: that the suffix asks for.
    """

    action: str
    raw: Fields = field(default_factory=dict)
    echo: object = NO_ECHO
    mode: Mode = Mode.PLAIN

    @property
    def is_known(self) -> bool:
        """True for an action of `ACTIONS`; others are answered with `Retcode.NO_ACTION`."""
        return self.action in ACTIONS

    def parameters(self) -> dict[str, object]:
        """All parameters of the action, converted, with defaults.

        Returns:
            By name: int, bool, str, a tuple of `Segment` for a message, or what came.

        Raises:
            ActionError: there is no such action, one is missing, or one is of another kind; the
                retcode shows which.

        Example:
            >>> Call("get_group_info", {"group_id": "20001", "self_id": 1}).parameters()
            {'group_id': 20001, 'no_cache': False}
        """
        known = ACTIONS.get(self.action)
        if known is None:
            raise ActionError(f"there is no action {self.action[:40]!r}", Retcode.NO_ACTION)
        return {param.name: self._value(param) for param in known.params}

    def _value(self, param: Param) -> object:
        names = (param.name, *param.aliases)
        given = next((self.raw[each] for each in names if self.raw.get(each) is not None), None)
        if given is None:
            if param.is_needed:
                raise ActionError(f"{self.action}: {param.name} is missing", Retcode.BAD_REQUEST)
            return param.default
        try:
            return self._converted(param, given)
        except ValueError as error:
            message = f"{self.action}: {param.name}: {error}"
            raise ActionError(message, Retcode.BAD_REQUEST) from None

    def _converted(self, param: Param, given: object) -> object:
        if given == "" and param.kind in ("number", "boolean") and not param.is_needed:
            return param.default
        if param.kind == "message":
            return self._message(param, given)
        return _KINDS[param.kind](given)

    def _message(self, param: Param, given: object) -> Segments:
        """A message; in a query or form an array comes as its JSON text (OB http.md)."""
        is_plain = self._is_plain() and param is _MESSAGE
        if isinstance(given, str) and not is_plain and _ARRAY.match(given):
            try:
                return parse_message(load(given))
            except TooManySegments:
                raise
            except ValueError:  # a text that begins as JSON does
                return parse_message(given)
        return parse_message(given, is_plain=is_plain)

    def _is_plain(self) -> bool:
        given = self.raw.get(_PLAIN.name)
        return given is not None and boolean(given)


def call_of(name: str, params: object = None, echo: object = NO_ECHO) -> Call:
    """A call by name and parameters, as HTTP has it.

    Args:
        name: with its suffix, if any.
        params: an object, or nothing.
        echo: of a frame.

    Raises:
        ActionError: the parameters are no object.

    Example:
        >>> call_of("send_like_async", {"user_id": 1}).mode
        <Mode.ASYNC: '_async'>
    """
    if params is not None and not isinstance(params, Mapping):
        raise ActionError("params is no JSON object", Retcode.BAD_REQUEST)
    if name not in ACTIONS:
        for mode in (Mode.ASYNC, Mode.RATE_LIMITED):
            if name.endswith(mode.value):
                return Call(name.removesuffix(mode.value), params or {}, echo, mode)
    return Call(name, params or {}, echo)


def parse_call(text: str | bytes) -> Call:
    """The call in a frame of a WebSocket.

    Args:
        text: the frame.

    Raises:
        ActionError: it is no JSON, no object, or has no action; answer with its retcode and echo.
    """
    try:
        values = object_of(load(text), "a call")
    except ValueError as error:
        raise ActionError(f"a JSON object was expected: {error}", Retcode.BAD_REQUEST) from None
    name, echo = values.get("action"), values.get("echo", NO_ECHO)
    try:
        if not isinstance(name, str) or not name:
            raise ActionError("action is missing", Retcode.BAD_REQUEST)
        return call_of(name, values.get("params"), echo)
    except ActionError as error:
        error.echo = echo  # without it the application waits until its time is over
        raise


def build_call(action: str, params: Fields, echo: object = NO_ECHO) -> str:
    """The frame of a call; messages in it are written as arrays.

    Args:
        action: its name.
        params: by name; a tuple of segments for a message; None leaves one out.
        echo: to know the answer by; truthy, as NT's mock and OS drop others.

    Example:
        >>> build_call("get_status", {}, 1)
        '{"action":"get_status","params":{},"echo":1}'
    """
    frame: dict[str, object] = {"action": action, "params": build_params(params)}
    if echo is not NO_ECHO:
        frame["echo"] = echo
    return dump(frame)


def build_params(params: Fields) -> dict[str, object]:
    """Parameters as JSON has them.

    Args:
        params: as for `build_call`.
    """
    return {
        name: build_array(value) if isinstance(value, tuple) else value
        for name, value in params.items()
        if value is not None
    }


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call.

    Args:
        status: ``ok``, ``async`` (queued: the outcome is unknown) or ``failed``.
        retcode: see `Retcode`.
        data: the result; None where an action has none.
        message: for people, of a failure.
        echo: of the call.
        stream: ``stream-action`` for one of several answers to a call (NC action/stream/).
    """

    status: str = "ok"
    retcode: int = 0
    data: object = None
    message: str = ""
    echo: object = NO_ECHO
    stream: str = ""

    @property
    def is_ok(self) -> bool:
        """True unless it failed: by the status, as LG fails with retcode 1 (LG Group/*.cs)."""
        return self.status in ("ok", "async")

    @property
    def is_token_refused(self) -> bool:
        """True if the token was missing or wrong; NC and LL say so in a frame, then close."""
        return not self.is_ok and self.retcode in (Retcode.NO_TOKEN, Retcode.WRONG_TOKEN, 401, 403)

    @property
    def is_unknown_action(self) -> bool:
        """True if there is no such action.

        404 in GC and LG, 1404 by the standard and in NC by WebSocket; NC answers 200 by HTTP
        and OS -1, with words to that effect.
        """
        if self.is_ok:
            return False
        words = ("不支持的", "not support", "no such action", "unknown action", "api不存在")
        has_words = any(word in self.message.lower() for word in words)
        return self.retcode in (404, Retcode.NO_ACTION) or (
            self.retcode in (200, -1, 1200) and has_words
        )

    @property
    def is_outcome_unknown(self) -> bool:
        """True if the failed action may nevertheless have been done.

        NC says 1200 with "Timeout" of messages that were sent (NC issues 1772, 869); where QQ's own
        result in it is not 0 the message was refused, though the history has it (NC issue 182).
        """
        words = ("timeout", "timed out", "超时")
        if self.is_ok or not any(word in self.message.lower() for word in words):
            return False
        result = _RESULT.search(self.message)
        return result is None or int(result[1]) == 0

    def __str__(self) -> str:
        return f"{self.status} ({self.retcode}){f': {self.message}' if self.message else ''}"


def parse_answer(raw: object) -> Answer:
    """The answer in a frame or body.

    Args:
        raw: the object, parsed. The status counts; where it is missing, the retcode.

    Raises:
        ValueError: it has neither.
    """
    values = object_of(raw, "an answer")
    if "status" not in values and "retcode" not in values:
        raise ValueError("an answer has a status or a retcode, and this has neither")
    try:
        code = number(values.get("retcode", 0))
    except ValueError:
        code = Retcode.FAILED
    names = {0: "ok", 1: "async"}
    status = as_text(values.get("status")) or names.get(code, "failed")
    texts = (as_text(values.get(name)) for name in ("wording", "message", "msg"))
    found = next((text for text in texts if text), "")
    return Answer(
        *(status.lower(), code, values.get("data"), found),
        *(values.get("echo", NO_ECHO), as_text(values.get("stream"))),
    )


def build_answer(answer: Answer) -> dict[str, object]:
    """The JSON object of an answer; ``message`` and ``wording`` on failures, echo if there is one.

    Args:
        answer: which.

    Example:
        >>> build_answer(Answer("ok", 0, {"yes": True}, echo=None))
        {'status': 'ok', 'retcode': 0, 'data': {'yes': True}, 'echo': None}
    """
    built: dict[str, object] = {
        "status": answer.status,
        "retcode": int(answer.retcode),
        "data": answer.data,
    }
    if answer.message:
        built |= {"message": answer.message, "wording": answer.message}
    if answer.echo is not NO_ECHO:
        built["echo"] = answer.echo
    return built


def failure(error: ActionError, echo: object = NO_ECHO) -> Answer:
    """The answer to a call that failed.

    Args:
        error: why.
        echo: of the call; the error's own if it is not given.
    """
    known = error.echo if echo is NO_ECHO else echo
    return Answer("failed", error.retcode, None, error.message, known)
