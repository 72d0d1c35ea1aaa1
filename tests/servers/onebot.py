"""An implementation of OneBot 11 without a QQ behind it, which does wrong what a test asks for."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler, websocket_connect
from waiting import until

from webqq_tornado.onebot.v11.actions import (
    ActionError,
    Answer,
    Call,
    build_answer,
    call_of,
    failure,
    parse_call,
)
from webqq_tornado.onebot.v11.events import (
    Heartbeat,
    Lifecycle,
    MessageEvent,
    Sender,
    Status,
    build_event,
)
from webqq_tornado.onebot.v11.segments import Segments, parse_message, text_of
from webqq_tornado.onebot.v11.tokens import (
    Role,
    Upgrade,
    Verdict,
    check_token,
    signature,
    token_in,
    upgrade_headers,
)

#: Ann, Bob and Eve; the account itself is Bot. The group "Square" is Ann's.
BOT, ANN, BOB, EVE, SQUARE = 10000, 10001, 10002, 10003, 20001
NAMES = {BOT: "Bot", ANN: "Ann", BOB: "Bob", EVE: "Eve"}


class Implementation:
    """Holds the account Bot; see the attributes for what it can be told to do wrong.

    Attributes:
        sent: texts that applications have sent, in order, with the number of the peer.
        calls: names of actions in order.
        refuses: how a wrong token is answered: "http", "frame" or "1008".
        doubles: each event goes out twice.
        is_mute: no action is answered.
        times_out: so many sends arrive, and are answered with 1200 "Timeout".
        loses: so many sends do not arrive, and are answered in the same way.
        fails: answers of actions by name, in place of the right ones.
        echoes: own messages come as "message", "message_sent", or not ("").
        has_history: else the actions are unknown.
        pages: of the history: "backwards", "on demand" (reverseOrder), "forwards".
        page: messages of the history at most.
        timeout: words of the answer to a send that times out.
        online: of the account.
    """

    def __init__(self, token: str = "", account: int = BOT) -> None:
        self.token, self.account = token, account
        self.sent: list[tuple[int, str]] = []
        self.contents: list[Segments] = []
        self.calls: list[str] = []
        self.given: list[Call] = []
        self.refuses = "http"
        self.doubles = self.is_mute = False
        self.times_out = self.loses = 0
        self.fails: dict[str, Answer] = {}
        self.echoes = ""
        self.has_history = self.has_heartbeats = True
        self.online = True
        self.timeout = "Timeout: NTEvent sendMsg"
        self.pages, self.page = "backwards", 1000
        self.history: dict[tuple[bool, int], list[dict[str, Any]]] = {}
        self.updates: list[dict[str, Any]] = []
        self.pictures: dict[str, bytes] = {}
        self.sockets: set[Any] = set()
        self._ids = itertools.count(1)
        self._streams: set[_Events] = set()
        self._posts_to = ""
        self._reverse: list[_Reverse] = []
        self._tasks: set[asyncio.Future[Any]] = set()
        handlers = [
            (r"/_events", _Events, {"here": self}),
            (r"/pictures/(.*)", _Picture, {"here": self}),
            (r"/(.+)", _Action, {"here": self}),
            (r"/", _Socket, {"here": self}),
        ]
        self._server = HTTPServer(Application(handlers, log_function=lambda _: None))
        self._listen(0)

    def _listen(self, port: int) -> None:
        sockets = bind_sockets(port, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Implementation:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        for reverse in self._reverse:
            reverse.close()
            await reverse.ended
            reverse.connection.tcp_client.close()
            await until(lambda one=reverse: one.connection.stream.closed())
        self._server.stop()
        await self._server.close_all_connections()

    def start(self, coroutine: Any) -> None:
        """Run beside all else."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """Break all connections off."""
        for socket in tuple(self.sockets):
            socket.close()
        for stream in tuple(self._streams):
            self._streams.discard(stream)
            stream.request.connection.stream.close()
            stream.ended.set()

    # -- what happens in QQ ---------------------------------------------------------------------

    def message(self, user: int, text: object, group: int = 0, **more: Any) -> dict[str, Any]:
        """A message that somebody writes, and the history has."""
        peer = more.pop("peer", 0) or group or user
        role = "owner" if user == ANN else "member"
        event = MessageEvent(
            self_id=self.account,
            user_id=user,
            message_id=next(self._ids),
            message=parse_message(text),
            group_id=group,
            time=int(time.time()),
            sender=Sender(user, NAMES.get(user, str(user)), role=role if group else ""),
            target_id=peer if user == self.account else 0,
            is_own=user == self.account,
        )
        built = {**build_event(event), **more}
        self.history.setdefault((bool(group), peer), []).append(built)
        return built

    def say(self, user: int, text: object, group: int = 0, **more: Any) -> dict[str, Any]:
        """A message, which applications hear."""
        built = self.message(user, text, group, **more)
        self.tell(built)
        return built

    def tell(self, event: dict[str, Any]) -> None:
        """An event for all that hear events."""
        text = json.dumps(event)
        self.updates.append(event)
        for _ in range(1 + self.doubles):
            for socket in tuple(self.sockets):
                if socket.role.has_events:
                    socket.put(text)
            for stream in tuple(self._streams):
                stream.write(f"data: {text}\n\n")
                stream.flush().add_done_callback(lambda future: future.exception())
        if self._posts_to:
            self.start(self.post(event))

    def beat(self, interval: int = 30_000) -> None:
        """One heartbeat."""
        status = Status(self.online)
        self.tell(build_event(Heartbeat(self.account, status, interval, int(time.time()))))

    def hello(self) -> str:
        return json.dumps(build_event(Lifecycle(self.account, time=int(time.time()))))

    # -- connections that it opens ---------------------------------------------------------------

    async def connect(self, url: str, token: str = "", role: Role = Role.UNIVERSAL) -> Any:
        """A reverse WebSocket."""
        headers = upgrade_headers(Upgrade(self.account, role), token)
        connection = await websocket_connect(HTTPRequest(url, headers=headers))
        socket = _Reverse(self, connection, role)
        self._reverse.append(socket)
        self.sockets.add(socket)
        if role.has_events:
            socket.put(self.hello())
        return socket

    def post_to(self, url: str, secret: str = "") -> None:
        """Events by POST from now on."""
        self._posts_to, self._secret = url, secret

    async def post(self, event: dict[str, Any], secret: str | None = None) -> int:
        """One event by POST; returns the status."""
        body = json.dumps(event).encode()
        key = self._secret if secret is None else secret
        headers = {"X-Self-ID": str(self.account), "Content-Type": "application/json"}
        if key:
            headers["X-Signature"] = signature(key, body)
        request = HTTPRequest(self._posts_to, method="POST", headers=headers, body=body)
        return (await AsyncHTTPClient().fetch(request, raise_error=False)).code

    # -- actions --------------------------------------------------------------------------------

    async def answer(self, call: Call) -> Answer:
        self.calls.append(call.action)
        self.given.append(call)
        if self.is_mute:
            await asyncio.Event().wait()
        if call.action in self.fails:
            return self.fails[call.action]
        is_send = call.action.startswith("send_") and call.action.endswith("_msg")
        if not is_send and not hasattr(self, f"_{call.action}"):
            return failure(ActionError(f"no action {call.action}", 1404))
        try:
            return self._do(call, call.parameters())
        except ActionError as error:
            return failure(error)

    def _do(self, call: Call, params: dict[str, Any]) -> Answer:
        if call.action.startswith("send_"):
            return self._send(call.action, params)
        return Answer(data=getattr(self, f"_{call.action}")(**params))

    def _send(self, action: str, params: dict[str, Any]) -> Answer:
        group = params.get("group_id", 0) if "private" not in action else 0
        peer = group or params.get("user_id", 0)
        message = params["messages" if "forward" in action else "message"]
        if self.loses:
            self.loses -= 1
            return Answer("failed", 1200, None, self.timeout)
        if "forward" in action:
            shown: object = [{"type": "forward", "data": {"id": "x"}}]
        else:
            shown = [{"type": one.type, "data": dict(one.data)} for one in message]
        own = self.message(self.account, shown, group, peer=peer)
        self.sent.append((peer, text_of(message) if "forward" not in action else "forward"))
        self.contents.append(message)
        if self.echoes:
            self.tell({**own, "post_type": self.echoes})
        if self.times_out:
            self.times_out -= 1
            return Answer("failed", 1200, None, self.timeout)
        return Answer(data={"message_id": own["message_id"]})

    def _get_login_info(self) -> Any:
        return {"user_id": self.account, "nickname": NAMES.get(self.account, "Bot")}

    def _get_version_info(self) -> Any:
        return {"app_name": "Scripted", "app_version": "1.2", "protocol_version": "v11"}

    def _get_status(self) -> Any:
        return {"online": self.online, "good": True}

    def _get_friend_list(self, **_: Any) -> Any:
        return [{"user_id": str(who), "nickname": NAMES[who], "remark": ""} for who in (ANN, BOB)]

    def _get_group_list(self, **_: Any) -> Any:
        return [{"group_id": SQUARE, "group_name": "Square", "member_count": 4}]

    def _get_group_member_list(self, group_id: int, **_: Any) -> Any:
        roles = {ANN: "owner", BOB: "admin"}
        return [
            {"user_id": who, "nickname": name, "card": "", "role": roles.get(who, "member")}
            for who, name in NAMES.items()
        ]

    def _page(self, is_group: bool, peer: int, seq: int, count: int) -> Any:
        if not self.has_history:
            raise ActionError("no such action", 1404)
        count = min(count, self.page)
        page = self.history.get((is_group, peer), [])
        if seq and self.pages != "backwards":
            is_back = self.pages == "on demand" and self.given[-1].raw.get("reverseOrder")
            if not is_back:  # what follows it, as NapCat does
                return {"messages": [one for one in page if one["message_id"] >= seq][:count]}
        if seq:
            page = [one for one in page if one["message_id"] <= seq]
        return {"messages": page[-count:]}

    def _get_group_msg_history(self, group_id: int, message_seq: int, count: int, **_: Any) -> Any:
        return self._page(True, group_id, message_seq, count)

    def _get_friend_msg_history(self, user_id: int, message_seq: int, count: int, **_: Any) -> Any:
        return self._page(False, user_id, message_seq, count)

    def _get_msg(self, message_id: int) -> Any:
        everything = (one for page in self.history.values() for one in page)
        found = next((one for one in everything if one["message_id"] == message_id), None)
        if found is None:
            raise ActionError("no such message")
        return found

    def _delete_msg(self, message_id: int) -> Any:
        return None

    def _set_friend_add_request(self, **_: Any) -> Any:
        return None

    def _get_updates(self, **_: Any) -> Any:
        updates, self.updates = self.updates, []
        return updates


def _as_text(answer: Answer, call: Call | None = None) -> str:
    echo = call.echo if call is not None else answer.echo
    return json.dumps(build_answer(Answer(
        answer.status, answer.retcode, answer.data, answer.message, echo
    )))  # fmt: skip


class _Frames:
    """What both kinds of WebSockets do."""

    here: Implementation
    role = Role.UNIVERSAL

    def put(self, text: str) -> None:
        raise NotImplementedError

    async def take(self, text: str | bytes) -> None:
        try:
            call = parse_call(text)
        except ActionError as error:
            self.put(_as_text(failure(error, None)))
            return
        self.put(_as_text(await self.here.answer(call), call))


class _Socket(_Frames, WebSocketHandler):
    def initialize(self, here: Implementation) -> None:
        self.here = here

    def _verdict(self) -> Verdict:
        header = self.request.headers.get("Authorization", "")
        token = token_in(header, self.get_query_argument("access_token", ""))
        return check_token(self.here.token, token)

    async def get(self, *args: Any, **kwargs: Any) -> None:
        verdict = self._verdict()
        if verdict is not Verdict.OK and self.here.refuses == "http":
            self.set_status(verdict.value)
            return
        await super().get(*args, **kwargs)

    def open(self) -> None:
        if self._verdict() is not Verdict.OK:
            if self.here.refuses == "frame":
                self.put(_as_text(Answer("failed", 1403, None, "token验证失败", None)))
            self.close(1008 if self.here.refuses == "1008" else 1000)
            return
        self.here.sockets.add(self)
        self.put(self.here.hello())

    def put(self, text: str) -> None:
        with suppress(WebSocketClosedError):
            self.write_message(text).add_done_callback(lambda future: future.exception())

    async def on_message(self, message: str | bytes) -> None:
        self.here.start(self.take(message))

    def on_close(self) -> None:
        self.here.sockets.discard(self)


class _Reverse(_Frames):
    def __init__(self, here: Implementation, connection: Any, role: Role) -> None:
        self.here, self.connection, self.role = here, connection, role
        self.ended = asyncio.ensure_future(self._read())

    async def _read(self) -> int | None:
        while (text := await self.connection.read_message()) is not None:
            self.here.start(self.take(text))
        self.here.sockets.discard(self)
        return self.connection.close_code

    def put(self, text: str) -> None:
        with suppress(WebSocketClosedError):
            self.connection.write_message(text).add_done_callback(lambda one: one.exception())

    def close(self) -> None:
        self.connection.close()


class _Door(RequestHandler):
    def initialize(self, here: Implementation) -> None:
        self.here = here

    def prepare(self) -> None:
        token = token_in(self.request.headers.get("Authorization", ""))
        verdict = check_token(self.here.token, token)
        if verdict is not Verdict.OK and "pictures" not in self.request.path:
            self.set_status(verdict.value)
            self.finish()


class _Action(_Door):
    async def post(self, name: str) -> None:
        call = call_of(name, json.loads(self.request.body or b"{}"))
        self.finish(_as_text(await self.here.answer(call)))


class _Picture(_Door):
    def get(self, name: str) -> None:
        self.finish(self.here.pictures[name])


class _Events(_Door):
    async def get(self) -> None:
        self.ended = asyncio.Event()
        self.set_header("Content-Type", "text/event-stream")
        self.here._streams.add(self)
        try:
            await self.flush()
            await self.ended.wait()
        except StreamClosedError:
            pass

    def on_connection_close(self) -> None:
        self.here._streams.discard(self)
        self.ended.set()
        super().on_connection_close()
