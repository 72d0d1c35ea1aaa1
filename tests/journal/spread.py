"""The flow that runs in shards: each of its chains goes over several hosts."""

from __future__ import annotations

import functools
import os
from typing import Any

from webqq_tornado import HTTPStream, Limits, Next, Request

HOSTS = 12
STEPS = 3
BRANCHES = 2


class Spread(HTTPStream):
    """Pages on one host after the other, links with keys, and a POST."""

    def __init__(self, port: int, chains: int, **arguments: Any) -> None:
        super().__init__(limits=Limits(per_host=2), **arguments)
        self.port, self.count = port, chains

    def url(self, number: int, path: str) -> str:
        return f"http://h{number % HOSTS}.localhost:{self.port}/{path}"

    def begin(self):
        for number in range(self.count):
            yield self.url(number, f"{number}/0"), functools.partial(self.page, number, 0)

    def page(self, number, step, response):
        response.raise_for_status()
        self.emit(["page", number, step])
        if step < STEPS:
            read = functools.partial(self.page, number, step + 1)
            return self.url(number + step + 1, f"{number}/{step + 1}"), read
        return self.below(number)

    def below(self, number):
        for branch in range(BRANCHES):
            read = functools.partial(self.branch, number, branch)
            url = self.url(number + branch, f"{number}/branch/{branch}")
            yield Next(url, read, key=f"{number}-{branch}", delay=0.01 * branch)
        # Of every two chains one is the first to follow it, on whichever shard.
        pair = number // 2
        yield Next(
            self.url(pair, f"pair/{pair}"), functools.partial(self.pair, pair), key=f"p{pair}"
        )

    def branch(self, number, branch, response):
        response.raise_for_status()
        self.emit(["branch", number, branch])
        url = self.url(number + branch + 5, f"order/{number}/{branch}")
        return Request(url, "POST", body=url.encode()), functools.partial(
            self.ordered, number, branch
        )

    def ordered(self, number, branch, response):
        response.raise_for_status()
        self.emit(["order", number, branch])

    def pair(self, pair, response):
        response.raise_for_status()
        self.emit(["pair", pair, 0])


class Deadly(Spread):
    """A page that ends its process."""

    def page(self, number, step, response):
        if number == 3 and step == 1:
            os.abort()
        return super().page(number, step, response)


def expected(chains: int) -> list[list[object]]:
    """The results, once each."""
    return sorted(
        [
            *(["page", n, step] for n in range(chains) for step in range(STEPS + 1)),
            *(
                [kind, n, branch]
                for kind in ("branch", "order")
                for n in range(chains)
                for branch in range(BRANCHES)
            ),
            *(["pair", pair, 0] for pair in range((chains + 1) // 2)),
        ]
    )
