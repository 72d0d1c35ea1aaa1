"""The arithmetic of limits and the fair queue, with times as numbers."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webqq_tornado import HTTPStream, Limits, Request
from webqq_tornado.engine.fairqueue import FairQueue
from webqq_tornado.engine.limits import RateLimiter


def starts(limiter: RateLimiter, number: int, now: float = 0.0) -> list[float]:
    """When so many go that all want to go at once, and end at once."""
    times = []
    for _ in range(number):
        now = max(now, limiter.opens_at(now))
        limiter.start(now)
        limiter.release()
        times.append(now)
    return times


def drained(queue: FairQueue[str], now: float = 0.0) -> str:
    """What may go now, in order."""
    return "".join(iter(lambda: queue.pop(now) or "", ""))


def test_an_unlimited_allowance_is_always_open():
    assert starts(RateLimiter(), 5) == [0.0] * 5


def test_a_rate_spaces_evenly():
    assert starts(RateLimiter(rate=4), 4) == [0.0, 0.25, 0.5, 0.75]


def test_a_burst_goes_at_once_and_comes_back_with_time():
    limiter = RateLimiter(rate=2, burst=3)
    assert starts(limiter, 5) == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert starts(limiter, 4, now=10.0) == [10.0, 10.0, 10.0, 10.5]


def test_a_spacing_is_from_start_to_start():
    assert starts(RateLimiter(spacing=2), 3) == [0.0, 2.0, 4.0]


def test_spacing_and_rate_hold_both():
    assert starts(RateLimiter(rate=10, burst=9, spacing=0.5), 3) == [0.0, 0.5, 1.0]


def test_a_count_opens_when_one_has_ended():
    limiter = RateLimiter(limit=1)
    limiter.start(0.0)
    assert limiter.opens_at(100.0) == math.inf
    limiter.release()
    assert limiter.opens_at(100.0) <= 100.0


@given(st.floats(0.1, 100), st.integers(1, 10), st.integers(2, 60))
def test_no_window_has_more_than_rate_and_burst_allow(rate, burst, number):
    times = starts(RateLimiter(rate=rate, burst=burst), number)
    for first in range(number):
        for last in range(first, number):
            allowed = (times[last] - times[first]) * rate + burst
            assert last - first + 1 <= allowed + 1e-6


def test_first_come_first_served_within_a_host():
    queue = FairQueue[str]()
    for item in "abc":
        queue.push(item, "s", "h")
    assert drained(queue) == "abc"


def test_hosts_of_a_session_take_turns():
    queue = FairQueue[str]()
    for item in "aaaa1234":
        queue.push(f"{item}{len(queue)}", "s", "flooded" if item == "a" else "other")
    assert drained(queue)[::2] == "a1a2a3a4"


def test_sessions_take_turns_however_many_hosts_one_has():
    queue = FairQueue[str]()
    for host in "abcdef":
        queue.push(host, "crawler", host)
    queue.push("1", "user", "a")
    queue.push("2", "user", "a")
    assert drained(queue) == "a1b2cdef"


def test_a_higher_priority_goes_first():
    queue = FairQueue[str]()
    queue.push("c", "s", "h")
    queue.push("a", "t", "g", priority=2)
    queue.push("b", "s", "h", priority=1)
    assert drained(queue) == "abc"


def test_a_host_at_its_limit_is_passed_over():
    queue = FairQueue[str](Limits(per_host=1))
    for item in "aab":
        queue.push(item + str(len(queue)), "s", item)
    assert drained(queue) == "a0b2"
    queue.release("a0", 0.0)
    assert drained(queue) == "a1"


def test_a_session_at_its_limit_is_passed_over():
    queue = FairQueue[str](Limits(per_session=2))
    for number, session in enumerate("ssstt"):
        queue.push(f"{session}{number}", session, "h")
    assert drained(queue) == "s0t3s1t4"
    queue.release("s1", 0.0)
    assert drained(queue) == "s2"


def test_a_spaced_host_says_when_it_is_its_time():
    queue = FairQueue[str](Limits(spacing=3))
    for item in "abc":
        queue.push(item, "s", "h")
    assert drained(queue, 10.0) == "a"
    assert queue.next_time == 13.0
    queue.release("a", 11.0)
    assert drained(queue, 12.9) == ""
    assert drained(queue, 13.0) == "b"
    assert queue.next_time == 16.0


def test_a_host_may_have_limits_of_its_own():
    queue = FairQueue[str](Limits(spacing=3, hosts={"free": Limits()}))
    for number in range(4):
        queue.push(str(number), "s", "free")
    assert drained(queue) == "0123"


def test_what_is_removed_does_not_go():
    queue = FairQueue[str](Limits(per_host=1))
    for item in "abc":
        queue.push(item, "s", "h")
    assert queue.remove("b")
    assert not queue.remove("b")
    assert drained(queue) == "a"
    assert queue.remove("c")  # it was parked
    queue.release("a", 0.0)
    assert drained(queue) == ""
    assert len(queue) == 0


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), max_size=60),
    st.integers(1, 3),
)
def test_all_that_is_pushed_goes_once_in_the_order_of_its_line(places, per_host):
    queue = FairQueue[int](Limits(per_host=per_host, rate_per_session=5))
    for number, (priority, session, host) in enumerate(places):
        queue.push(number, session, f"h{host}", priority)
    gone: list[int] = []
    now = 0.0
    while len(gone) < len(places):
        item = queue.pop(now)
        if item is not None:
            gone.append(item)
            queue.release(item, now)
        else:
            assert queue.next_time is not None
            now = queue.next_time
    for place in set(places):
        of_line = [number for number in gone if places[number] == place]
        assert all(first < second for first, second in pairwise(of_line))
    assert sorted(gone) == list(range(len(places)))


#: What may be done with a queue: the first says what, the others with whom.
_steps = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "pop", "pop", "end", "remove", "wait"]),
        st.integers(0, 3),
        st.integers(0, 3),
        st.integers(0, 1),
    ),
    max_size=120,
)
_limits = st.builds(
    Limits,
    per_host=st.sampled_from([None, 1, 2]),
    per_session=st.sampled_from([None, 1, 2]),
    rate_per_session=st.sampled_from([None, 2]),
    spacing=st.sampled_from([0, 1]),
    burst=st.integers(1, 2),
)


@given(_limits, _steps)
def test_who_may_go_goes_whatever_came_before(limits, steps):
    queue = FairQueue[int](limits)
    gone: list[int] = []
    now = 0.0
    for number, (what, session, host, priority) in enumerate(steps):
        if what == "push":
            queue.push(number, session, f"h{host}", priority)
        elif what == "end" and gone:
            queue.release(gone.pop(0), now)
        elif what == "remove" and len(queue):
            queue.remove(list(queue)[session % len(queue)])
        elif what == "wait":
            now += 0.25
        elif what == "pop":
            item = queue.pop(now)
            if item is not None:
                gone.append(item)
                continue
            for line in queue._lines.values():
                assert any(gate.limiter.opens_at(now) > now for gate in line.gates)
    while len(queue):
        item = queue.pop(now)
        if item is not None:
            gone.append(item)
        elif gone:
            queue.release(gone.pop(0), now)
        else:
            assert queue.next_time is not None, "somebody was forgotten"
            now = max(now, queue.next_time)


@pytest.mark.parametrize("limits", [Limits(per_host=8), Limits(per_session=8)])
def test_many_that_wait_at_one_gate_are_not_all_looked_at_for_each_that_goes(limits):
    looks = 0

    class Looks(FairQueue[int]):
        def _make_ready(self, line):
            nonlocal looks
            looks += 1
            super()._make_ready(line)

    queue = Looks(limits)
    for number in range(500):
        one = limits.per_host is not None
        queue.push(number, number if one else 0, "h" if one else f"h{number}")
    gone = 0
    while (item := queue.pop(0.0)) is not None:
        queue.release(item, 0.0)
        gone += 1
    assert gone == 500
    assert looks < 4 * 500


def test_sessions_that_wait_for_one_host_take_turns():
    queue = FairQueue[str](Limits(per_host=1))
    for item in ("f0", "f1", "f2", "f3", "u0", "u1", "v0"):
        queue.push(item, item[0], "h")
    order = []
    while (item := queue.pop(0.0)) is not None:
        order.append(item)
        queue.release(item, 0.0)
    assert order == ["f0", "u0", "v0", "f1", "u1", "f2", "f3"]


def test_a_host_without_its_port_stands_for_all_of_its_ports():
    limits = Limits(per_host=9, hosts={"Example.org": Limits(per_host=1), "b:81": Limits()})
    limit_of = {host: limits.of_host(host)._limit for host in ("example.org:8443", "b:81", "b:82")}
    assert limit_of == {"example.org:8443": 1, "b:81": math.inf, "b:82": 9}


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("Bücher.example:8080", "http://xn--bcher-kva.example:8080/"),
        ("xn--bcher-kva.example", "https://BÜCHER.example:8443/"),
        ("a.test:80", "http://a.test/"),
        ("a.test:443", "https://A.test:443/"),
        ("a.test:80", "https://a.test:80/"),
        ("[0::1]:81", "http://[::1]:81/"),
        ("::1", "http://[0:0::1]/"),
        ("[::1]", "http://[::1]:81/"),
        ("127.1", "http://0x7f000001:81/"),
    ],
)
def test_a_host_is_the_same_in_any_spelling(key, url):
    limits = Limits(per_host=9, hosts={key: Limits(per_host=1)})
    assert limits.of_host(Request(url).host)._limit == 1


@pytest.mark.parametrize("key", ["a.test:443", "a.test:80", "b.test"])
def test_limits_of_one_port_are_not_those_of_another(key):
    limits = Limits(per_host=9, hosts={key: Limits(per_host=1)})
    assert limits.of_host(Request("http://a.test:8080").host)._limit == 9


@pytest.mark.parametrize("host", ["a b", "[::1", "a:b", "http://a/", "me@a", ""])
def test_what_is_no_host_has_no_limits(host):
    with pytest.raises(ValueError, match=r"host|URL"):
        Limits(hosts={host: Limits()})


def test_limits_in_total_alone_need_no_turns_by_host():
    assert not Limits(clients=3, burst=2).is_selective
    assert Limits(hosts={"a": Limits(spacing=1)}).is_selective


def test_the_next_goes_when_the_one_whose_turn_it_was_is_removed():
    queue = FairQueue[str](Limits(per_host=1))
    for item in "abc":
        queue.push(item, item, "h")
    assert drained(queue) == "a"
    queue.release("a", 0.0)  # it is b's turn now
    queue.remove("b")
    assert drained(queue) == "c"


def test_those_who_wait_for_a_spaced_host_go_though_nothing_ends():
    queue = FairQueue[str](Limits(spacing=1))
    for item in "abcd":
        queue.push(item, item, "h")
    assert [drained(queue, now) for now in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)] == [
        "a",
        "",
        "b",
        "",
        "c",
        "d",
    ]


def test_one_who_may_not_go_for_its_session_lets_the_next_to_the_host():
    queue = FairQueue[str](Limits(per_host=1, per_session=1))
    for item, session, host in (("x", "a", "h"), ("y", "b", "h"), ("z", "c", "h")):
        queue.push(item, session, host)
    assert drained(queue) == "x"
    queue.push("w", "b", "other")
    assert drained(queue) == "w"
    queue.release("x", 0.0)  # it is y's turn, whose session is busy now
    assert drained(queue) == "z"


def test_what_was_not_sent_after_all_took_nothing():
    queue = FairQueue[str](Limits(per_host=1, rate_per_session=0.1, burst=2, spacing=5))
    for item in "abc":
        queue.push(item, item, "h")
    assert drained(queue, 7.0) == "a"
    queue.refund("a", 7.0)
    assert drained(queue, 7.0) == "b"
    queue.release("b", 8.0)
    assert drained(queue, 11.9) == ""
    assert drained(queue, 12.0) == "c"


@given(st.floats(0.1, 100), st.integers(1, 4), st.floats(0, 1000), st.integers(0, 4))
def test_to_undo_a_start_gives_all_of_it_back(rate, burst, now, before):
    limiter = RateLimiter(rate=rate, burst=burst, spacing=1 / rate)
    starts(limiter, before, now)
    now = max(now, limiter.opens_at(now))
    limiter.start(now)
    limiter.undo()
    assert limiter.active == 0
    assert limiter.opens_at(now) <= now


@pytest.mark.parametrize("limits", [Limits(rate_per_host=1), Limits(rate_per_session=0.3)])
def test_who_waits_behind_one_that_was_not_sent_has_its_turn_at_once(limits):
    for number in range(500):  # (now + interval) - interval is later than now, now and then
        queue, now = FairQueue[str](limits), 4 + number / 1000
        for item in "abc":
            queue.push(item, "s", "h")
        assert drained(queue, 0.0) == "a"
        queue.release("a", 0.0)
        assert drained(queue, now) == "b"
        queue.refund("b", now)
        assert drained(queue, now) == "c"


def test_undoing_a_start_keeps_the_one_that_came_after_it():
    limiter = RateLimiter(rate=1)
    limiter.start(5.0)
    limiter.start(6.0)
    limiter.start(6.0)  # by a hook that was asked about the one before
    limiter.undo()
    limiter.undo()
    assert limiter.active == 1
    assert limiter.opens_at(6.0) == 6.0


def test_hosts_seen_once_are_forgotten():
    queue = FairQueue[int](Limits(per_host=1))
    for number in range(5000):
        queue.push(number, "s", f"host-{number}")
        assert queue.pop(number) == number
        queue.release(number, number)
    assert len(queue._gates) < 2500


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"clients": 0}, "clients"),
        ({"per_host": 0}, "per_host"),
        ({"per_session": -1}, "per_session"),
        ({"burst": 0}, "burst"),
        ({"rate_per_host": 0}, "rate_per_host"),
        ({"rate_per_session": math.nan}, "rate_per_session"),
        ({"spacing": -1}, "spacing"),
        ({"hosts": {"a": 3}}, "hosts"),
        ({"hosts": {"http://a": Limits()}}, "host alone"),
    ],
)
def test_a_limit_out_of_range_is_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=named):
        Limits(**arguments)


async def test_a_host_is_spaced_from_the_next_request_on_and_needs_limits():
    async with HTTPStream(limits=Limits(per_host=2)) as stream, HTTPStream() as free:
        with pytest.raises(ValueError, match="give it limits="):
            free.space_requests("example.org", 1)
        with pytest.raises(ValueError, match="not -1"):
            stream.space_requests("example.org", -1)
    limiter = Limits(spacing=2).of_host("example.org")
    limiter.widen(1)
    limiter.start(10)
    assert limiter.opens_at(10) == 12
    limiter.widen(5)
    limiter.start(12)
    assert limiter.opens_at(12) == 17
