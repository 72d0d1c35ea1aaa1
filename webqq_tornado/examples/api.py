"""A small web service for the examples: prices, jobs, a mailbox behind a login, events, files.

It listens on loopback alone, keeps everything in memory, and prints a line for each request::

    python -m webqq_tornado.examples.api
    python -m webqq_tornado.examples.api 8201

==============================  ===============================================================
`GET /prices?page=N`            three items a page, three pages; `next` is the URL of the next
`GET /rates/N`                  the rate N, of 50, that changes with each look
`POST /login`                   form `user`, `password`; sets the cookie `session`
`GET /mail`                     401 without that cookie
`POST /mail`                    answers with form `text`; likewise
`POST /jobs`                    202, with the job's URL in `Location`
`GET /jobs/N`                   state "running", and "done" from the third look on
`GET /flaky?key=KEY`            503 the first two times for each key
`GET /events`                   three server-sent events
`ws://.../echo`                 a WebSocket that sends back what it receives
`GET, PUT /files/NAME`          256 KiB, or what was stored under the name
`GET /site/`                    pages that link to each other
==============================  ===============================================================
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

__all__ = ["Service", "main"]

PORT = 8200
#: The prices that are served, three a page.
PRICES = {
    "apple": 3, "bread": 5, "cheese": 12, "dates": 8, "eggs": 4, "figs": 9, "grapes": 6,
    "honey": 11, "ice": 1,
}  # fmt: skip
_PAGE_SIZE = 3
#: Looks at a job until it is done, and failures until `/flaky` works.
_LOOKS, _FAILURES = 3, 2
#: Which page of `/site/` leads where.
SITE = {"": ("a", "b"), "a": ("b", "c"), "b": ("", "c"), "c": ("d",), "d": ()}


class Service(Application):
    """The service, as a Tornado application.

    Example:
        >>> Service().listen(8200, "127.0.0.1")
    """

    def __init__(self) -> None:
        super().__init__(
            [
                ("/prices", _Prices),
                ("/rates/([1-4]?[0-9])", _Rate),
                ("/login", _Login),
                ("/mail", _Mail),
                ("/jobs", _Jobs),
                ("/jobs/([0-9]+)", _Job),
                ("/flaky", _Flaky),
                ("/events", _Events),
                ("/echo", _Echo),
                ("/files/([a-z.]+)", _Files),
                ("/site/([a-z]?)", _Site),
            ],
            cookie_secret="for examples alone",  # noqa: S106
            log_function=_show,
        )
        self.looks: list[int] = []
        self.failures: Counter[str] = Counter()
        self.rates: Counter[str] = Counter()
        self.files: dict[str, bytes] = {}


def _show(handler: RequestHandler) -> None:
    print(handler.get_status(), handler.request.method, handler.request.uri, flush=True)


class _Handler(RequestHandler):
    application: Service


class _Prices(_Handler):
    def get(self) -> None:
        page = int(self.get_argument("page", "1"))
        names = list(PRICES)[(page - 1) * _PAGE_SIZE : page * _PAGE_SIZE]
        is_last = page * _PAGE_SIZE >= len(PRICES)
        items = [{"name": name, "price": PRICES[name]} for name in names]
        self.write({"items": items, "next": None if is_last else f"/prices?page={page + 1}"})


class _Rate(_Handler):
    def get(self, number: str) -> None:
        self.application.rates[number] += 1
        self.write({"id": int(number), "rate": 100 + self.application.rates[number]})


class _Login(_Handler):
    def post(self) -> None:
        if self.get_body_argument("password") != "secret":
            self.set_status(403)
            return
        self.set_signed_cookie("session", self.get_body_argument("user"))
        self.write({"ok": True})


class _Mail(_Handler):
    def prepare(self) -> None:
        if self.get_signed_cookie("session") is None:
            self.set_status(401)
            self.finish()

    def get(self) -> None:
        user = (self.get_signed_cookie("session") or b"").decode()
        messages = [f"hello {user}", "how are you?"]
        self.write({"user": user, "unread": len(messages), "messages": messages})

    def post(self) -> None:
        self.write({"ok": True, "text": self.get_body_argument("text")})


class _Jobs(_Handler):
    def post(self) -> None:
        self.application.looks.append(0)
        number = len(self.application.looks)
        self.set_status(202)
        self.set_header("Location", f"/jobs/{number}")
        self.write({"id": number, "state": "running"})


class _Job(_Handler):
    def get(self, number: str) -> None:
        looks = self.application.looks
        if not 1 <= int(number) <= len(looks):
            self.set_status(404)
            return
        looks[int(number) - 1] += 1
        is_done = looks[int(number) - 1] >= _LOOKS
        self.write({"id": int(number), "state": "done" if is_done else "running"})


class _Flaky(_Handler):
    def get(self) -> None:
        key = self.get_argument("key", "")
        self.application.failures[key] += 1
        if self.application.failures[key] <= _FAILURES:
            self.set_status(503)
            return
        self.write({"ok": True})


class _Events(_Handler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.write("".join(f'id: {n}\ndata: {{"tick": {n}}}\n\n' for n in range(3)))


class _Echo(WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


class _Files(_Handler):
    def get(self, name: str) -> None:
        self.write(self.application.files.get(name, bytes(256 * 1024)))

    def put(self, name: str) -> None:
        self.application.files[name] = self.request.body
        self.write({"name": name, "size": len(self.request.body)})


class _Site(_Handler):
    def get(self, page: str) -> None:
        if page not in SITE:
            self.set_status(404)
            return
        links = "".join(
            f'<li><a href="/site/{other}">{other or "home"}</a>' for other in SITE[page]
        )
        self.write(f"<!doctype html><title>{page or 'home'}</title><ul>{links}</ul>")


async def main(port: int = PORT) -> None:
    """Serve until the process is ended.

    Args:
        port: of loopback.
    """
    Service().listen(port, "127.0.0.1")
    print(f"serving on http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
