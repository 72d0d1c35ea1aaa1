"""What the transport does with sockets, handlers, lanes and handles."""

from __future__ import annotations

import asyncio
import itertools
import os
import select
import socket
import stat
from collections import Counter

import pytest
from servers.raw import answer, raw_server
from servers.web import Web
from tornado.ioloop import IOLoop
from waiting import until

from engine.readers import wait
from webqq_tornado import HTTPStream, Request
from webqq_tornado.engine.transport import lane as lane_module
from webqq_tornado.engine.transport import lanepool
from webqq_tornado.engine.transport.connections import Connections
from webqq_tornado.engine.transport.lane import Lane


@pytest.fixture(params=["epoll", "poll"])
def idle_watch(request, monkeypatch):
    """Both ways to watch idle sockets; the second is that of systems without epoll."""
    if request.param == "poll":
        monkeypatch.delattr(select, "epoll")
    return request.param


class Counting(HTTPStream):
    """A stream that counts what it asks of the IOLoop."""

    def __init__(self, **arguments):
        self.calls: Counter[str] = Counter()
        ioloop = IOLoop.current()
        for name in ("add_handler", "update_handler", "remove_handler"):
            setattr(ioloop, name, self._counted(name, getattr(ioloop, name)))
        super().__init__(**arguments)

    def _counted(self, name, function):
        def counted(*arguments):
            self.calls[name] += 1
            return function(*arguments)

        return counted


async def test_registrations_survive_from_one_link_to_the_next(web: Web):
    steps = []

    def read(response):
        steps.append(response)
        return (response.request, read) if len(steps) < 1000 else None

    async with Counting() as stream:
        await stream.add_request(web.http, read)
        assert stream.stats().responses == 1000
        assert sum(stream.calls.values()) < 20


async def test_a_chain_stays_on_its_connection(web: Web):
    peers = set()

    def read(response):
        peers.add(response.json()["peer"])
        return (response.request, read) if stream.stats().responses < 50 else None

    async with HTTPStream() as stream:
        await stream.add_request(web.http, read)
    assert len(peers) == 1


def _inodes_of_sockets() -> dict[int, int]:
    """Number and inode of every socket that this process has open."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            facts = os.fstat(int(name))
        except OSError:
            continue
        if stat.S_ISSOCK(facts.st_mode):
            found[int(name)] = facts.st_ino
    return found


@pytest.mark.parametrize("path", ["/echo", "/close"])
async def test_in_a_reader_every_socket_of_the_map_is_open(web: Web, path, idle_watch):
    """Also when the server has closed it: nobody is to find a handler on a stale number."""
    steps = []

    def read(response):
        steps.append(response)
        for fd in stream.fd_map:
            os.fstat(fd)  # raises for one that is closed
        return (response.request, read) if len(steps) < 60 else None

    async with HTTPStream() as stream:
        for _ in range(8):
            stream.add_request(web.http + path, read)
    assert len(steps) >= 60


@pytest.mark.parametrize("path", ["/echo", "/close"])
async def test_others_may_use_the_numbers_of_sockets_that_were_closed(web: Web, path, idle_watch):
    """A number that libcurl has just given back is whoever's opens a socket next."""
    ioloop, steps, troubles = IOLoop.current(), [], []

    def read(response):
        steps.append(response)
        pairs = [socket.socketpair() for _ in range(8)]
        try:
            for pair in pairs:
                for end in pair:
                    ioloop.add_handler(end.fileno(), lambda fd, events: None, IOLoop.READ)
            for pair in pairs:
                for end in pair:
                    ioloop.remove_handler(end.fileno())
        except Exception as error:
            troubles.append(error)
        for pair in pairs:
            for end in pair:
                end.close()
        return (response.request, read) if len(steps) < 100 else None

    async with HTTPStream() as stream:
        for _ in range(4):
            stream.add_request(web.http + path, read)
    assert troubles == []
    assert len(steps) >= 100


async def test_sockets_of_others_hear_what_is_theirs(web: Web, idle_watch):
    """Sockets opened between requests, on numbers that were libcurl's, and used."""
    loop, kept = asyncio.get_running_loop(), []
    async with HTTPStream() as stream:
        for n in range(40):
            await stream.fetch(f"{web.http}/close")
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.send(b"%d" % n)
            assert await asyncio.wait_for(loop.sock_recv(ours, 10), 60) == b"%d" % n
            kept += [ours, theirs]
        assert (await stream.fetch(web.http)).status == 200
    for each in kept:
        each.close()


async def test_a_connection_that_the_server_closes_while_idle_is_noticed_or_replaced(idle_watch):
    closed = asyncio.Event()

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with raw_server(handler) as url, HTTPStream() as stream:
        for _ in range(30):
            closed.clear()
            assert (await stream.fetch(url)).body == b"ok"
            await closed.wait()


async def test_a_lane_that_was_swept_away_is_not_used_again(web: Web, monkeypatch):
    """A chain remembers its lane; after a long delay the lane may be gone."""
    monkeypatch.setattr(lanepool, "IDLE_SECONDS", 0.02)
    steps = []

    def read(response):
        steps.append(response.status)
        return (response.request, read, 0.15) if len(steps) < 3 else None

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        await asyncio.wait_for(asyncio.ensure_future(chain), 60)
    assert steps == [200, 200, 200]


async def test_a_lane_that_is_used_is_not_swept_away(web: Web, monkeypatch):
    monkeypatch.setattr(lanepool, "IDLE_SECONDS", 0.02)
    async with HTTPStream() as stream:
        chain = stream.add_request(f"{web.http}/hold/swept", None)
        await asyncio.sleep(0.1)
        await stream.fetch(f"{web.http}/release/swept")
        assert (await chain).status == 200


async def test_idle_connections_are_closed_after_a_while(web: Web, monkeypatch):
    monkeypatch.setattr(lanepool, "IDLE_SECONDS", 0.02)
    before = _inodes_of_sockets()
    async with HTTPStream() as stream:
        await stream.fetch(web.http)
        await until(lambda: len(_inodes_of_sockets()) <= len(before))


@pytest.mark.slow
async def test_more_requests_than_one_lane_holds_are_in_flight_at_once(web: Web):
    async with HTTPStream() as stream:
        chains = [stream.add_request(f"{web.http}/hold/lanes", lambda r: None) for _ in range(300)]
        async with HTTPStream() as other:
            while (await other.fetch(f"{web.http}/arrived/lanes")).text != "300":
                pass
            assert stream.stats().in_flight == 300
            await other.fetch(f"{web.http}/release/lanes")
        responses = await asyncio.gather(*map(wait, chains))
    assert {response.body for response in responses} == {b"released"}


async def test_names_that_are_looked_up_leave_no_handler_behind(web: Web, idle_watch):
    """The resolver's own descriptors come and go through the same door."""
    url = web.http.replace("127.0.0.1", "localhost")
    async with HTTPStream() as stream:
        for _ in range(20):
            assert (await stream.fetch(f"{url}/close")).status == 200
            with socket.socket() as other:
                IOLoop.current().add_handler(other.fileno(), print, IOLoop.READ)
                IOLoop.current().remove_handler(other.fileno())


async def test_a_request_with_other_options_leaves_nothing_on_its_handle(web: Web):
    odd = Request(
        f"{web.http}/echo", "PUT", {"X-Odd": "1"}, b"body",
        user_agent="odd", auth_username="a", auth_password="b", proxy="", max_body_size=10**6,
        follow_redirects=False, decompress_response=False, http_version="1.0",
        network_interface="lo", request_timeout=30,
    )  # fmt: skip
    async with HTTPStream(max_clients=1) as stream:
        before = (await stream.fetch(f"{web.http}/echo")).json()
        await stream.fetch(odd)
        after = (await stream.fetch(f"{web.http}/echo")).json()
        hops = await stream.fetch(f"{web.http}/hops/1")
    before.pop("peer"), after.pop("peer")
    assert after == before
    assert hops.status == 200


async def test_http_1_0_is_spoken_when_asked_for(web: Web):
    seen = []

    async def handler(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer())
        await writer.drain()

    async with raw_server(handler) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, http_version="1.0"))
    assert seen[0].startswith(b"GET / HTTP/1.0\r\n")


async def test_a_busy_stream_leaves_turns_to_others(web: Web):
    """Readers that always have a next link do not hold up the loop's other callbacks."""
    turns = []

    def read(response):
        return (response.request, read) if stream.stats().responses < 2000 else None

    def tick():
        turns.append(stream.stats().responses)
        if stream.chains:
            stream.ioloop.add_callback(tick)

    async with HTTPStream() as stream:
        for _ in range(64):
            stream.add_request(web.http, read)
        tick()
        await stream.drain()
    assert max(b - a for a, b in itertools.pairwise(turns)) < 500


class _Traffic:
    """What a lane wants of its transport, without a loop."""

    def __init__(self):
        self.fd_map, self.watched, self.connections = {}, {}, Connections()
        self.let_go, self.leave_at_once = set(), set()


def test_a_lane_has_room_for_some_names_or_for_one():
    """libcurl looks up with 20 threads, and a name takes two: slow ones hold up no others."""
    lane = Lane(_Traffic())
    for number in range(9):
        assert lane.takes(f"http://slow{number}.example")
        lane.begin_lookup(f"http://slow{number}.example")
    assert not lane.takes("http://good.example")
    assert lane.takes("http://127.0.0.1:80")
    lane.end_lookup("http://slow0.example", is_known=True)
    assert lane.takes("http://good.example")
    assert lane.takes("http://slow0.example")
    crowd = Lane(_Traffic())
    for _ in range(128):
        assert crowd.takes("http://one.example")
        crowd.begin_lookup("http://one.example")
    assert not crowd.takes("http://other.example")
    lane.close()
    crowd.close()


def test_a_lane_with_a_lookup_under_way_is_closed_later(monkeypatch):
    lane = Lane(_Traffic())
    lane.begin_lookup("http://slow.example")
    before = len(lane_module.postponed)
    lane.close()
    assert len(lane_module.postponed) == before + 1
    monkeypatch.setattr(lane_module, "_LONGEST_LOOKUP", -1.0)
    Lane(_Traffic()).close()
    assert lane_module.postponed == []
