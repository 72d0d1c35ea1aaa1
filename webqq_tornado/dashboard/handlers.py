"""The page and its data over HTTP: files, a stream of updates, and the few things it may change.

All but the page's own files wants the token, in a header that no other origin's page can send; it
is compared in constant time. `Host` has to be a known name, since a page elsewhere may have rebound
its name to this address; so has `Origin`, if there is one.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from ..engine.closing import ClosedByBlock
from .recorder import Recorder
from .snapshot import Query, take_snapshot

if TYPE_CHECKING:
    from ..engine.stream import HTTPStream

__all__ = ["Dashboard", "Route", "handlers", "serve"]

#: A route of a Tornado application.
Route = tuple[str, type[RequestHandler], dict[str, Any]]

_STATIC = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
#: Seconds between two updates; longer where that would take more than a share of the loop's time.
_INTERVAL, _SHARE = 0.5, 0.05
#: Pages that may look on at the same time.
_MAX_VIEWERS = 8
_MIN_TOKEN = 16


class Dashboard(ClosedByBlock):
    """Records a stream, and shows it by its `handlers`.

    Args:
        stream: what is shown.
        token: its holder may look, and pause, resume, cancel and retry chains; at least 16
            characters, such as of `secrets.token_urlsafe()`.
        hosts: names, without port, by which the page may be asked for; by default those of
            loopback.

    Raises:
        ValueError: the token is too short.

    Example:
        >>> with Dashboard(stream, token=token) as dashboard:
        ...     app = tornado.web.Application(dashboard.handlers("/dashboard"))
    """

    def __init__(
        self, stream: HTTPStream, *, token: str, hosts: Collection[str] = _LOOPBACK
    ) -> None:
        if len(token) < _MIN_TOKEN:
            raise ValueError(
                f"the token has at least {_MIN_TOKEN} characters: use secrets.token_urlsafe()"
            )
        self.stream = stream
        self.token = token
        self.hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self.recorder = Recorder(stream)
        #: Of each open page, the future that ends it.
        self.viewers: set[asyncio.Event] = set()

    def close(self) -> None:
        """Record no more, and send pages that look on no more updates."""
        self.recorder.close()
        for ending in self.viewers:
            ending.set()

    def handlers(self, prefix: str = "/dashboard") -> list[Route]:
        """The routes of the page.

        Args:
            prefix: where it is, without a slash at the end; "" for the root.

        Example:
            >>> app.add_handlers(".*", dashboard.handlers())
        """
        given = {"dashboard": self}
        routes: list[Route] = [
            (rf"{prefix}/()", _File, given),
            (rf"{prefix}/(dashboard\.js|parts\.js|dashboard\.css|icon\.svg)", _File, given),
            (rf"{prefix}/events", _Events, given),
            (rf"{prefix}/flow/(pause|resume)", _FlowAction, given),
            (rf"{prefix}/chains/(\d+)/(pause|resume|cancel)", _ChainAction, given),
            (rf"{prefix}/journal/(\d+|all)/retry", _Retry, given),
        ]
        return [(prefix, _ToSlash, given), *routes] if prefix else routes


def handlers(
    stream: HTTPStream,
    *,
    token: str,
    prefix: str = "/dashboard",
    hosts: Collection[str] = _LOOPBACK,
) -> list[Route]:
    """The routes of a `Dashboard` that records as long as the stream is there.

    Args:
        stream: what is shown.
        token: see `Dashboard`.
        prefix: where the page is.
        hosts: see `Dashboard`.

    Raises:
        ValueError: the token is too short.

    Example:
        >>> token = secrets.token_urlsafe()
        >>> app = tornado.web.Application([*handlers(stream, token=token), ("/", Index)])
        >>> print(f"http://127.0.0.1:8000/dashboard/#token={token}")
    """
    return Dashboard(stream, token=token, hosts=hosts).handlers(prefix)


@contextmanager
def serve(stream: HTTPStream, port: int = 0) -> Iterator[str]:
    """Serve the page of a stream on a port of loopback, as long as the block lasts.

    Args:
        stream: what is shown.
        port: of it; 0: one that is free.

    Returns:
        The URL of the page, with a token of its own.

    Raises:
        OSError: the port is taken.

    Example:
        >>> with serve(stream) as url:
        ...     print(url)
    """
    sockets = bind_sockets(port, "127.0.0.1")
    token = secrets.token_urlsafe()
    with Dashboard(stream, token=token) as dashboard:
        server = HTTPServer(Application(dashboard.handlers(""), log_function=_no_log))
        server.add_sockets(sockets)
        try:
            yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}/#token={token}"
        finally:
            server.stop()


def _no_log(_handler: RequestHandler) -> None:
    """The page's own requests are no news to who runs a flow."""


class _Handler(RequestHandler):
    """A request to the dashboard: from a known host, and from its own page."""

    dashboard: Dashboard

    def initialize(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        if _name_of(f"//{self.request.host}") not in self.dashboard.hosts:
            raise HTTPError(403, reason="This host is not served: see hosts=")
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != self.request.host.lower():
            raise HTTPError(403, reason="Origin not allowed")

    def check_xsrf_cookie(self) -> None:
        """Nothing here goes by cookies: the token is in a header."""

    def compute_etag(self) -> None:
        """None: nothing here is kept by the browser."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the status and the reason."""
        self.finish({"status": status_code, "error": self._reason})


class _Private(_Handler):
    """A request that needs the token, as `Authorization: Bearer`."""

    def prepare(self) -> None:
        super().prepare()
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(), self.dashboard.token.encode())
        if scheme.lower() != "bearer" or not is_right:
            self.set_header("WWW-Authenticate", "Bearer")
            raise HTTPError(401, reason="The token is missing or wrong")


class _ToSlash(_Handler):
    def get(self) -> None:
        self.redirect(f"{self.request.path}/")


class _File(_Handler):
    """The page's own files, which hold nothing secret."""

    def get(self, name: str) -> None:
        path = _STATIC / (name or "index.html")
        self.set_header("Content-Type", f"{_TYPES[path.suffix]}; charset=utf-8")
        self.finish(path.read_bytes())


class _Events(_Private):
    """Server-sent events: updates, at most two a second, as fast as they are read."""

    async def get(self) -> None:
        dashboard = self.dashboard
        if len(dashboard.viewers) >= _MAX_VIEWERS:
            raise HTTPError(503, reason="Too many pages look on")
        query = self._query()
        self._closed = asyncio.Event()
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        dashboard.viewers.add(self._closed)
        try:
            while not self._closed.is_set():
                await self._send(query)
        except StreamClosedError:
            pass
        finally:
            dashboard.viewers.discard(self._closed)

    async def _send(self, query: Query) -> None:
        began = time.perf_counter()
        update = await take_snapshot(self.dashboard.recorder, query)
        self.write(f"data: {json.dumps(update)}\n\n")
        spent = time.perf_counter() - began
        await self.flush()  # as long as the page takes to read it
        pause = max(_INTERVAL, spent / _SHARE)
        try:
            await asyncio.wait_for(self._closed.wait(), pause)
        except asyncio.TimeoutError:  # not the builtin one before Python 3.11
            return

    def on_connection_close(self) -> None:
        self._closed.set()

    def _query(self) -> Query:
        given = {name: self.get_query_argument(name, "") for name in Query._fields}
        number = given.pop("chain") or "0"
        if not (number.isascii() and number.isdigit() and len(number) < 16):
            raise HTTPError(400, reason="chain is not a number")
        return Query(**{**given, "text": given["text"].lower()}, chain=int(number))


class _FlowAction(_Private):
    """Pause or resume all chains."""

    def post(self, action: str) -> None:
        stream = self.dashboard.stream
        (stream.pause if action == "pause" else stream.resume)()
        self.finish({"paused": stream.is_paused})


class _ChainAction(_Private):
    """Pause, resume or cancel one chain."""

    def post(self, number: str, action: str) -> None:
        wanted = int(number[:16])
        chains = self.dashboard.stream.chains
        chain = next((each for each in chains if each.number == wanted), None)
        if chain is None or not wanted:
            raise HTTPError(404, reason="No such chain is alive")
        getattr(chain, action)()
        self.finish({"state": "paused" if chain.is_paused else chain.state.value})


class _Retry(_Private):
    """Begin a chain again that has failed and is in the journal, or all of them."""

    async def post(self, which: str) -> None:
        stream = self.dashboard.stream
        if stream.journal is None or not stream.journal.is_owned:
            raise HTTPError(404, reason="The stream has no journal")
        ids = None if which == "all" else [int(which[:16])]
        if stream.journal.is_awaited:
            journal: Any = stream.journal
            retried = await journal.retry(await journal.ids_of([]) if ids is None else ids)
        else:
            retried = stream.retry_failed(ids=ids)
        self.finish({"retried": retried})


def _name_of(url: str) -> str:
    """The host's name in a URL, without port; "" where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
