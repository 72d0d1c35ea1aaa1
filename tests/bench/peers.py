"""The same closed loop by each client: `python -m tests.bench.peers NAME N WARM_UP SECONDS URL`.

N conversations; each sends its next request when the last one's body has been read. Each client
is set up as its documentation says for many connections to one host, with nothing else changed.
It is imported only when it runs, so that none is charged for another's start.
"""

from __future__ import annotations

import asyncio
import collections
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .awaited import AWAITED, together
from .tally import Tally

if TYPE_CHECKING:
    from webqq_tornado import Link, Response


def ours(url: str, number: int, tally: Tally, http2: bool = False) -> None:
    """HTTPStream, in chains."""
    from webqq_tornado import HTTPStream, Request

    request = Request(url, http_version="2-prior-knowledge") if http2 else url

    class Flow(HTTPStream):
        def begin(self) -> Link:
            for _ in range(number):
                yield request, self.read

        def read(self, response: Response) -> Link:
            if tally.take(response.status, response.body):
                return response.request, self.read

    stats = Flow().run()
    tally.bad += stats.failed


def ours_uvloop(url: str, number: int, tally: Tally) -> None:
    """HTTPStream, in chains, on uvloop."""
    import uvloop

    from webqq_tornado import HTTPStream

    async def main() -> None:
        def read(response: Response) -> Link:
            return (response.request, read) if tally.take(response.status, response.body) else None

        async with HTTPStream() as stream:
            for _ in range(number):
                stream.add_request(url, read)
            await stream.drain()
            tally.bad += stream.stats().failed

    uvloop.run(main())


def ours_http2(url: str, number: int, tally: Tally) -> None:
    """HTTPStream, in chains, over HTTP/2."""
    ours(url, number, tally, http2=True)


def aiohttp(url: str, number: int, tally: Tally) -> None:
    """aiohttp on asyncio's own loop."""
    asyncio.run(_aiohttp(url, number, tally))


def aiohttp_uvloop(url: str, number: int, tally: Tally) -> None:
    """aiohttp on uvloop."""
    import uvloop

    loop = uvloop.new_event_loop()
    loop.run_until_complete(_aiohttp(url, number, tally))
    loop.close()


async def _aiohttp(url: str, number: int, tally: Tally) -> None:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=number)) as session:

        async def converse() -> None:
            goes_on = True
            while goes_on:
                async with session.get(url) as response:
                    goes_on = tally.take(response.status, await response.read())

        await together(number, converse)


def httpx(url: str, number: int, tally: Tally) -> None:
    """Its asynchronous client."""
    import httpx

    async def run() -> None:
        limits = httpx.Limits(max_connections=number, max_keepalive_connections=number)
        async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:

            async def converse() -> None:
                goes_on = True
                while goes_on:
                    response = await client.get(url)
                    goes_on = tally.take(response.status_code, response.content)

            await together(number, converse)

    asyncio.run(run())


def ours_tornado(url: str, number: int, tally: Tally) -> None:
    """HTTPStreamClient, as Tornado's AsyncHTTPClient."""
    asyncio.run(_tornado("webqq_tornado.httpclient.HTTPStreamClient", url, number, tally))


def tornado_curl(url: str, number: int, tally: Tally) -> None:
    """tornado.curl_httpclient."""
    asyncio.run(_tornado("tornado.curl_httpclient.CurlAsyncHTTPClient", url, number, tally))


def tornado_simple(url: str, number: int, tally: Tally) -> None:
    """tornado.simple_httpclient, which opens a connection for each request."""
    asyncio.run(_tornado("tornado.simple_httpclient.SimpleAsyncHTTPClient", url, number, tally))


async def _tornado(kind: str, url: str, number: int, tally: Tally) -> None:
    from tornado.httpclient import AsyncHTTPClient

    AsyncHTTPClient.configure(kind, max_clients=number)
    client = AsyncHTTPClient()

    async def converse() -> None:
        goes_on = True
        while goes_on:
            response = await client.fetch(url)
            goes_on = tally.take(response.code, response.body)

    await together(number, converse)


def pycurl_async(url: str, number: int, tally: Tally) -> None:
    """pycurl.AsyncCurlMulti, each conversation with a handle that it keeps."""
    asyncio.run(_pycurl_async(url, number, tally))


async def _pycurl_async(url: str, number: int, tally: Tally) -> None:
    import pycurl

    async with pycurl.AsyncCurlMulti() as multi:
        multi.setopt(pycurl.M_MAXCONNECTS, number * 2)

        async def converse() -> None:
            curl, parts = pycurl.Curl(), list[bytes]()
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.WRITEFUNCTION, parts.append)
            goes_on = True
            while goes_on:
                await multi.perform(curl)
                goes_on = tally.take(curl.getinfo(pycurl.RESPONSE_CODE), b"".join(parts))
                parts.clear()

        await together(number, converse)


def urllib_threads(url: str, number: int, tally: Tally) -> None:
    """urllib.request, a thread for each conversation and a connection for each request."""
    import urllib.request

    one_at_a_time = threading.Lock()

    def converse() -> None:
        goes_on = True
        while goes_on:
            with urllib.request.urlopen(url, timeout=60) as response:
                body = response.read()
            with one_at_a_time:
                goes_on = tally.take(response.status, body)

    threads = [threading.Thread(target=converse) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def profiled(url: str, number: int, tally: Tally) -> None:
    """HTTPStream under cProfile, which doubles the cost of Python's calls; prints the top."""
    import cProfile
    import pstats

    with cProfile.Profile() as profile:
        ours(url, number, tally)
    stats = pstats.Stats(profile).strip_dirs()
    by_file: collections.Counter[str] = collections.Counter()
    for (file, _line, name), (_, _, own, *_) in stats.stats.items():  # type: ignore[attr-defined]
        by_file[name if file == "~" else file] += own * 1e6 / tally.total
    print("us of a request, by file or built-in function")
    print("\n".join(f"{own:8.2f}  {where}" for where, own in by_file.most_common(20)))
    stats.sort_stats("tottime").print_stats(25)


LOOPS: dict[str, Callable[[str, int, Tally], None]] = {
    loop.__name__: loop
    for loop in (
        ours,
        ours_uvloop,
        ours_http2,
        ours_tornado,
        aiohttp,
        aiohttp_uvloop,
        httpx,
        tornado_curl,
        tornado_simple,
        pycurl_async,
        urllib_threads,
        profiled,
        *AWAITED,
    )
}


def main(name: str, number: str, warm_up: str, seconds: str, url: str) -> None:
    """Run one and print its tally."""
    tally = Tally(float(warm_up), float(seconds))
    LOOPS[name](url, int(number), tally)
    tally.show()


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
