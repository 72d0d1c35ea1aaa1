"""Many hosts in one: `python -m servers.hosts`; any name that ends with `.localhost` is one.

`/report` says how many requests each host had at once at most, what was asked how often, and with
which keys and bodies each order came. `/after/N` answers when N requests have come, in all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from servers.processes import announce, wait_for_the_end

now: Counter[str] = Counter()
most: Counter[str] = Counter()
counts: Counter[str] = Counter()
orders: defaultdict[str, set[str]] = defaultdict(set)
waiting: dict[int, asyncio.Event] = {}
#: Seconds that an answer takes.
SECONDS = 0.002


class Page(RequestHandler):
    """Answers after a moment."""

    async def get(self, _path: str) -> None:
        host = self.request.host
        counts[f"{host}{self.request.uri}"] += 1
        now[host] += 1
        most[host] = max(most[host], now[host])
        for number in [number for number in waiting if number <= counts.total()]:
            waiting.pop(number).set()
        try:
            await asyncio.sleep(SECONDS)
        finally:
            now[host] -= 1
        self.finish("page")

    async def post(self, path: str) -> None:
        body = self.request.body.decode()
        orders[path].add(f"{self.request.headers['Idempotency-Key']} {body}")
        await self.get(path)


class Report(RequestHandler):
    """Says what was seen."""

    def get(self) -> None:
        keys = {path: sorted(each) for path, each in orders.items()}
        self.finish({"most": most, "counts": counts, "orders": keys})


class After(RequestHandler):
    """Answers when so many requests have come."""

    async def get(self, number: str) -> None:
        if counts.total() < int(number):
            await waiting.setdefault(int(number), asyncio.Event()).wait()
        self.finish(str(counts.total()))


async def main() -> None:
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    routes = [(r"/report", Report), (r"/after/(\d+)", After), (r"/(.*)", Page)]
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application(routes)).add_sockets(sockets)
    announce(port=sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)


if __name__ == "__main__":
    asyncio.run(main())
