"""A look at an implementation: who is there, what it lacks, token, formats, clock.

Only what reads is called, and nothing is sent to anybody: an action that is probed without its
parameters fails in all implementations, and says by how it fails whether there is such an action.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...onebot.v11.actions import Answer
from ...onebot.v11.events import Event, Heartbeat, Lifecycle, parse_status
from ...onebot.v11.values import Fields, as_text, number
from .addresses import transport_of
from .transport import ActionFailed, NotConnected, OutcomeUnknown, Transport

if TYPE_CHECKING:
    from ...engine.stream import HTTPStream

__all__ = ["Findings", "check"]

#: Actions that a bot here needs, and what it does without each.
NEEDED = {
    "get_login_info": "nobody knows whose it is",
    "get_friend_list": "friends are not found by name",
    "get_group_list": "groups are not found by name",
    "get_group_member_list": "members are known once they write",
}
#: Actions that it makes use of, and what is lost without each.
USED = {
    "get_group_msg_history": "what was missed in groups is lost, and unknown outcomes stay so",
    "get_friend_msg_history": "what was missed of friends is lost, and unknown outcomes stay so",
    "get_image": "pictures whose URL has expired are lost",
    "get_msg": "quoted messages are not found",
    "get_forward_msg": "forwarded messages are not read",
    "get_group_member_info": "roles are those of the list",
    "get_stranger_info": "strangers have no names",
    "get_status": "an account that is offline is known by its heartbeats alone",
    "get_version_info": "nobody knows which implementation it is",
}
#: Seconds that the clocks may differ.
_SKEW = 30.0


@dataclass(slots=True)
class Findings:
    """The result of a look.

    Args:
        url: where.
        problem: why nothing more is known; empty if it was reached.
        implementation: name and version, as it gives them.
        protocol: version of the protocol, ``v11``.
        account: QQ number.
        nick: of the account.
        online: whether QQ has it online; None if it does not say.
        token: in words.
        is_first_lifecycle: whether the first event was a lifecycle; None without events.
        format: of messages: ``array``, ``string``, or empty if no message was seen.
        skew: seconds that its clock is ahead; None if nothing had a time.
        friends: how many.
        groups: how many.
        lacks: actions, and what is lost without each.
        warnings: in words.
    """

    url: str
    problem: str = ""
    implementation: str = ""
    protocol: str = ""
    account: int = 0
    nick: str = ""
    online: bool | None = None
    token: str = ""
    is_first_lifecycle: bool | None = None
    format: str = ""
    skew: float | None = None
    friends: int = 0
    groups: int = 0
    lacks: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """True if a bot can work with it."""
        return (
            not self.problem and self.online is not False and not self.lacks.keys() & NEEDED.keys()
        )


class _Visitor:
    """Hears what a transport tells, once."""

    name = "check"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.times: list[float] = []
        self.arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.refusal = ""

    def on_open(self, transport: Transport) -> None:
        self._tell("")

    def receive(self, transport: Transport, event: Event) -> None:
        self.events.append(event)
        if event.time:
            self.times.append(event.time - time.time())

    def on_lost(self, transport: Transport, why: str, error: Exception | None) -> None:
        self._tell(_reason(error) if error is not None else why)

    def on_refused(self, transport: Transport, why: str) -> None:
        self.refusal = why  # NC, LL and OS open the connection before they refuse it
        self._tell(why)

    def _tell(self, problem: str) -> None:
        if not self.arrived.done():
            self.arrived.set_result(problem)


async def check(
    stream: HTTPStream, url: str, token: str = "", *, timeout: float = 15.0
) -> Findings:
    """Look at an implementation.

    Args:
        stream: carries what goes out.
        url: of it, see `addresses`.
        token: of it.
        timeout: seconds for the connection, and for each answer.

    Raises:
        ValueError: it is no URL of an implementation.

    Example:
        >>> (await check(stream, "ws://127.0.0.1:3001", "secret")).implementation
        'NapCat.Onebot 4.8.0'
    """
    transport = transport_of(stream, url, token)
    findings, visitor = Findings(transport.name), _Visitor()
    try:
        transport.start(visitor)
        findings.url = transport.name  # of a port that was chosen just now
        findings.problem = await _problem(visitor, timeout, url)
        if not findings.problem:
            await _look(findings, transport, visitor, timeout)
    except ActionFailed as error:
        await asyncio.sleep(0)  # the end of the connection is told
        findings.problem = visitor.refusal or _failure(error)
    except OSError as error:
        findings.problem = f"it cannot be listened on: {error.strerror or error}"
    finally:
        transport.close()
    if not findings.problem:
        findings.token = await _token(stream, url, token, timeout)
    return findings


async def _problem(visitor: _Visitor, timeout: float, url: str) -> str:
    try:
        return await asyncio.wait_for(visitor.arrived, timeout)
    except asyncio.TimeoutError:
        if url.startswith("reverse:"):
            return f"nobody has connected within {timeout:g} s: put this URL into its settings"
        return (
            f"nothing there answers as an implementation does within {timeout:g} s: look for"
            " host, port, kind and TLS in its settings"
        )


def _reason(error: Exception) -> str:
    """Words for what ended a connection, without the request, which is the user's URL."""
    response = getattr(error, "response", None)
    if response is not None and response.status not in (401, 403):
        status = f"HTTP {response.status}"
        return f"a web server is there, and no WebSocket ({status}): look for its port and path"
    words: str = getattr(error, "message", None) or str(error)
    return words.partition(": ")[2] or words


def _failure(error: ActionFailed) -> str:
    if isinstance(error, OutcomeUnknown):
        return f"{error}: is it an implementation of OneBot 11?"
    return str(error)


async def _look(
    findings: Findings, transport: Transport, visitor: _Visitor, timeout: float
) -> None:
    look = _Look(transport, timeout)
    login = await look.data("get_login_info")
    version = await look.data("get_version_info")
    texts = [as_text(version.get(name)) for name in ("app_name", "app_version")]
    findings.implementation = " ".join(filter(None, texts)) or "one that does not give its name"
    findings.protocol = as_text(version.get("protocol_version"))
    findings.account, findings.nick = _number(login, "user_id"), as_text(login.get("nickname"))
    findings.online = parse_status(await look.data("get_status")).online
    friends, groups = await look.rows("get_friend_list"), await look.rows("get_group_list")
    findings.friends, findings.groups = len(friends), len(groups)
    await look.probe()
    findings.lacks = {**look.lacks}
    findings.format = await look.format_of(friends, groups)
    _judge(findings, visitor)


def _judge(findings: Findings, visitor: _Visitor) -> None:
    kinds = [type(event) for event in visitor.events]
    if kinds:
        findings.is_first_lifecycle = kinds[0] is Lifecycle
    if visitor.times:
        findings.skew = min(visitor.times, key=abs)
    words = findings.warnings
    if findings.account == 0:
        findings.lacks["get_login_info"] = NEEDED["get_login_info"]
    if findings.protocol and findings.protocol.lower() not in ("v11", "11"):
        words.append(f"it speaks {findings.protocol}, not v11")
    if findings.online is False:
        words.append("the account is offline: log in to QQ there")
    if findings.skew is not None and abs(findings.skew) > _SKEW:
        words.append("the clocks differ: set both by NTP, or what is late is not known as such")
    if kinds and not findings.is_first_lifecycle and Heartbeat not in kinds[:1]:
        words.append("an event came before the lifecycle: NoneBot drops such events")


class _Look:
    """Calls actions, and notes which there are not."""

    def __init__(self, transport: Transport, timeout: float) -> None:
        self._transport, self._timeout = transport, timeout
        self.lacks: dict[str, str] = {}

    async def answer(self, action: str, **params: object) -> Answer:
        answer = await self._transport.call(action, params, self._timeout)
        if answer.is_unknown_action:
            self.lacks[action] = {**NEEDED, **USED}.get(action, "")
        return answer

    async def data(self, action: str) -> Fields:
        found = (await self.answer(action)).data
        return found if isinstance(found, dict) else {}

    async def rows(self, action: str) -> list[Fields]:
        found = (await self.answer(action)).data
        return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []

    async def probe(self) -> None:
        """Call what has not been called, without parameters."""
        for action in {**NEEDED, **USED}:
            if action not in ("get_login_info", "get_friend_list", "get_group_list", *self.lacks):
                try:
                    await self.answer(action)
                except NotConnected:
                    raise
                except OutcomeUnknown:
                    self.lacks[action] = "it does not answer when parameters are missing"
                except ActionFailed:
                    continue

    async def format_of(self, friends: list[Fields], groups: list[Fields]) -> str:
        """The form of messages: that of the latest of some conversations."""
        asked = [("group", "group_id", _number(row, "group_id")) for row in groups[:3]]
        asked += [("friend", "user_id", _number(row, "user_id")) for row in friends[:3]]
        for kind, key, who in asked:
            action = f"get_{kind}_msg_history"
            if action in self.lacks:
                continue
            params: dict[str, object] = {key: who, "count": 1}
            data = (await self.answer(action, **params)).data
            messages = data.get("messages") if isinstance(data, dict) else None
            if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
                return "string" if isinstance(messages[-1].get("message"), str) else "array"
        return ""


def _number(row: Fields, name: str) -> int:
    try:
        return number(row.get(name))
    except ValueError:
        return 0


async def _token(stream: HTTPStream, url: str, token: str, timeout: float) -> str:
    """Words about the token: whether it is asked for shows by a connection without one."""
    if url.startswith("reverse:"):
        return "ours, and right" if token else "none: only programs of this machine can connect"
    if not token:
        return "none is asked for: any program that reaches it can use the account"
    transport, visitor = transport_of(stream, url), _Visitor()
    transport.start(visitor)
    try:
        problem = await _problem(visitor, timeout, url)
        if not problem:
            problem = "" if (await _greeting(transport, timeout)) else "refused"
    finally:
        transport.close()
    return "asked for, and right" if problem else "right, but not asked for"


async def _greeting(transport: Transport, timeout: float) -> bool:
    """Return True if an action is answered."""
    try:
        return (await transport.call("get_login_info", {}, timeout)).is_ok
    except ActionFailed:
        return False
