"""Chains that wait for their turn: limits, priorities, fairness, pauses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from servers.web import Web

from webqq_tornado import ClosedError, DeadlineError, HTTPStream, Limits, LinkError, Next, State


class Door:
    """A server that answers when it is told to; notes who came, when."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.times: list[float] = []
        self.now = self.most = 0
        self.came = asyncio.Condition()
        self.opened = asyncio.Semaphore(0)
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"

    def open(self, number: int = 10_000) -> None:
        for _ in range(number):
            self.opened.release()

    async def has_seen(self, number: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: len(self.paths) >= number)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.times.append(asyncio.get_running_loop().time())
                self.now += 1
                self.most = max(self.most, self.now)
                async with self.came:
                    self.paths.append(head.split()[1].decode().lstrip("/"))
                    self.came.notify_all()
                await self.opened.acquire()
                self.now -= 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()


@contextlib.asynccontextmanager
async def a_door() -> AsyncIterator[Door]:
    door = Door()
    server = await asyncio.start_server(door.serve, None, 0, family=2)
    door.port = server.sockets[0].getsockname()[1]
    yield door
    door.open()
    server.close()


async def test_no_more_than_per_host_are_in_flight_to_one():
    async with a_door() as door, HTTPStream(limits=Limits(per_host=3)) as stream:
        for number in range(12):
            stream.add_request(door.url(str(number)), print)
        await door.has_seen(3)
        assert stream.stats().queued == 9
        door.open()
        await stream.drain()
        assert door.most == 3
        assert door.paths == [str(number) for number in range(12)]


async def test_no_more_than_per_session_are_in_flight_in_one():
    async with a_door() as door, HTTPStream(limits=Limits(per_session=2)) as stream:
        for number in range(8):
            stream.add_request(door.url("s"), session=stream.session(f"s{number % 2}"))
        await door.has_seen(4)
        assert stream.stats().queued == 4
        door.open()
        await stream.drain()
        assert door.most == 4


async def test_links_to_a_spaced_host_keep_their_distance():
    async with a_door() as door, HTTPStream(limits=Limits(spacing=0.05)) as stream:
        door.open()
        for number in range(4):
            stream.add_request(door.url(str(number)))
        await stream.drain()
    assert all(later - earlier > 0.045 for earlier, later in pairwise(door.times))


async def test_the_links_of_one_chain_keep_their_distance_too():
    async with a_door() as door, HTTPStream(limits=Limits(rate_per_session=20)) as stream:
        door.open()

        def read(response):
            return (response.request, read) if len(door.paths) < 4 else None

        await stream.add_request(door.url("x"), read)
    assert all(later - earlier > 0.045 for earlier, later in pairwise(door.times))


async def test_a_spaced_host_does_not_hold_up_another():
    async with a_door() as door, HTTPStream(limits=Limits(spacing=30)) as stream:
        door.open()
        for _ in range(50):
            stream.add_request(door.url("slow"))
        await stream.add_request(door.url("other", "localhost"))
        assert door.paths.count("other") == 1
        stream.close()


async def test_a_flooding_chain_leaves_others_their_share():
    """An endless source for one host in one session, against one chain elsewhere."""

    def flood():
        while True:
            yield door.url("flood"), None

    async with a_door() as door:
        stream = HTTPStream(max_clients=4, limits=Limits(per_host=100))
        stream.add_request(door.url("first"), lambda _: flood())
        await door.has_seen(1)
        door.open(1)
        await door.has_seen(5)  # it has taken all there is
        seen = 0

        def read(response):
            nonlocal seen
            seen += 1
            return (response.request, read) if seen < 20 else None

        user = stream.add_request(door.url("user"), read, session=stream.session("user"))
        door.open()
        await user
        since = door.paths[door.paths.index("user") :]
        # Three slots are the flood's while the user has one, and every other turn of that one.
        assert since.count("flood") <= 6 * since.count("user")
        assert len(stream.chains) < 40, "the endless source was taken ahead"
        stream.close()


async def test_sources_of_slow_hosts_do_not_starve_those_of_others():
    def source(url, number):
        for _ in range(number):
            yield url, None

    limits = Limits(hosts={"HOST": Limits(spacing=30)})
    async with a_door() as door:
        door.open()
        slow, quick = door.url("slow"), door.url("quick", "localhost")
        limits = Limits(hosts={f"127.0.0.1:{door.port}": Limits(spacing=30)})
        stream = HTTPStream(max_clients=2, limits=limits)
        stream.add_request(quick, lambda _: source(slow, 10_000))
        done = stream.add_request(quick, lambda _: source(quick, 200))
        await done
        assert door.paths.count("quick") == 202
        stream.close()


async def test_higher_priority_goes_first():
    async with a_door() as door, HTTPStream(max_clients=1) as stream:
        stream.add_request(door.url("busy"))
        for name, priority in (("low", -1), ("normal", 0), ("high", 5)):
            stream.add_request(door.url(name), priority=priority)
        door.open()
        await stream.drain()
        assert door.paths == ["busy", "high", "normal", "low"]


async def test_a_link_may_raise_its_chains_priority():
    async with a_door() as door, HTTPStream(max_clients=1) as stream:
        stream.add_request(door.url("a"), lambda _: Next(door.url("urgent"), priority=9))
        for _ in range(3):
            stream.add_request(door.url("b"))
        door.open()
        await stream.drain()
        # One had its turn when "a" ended, before the reader could ask for more.
        assert door.paths == ["a", "b", "urgent", "b", "b"]


async def test_a_priority_that_is_no_whole_number_is_refused(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(LinkError, match="priority"):
            stream.add_request(web.http, priority="high")


async def test_a_cancelled_chain_gives_its_place_to_the_next():
    async with a_door() as door, HTTPStream(limits=Limits(per_host=1)) as stream:
        chains = [stream.add_request(door.url(str(number))) for number in range(3)]
        await door.has_seen(1)
        chains[1].cancel()
        chains[0].cancel()
        await door.has_seen(2)
        assert door.paths == ["0", "2"]
        door.open()
        await chains[2]


# -- pauses -------------------------------------------------------------------------------------


async def test_a_paused_chain_ends_what_is_in_flight_and_waits_then():
    async with a_door() as door, HTTPStream() as stream:
        chain = stream.add_request(door.url("1"), lambda _: (door.url("2"), print))
        other = stream.add_request(door.url("x"), lambda _: (door.url("y"), None))
        await door.has_seen(2)
        chain.pause()
        door.open()
        await other
        await stream.fetch(door.url("z"))
        assert (chain.steps, chain.state) == (2, State.QUEUED)
        assert stream.stats().paused == 1
        assert "2" not in door.paths
        chain.resume()
        assert (await chain).status == 200
        assert "2" in door.paths


async def test_a_paused_parent_holds_those_below_and_its_source():
    async with a_door() as door, HTTPStream(max_clients=2) as stream:
        parent = stream.add_request(
            door.url("p"), lambda _: ((door.url(str(n)), None) for n in range(6))
        )
        door.open(1)
        await door.has_seen(3)
        parent.pause()
        door.open()
        await stream.fetch(door.url("q"))
        assert len(door.paths) == 4
        parent.resume()
        await parent
        assert sorted(door.paths) == sorted(["p", "q", *"012345"])


async def test_a_paused_chain_in_the_queue_lets_others_by():
    async with a_door() as door, HTTPStream(max_clients=1) as stream:
        stream.add_request(door.url("busy"))
        held = stream.add_request(door.url("held"))
        stream.add_request(door.url("next"))
        held.pause()
        door.open()
        await door.has_seen(2)
        assert door.paths == ["busy", "next"]
        held.resume()
        await held


async def test_a_delay_goes_on_while_paused(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, None, delay=0.01)
        chain.pause()
        await stream.add_request(web.http, None, delay=0.05)
        assert chain.state is State.QUEUED
        chain.resume()
        await chain


async def test_a_paused_flow_sends_nothing_until_it_goes_on():
    async with a_door() as door, HTTPStream() as stream:
        door.open()
        await stream.fetch(door.url("before"))
        stream.pause()
        chains = [stream.add_request(door.url(str(number))) for number in range(3)]
        async with HTTPStream() as other:
            await other.fetch(door.url("other"))
        assert door.paths == ["before", "other"]
        assert stream.stats().queued == 3
        stream.resume()
        await asyncio.gather(*chains)
        assert len(door.paths) == 5


async def test_the_deadline_goes_on_while_paused(web: Web, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, None, delay=0.01, deadline=0.03)
        chain.pause()
        stream.pause()
        with pytest.raises(DeadlineError):
            await chain
        assert not stream.stats().paused


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_paused_chains_can_end(web: Web, how):
    stream = HTTPStream()
    chains = [stream.add_request(web.http, None, delay=delay) for delay in (0, 0.01)]
    for chain in chains:
        chain.pause()
    if how == "cancel":
        for chain in chains:
            assert chain.cancel()
    stream.close()
    for chain in chains:
        with pytest.raises(asyncio.CancelledError if how == "cancel" else ClosedError):
            await chain
    assert not stream._runner.held
    assert not stream._runner._paused
