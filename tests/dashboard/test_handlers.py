"""Who may look, and what may be changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers.scripted import Say, scripted
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from webqq_tornado import Chain, HTTPStream, Request, Response
from webqq_tornado.dashboard import Dashboard, handlers, serve

TOKEN = "correct-horse-battery"


class Shown:
    """A dashboard of one stream, and somebody who asks for it by another."""

    def __init__(self, dashboard: Dashboard, asker: HTTPStream, url: str) -> None:
        self.dashboard, self.asker, self.url = dashboard, asker, url
        self.stream = dashboard.stream

    async def ask(self, path: str, method: str = "GET", token: str = TOKEN, **headers) -> Response:
        given = {"Authorization": f"Bearer {token}", **headers}
        request = Request(
            self.url + path, method, headers=given, body=b"" if method == "POST" else None
        )
        return await self.asker.fetch(request)

    async def update(self, query: str = "") -> dict:
        """The first update of a page."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.asker.open(Request(f"{self.url}/events{query}", headers=headers)) as page:
            text = b""
            async for chunk in page.stream:
                text += chunk
                if text.endswith(b"\n\n"):
                    break
        return json.loads(text.removeprefix(b"data: "))

    def waiting_chain(self) -> Chain:
        return self.stream.add_request("http://127.0.0.1:1/?token=s3cr3t", delay=600)


@contextlib.asynccontextmanager
async def shown(stream: HTTPStream | None = None, **arguments) -> AsyncIterator[Shown]:
    stream = stream or HTTPStream(grace=0)
    socket, port = bind_unused_port()
    with Dashboard(stream, token=TOKEN, **arguments) as dashboard:
        server = HTTPServer(
            Application(dashboard.handlers("/watch"), log_function=lambda handler: None)
        )
        server.add_socket(socket)
        async with HTTPStream() as asker:
            yield Shown(dashboard, asker, f"http://127.0.0.1:{port}/watch")
        stream.close()
        server.stop()
        await server.close_all_connections()


async def test_an_update_tells_of_the_chains():
    async with shown() as page:
        chain = page.waiting_chain()
        update = await page.update(f"?chain={chain.number}")
    assert update["states"] == {"delayed": 1}
    assert update["timeline"]["url"] == "http://127.0.0.1:1/?token=..."


@pytest.mark.parametrize("path", ["/events", "/flow/pause", "/chains/1/cancel"])
@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
async def test_nothing_is_shown_or_changed_without_the_token(path: str, given: str):
    async with shown() as page:
        chain = page.waiting_chain()
        method = "GET" if path == "/events" else "POST"
        refused = await page.ask(path, method, Authorization=given)
        assert (refused.status, chain.done, page.stream.is_paused) == (401, False, False)


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "[::1"}, {"Origin": "http://evil.example"}],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/events"])
async def test_another_host_or_origin_is_refused(path: str, headers: dict[str, str]):
    async with shown() as page:
        assert (await page.ask(path, **headers)).status == 403


async def test_hosts_may_be_named():
    async with shown(hosts=["Ops.example.org"]) as page:
        assert (await page.ask("/", Host="ops.example.org:8000")).status == 200
        assert (await page.ask("/")).status == 403


async def test_a_chain_is_paused_resumed_and_cancelled():
    async with shown() as page:
        chain = page.waiting_chain()
        origin = page.url.removesuffix("/watch")
        path = f"/chains/{chain.number}"
        assert (await page.ask(f"{path}/pause", "POST", Origin=origin)).status == 200
        assert chain.is_paused
        await page.ask(f"{path}/resume", "POST")
        assert not chain.is_paused
        await page.ask(f"{path}/cancel", "POST")
        assert chain.done
        assert (await page.ask(f"{path}/cancel", "POST")).status == 404


async def test_the_whole_flow_is_paused_and_resumed():
    async with shown() as page:
        assert (await page.ask("/flow/pause", "POST")).json() == {"paused": True}
        assert page.stream.is_paused
        await page.ask("/flow/resume", "POST")
        assert not page.stream.is_paused


async def test_the_page_runs_no_script_but_its_own_and_is_in_no_frame():
    async with shown() as page:
        response = await page.ask("/", token="")
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        for name in ("dashboard.js", "parts.js", "dashboard.css", "icon.svg"):
            assert (await page.ask(f"/{name}")).status == 200
        assert (await page.ask("/..%2fhandlers.py")).status == 404


async def test_only_so_many_pages_look_on_at_the_same_time():
    async with shown() as page, contextlib.AsyncExitStack() as stack:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for _ in range(8):
            events = page.asker.open(Request(f"{page.url}/events", headers=headers))
            await stack.enter_async_context(events)
        assert (await page.ask("/events")).status == 503


@pytest.mark.parametrize("chain", ["x", "-1", "9" * 30])
async def test_a_chain_is_asked_for_by_its_number(chain: str):
    async with shown() as page:
        assert (await page.ask(f"/events?chain={chain}")).status == 400


async def test_a_short_token_is_refused():
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="at least 16 characters"):
            handlers(stream, token="1234")


async def test_serve_is_on_loopback_with_a_token_of_its_own_in_the_fragment():
    async with HTTPStream() as stream:
        with serve(stream) as url:
            parts = urlsplit(url)
            assert (await stream.fetch(url)).status == 200
        assert parts.hostname == "127.0.0.1"
        assert len(parts.fragment.removeprefix("token=")) >= 40
        await asyncio.sleep(0)


async def test_a_page_that_looks_on_gets_its_end_when_the_dashboard_closes():
    async with shown() as page:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with page.asker.open(Request(f"{page.url}/events", headers=headers)) as events:
            async for _ in events.stream:  # for ever, if it were not closed
                page.dashboard.close()
    assert page.dashboard.viewers == set()


async def test_a_dead_letter_is_shown_without_secrets_and_retried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    class Failing(HTTPStream):
        is_mended = False

        def begin(self):
            yield f"{self.base}/page?token=s3cr3t", self.page

        def page(self, response):
            if not self.is_mended:
                raise ValueError("on purpose")
            self.emit("page")

    async with scripted(lambda asked: Say()) as server:
        stream = Failing(journal=tmp_path / "a.db")
        stream.base = server.url
        async with stream, shown(stream) as seen:
            stream.launch()
            await stream.drain()
            journal = (await seen.update())["journal"]
            (letter,) = journal["letters"]
            assert (journal["path"], journal["failed"]) == ("a.db", 1)
            assert letter["error"] == "ValueError: on purpose"
            assert "s3cr3t" not in str(journal)
            stream.is_mended = True
            answer = await seen.ask(f"/journal/{letter['id']}/retry", "POST")
            assert answer.json() == {"retried": 1}
            await stream.drain()
            assert (await seen.update())["journal"]["results"] == 1
    caplog.clear()
