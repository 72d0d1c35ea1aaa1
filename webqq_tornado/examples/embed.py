"""Fetch inside a Tornado application: one page that sums up what a service says.

Start the service, then the application::

    python -m webqq_tornado.examples.api
    python -m webqq_tornado.examples.embed
    python -m webqq_tornado.examples.embed 8301 http://127.0.0.1:8201
"""

from __future__ import annotations

import asyncio
import sys

from tornado.web import Application, RequestHandler

from webqq_tornado import Gather, HTTPStream, Response, StreamError

__all__ = ["Summary", "main"]


class Summary(RequestHandler):
    """All prices, from three pages that are fetched at once."""

    def initialize(self, service: str) -> None:
        """Take what the application gives each handler."""
        self.service = service

    async def get(self) -> None:
        """Answer with the number of items and what all of them cost."""
        stream = HTTPStream.instance()  # one for each loop: handlers share its connections
        prices: list[int] = []

        def add(responses: list[Response]) -> None:
            for response in responses:
                prices.extend(item["price"] for item in response.json()["items"])

        pages = [f"{self.service}/prices?page={number}" for number in (1, 2, 3)]
        try:
            await stream.add_request(pages[0], lambda _first: Gather(pages, add), deadline=10)
        except StreamError as error:
            self.set_status(502)
            self.write({"error": str(error)})
        else:
            self.write({"items": len(prices), "total": sum(prices)})


async def main(port: int = 8300, service: str = "http://127.0.0.1:8200") -> None:
    """Serve until the process is ended.

    Args:
        port: of loopback.
        service: URL of the service to ask.
    """
    Application([("/", Summary, {"service": service})]).listen(port, "127.0.0.1")
    print(f"serving on http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]) if len(sys.argv) == 3 else main())
