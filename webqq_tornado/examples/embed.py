"""Poll a service inside a Tornado application, until SIGTERM.

python -m webqq_tornado.examples.api & python -m webqq_tornado.examples.embed 8300
"""

import asyncio
import sys

from tornado.web import Application, RequestHandler

from webqq_tornado import HTTPStream, Link, Response


class Prices(HTTPStream):
    """Keeps the latest prices."""

    latest: object = "none yet"

    def begin(self) -> Link:
        return self.get("prices", self.read, errback=self.missed)

    def read(self, response: Response) -> Link:
        self.latest = response.raise_for_status().json()["items"]
        return response.request, self.read, 1

    def missed(self, error: Exception) -> Link:
        self.latest = str(error)
        return self.get("prices", self.read, delay=1)


class Latest(RequestHandler):
    def get(self) -> None:
        self.write({"latest": self.settings["prices"].latest})


async def main(port: str = "8300", service: str = "http://127.0.0.1:8200") -> None:
    prices = Prices(base_url=service)
    Application([("/", Latest)], prices=prices).listen(int(port), "127.0.0.1")
    print(f"serving on http://127.0.0.1:{port}", flush=True)
    await prices.serve()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
