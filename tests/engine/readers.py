"""Readers and other small things that tests share."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from servers.web import Web

from webqq_tornado import Chain, HTTPStream, Response

#: Nothing listens there: tcpmux has been out of use for decades.
REFUSED = "http://127.0.0.1:1/"


class Reading:
    """A reader that keeps what it read, and returns what it is told."""

    def __init__(self, *results: object) -> None:
        self.responses: list[Response] = []
        self.results = list(results)

    def __call__(self, response: Response) -> object:
        self.responses.append(response)
        return self.results.pop(0) if self.results else None

    @property
    def paths(self) -> list[str]:
        """What the echo server was asked for."""
        return [response.json()["uri"] for response in self.responses]


class Oops(Exception):
    """What the readers below raise."""


def raising(*_: object) -> NoReturn:
    """A reader that raises."""
    raise Oops("in a reader")


async def raising_later(*_: object) -> NoReturn:
    """A coroutine reader that raises."""
    await asyncio.sleep(0)
    raise Oops("in a reader")


def raising_in_a_generator(*_: object) -> Any:
    """A generator that raises."""
    raise Oops("in a reader")
    yield


async def raising_in_an_async_generator(*_: object) -> Any:
    """An async generator that raises."""
    raise Oops("in a reader")
    yield


RAISING = [raising, raising_later, raising_in_a_generator, raising_in_an_async_generator]


async def wait(chain: Chain) -> Response | None:
    """Await a chain; for `gather`, which takes no chains."""
    return await chain


def run_script(text: str, *arguments: str) -> str:
    """Run a program of a user; gives what it prints. It must not warn."""
    # One that hangs says where before the deadline.
    watched = "import faulthandler; faulthandler.dump_traceback_later(15, exit=True)\n"
    command = [sys.executable, "-W", "error", "-c", watched + textwrap.dedent(text), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@contextlib.asynccontextmanager
async def polling(stream: HTTPStream, web: Web) -> AsyncIterator[None]:
    """Another chain of the stream, in good health all the while, and with a link after it."""
    links, is_over = 0, False

    def read(response: Response) -> object:
        nonlocal links
        assert (response.status, response.body) == (200, b"01234")
        links += 1
        return None if is_over else (response.request, read, 0.005)

    chain = stream.add_request(f"{web.http}/bytes/5", read)
    yield
    is_over, before = True, links
    await chain
    assert links > before
    assert stream.stats().in_flight == 0
