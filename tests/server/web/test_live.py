"""Pages that are open: how many there may be, and what may wait for them."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack

import pytest
from servers.town import Town, Visitor
from tornado.httpclient import HTTPClientError
from waiting import until

from server.web.test_api import live, post, pushed, signed_in
from webqq_tornado.server.web.live import MAX_BACKLOG_BYTES, MAX_PAGES


async def _deaf_page(visitor: Visitor) -> socket.socket:
    """A page that reads the handshake's answer, and nothing after it."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, ("127.0.0.1", visitor.server.port))
    head = (
        f"GET /page/live HTTP/1.1\r\nHost: 127.0.0.1:{visitor.server.port}\r\n"
        f"Sec-WebSocket-Protocol: token.{visitor.token}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await loop.sock_sendall(plain, head.encode())
    assert b" 101 " in await loop.sock_recv(plain, 1024)
    return plain


async def test_what_waits_for_a_page_that_does_not_read_is_bounded_in_bytes():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        with await _deaf_page(ann):
            (page,) = town.server.pages
            to, content = f"friend:{town.bob}", ["\x01" * 4000]
            for _ in range(2 * MAX_BACKLOG_BYTES // 24_000 + 100):
                await post(ann, "/page/messages", conversation=to, content=content)
                assert page._waiting_bytes <= MAX_BACKLOG_BYTES
                if page.ws_connection is None or page.ws_connection.is_closing():
                    break
            await until(lambda: not town.server.pages)  # it is gone, and all that waited for it


async def test_an_account_has_so_many_pages_and_no_more_until_one_is_closed():
    async with Town() as town, AsyncExitStack() as pages:
        ann = await signed_in(town, town.ann)
        for _ in range(MAX_PAGES - 1):
            await pages.enter_async_context(live(ann))
        async with live(ann):
            with pytest.raises(HTTPClientError) as refused:
                await pages.enter_async_context(live(ann))
        assert refused.value.code == 429
        await until(lambda: len(town.server.pages) < MAX_PAGES)
        await pages.enter_async_context(live(ann))


async def test_many_changes_in_a_row_are_told_as_one():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        async with live(ann) as page:
            for _ in range(10):
                town.server.hub.contacts_changed({town.ann})
            await pushed(page, "state")
            town.server.hub.contacts_changed({town.ann})
            town.server.hub.typing(town.bob, town.ann)
            kinds = [json.loads(await page.read_message())["type"] for _ in range(2)]
    assert kinds == ["typing", "state"]
