"""The flow that is killed: `run shop.py:Shop URL CUSTOMERS SYNC --journal FILE`.

Each customer logs in (a cookie), reads pages (arguments of a partial, data), and orders what it
finds (several links, keys, a POST, a delay).
"""

from __future__ import annotations

import functools
from typing import Any

from webqq_tornado import HTTPStream, Next, Request
from webqq_tornado.engine.keeping import Keeper

PAGES, ARTICLES = 3, 4


class Shop(HTTPStream):
    """See above."""

    def __init__(self, url: str, customers: int, sync: str = "full", **arguments: Any) -> None:
        super().__init__(max_clients=16, **arguments)
        assert self.journal
        self.journal.db.execute(f"PRAGMA synchronous={sync}")
        self.url = url
        self.customers = customers
        Keeper.at_once = 3  # as if there were thousands

    def begin(self):
        for number in range(self.customers):
            session = self.session(f"customer-{number}")
            read = functools.partial(self.read_page, number)
            yield Next(f"{self.url}/login/{number}", read, session=session, data={"page": 0})

    def read_page(self, number, response, page):
        response.raise_for_status()
        self.state[f"pages of {number}"] = page
        if page:
            self.emit({"kind": "page", "customer": number, "number": page})
        if page < PAGES:
            url = f"{self.url}/page/{number}/{page + 1}"
            return Next(url, functools.partial(self.read_page, number), data={"page": page + 1})
        return self.articles(number)

    def articles(self, number):
        for article in range(ARTICLES):
            url = f"{self.url}/page/{number}/article-{article}"
            read = functools.partial(self.order, number, article)
            yield Next(url, read, key=f"{number}-{article}", delay=0.01 * article)

    def order(self, number, article, response):
        response.raise_for_status()
        body = f"{number}-{article}".encode()
        request = Request(f"{self.url}/order/{number}", "POST", body=body)
        return request, functools.partial(self.ordered, number, article)

    def ordered(self, number, article, response):
        response.raise_for_status()
        self.emit({"kind": "order", "customer": number, "number": article})


def expected(customers: int) -> list[tuple[str, int, int]]:
    """The results, once each."""
    return [
        *(("page", n, page + 1) for n in range(customers) for page in range(PAGES)),
        *(("order", n, article) for n in range(customers) for article in range(ARTICLES)),
    ]
