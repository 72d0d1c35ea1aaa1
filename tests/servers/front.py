"""A front server before the real one: it passes everything on, but for what it is told to say."""

from __future__ import annotations

import asyncio
import enum
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import NamedTuple

from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler


class Say(NamedTuple):
    """An answer in place of the server's."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})


class _Instead(enum.Enum):
    """In place of an answer; names that stay, as ids of tests need."""

    CLOSE = "the connection is closed"
    HANG = "nothing ever comes"
    PASS = "the request is passed on, as without a word: for those who wait for it"
    LOSE = "the request is passed on, but its answer is lost on the way back"


CLOSE, HANG, PASS, LOSE = _Instead.CLOSE, _Instead.HANG, _Instead.PASS, _Instead.LOSE


class Front:
    """Where it is, what it is to say, and what came."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.url = ""
        self.closing = asyncio.get_running_loop().create_future()
        self.handling: set[asyncio.Task[object]] = set()
        # Polls are held for long: others must not wait for them.
        self.client = AsyncHTTPClient(force_instance=True, defaults={}, max_clients=1000)
        self.asked: dict[str, int] = defaultdict(int)
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self._scripts: dict[str, deque[object]] = defaultdict(deque)
        self._said: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def say(self, path: str, *answers: object) -> asyncio.Event:
        """Answer the next requests for a path so; the event is set when all is said."""
        self._scripts[path].extend(answers)
        if self._said[path].is_set():  # of what was to be said before
            self._said[path] = asyncio.Event()
        return self._said[path]

    def next_answer(self, path: str, body: bytes) -> object | None:
        self.asked[path] += 1
        self.bodies[path].append(body)
        if not self._scripts[path]:
            return None
        answer = self._scripts[path].popleft()
        if not self._scripts[path]:
            self._said[path].set()
        return answer


class _Handler(RequestHandler):
    def initialize(self, front: Front) -> None:
        self.front = front

    async def get(self) -> None:
        task = asyncio.current_task()
        self.front.handling.add(task)
        task.add_done_callback(self.front.handling.discard)
        answer = self.front.next_answer(self.request.path, self.request.body)
        if answer is None or answer is PASS:
            await self._pass_on()
        elif answer is HANG:
            await asyncio.wait([self.front.closing])
        elif answer is LOSE:
            await self._pass_on()
            self.request.connection.stream.close()
        elif answer is CLOSE:
            self.request.connection.stream.close()
        else:
            assert isinstance(answer, Say)
            self.set_status(answer.status)
            for name, value in answer.headers.items():
                self.set_header(name, value)
            self.write(answer.body)

    post = get

    async def _pass_on(self) -> None:
        if self.front.closing.done():
            return
        headers = {
            name: value for name, value in self.request.headers.items() if name != "Connection"
        }
        try:
            reply = await self._reply(headers)
        except (OSError, HTTPError):  # it has gone
            self.set_status(502)
            return
        self.set_status(reply.code if reply.code < 599 else 502)
        for name in ("Content-Type", "Location"):
            if name in reply.headers:
                self.set_header(name, reply.headers[name])
        for line in reply.headers.get_list("Set-Cookie"):
            self.add_header("Set-Cookie", re.sub(r"; Domain=[^;]*", "", line))
        self.write(reply.body)

    async def _reply(self, headers: dict[str, str]) -> HTTPResponse:
        request = self.request
        reply = self.front.client.fetch(
            self.front.behind + request.uri,
            method=request.method,
            body=request.body if request.method == "POST" else None,
            headers=headers,
            follow_redirects=False,
            raise_error=False,
            request_timeout=60,
            decompress_response=False,
        )
        reply.add_done_callback(lambda ended: ended.exception())  # none is to be logged as unheard
        await asyncio.wait([reply, self.front.closing], return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise HTTPError(502, "the front server closes")
        return reply.result()


@asynccontextmanager
async def front_of(url: str) -> AsyncIterator[Front]:
    """A front server before the one at an address."""
    front = Front(url)
    server = HTTPServer(
        Application([(r".*", _Handler, {"front": front})], log_function=lambda handler: None)
    )
    (socket,) = bind_sockets(0, "127.0.0.1")
    server.add_sockets([socket])
    front.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    yield front
    front.closing.set_result(None)
    server.stop()
    await server.close_all_connections()
    front.client.close()
    # One that is still at it when the loop ends is cancelled, and Tornado logs that.
    await asyncio.gather(*front.handling)
