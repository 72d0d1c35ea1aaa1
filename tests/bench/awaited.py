"""Clients whose requests are awaited one by one: `response = await client.get(url)`.

Each is set up as its own manual says for many connections to one host, with nothing else changed.
Most have a core in Rust or C, with threads of its own: they run on the same core as the loop.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any

from .tally import Tally

Conversation = Callable[[], Coroutine[Any, Any, None]]
Ask = Callable[[], Coroutine[Any, Any, tuple[int, "bytes | memoryview"]]]


async def together(number: int, converse: Conversation) -> None:
    """Run as many conversations at once, each to its end."""
    await asyncio.gather(*(converse() for _ in range(number)))


async def _loop(number: int, tally: Tally, ask: Ask) -> None:
    async def converse() -> None:
        goes_on = True
        while goes_on:
            goes_on = tally.take(*await ask())

    await together(number, converse)


def ours_fetch(url: str, number: int, tally: Tally) -> None:
    """HTTPStream, by `fetch`."""
    asyncio.run(_ours(url, number, tally))


def ours_fetch_uvloop(url: str, number: int, tally: Tally) -> None:
    """HTTPStream, by `fetch`, on uvloop."""
    import uvloop

    uvloop.run(_ours(url, number, tally))


async def _ours(url: str, number: int, tally: Tally) -> None:
    from webqq_tornado import HTTPStream

    async with HTTPStream() as stream:

        async def converse() -> None:
            goes_on = True
            while goes_on:
                response = await stream.fetch(url)
                goes_on = tally.take(response.status, response.body)

        await together(number, converse)


def wreq(url: str, number: int, tally: Tally) -> None:
    """wreq, on a core in Rust."""
    import wreq

    async def run() -> None:
        async with wreq.Client(pool_max_idle_per_host=number, pool_max_size=number) as client:

            async def ask() -> tuple[int, memoryview]:
                async with client.get(url) as response:
                    return response.status.as_int(), await response.bytes()

            await _loop(number, tally, ask)

    asyncio.run(run())


def pyreqwest(url: str, number: int, tally: Tally) -> None:
    """pyreqwest, on reqwest."""
    from pyreqwest.client import ClientBuilder

    async def run() -> None:
        async with ClientBuilder().pool_max_idle_per_host(number).build() as client:

            async def ask() -> tuple[int, memoryview]:
                response = await client.get(url).build().send()
                return response.status, memoryview(await response.bytes())

            await _loop(number, tally, ask)

    asyncio.run(run())


def pyqwest(url: str, number: int, tally: Tally) -> None:
    """pyqwest, on reqwest."""
    import pyqwest

    async def run() -> None:
        async with pyqwest.HTTPTransport(pool_max_idle_per_host=number) as transport:
            client = pyqwest.Client(transport)

            async def ask() -> tuple[int, bytes]:
                response = await client.get(url)
                return response.status, response.content

            await _loop(number, tally, ask)

    asyncio.run(run())


def primp(url: str, number: int, tally: Tally) -> None:
    """primp, on a core in Rust."""
    import primp

    async def run() -> None:
        async with primp.AsyncClient() as client:

            async def ask() -> tuple[int, bytes]:
                response = await client.get(url)
                return response.status_code, response.content

            await _loop(number, tally, ask)

    asyncio.run(run())


def curl_cffi(url: str, number: int, tally: Tally) -> None:
    """curl_cffi, on libcurl."""
    from curl_cffi import AsyncSession

    async def run() -> None:
        async with AsyncSession(max_clients=number) as session:

            async def ask() -> tuple[int, bytes]:
                response = await session.get(url)
                return response.status_code, response.content

            await _loop(number, tally, ask)

    asyncio.run(run())


def niquests(url: str, number: int, tally: Tally) -> None:
    """niquests, on a fork of urllib3."""
    import niquests

    async def run() -> None:
        async with niquests.AsyncSession(pool_maxsize=number) as session:

            async def ask() -> tuple[int, bytes]:
                response = await session.get(url)
                return response.status_code or 0, response.content or b""

            await _loop(number, tally, ask)

    asyncio.run(run())


def aiosonic(url: str, number: int, tally: Tally) -> None:
    """aiosonic, in Python."""
    import aiosonic
    from aiosonic.pools import PoolConfig

    async def run() -> None:
        # It gives up a connection after 1,000 requests unless told otherwise.
        pool = PoolConfig(size=number, max_conn_requests=None)
        connector = aiosonic.TCPConnector(pool_configs={":default": pool})
        async with aiosonic.HTTPClient(connector) as client:

            async def ask() -> tuple[int, bytes]:
                response = await client.get(url)
                return response.status_code, await response.content()

            await _loop(number, tally, ask)

    asyncio.run(run())


AWAITED = (
    ours_fetch,
    ours_fetch_uvloop,
    wreq,
    pyreqwest,
    pyqwest,
    primp,
    curl_cffi,
    niquests,
    aiosonic,
)

#: The module that a client needs, by the first word of its name in the bench, where it may lack.
_NEEDED = frozenset(
    (
        *("wreq", "pyreqwest", "pyqwest", "primp", "curl_cffi", "niquests", "aiosonic"),
        *("aiohttp", "httpx", "uvloop"),
    )
)


def missing_for(peer: str) -> str | None:
    """Return the module that a client needs and that is not installed; None if all are there.

    Args:
        peer: its name, such as "wreq" or "aiohttp_uvloop".
    """
    needed = [name for name in _NEEDED if name == peer or name in peer.split("_")]
    return next((name for name in needed if importlib.util.find_spec(name) is None), None)
