"""Prices that survive a kill: `python -m webqq_tornado.examples.durable prices.db`."""

import sys

from webqq_tornado import HTTPStream, Link, Next, Response


class Prices(HTTPStream):
    base = "http://127.0.0.1:8200"

    def begin(self) -> Link:
        return f"{self.base}/prices", self.page

    def page(self, response: Response) -> Link:
        page = response.json()
        for item in page["items"]:
            self.emit(item)
        self.state["pages"] = self.state.get("pages", 0) + 1
        return Next(page["next"], self.page, delay=0.2) if page["next"] else None


if __name__ == "__main__":
    if len(sys.argv) > 2:
        Prices.base = sys.argv[2]
    prices = Prices(journal=sys.argv[1])
    prices.run(strict=True)
    print(prices.journal and prices.journal.summary())
