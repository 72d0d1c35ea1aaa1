"""Users' code that raises `asyncio.CancelledError`, as `future.result()` does: at each door.

Its chain ends, as cancelled or with an error, and nothing else is disturbed: not the loop, whose
callback it may have been raised in, nor who called.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from typing import Any, NoReturn

import pytest
from servers.raw import answer, raw_server
from servers.ws import accepting
from tenacity import wait_none
from waiting import until

from webqq_tornado import Chain, Gather, HTTPStream, Next, Request, State
from webqq_tornado.auth import LoginAuth
from webqq_tornado.retry import CircuitBreaker, Retry


def cancelled(*_: object) -> NoReturn:
    raise asyncio.CancelledError("in a user's code")


async def cancelled_later(*_: object) -> NoReturn:
    await asyncio.sleep(0)
    cancelled()


def source(*_: object) -> Any:
    yield "http://127.0.0.1:1/", None
    yield "http://127.0.0.1:1/", None
    cancelled()


def source_that_fails(*_: object) -> Any:
    yield "http://127.0.0.1:1/", None
    yield "http://127.0.0.1:1/", None
    raise ValueError("a source")


def source_that_minds(*_: object) -> Any:
    try:
        while True:
            yield "http://127.0.0.1:1/", None, 100
    finally:
        cancelled()


async def source_later(*_: object) -> Any:
    yield "http://127.0.0.1:1/", None
    cancelled()


def pieces() -> Any:
    yield b"a"
    cancelled()


async def pieces_later() -> Any:
    yield b"a"
    await asyncio.sleep(0)
    cancelled()


class Breaking(io.BytesIO):
    """A file that can be neither read nor written."""

    read = write = cancelled  # type: ignore[assignment]


class Auth(LoginAuth):
    """Credentials that are refused, once they are there."""

    def __init__(self, door: str) -> None:
        super().__init__(lambda: None, is_logged_in=door not in {"renew", "on_renewed"})
        setattr(self, door, cancelled)


def breaker(door: str) -> CircuitBreaker:
    made = CircuitBreaker()
    setattr(made, door, cancelled)
    return made


REQUESTS: dict[str, Any] = {
    "sink": lambda: {"sink": cancelled},
    "sink later": lambda: {"sink": cancelled_later},
    "sink file": lambda: {"sink": Breaking()},
    "body": lambda: {"body": pieces()},
    "body later": lambda: {"body": pieces_later()},
    "body function": lambda: {"body": cancelled},
    "body file": lambda: {"body": Breaking(b"abc")},
    "on_header_line": lambda: {"on_header_line": cancelled},
    "on_progress": lambda: {"on_progress": cancelled},
    "prepare_curl": lambda: {"prepare_curl": cancelled},
}
LINKS: dict[str, Any] = {
    "reader": lambda url: Next(url, cancelled),
    "reader later": lambda url: Next(url, cancelled_later),
    "errback": lambda url: Next("http://127.0.0.1:1/", None, errback=cancelled),
    "errback later": lambda url: Next("http://127.0.0.1:1/", None, errback=cancelled_later),
    "source": lambda url: Next(url, source),
    "source later": lambda url: Next(url, source_later),
    "errback of a source": lambda url: Next(url, source_that_fails, errback=cancelled),
    "end of a source": lambda url: Next(url, source_that_minds),
    "gather": lambda url: Next(url, lambda response: Gather([url], cancelled)),
    "errback of a gather": lambda url: Next(url, lambda r: Gather(source(), None, cancelled)),
}
OPTIONS: dict[str, Any] = {
    "retry": lambda: {"retry": cancelled},
    "on_retry": lambda: {"retry": Retry(wait=wait_none(), when=lambda attempt: True)},
    **{f"auth {door}": lambda door=door: {"auth": Auth(door)} for door in (
        "covers", "apply", "is_refused", "renew", "on_renewed")},
    **{f"breaker {door}": lambda door=door: {"breaker": breaker(door)} for door in (
        "admit", "record")},
}  # fmt: skip
HOOKS = ["on_request", "on_response", "on_error", "on_idle", "observer"]


async def _answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/socket" in head:
            writer.write(accepting(head))
        elif b"/moved" in head:
            writer.write(answer(b"abc", b"Location: /there", status=b"302 X"))
        else:
            writer.write(answer(b"abc"))


def _flow(door: str) -> HTTPStream:
    """A stream that has it."""

    class Flow(HTTPStream):
        pass

    if door in {*HOOKS, "on_retry"}:
        setattr(Flow, door, cancelled)
    stream = Flow(**OPTIONS.get(door, dict)())
    if door == "observer":
        stream.observe(cancelled)
    return stream


async def _end(chain: Chain, door: str) -> None:
    if door == "end of a source":
        await until(lambda: chain.state is State.WAITING)
        chain.cancel()
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await chain


@pytest.mark.parametrize("door", [*REQUESTS, *LINKS, *OPTIONS, *HOOKS])
@pytest.mark.parametrize("path", ["/", "/moved"])
async def test_the_chain_ends_and_nothing_else_does(door, path, caplog):
    async with raw_server(_answering) as base, HTTPStream() as other:
        beside = other.add_request(base, lambda response: (response.request, None, 0.01))
        stream = _flow(door)
        request = Request(base + path, request_timeout=0, **REQUESTS.get(door, dict)())
        link = LINKS[door](base + path) if door in LINKS else Next(request, print)
        await _end(stream.add_request(link), door)
        await stream.drain()
        await beside
        stream.close()
    assert not [record for record in caplog.records if record.name in ("asyncio", "tornado")]


SOCKETS = ["on_request", "observer", "breaker admit", "breaker record", "auth apply", "auth covers"]


@pytest.mark.parametrize("door", SOCKETS)
async def test_the_chain_of_a_web_socket_ends_and_nothing_else_does(door, caplog):
    async with raw_server(_answering) as base:
        stream = _flow(door)
        chain = stream.add_request(f"{base.replace('http', 'ws')}/socket", print)
        if door == "observer":  # which is only told
            await until(lambda: chain.state is State.READING)
            chain.cancel()
        await _end(chain, door)
        stream.close()
    assert not [record for record in caplog.records if record.name in ("asyncio", "tornado")]
