"""Events of OneBot 11: messages, notices, requests and meta events, read and written.

Every event has ``time`` (seconds), ``self_id`` and ``post_type``; the field ``<post_type>_type``
is the kind, then ``sub_type`` (OB event/README.md). An event never has ``echo`` and an answer
never ``post_type``, by which applications tell the two apart.

Reading is lenient: numbers may be texts, every field of ``sender`` may be missing, unknown kinds
are an `OtherEvent`, unknown fields stay in ``extra``. Writing is strict: messages have all fields
that frameworks insist on, ``anonymous: null`` in groups among them (melobot), ``sub_type``,
``raw_message`` and ``font`` (NB event.py, which drops a message without one of them silently).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias
from zlib import crc32

from .segments import Segments, build_array, build_string, parse_message
from .values import Fields, as_text, boolean, number, object_of, signed32

__all__ = [
    "NOTICES",
    "Event",
    "Heartbeat",
    "Lifecycle",
    "MessageEvent",
    "Notice",
    "OtherEvent",
    "Request",
    "Sender",
    "Status",
    "build_event",
    "build_sender",
    "build_status",
    "parse_event",
    "parse_message_event",
    "parse_status",
]

#: A time above this is in milliseconds: NC falls back to them (NC api/msg.ts).
_MILLISECONDS = 100_000_000_000


@dataclass(frozen=True, slots=True)
class Sender:
    """The author of a message; every field may be missing (OB event/message.md).

    Args:
        user_id: QQ number.
        nickname: their own name.
        card: name in the group.
        sex: ``male``, ``female`` or ``unknown``.
        age: in years.
        area: region.
        level: in the group, a text.
        role: in the group: ``owner``, ``admin`` or ``member``.
        title: in the group.
        group_id: of a temporary session: the group that it goes through (GC, LL).
    """

    user_id: int = 0
    nickname: str = ""
    card: str = ""
    sex: str = "unknown"
    age: int = 0
    area: str = ""
    level: str = ""
    role: str = ""
    title: str = ""
    group_id: int = 0


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """A message, of another account or (`is_own`) of the account itself.

    Args:
        self_id: the account.
        user_id: who wrote.
        message_id: opaque, signed 32 bits, unique for this account only.
        message: what.
        group_id: of the group; 0 in private.
        sub_type: private ``friend``, ``group`` (a temporary session), ``other``; in groups
            ``normal``, ``anonymous``, ``notice``.
        time: Unix time in seconds.
        sender: what is known of the author.
        raw_message: the CQ string; when written it is made of `message` if empty.
        is_own: a ``message_sent`` (de facto).
        target_id: of a private message, de facto: the receiver (GC, LG) or the other side of
            the conversation (NC); 0 if not given.
        temp_group: of a temporary session: the group that it goes through; 0 if not given.
        anonymous: ``id``, ``name``, ``flag`` of an anonymous author, else None.
        group_name: de facto (NC, LL).
        seq: de facto: ``message_seq``, which pages through a history: the place in the
            conversation (GC), or a copy of message_id (NC).
        real_seq: de facto: the place in the conversation (NC, a text); 0 if not given.
        font: a number that means nothing.
        extra: further fields as they came.
    """

    self_id: int
    user_id: int
    message_id: int
    message: Segments
    group_id: int = 0
    sub_type: str = ""
    time: int = 0
    sender: Sender = Sender()
    raw_message: str = ""
    is_own: bool = False
    target_id: int = 0
    temp_group: int = 0
    anonymous: Fields | None = None
    group_name: str = ""
    seq: int = 0
    real_seq: int = 0
    font: int = 0
    extra: Fields = field(default_factory=dict)

    @property
    def is_group(self) -> bool:
        """True for a message in a group."""
        return self.group_id != 0

    @property
    def peer(self) -> int:
        """The other side of the conversation: the group, else the person.

        Of one's own private message that is `target_id`; where only one's own number is known,
        0.
        """
        if self.group_id or self.user_id != self.self_id:
            return self.group_id or self.user_id
        return self.target_id if self.target_id != self.self_id else 0


@dataclass(frozen=True, slots=True)
class Notice:
    """News that is no message: of a group, a friend, or the account.

    Args:
        self_id: the account.
        notice_type: see `NOTICES`.
        sub_type: see there; may be empty.
        time: Unix time in seconds.
        user_id: whom it is about; 0 if nobody or everybody.
        group_id: 0 outside of groups.
        operator_id: who did it; 0 if not given.
        target_id: of a poke: who was poked.
        message_id: of recalls, essence, reactions.
        duration: of a ban, in seconds; 0 lifts it, -1 of the whole group has no end (GC).
        extra: further fields as they came: ``file``, ``likes``, ``card_new`` ...
    """

    self_id: int
    notice_type: str
    sub_type: str = ""
    time: int = 0
    user_id: int = 0
    group_id: int = 0
    operator_id: int = 0
    target_id: int = 0
    message_id: int = 0
    duration: int = 0
    extra: Fields = field(default_factory=dict)


#: Notices and the fields that each must have; those of ``notify`` by their sub_type
#: (OB event/notice.md; de facto: GC event.go, NC, LG, LL).
NOTICES: dict[str, tuple[str, ...]] = {
    "group_upload": ("group_id", "user_id", "file"),
    "group_admin": ("sub_type", "group_id", "user_id"),
    "group_decrease": ("sub_type", "group_id", "operator_id", "user_id"),
    "group_increase": ("sub_type", "group_id", "operator_id", "user_id"),
    "group_ban": ("sub_type", "group_id", "operator_id", "user_id", "duration"),
    "friend_add": ("user_id",),
    "group_recall": ("group_id", "user_id", "operator_id", "message_id"),
    "friend_recall": ("user_id", "message_id"),
    "notify.poke": ("user_id", "target_id"),
    "notify.lucky_king": ("group_id", "user_id", "target_id"),
    "notify.honor": ("group_id", "user_id", "honor_type"),
    "notify.title": ("group_id", "user_id", "title"),
    "notify.input_status": ("user_id", "event_type", "status_text", "group_id"),
    "notify.profile_like": ("operator_id", "operator_nick", "times"),
    "notify.group_name": ("group_id", "user_id", "name_new"),
    "notify.gray_tip": ("group_id", "user_id", "busi_id", "content", "message_id"),
    "group_card": ("group_id", "user_id", "card_new", "card_old"),
    "essence": ("sub_type", "group_id", "message_id", "sender_id", "operator_id"),
    "offline_file": ("user_id", "file"),
    "client_status": ("online", "client"),
    "group_msg_emoji_like": ("group_id", "user_id", "message_id", "likes"),
    "reaction": ("sub_type", "group_id", "message_id", "operator_id", "code", "count"),
    "group_name_change": ("group_id", "name"),
    "group_dismiss": ("group_id", "user_id"),
    "bot_offline": ("user_id",),
    "bot_online": (),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A wish to be a friend or join a group, or an invitation into one.

    Args:
        self_id: the account.
        request_type: ``friend`` or ``group``.
        flag: goes back with the decision; opaque.
        user_id: who asks.
        group_id: which group; 0 for ``friend``.
        sub_type: of ``group``: ``add`` (asks to join) or ``invite``.
        comment: what they wrote.
        time: Unix time in seconds.
        extra: further fields, ``invitor_id`` (GC, LG) among them.
    """

    self_id: int
    request_type: str
    flag: str
    user_id: int
    group_id: int = 0
    sub_type: str = ""
    comment: str = ""
    time: int = 0
    extra: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """How an implementation and its account are: the data of ``get_status``, too.

    Args:
        online: whether the account is; None if that is not known (OB api/public.md).
        good: whether the implementation is.
        extra: further fields.
    """

    online: bool | None = None
    good: bool = True
    extra: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The first frame of a connection for events: ``connect``; by HTTP POST enable, disable.

    Args:
        self_id: the account.
        sub_type: ``connect``, ``enable`` or ``disable``.
        time: Unix time in seconds.
    """

    self_id: int
    sub_type: str = "connect"
    time: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A regular sign of life.

    Args:
        self_id: the account.
        status: how it is; ``online`` false while the connection stands is an account that is
            offline (NC).
        interval: milliseconds until the next.
        time: Unix time in seconds.
    """

    self_id: int
    status: Status = Status(True)
    interval: int = 30_000
    time: int = 0


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """An event of a kind that there is no name for.

    Args:
        self_id: the account; 0 if not given.
        post_type: of it.
        raw: all fields as they came.
        time: Unix time in seconds.
    """

    self_id: int
    post_type: str
    raw: Fields
    time: int = 0


Event: TypeAlias = "MessageEvent | Notice | Request | Lifecycle | Heartbeat | OtherEvent"

# --- reading ------------------------------------------------------------------------------------


def parse_event(raw: object) -> Event:
    """The event in a JSON object.

    Args:
        raw: the object, parsed.

    Returns:
        The event; an `OtherEvent` where its post_type, or what it is about, is not known.

    Raises:
        ValueError: it is no event, or lacks what makes one of its kind: of a message
            ``message_id``, ``user_id``, ``message``; of a request ``flag``.

    Example:
        >>> heard = {
        ...     "post_type": "meta_event",
        ...     "meta_event_type": "lifecycle",
        ...     "sub_type": "connect",
        ...     "self_id": "10001",
        ...     "time": 1,
        ... }
        >>> parse_event(heard)
        Lifecycle(self_id=10001, sub_type='connect', time=1)
    """
    values = object_of(raw, "an event")
    kind = as_text(values.get("post_type"))
    match kind:
        case "":
            raise ValueError("an event has a post_type, and this has none")
        case "message" | "message_sent":
            # Messages of guilds have numbers of another kind (GC docs/guild.md).
            is_known = as_text(values.get("message_type")) in ("", "private", "group")
            return parse_message_event(values) if is_known else _other(values)
        case "notice":
            return _parse_notice(values)
        case "request":
            return _parse_request(values)
        case "meta_event":
            return _parse_meta(values)
    return _other(values)


def _other(values: Fields) -> OtherEvent:
    return OtherEvent(_int(values, "self_id"), as_text(values["post_type"]), values, _time(values))


def _int(values: Fields, *names: str) -> int:
    """The first number under several names; 0 if there is none."""
    for name in names:
        try:
            return number(values.get(name))
        except ValueError:
            continue
    return 0


def _message_id(values: Fields) -> int:
    """The id of a message; a number that stands for it where it is a text (OS issue 28)."""
    raw = values.get("message_id")
    try:
        return number(raw)
    except ValueError:
        if not isinstance(raw, str) or not raw:
            raise ValueError("message_id of a message is missing") from None
    return signed32(crc32(raw.encode("utf-8", "replace")))


def _time(values: Fields) -> int:
    raw = values.get("time")
    whole = int(raw) if isinstance(raw, float) else _int(values, "time")  # with a fraction, too
    time = max(0, whole)  # -2147483648 of a message that GC has lost
    return time // 1000 if time > _MILLISECONDS else time


def _extra(values: Fields, known: frozenset[str]) -> Fields:
    return {name: value for name, value in values.items() if name not in known}


def _parse_sender(raw: object) -> Sender:
    if not isinstance(raw, Mapping):
        return Sender()
    numbers = {name: _int(raw, name) for name in ("user_id", "age", "group_id")}
    texts = {
        name: as_text(raw[name])
        for name in ("nickname", "card", "sex", "area", "level", "role", "title")
        if raw.get(name) is not None
    }
    return Sender(**numbers, **texts)  # type: ignore[arg-type]  # numbers and texts, by name


def _temp_group(values: Fields, sender: Sender) -> int:
    """The group of a temporary session: in three places, by implementation.

    NC: ``group_id``; GC and LL: in the sender; LL also in ``temp_source`` (LL issue 397), which is
    a small number for the kind of source elsewhere.
    """
    source = _int(values, "temp_source")
    return _int(values, "group_id") or sender.group_id or (source if source >= 10_000 else 0)


_MESSAGE_FIELDS = frozenset(
    {
        *("time", "self_id", "post_type", "message_type", "sub_type", "message_id", "user_id"),
        *("group_id", "anonymous", "message", "raw_message", "font", "sender", "target_id"),
        *("message_seq", "real_seq", "message_format", "group_name"),
    }
)


def parse_message_event(values: Fields) -> MessageEvent:
    """The message in an event, in an answer to ``get_msg``, or in a history.

    Args:
        values: the object; those of ``get_msg`` have no post_type in the standard, and the
            author in ``sender`` alone.

    Raises:
        ValueError: message_id, user_id or message is missing or none.
    """
    sender = _parse_sender(values.get("sender"))
    is_group = as_text(values.get("message_type")) != "private"
    group = _int(values, "group_id")
    self_id = _int(values, "self_id")
    user = _int(values, "user_id") or sender.user_id
    if not user and values.get("user_id") is None and not values.get("sender"):
        raise ValueError("user_id of a message is missing")
    message = values.get("message")
    raw_message = as_text(values.get("raw_message"))
    is_sent = as_text(values.get("post_type")) == "message_sent"
    anonymous = values.get("anonymous")
    return MessageEvent(
        self_id=self_id,
        user_id=user,
        message_id=_message_id(values),
        message=parse_message(raw_message if message is None else message, is_lenient=True),
        group_id=group if is_group else 0,
        sub_type=as_text(values.get("sub_type")),
        time=_time(values),
        sender=sender,
        raw_message=raw_message,
        is_own=is_sent or (self_id != 0 and user == self_id),
        target_id=_int(values, "target_id"),
        temp_group=0 if is_group else _temp_group(values, sender),
        anonymous=anonymous if isinstance(anonymous, dict) else None,
        group_name=as_text(values.get("group_name")),
        seq=_int(values, "message_seq"),
        real_seq=_int(values, "real_seq"),
        font=_int(values, "font"),
        extra=_extra(values, _MESSAGE_FIELDS),
    )


_NOTICE_FIELDS = frozenset(
    {
        *("time", "self_id", "post_type", "notice_type", "sub_type", "user_id", "group_id"),
        *("operator_id", "target_id", "message_id", "duration"),
    }
)


def _parse_notice(values: Fields) -> Event:
    kind = as_text(values.get("notice_type"))
    if not kind:
        return _other(values)
    return Notice(
        self_id=_int(values, "self_id"),
        notice_type=kind,
        sub_type=as_text(values.get("sub_type")),
        time=_time(values),
        user_id=_int(values, "user_id"),
        group_id=_int(values, "group_id"),
        operator_id=_int(values, "operator_id"),
        target_id=_int(values, "target_id"),
        message_id=_int(values, "message_id"),
        duration=_int(values, "duration"),
        extra=_extra(values, _NOTICE_FIELDS),
    )


_REQUEST_FIELDS = frozenset(
    {
        *("time", "self_id", "post_type", "request_type", "sub_type", "user_id", "group_id"),
        *("comment", "flag"),
    }
)


def _parse_request(values: Fields) -> Event:
    kind, flag = as_text(values.get("request_type")), as_text(values.get("flag"))
    if kind not in ("friend", "group"):
        return _other(values)
    if not flag:
        raise ValueError("flag of a request is missing")
    return Request(
        self_id=_int(values, "self_id"),
        request_type=kind,
        flag=flag,
        user_id=_int(values, "user_id"),
        group_id=_int(values, "group_id"),
        sub_type=as_text(values.get("sub_type")),
        comment=as_text(values.get("comment")),
        time=_time(values),
        extra=_extra(values, _REQUEST_FIELDS),
    )


def parse_status(raw: object) -> Status:
    """The status in a heartbeat, or in an answer to ``get_status``.

    Args:
        raw: the object; anything else is a status of which nothing is known.
    """
    values = raw if isinstance(raw, Mapping) else {}
    flags: dict[str, bool | None] = {"online": None, "good": True}
    for name in flags:
        try:
            flags[name] = boolean(values[name])
        except (KeyError, ValueError):
            continue
    return Status(
        flags["online"], bool(flags["good"]), _extra(values, frozenset({"online", "good"}))
    )


def _parse_meta(values: Fields) -> Event:
    self_id, time = _int(values, "self_id"), _time(values)
    match as_text(values.get("meta_event_type")):
        case "lifecycle":
            return Lifecycle(self_id, as_text(values.get("sub_type")), time)
        case "heartbeat":
            status = parse_status(values.get("status"))
            return Heartbeat(self_id, status, _int(values, "interval"), time)
    return _other(values)


# --- writing ------------------------------------------------------------------------------------


def build_event(event: Event, *, as_string: bool = False) -> dict[str, object]:
    """The JSON object of an event.

    Args:
        event: which.
        as_string: messages as CQ strings; by default as arrays, as several frameworks break on
            strings (AstrBot, melobot, AliceBot).

    Raises:
        ValueError: it lacks a field that its kind must have.

    Example:
        >>> build_event(Lifecycle(10001, time=1))["meta_event_type"]
        'lifecycle'
    """
    match event:
        case MessageEvent():
            return _build_message(event, as_string=as_string)
        case Notice():
            return _build_notice(event)
        case Request():
            return _build_request(event)
        case Lifecycle():
            own: dict[str, object] = {"meta_event_type": "lifecycle", "sub_type": event.sub_type}
            return {**_head(event, "meta_event"), **own}
        case Heartbeat():
            own = {"meta_event_type": "heartbeat", "status": build_status(event.status)}
            return {**_head(event, "meta_event"), **own, "interval": event.interval}
        case OtherEvent():
            return {**event.raw, **_head(event, event.post_type)}


def build_status(status: Status) -> dict[str, object]:
    """The JSON object of a status.

    Args:
        status: which.
    """
    return {"online": status.online, "good": status.good, **status.extra}


def _head(event: Any, post_type: str) -> dict[str, object]:
    return {"time": event.time, "self_id": event.self_id, "post_type": post_type}


def _build_message(event: MessageEvent, *, as_string: bool) -> dict[str, object]:
    kind = "group" if event.is_group else "private"
    raw = event.raw_message or build_string(event.message)
    built: dict[str, object] = {
        **_head(event, "message_sent" if event.is_own else "message"),
        "message_type": kind,
        "sub_type": event.sub_type or ("normal" if event.is_group else "friend"),
        "message_id": event.message_id,
        "user_id": event.user_id,
        "message": raw if as_string else build_array(event.message),
        "raw_message": raw,
        "font": event.font,
        "sender": build_sender(event.sender, event.user_id, is_group=event.is_group),
        "message_format": "string" if as_string else "array",
        "message_seq": event.seq or event.message_id,
    }
    if event.real_seq:
        built["real_seq"] = str(event.real_seq)
    if event.is_group:
        built |= {"group_id": event.group_id, "anonymous": event.anonymous}
        built |= {"group_name": event.group_name} if event.group_name else {}
    else:
        built |= {"target_id": event.target_id} if event.target_id else {}
        built |= {"temp_source": 0, "group_id": event.temp_group} if event.temp_group else {}
    return {**event.extra, **built}


def build_sender(sender: Sender, user_id: int, *, is_group: bool) -> dict[str, object]:
    """The JSON object of a sender; what is of groups alone is left out elsewhere.

    Args:
        sender: what is known.
        user_id: taken where it has none.
        is_group: whether the message is of a group.
    """
    built = {each.name: getattr(sender, each.name) for each in fields(Sender)}
    built["user_id"] = sender.user_id or user_id
    if is_group:
        built["role"] = sender.role or "member"
        del built["group_id"]
        return built
    kept = ("user_id", "nickname", "sex", "age", *(["group_id"] if sender.group_id else []))
    return {name: built[name] for name in kept}


def _build_notice(event: Notice) -> dict[str, object]:
    name = f"notify.{event.sub_type}" if event.notice_type == "notify" else event.notice_type
    needed = NOTICES.get(name, ())
    own = {
        each: getattr(event, each)
        for each in ("user_id", "group_id", "operator_id", "target_id", "message_id", "duration")
        if each in needed or getattr(event, each)
    }
    sub_type = {"sub_type": event.sub_type} if event.sub_type or "sub_type" in needed else {}
    head = _head(event, "notice")
    extra = event.extra
    built = {**extra, **head, "notice_type": event.notice_type, **sub_type, **own}
    # Other texts may be empty: of a card or a title that is taken back (GC, NC).
    if missing := [each for each in needed if built.get(each, "") == "" and each not in extra]:
        raise ValueError(f"a notice {name} needs {', '.join(missing)}")
    return built


def _build_request(event: Request) -> dict[str, object]:
    is_group = event.request_type == "group"
    of_group = {"sub_type": event.sub_type or "add", "group_id": event.group_id} if is_group else {}
    return {
        **event.extra,
        **_head(event, "request"),
        "request_type": event.request_type,
        **of_group,
        "user_id": event.user_id,
        "comment": event.comment,
        "flag": event.flag,
    }
