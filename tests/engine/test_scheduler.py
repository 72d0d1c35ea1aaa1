"""Chains that wait for their turn: limits, priorities, fairness, pauses."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from servers.raw import raw_server
from servers.web import Web

from webqq_tornado import (
    ClosedError,
    ConnectError,
    DeadlineError,
    HTTPStream,
    Limits,
    LinkError,
    Next,
    State,
)
from webqq_tornado.auth import BearerAuth
from webqq_tornado.engine import scheduler
from webqq_tornado.retry import CircuitBreaker


class Door:
    """A server that answers when it is told to; notes who came, when."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.times = [asyncio.get_running_loop().time()]  # the first: none came before
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

    def spaced(self, seconds: float) -> bool:
        """Whether each came so many seconds after the one before was sent, or later.

        Seen from the begin: on a busy machine one can come late, and the next in time.
        """
        begin, *times = self.times
        return all(time - begin > number * seconds for number, time in enumerate(times))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


@contextlib.asynccontextmanager
async def a_door(address: str = "127.0.0.1") -> AsyncIterator[Door]:
    door = Door()
    async with raw_server(door.serve, address=address) as url:
        door.port = int(url.rpartition(":")[2])
        yield door


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
    assert door.spaced(0.045)


async def test_the_links_of_one_chain_keep_their_distance_too():
    async with a_door() as door, HTTPStream(limits=Limits(rate_per_session=20)) as stream:
        door.open()

        def read(response):
            return (response.request, read) if len(door.paths) < 4 else None

        await stream.add_request(door.url("x"), read)
    assert door.spaced(0.045)


async def test_a_spaced_host_does_not_hold_up_another():
    async with a_door() as door, HTTPStream(limits=Limits(spacing=30)) as stream:
        door.open()
        for _ in range(50):
            stream.add_request(door.url("slow"))
        await stream.add_request(door.url("other", "localhost"))
        assert door.paths.count("other") == 1
        stream.close()


def floods_between(paths: list[str]) -> int:
    """The most that came between one arrival of the user's and the next."""
    places = [place for place, path in enumerate(paths) if path == "user"]
    return max(later - earlier - 1 for earlier, later in pairwise(places))


@pytest.mark.parametrize("where", ["another host", "another session"])
@pytest.mark.parametrize("limits", [None, Limits(per_host=100)], ids=["unlimited", "limited"])
async def test_an_endless_source_leaves_others_their_share(where, limits):
    """It floods one host in one session, against one chain elsewhere."""

    def flood():
        while True:
            yield door.url("flood"), None

    async with a_door() as door:
        stream = HTTPStream(max_clients=4, limits=limits)
        stream.add_request(door.url("first"), lambda _: flood())
        door.open(1)
        await door.has_seen(5)  # it has taken all there is
        await user_of(stream, door, where)
        # A share of one half of the turns, and one turn lost by who comes back each time.
        assert floods_between(door.paths) <= 2 * 4
        stream.close()


@pytest.mark.parametrize("where", ["another host", "another session"])
@pytest.mark.parametrize("limits", [None, Limits(per_host=3)], ids=["unlimited", "limited"])
async def test_a_crowd_of_chains_leaves_others_their_share(where, limits):
    async with a_door() as door:
        stream = HTTPStream(max_clients=4, limits=limits)
        for _ in range(500):
            stream.add_request(door.url("flood"))
        await door.has_seen(3)
        await user_of(stream, door, where)
        assert floods_between(door.paths) <= 2 * 4
        stream.close()


async def user_of(stream: HTTPStream, door: Door, where: str) -> None:
    """One chain of 20 links, begun while the flood has all there is."""
    url = door.url("user", "localhost" if where == "another host" else "127.0.0.1")
    session = stream.session("user") if where == "another session" else None
    seen = 0

    def read(response):
        nonlocal seen
        seen += 1
        return (response.request, read) if seen < 20 else None

    user = stream.add_request(url, read, session=session)
    begun = len(door.paths)
    door.open()
    await user
    assert door.paths.index("user") - begun <= 2 * 4
    assert door.paths.count("user") == 20


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_an_endless_source_for_a_slow_host_is_held_back(depth, monkeypatch):
    """However many links lead from what it gives to what waits."""
    monkeypatch.setattr(scheduler, "_AHEAD_OF_ALL", 40)

    def read(depth):
        if depth == 0:
            return [(slow, None), (slow, None)]
        return [(quick, lambda _: read(depth - 1))] * 2

    def source():
        while True:
            yield (quick, lambda _: read(depth))

    async with a_door() as door:
        door.open(100_000)
        slow, quick = door.url("slow"), door.url("quick", "localhost")
        limits = Limits(hosts={"127.0.0.1": Limits(spacing=300)})
        stream = HTTPStream(max_clients=8, limits=limits)
        flood = stream.add_request(quick, lambda _: source())
        while flood not in stream._runner._waiting or stream.stats().in_flight:
            await stream.fetch(door.url("beside", "localhost"))  # nobody else is kept waiting
        before = len(stream.chains)
        await stream.fetch(door.url("beside", "localhost"))
        assert len(stream.chains) == before < 1000
        stream.close()


async def test_what_is_cancelled_holds_its_source_back_no_more(monkeypatch):
    monkeypatch.setattr(scheduler, "_AHEAD_OF_ALL", 0)
    monkeypatch.setattr(scheduler, "_AHEAD", 2)

    def source():
        for number in range(10):
            yield Next(quick, lambda _: [(slow, None), (slow, None)], name=f"n{number}")

    async with a_door() as door:
        door.open()
        slow, quick = door.url("slow"), door.url("quick", "localhost")
        stream = HTTPStream(max_clients=1, limits=Limits(hosts={"127.0.0.1": Limits(spacing=300)}))
        await stream.fetch(slow)
        flood = stream.add_request(quick, lambda _: source())
        held = stream._runner._waiting
        cancelled = 0
        while flood._branches is None or flood._branches.source is not None:
            await stream.fetch(door.url("beside", "localhost"))
            if flood in held and not stream.stats().in_flight:
                assert flood._branches.queued >= 2, "it is held back for nothing"
                cancelled += next(iter(flood._branches.alive)).cancel()
        assert cancelled >= 6
        flood.cancel()
        assert not stream.stats().queued
        stream.close()


async def test_a_source_goes_on_when_the_queue_is_short_again(monkeypatch):
    """Though nothing moves of what it has there itself."""
    monkeypatch.setattr(scheduler, "_AHEAD_OF_ALL", 10)
    monkeypatch.setattr(scheduler, "_AHEAD", 2)

    def source():
        for _ in range(4):
            yield door.url("slow", "127.0.0.2"), None
        yield door.url("goes on", "127.0.0.3"), None

    limits = Limits(per_host=1, hosts={"127.0.0.2": Limits(spacing=300)})
    async with a_door("0.0.0.0") as door:
        stream = HTTPStream(limits=limits)
        for _ in range(12):
            stream.add_request(door.url("crowd"))
        held = stream.add_request(door.url("begin", "127.0.0.4"), lambda _: source())
        await door.has_seen(2)
        door.open(2)
        await door.has_seen(4)
        assert held in stream._runner._waiting
        door.open()
        await door.has_seen(15)
        assert door.paths.count("goes%20on") == 1
        stream.close()


async def test_one_source_keeps_many_slow_hosts_busy():
    """More than what each source has ahead in any case."""

    def source():
        for _ in range(2):
            for number in range(100):
                yield door.url(f"{number}", f"127.0.0.{number + 1}"), None

    async with a_door("0.0.0.0") as door:
        door.open()
        stream = HTTPStream(limits=Limits(spacing=300))
        stream.add_request(door.url("begin", "localhost"), lambda _: source())
        await door.has_seen(101)
        assert stream.stats().queued == 100
        stream.close()


async def test_sources_of_slow_hosts_do_not_starve_those_of_others():
    def source(url, number):
        for _ in range(number):
            yield url, None

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


async def test_a_clock_set_back_stops_nobody(monkeypatch):
    async with a_door() as door, HTTPStream(limits=Limits(spacing=0.01)) as stream:
        door.open()
        await stream.fetch(door.url("before"))
        right = time.time
        monkeypatch.setattr(time, "time", lambda: right() - 3600)
        await stream.fetch(door.url("after"))
        assert door.paths == ["before", "after"]


@pytest.mark.parametrize(
    ("given", "limits", "most"), [(None, 3, 3), (5, 3, 3), (2, 3, 2), (2, None, 2)]
)
async def test_the_lower_limit_in_total_counts(given, limits, most):
    async with (
        a_door() as door,
        HTTPStream(max_clients=given, limits=Limits(clients=limits)) as stream,
    ):
        for _ in range(8):
            stream.add_request(door.url("x"))
        await door.has_seen(most)
        assert stream.stats().queued == 8 - most
        door.open()
        await stream.drain()
        assert door.most == most


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


async def test_a_login_need_not_wait_for_the_time_of_those_who_wait_for_it():
    async def renew():
        return (await stream.fetch(door.url("login"))).text

    limits = Limits(rate_per_host=0.001, burst=3)
    async with a_door() as door, HTTPStream(auth=BearerAuth(renew=renew), limits=limits) as stream:
        door.open()
        await asyncio.gather(*(stream.fetch(door.url(str(number))) for number in range(2)))
        assert door.paths == ["login", "0", "1"]


async def test_what_the_breaker_refuses_takes_nothing_of_its_hosts_rate():
    async with a_door() as door:
        port = door.port
    breaker = CircuitBreaker(fail_max=1, reset_timeout=3600)
    limits = Limits(
        spacing=0.001, hosts={f"127.0.0.1:{port}": Limits(rate_per_host=0.001, burst=2)}
    )
    async with HTTPStream(breaker=breaker, limits=limits) as stream:
        for _ in range(10):
            with pytest.raises(ConnectError):
                await stream.fetch(f"http://127.0.0.1:{port}/")


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


async def test_priorities_hold_among_those_that_go_on():
    async with a_door() as door, HTTPStream(max_clients=1) as stream:
        busy = stream.add_request(door.url("busy"))
        chains = [stream.add_request(door.url(str(n)), priority=n) for n in range(3)]
        stream.pause()
        for chain in chains:
            chain.pause()
        door.open()
        await busy
        for chain in chains:
            chain.resume()
        stream.resume()
        await stream.drain()
        assert door.paths == ["busy", "2", "1", "0"]


async def test_a_hook_may_end_others_that_are_to_go_on():
    class Ends(HTTPStream):
        def on_request(self, request):
            for chain in self.chains:
                if chain.name == "other":
                    chain.cancel()

    async with a_door() as door, Ends() as stream, HTTPStream() as beside:
        door.open()
        parent = stream.add_request(
            door.url("p"),
            lambda _: [
                Next(door.url("c"), delay=0.001),
                Next(door.url("c"), None, 0.001, name="other"),
            ],
        )
        while stream.stats().delayed < 2:
            await beside.fetch(door.url("beside"))
        parent.pause()
        while stream.stats().paused < 2:
            await beside.fetch(door.url("beside"))
        parent.resume()
        await parent
        assert door.paths.count("c") == 1
        assert stream.stats().cancelled == 1


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("limits", [None, Limits(per_host=1)], ids=["unlimited", "limited"])
async def test_a_hook_that_ends_the_chain_it_sees_leaves_the_place_to_others(limits, raises):
    class Ends(HTTPStream):
        def on_request(self, request):
            for chain in self.chains:
                if chain.name == "it":
                    chain.cancel()
                    if raises:
                        raise ValueError("not this one")

    async with a_door() as door, Ends(limits=limits) as stream:
        door.open()
        chain = stream.add_request(door.url("it"), name="it", delay=0.001)
        with pytest.raises(asyncio.CancelledError):
            await chain
        await stream.fetch(door.url("next"))
        assert door.paths == ["next"]


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


async def test_a_paused_flow_does_not_ask_again_and_again_whether_a_time_is_over():
    async with a_door() as door, HTTPStream(limits=Limits(spacing=0.01)) as stream:
        door.open()
        chains = [stream.add_request(door.url(str(number))) for number in range(3)]
        assert stream._runner._scheduler.next_time is not None
        stream.pause()
        assert stream._runner._scheduler.next_time is None
        stream.resume()
        await asyncio.gather(*chains)


async def test_the_deadline_goes_on_while_paused(web: Web, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, None, delay=0.01, deadline=0.03)
        chain.pause()
        stream.pause()
        with pytest.raises(DeadlineError):
            await chain
        assert not stream.stats().paused


#: Ways to make a chain wait, as (limits of the stream, what is done to it).
WAITS = {
    "spaced": (Limits(spacing=300), lambda chain: None),
    "rated": (Limits(rate_per_session=0.01), lambda chain: None),
    "full": (Limits(per_host=1), lambda chain: None),
    "in total": (Limits(clients=1), lambda chain: None),
    "paused": (None, lambda chain: chain.pause()),
    "paused in the queue": (Limits(spacing=300), lambda chain: chain.pause()),
    "all paused": (None, lambda chain: chain._keeper.pause(None)),
}


@pytest.mark.parametrize("how", ["cancel", "close", "deadline"])
@pytest.mark.parametrize("wait", WAITS)
async def test_who_waits_can_end_and_leaves_nothing(wait, how, caplog):
    limits, hold = WAITS[wait]
    ends = {"cancel": asyncio.CancelledError, "close": ClosedError, "deadline": DeadlineError}
    async with a_door() as door:
        stream = HTTPStream(limits=limits)
        first = stream.add_request(door.url("first"), lambda _: (door.url("second"), None))
        await door.has_seen(1)
        deadline = 0.02 if how == "deadline" else None
        chains = [stream.add_request(door.url("x"), deadline=deadline) for _ in range(3)]
        for chain in (first, *chains):
            hold(chain)
        for chain in chains:
            if how == "cancel":
                assert chain.cancel()
            elif how == "close":
                stream.close()
            with pytest.raises(ends[how]):
                await chain
        first.cancel()
        assert not stream.chains
        scheduler = stream._runner._scheduler
        queue = scheduler._fair
        left = (scheduler.held, scheduler.paused, queue._lines, queue._active, queue._rings)
        assert not any(left)
        assert not any(gate.parked or gate.limiter.active for gate in queue._gates.values())
        stats = stream.stats()
        assert (stats.queued, stats.paused, stats.delayed, stats.in_flight) == (0, 0, 0, 0)
        stream.close()
        assert stream._runner._dispatcher._timer is None
