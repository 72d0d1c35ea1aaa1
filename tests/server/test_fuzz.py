"""Whatever is in any field of any request: an answer below 500 in bounded time, and no traceback.

A small profile runs with the others, and is the same each time. FUZZ_SECONDS=300 lets it go on for
so many seconds, each time with other examples; FUZZ_SEED begins with a certain one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from servers.town import Town
from waiting import until

from server.fuzz_requests import REQUESTS, Secrets, Sent, wire_bytes
from webqq_tornado.protocol.codes import Status
from webqq_tornado.protocol.hashes import bkn
from webqq_tornado.server.quotas import QUOTAS, Quota, Rate

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
#: Seconds in which an answer comes, on a machine that has much else to do.
BOUND = 10.0
FREE = {name: Quota(None, Rate(10**9, 0.0)) for name in QUOTAS}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 3 * SECONDS)]


class Arena(logging.Handler):
    """The server, who is signed in there, and what it logs that it should not."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.loop = asyncio.new_event_loop()
        self.complaints: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.longest = 0.0
        self.loop.run_until_complete(self._open())
        logging.getLogger().addHandler(self)

    async def _open(self) -> None:
        self.town = Town(poll_timeout=0.02, quotas=FREE, body_timeout=2.0)
        storage = self.town.server.storage
        self.discussion = storage.rooms.create_discussion(
            "D", self.town.ann, [self.town.bob]
        ).number
        self.skey = "@abcdefghi"
        self.ptwebqq = self.town.server.authenticator.new_ticket(self.town.ann, "webqq3")

    def close(self) -> None:
        logging.getLogger().removeHandler(self)
        self.loop.run_until_complete(self.town.__aexit__(None, None, None))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def emit(self, record: logging.LogRecord) -> None:
        # Tornado tells what a client did wrong as a warning; ours are never the client's.
        if record.exc_info or record.levelno > logging.WARNING or "tornado" not in record.name:
            self.complaints.append(self.format(record))

    def secrets(self) -> Secrets:
        """Of sessions that are open now: requests end them, too."""
        server, ann = self.town.server, self.town.ann
        session = server.hub._by_account.get(ann)
        if session is None:
            session = server.hub.open_session(ann, self.ptwebqq, Status.ONLINE)
        code = server.qr.of_cookie(getattr(self, "qrsig", "")) or _new_code(self)
        self.qrsig = code.qrsig
        number, square = self.town.bob, self.town.square
        made = (session.uin_of(number), session.gid_of(square), session.code_of(square))
        return Secrets(
            server.new_page_session(ann),
            *(session.psessionid, session.vfwebqq, session.ptwebqq),
            *(self.skey, str(bkn(self.skey)), code.qrsig),
            *map(str, (*made, session.did_of(self.discussion))),
        )

    def play(self, requests: list[Sent]) -> None:
        """Send them one after the other."""
        self.loop.run_until_complete(self._play(requests))
        assert self.complaints == []

    async def _play(self, requests: list[Sent]) -> None:
        secrets = self.secrets()
        for sent in requests:
            status = await asyncio.wait_for(self._ask(sent, secrets), BOUND)
            assert status < 500, sent
            self.statuses[status] += 1
        alive = Sent("GET", "/page/static/icon.svg", {}, None, {})
        assert await asyncio.wait_for(self._ask(alive, secrets), BOUND) == 200

    def frames(self, frames: list[bytes]) -> None:
        """Send them over the page's WebSocket."""
        self.loop.run_until_complete(asyncio.wait_for(self._frames(frames), BOUND))
        assert self.complaints == []

    async def _frames(self, frames: list[bytes]) -> None:
        secrets = self.secrets()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.town.port)
        head = (
            f"GET /page/live HTTP/1.1\r\nHost: 127.0.0.1:{self.town.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {secrets.token}\r\n\r\n"
        )
        writer.write(head.encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(b"".join(frames))
            writer.write_eof()
            await reader.read()
        writer.close()
        await until(lambda: not self.town.server.pages)

    async def _ask(self, sent: Sent, secrets: Secrets) -> int:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.town.port)
        writer.write(wire_bytes(sent, secrets, self.town.port))
        head = b""
        with contextlib.suppress(ConnectionResetError):  # the head was longer than any is read
            head = (await reader.read()).removeprefix(b"HTTP/1.1 100 (Continue)\r\n\r\n")
        writer.close()
        self.longest = max(self.longest, time.monotonic() - began)
        # What is no request at all is not answered.
        return int(head.split()[1]) if head else 0


def _new_code(arena: Arena) -> object:
    return arena.town.server.qr.new("127.0.0.1", "fuzz")


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    made = Arena()
    yield made
    made.close()
    told = dict(sorted(made.statuses.items()))
    sys.__stdout__.write(f"\nfuzz: {told}, at most {made.longest * 1000:.0f} ms\n")


def fuzz(strategy: st.SearchStrategy, run: Callable[[list], None], examples: int) -> None:
    """Run examples: so many, or as many as there is time for."""
    profile = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=not SECONDS,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    if not SECONDS:
        profile(given(strategy)(run))()
        return
    until_then, chance = time.monotonic() + SECONDS, random.Random(os.environ.get("FUZZ_SEED"))
    while time.monotonic() < until_then:
        number = chance.randrange(2**32)
        try:
            seed(number)(profile(given(strategy)(run)))()
        except BaseException:
            sys.__stdout__.write(f"\nwith seed {number}\n")
            raise


@pytest.mark.usefixtures("caplog")
def test_no_request_leads_to_500_a_traceback_or_a_hang(arena: Arena):
    fuzz(st.lists(REQUESTS, min_size=1, max_size=4), arena.play, 200)


@pytest.mark.usefixtures("caplog")
def test_no_frame_of_a_page_does_harm(arena: Arena):
    frames = st.one_of(
        st.binary(max_size=30),
        st.builds(
            lambda first, size, rest: bytes((first, 128 | size)) + rest,
            st.integers(0, 255),
            st.integers(0, 127),
            st.binary(min_size=4, max_size=140),
        ),
    )
    fuzz(st.lists(frames, max_size=4), arena.frames, 50)
