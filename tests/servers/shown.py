"""A flow with a dashboard, busy with a shop of its own; `python -m servers.shown` runs it.

`/slow` waits until nobody does, `/broken` is 503, `/bad` is a page that its reader cannot read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import tempfile
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from servers.processes import announce, wait_for_the_end
from webqq_tornado import HTTPStream
from webqq_tornado.dashboard import serve


class Shop(RequestHandler):
    """What the flow asks for."""

    async def get(self, what: str) -> None:
        if what == "slow":
            await asyncio.Event().wait()
        self.set_status(503 if what == "broken" else 200)
        self.write("12 <b>euro</b>")


class Prices(HTTPStream):
    """Polls, waits and fails."""

    def __init__(self, url: str, journal: Path) -> None:
        super().__init__(journal=journal)
        self.url = url

    def begin(self):
        for number in range(20):
            yield f"{self.url}/price?item={number}&token=s3cr3t", self.poll
        for _ in range(3):
            yield f"{self.url}/slow", self.poll
        yield f"{self.url}/broken", self.done
        yield f"{self.url}/bad", self.parse

    def poll(self, response):
        return response.request, self.poll, 0.2

    def parse(self, response):
        raise ValueError("no price on <img src=x onerror=alert(1)> page")

    def done(self, response):
        """Read, and end."""


async def main() -> None:
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    logging.getLogger("webqq_tornado").setLevel(logging.CRITICAL)
    socket, port = bind_unused_port()
    shop = HTTPServer(Application([("/(.*)", Shop)]))
    shop.add_socket(socket)
    with tempfile.TemporaryDirectory() as folder:
        async with Prices(f"http://127.0.0.1:{port}", Path(folder, "prices.db")) as flow:
            with serve(flow) as url:
                flow.launch()
                announce(url=url)
                await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)
            flow.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
