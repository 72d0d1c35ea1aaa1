"""The flow that is killed: `run shop.py:Shop URL CUSTOMERS SYNC --journal FILE`.

Each customer logs in (a cookie), reads pages (arguments of a partial, data), and orders what it
finds (several links, keys, a POST, a delay).
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from tenacity import stop_after_attempt, wait_fixed

from webqq_tornado import Gather, HTTPStream, Next, Request
from webqq_tornado.engine.keeping import Keeper
from webqq_tornado.retry import Retry

PAGES, ARTICLES = 3, 4


class Shop(HTTPStream):
    """See above."""

    def __init__(self, url: str, customers: int, sync: str = "full", **arguments: Any) -> None:
        super().__init__(max_clients=16, **arguments)
        assert self.journal
        if not self.journal.is_awaited:
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


class Mixed(Shop):
    """Readers of each kind: coroutines, several links from an async generator, a `Gather`, an
    errback, retries.
    """

    def __init__(self, url: str, customers: int, sync: str = "full", **arguments: Any) -> None:
        policy = Retry(stop=stop_after_attempt(9), wait=wait_fixed(0.01))
        super().__init__(url, customers, sync, retry=policy, **arguments)

    async def begin(self):
        for number in range(self.customers):
            yield Next(f"{self.url}/login/{number}", self.awaiting, data={"number": number})

    async def awaiting(self, response, number):
        self.emit({"kind": "awaiting", "customer": number, "number": 0})
        await self.fetch(f"{self.url}/login/{number}?awaited")
        self.emit({"kind": "awaiting", "customer": number, "number": 1})
        links = [f"{self.url}/login/{number}?{part}" for part in "ab"]
        return Gather(links, functools.partial(self.joined, number))

    def joined(self, number, responses):
        self.emit({"kind": "joined", "customer": number, "number": len(responses)})
        failing = functools.partial(self.failing, number)
        mending = functools.partial(self.mending, number)
        return Next(f"{self.url}/login/{number}?fail", failing, errback=mending)

    def failing(self, number, response):
        self.emit({"kind": "failing", "customer": number, "number": 0})
        raise ValueError("on purpose")

    def mending(self, number, error):
        self.emit({"kind": "mending", "customer": number, "number": 0})
        return f"{self.url}/login/{number}?several", functools.partial(self.several, number)

    async def several(self, number, response):
        for part in range(4):
            self.emit({"kind": "several", "customer": number, "number": part})
            await asyncio.sleep(0)
            read = functools.partial(self.shaken, number, part)
            yield f"{self.url}/shaky/{number}-{part}", read

    def shaken(self, number, part, response):
        response.raise_for_status()
        self.emit({"kind": "shaken", "customer": number, "number": part})


def expected_of_mixed(customers: int) -> list[tuple[str, int, int]]:
    """The results, once each."""
    once = [("awaiting", 0), ("awaiting", 1), ("joined", 2), ("mending", 0)]
    each = [*once, *((kind, part) for kind in ("several", "shaken") for part in range(4))]
    return [(kind, customer, part) for customer in range(customers) for kind, part in each]


def expected(customers: int) -> list[tuple[str, int, int]]:
    """The results, once each."""
    return [
        *(("page", n, page + 1) for n in range(customers) for page in range(PAGES)),
        *(("order", n, article) for n in range(customers) for article in range(ARTICLES)),
    ]
