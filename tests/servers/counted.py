"""A shop that counts: `python -m servers.counted`; `/report` says what was asked how often.

`/login/N` gives the cookie that all else of N wants. `/order/N` takes Idempotency-Keys, and
notes which bodies came with it. `/kill/N/PID` kills that process at the Nth request from now.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections import Counter, defaultdict

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from servers.processes import announce, wait_for_the_end

counts: Counter[str] = Counter()
orders: defaultdict[str, set[str]] = defaultdict(set)
failing: Counter[str] = Counter()
victims: dict[int, int] = {}  # pids, by the number of requests


class Counted(RequestHandler):
    """Counts each request."""

    def prepare(self) -> None:
        counts[f"{self.request.method} {self.request.uri}"] += 1
        total = sum(counts.values())
        # By ourselves, at once: a test that is told of it comes too late on a loaded machine.
        for number in [number for number in victims if number <= total]:
            os.kill(victims.pop(number), signal.SIGKILL)


class Login(Counted):
    """Sets the cookie."""

    def get(self, number: str) -> None:
        self.add_header("Set-Cookie", f"login=of-{number}; Path=/")
        self.finish("welcome")


class Page(Counted):
    """Wants the cookie."""

    def get(self, number: str, _rest: str) -> None:
        if self.get_cookie("login") != f"of-{number}":
            raise HTTPError(403)
        self.finish("page")


class Order(Counted):
    """Wants the cookie, and a key."""

    def post(self, number: str) -> None:
        if self.get_cookie("login") != f"of-{number}":
            raise HTTPError(403)
        orders[self.request.headers["Idempotency-Key"]].add(self.request.body.decode())
        self.finish("ordered")


class Shaky(Counted):
    """Answers with 503 twice, then with 200."""

    def get(self, name: str) -> None:
        failing[name] += 1
        self.set_status(503 if failing[name] < 3 else 200)
        self.finish("shaky")


class Kill(RequestHandler):
    """See above."""

    def post(self, number: str, pid: str) -> None:
        victims[sum(counts.values()) + int(number)] = int(pid)


class Report(RequestHandler):
    """Says what was counted."""

    def get(self) -> None:
        bodies = {key: sorted(seen) for key, seen in orders.items()}
        self.finish({"counts": dict(counts), "orders": bodies})


async def main() -> None:
    """Serve until standard input ends."""
    logging.disable()
    routes = [
        (r"/login/(\d+)", Login),
        (r"/page/(\d+)/(.*)", Page),
        (r"/order/(\d+)", Order),
        (r"/shaky/(.*)", Shaky),
        (r"/kill/(\d+)/(\d+)", Kill),
        (r"/report", Report),
    ]
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    HTTPServer(Application(routes, log_function=lambda handler: None)).add_sockets(sockets)
    announce(url=f"http://127.0.0.1:{sockets[0].getsockname()[1]}")
    await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit()
