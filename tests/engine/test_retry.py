"""Retries and the circuit breaker, against a server that fails as told."""

from __future__ import annotations

import asyncio
import email.utils
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.scripted import Asked, Say, scripted
from tenacity import stop_after_attempt, stop_after_delay, wait_fixed, wait_none
from waiting import until

from webqq_tornado import (
    Attempt,
    CircuitOpenError,
    ConnectError,
    HTTPStream,
    ProtocolError,
    Request,
    Response,
)
from webqq_tornado.retry import CircuitBreaker, Retry, retry_after

AT_ONCE = Retry(wait=wait_none())
REFUSED = "http://127.0.0.1:1/"


def failing(times: int, status: int = 503):
    """Answers like that so often, then well."""
    return lambda asked: Say(status) if asked.number < times else Say(200, b"well")


def attempt(outcome, number: int = 1, method: str = "GET", elapsed: float = 0.0) -> Attempt:
    return Attempt(number, Request("http://a.test/", method), outcome, elapsed)


def response(status: int, *headers: bytes) -> Response:
    lines = [b"HTTP/1.1 %d X\r\n" % status, *(line + b"\r\n" for line in headers), b"\r\n"]
    return Response(Request("http://a.test/"), status, "http://a.test/", lines, b"")


async def test_a_status_that_may_pass_is_tried_again():
    async with scripted(failing(2)) as server, HTTPStream(retry=AT_ONCE) as stream:
        answer = await stream.fetch(server.url)
        assert (answer.status, answer.body) == (200, b"well")
        assert [one.outcome.status for one in answer.retried] == [503, 503]
        assert [one.number for one in answer.retried] == [1, 2]
        assert stream.stats().retries == 2


async def test_what_never_gets_better_is_the_answer_in_the_end():
    async with scripted(failing(99)) as server, HTTPStream(retry=AT_ONCE) as stream:
        answer = await stream.fetch(server.url)
        assert answer.status == 503
        assert len(answer.retried) == 3
        assert len(server.asked) == 4


async def test_a_connection_that_breaks_is_tried_again():
    async with (
        scripted(lambda asked: Say(200, None if asked.number < 2 else b"ok")) as server,
        HTTPStream(retry=AT_ONCE) as stream,
    ):
        answer = await stream.fetch(server.url)
        assert answer.body == b"ok"
        assert all(isinstance(one.outcome, ProtocolError) for one in answer.retried)


async def test_the_error_in_the_end_knows_its_attempts():
    async with HTTPStream(retry=AT_ONCE) as stream:
        with pytest.raises(ConnectError) as caught:
            await stream.fetch(REFUSED)
        assert [one.number for one in caught.value.retried] == [1, 2, 3]


async def test_nothing_is_tried_again_unless_asked_for():
    async with scripted(failing(1)) as server, HTTPStream() as stream:
        answer = await stream.fetch(server.url)
        assert (answer.status, answer.retried) == (503, ())


async def test_a_chain_may_have_a_policy_of_its_own():
    async with scripted(failing(1)) as server, HTTPStream() as stream:
        chain = stream.add_request(server.url, lambda _: None, retry=AT_ONCE)
        assert (await chain).status == 200
        assert chain.retries == 1
        assert chain.steps == 1


async def test_each_link_of_a_chain_has_its_own_attempts():
    seen = []

    async with (
        scripted(lambda asked: Say(503 if asked.number % 2 == 0 else 200)) as server,
        HTTPStream(retry=AT_ONCE) as stream,
    ):

        def read(answer):
            seen.append(len(answer.retried))
            return (answer.request, read) if len(seen) < 3 else None

        chain = stream.add_request(server.url, read)
        await chain
        assert seen == [1, 1, 1]
        assert chain.retries == 3


async def test_chains_below_have_the_policy_of_the_one_above():
    async with scripted(failing(1)) as server, HTTPStream() as stream:
        statuses = []
        links = [(f"{server.url}/a", lambda answer: statuses.append(answer.status))] * 2
        await stream.add_request(f"{server.url}/", lambda _: links, retry=AT_ONCE)
        assert statuses == [200, 200]


@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
async def test_methods_that_are_not_idempotent_are_not_repeated(method):
    async with scripted(failing(9, 502)) as server, HTTPStream(retry=AT_ONCE) as stream:
        assert (await stream.fetch(Request(server.url, method))).status == 502
        assert len(server.asked) == 1


async def test_unless_said_so():
    willing = Retry(wait=wait_none(), methods={"POST"})
    async with scripted(failing(1, 502)) as server, HTTPStream(retry=willing) as stream:
        assert (await stream.fetch(Request(server.url, "POST", body=b"x"))).status == 200
        assert [asked.body for asked in server.asked] == [b"x", b"x"]


async def test_a_post_that_found_no_connection_is_sent_again():
    async with HTTPStream(retry=AT_ONCE) as stream:
        with pytest.raises(ConnectError) as caught:
            await stream.fetch(Request(REFUSED, "POST"))
        assert len(caught.value.retried) == 3


async def test_a_body_that_is_used_up_is_not_sent_again():
    willing = Retry(wait=wait_none(), methods={"POST", "PUT"})
    async with scripted(failing(9)) as server, HTTPStream(retry=willing) as stream:
        once = Request(server.url, "PUT", body=iter([b"abc"]), body_size=3)
        assert (await stream.fetch(once)).status == 503
        again = Request(server.url, "PUT", body=lambda: iter([b"abc"]), body_size=3)
        assert len((await stream.fetch(again)).retried) == 3


async def test_a_file_is_begun_anew_when_its_download_is_tried_again(tmp_path: Path):
    async with scripted(failing(1)) as server, HTTPStream(retry=AT_ONCE) as stream:
        await stream.fetch(Request(server.url, sink=tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == b"well"


async def test_a_streamed_response_is_tried_again_before_its_reader_sees_it():
    async with scripted(failing(2)) as server, HTTPStream(retry=AT_ONCE) as stream:
        async with stream.open(server.url) as answer:
            assert [chunk async for chunk in answer.stream] == [b"well"]
        assert len(answer.retried) == 2


@pytest.mark.slow
async def test_retry_after_is_waited_for():
    def script(asked: Asked) -> Say:
        return Say(429, b"", {"Retry-After": "1"}) if asked.number == 0 else Say()

    async with scripted(script) as server, HTTPStream(retry=AT_ONCE) as stream:
        answer = await stream.fetch(server.url)
        assert answer.retried[0].delay == 1.0


async def test_cancelling_while_it_waits_ends_the_chain():
    class Told(HTTPStream):
        def on_retry(self, attempt):
            waiting.set()

    waiting = asyncio.Event()
    async with scripted(failing(9)) as server, Told(retry=Retry(wait=wait_fixed(60))) as stream:
        chain = stream.add_request(server.url, print)
        await waiting.wait()
        assert chain.cancel()
        assert not stream.chains
        assert len(server.asked) == 1


async def test_the_hook_sees_each_attempt():
    seen = []

    class Told(HTTPStream):
        def on_retry(self, attempt):
            seen.append((attempt.number, attempt.outcome.status, attempt.delay))

    async with scripted(failing(2)) as server, Told(retry=AT_ONCE) as stream:
        await stream.fetch(server.url)
    assert seen == [(1, 503, 0.0), (2, 503, 0.0)]


# -- the policy alone ---------------------------------------------------------------------------


def test_tenacitys_stop_sees_attempts_and_time():
    few = Retry(stop=stop_after_attempt(3), wait=wait_fixed(2))
    assert [few(attempt(response(503), number)) for number in (1, 2, 3)] == [2.0, 2.0, None]
    brief = Retry(stop=stop_after_delay(10), wait=wait_fixed(2))
    assert brief(attempt(response(503), elapsed=9.0)) == 2.0
    assert brief(attempt(response(503), elapsed=10.1)) is None


def test_by_default_the_waits_grow_and_have_an_end():
    policy = Retry()
    assert all(0 <= policy(attempt(response(503))) <= 0.5 for _ in range(50))
    assert policy(attempt(response(503), 4)) is None


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 501])
def test_a_status_that_will_stay_is_no_reason(status):
    assert AT_ONCE(attempt(response(status))) is None


def test_more_than_the_longest_retry_after_is_not_waited_for():
    assert AT_ONCE(attempt(response(503, b"Retry-After: 120"))) == 120.0
    assert AT_ONCE(attempt(response(503, b"Retry-After: 121"))) is None


def test_a_post_that_the_server_wants_later_is_sent_later():
    assert AT_ONCE(attempt(response(503, b"Retry-After: 7"), method="POST")) == 7.0
    assert AT_ONCE(attempt(response(503), method="POST")) is None


def test_when_decides_alone():
    policy = Retry(wait=wait_none(), when=lambda one: one.outcome.status == 200)
    assert policy(attempt(response(200))) == 0.0
    assert policy(attempt(response(503))) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        (email.utils.formatdate(1_000_030, usegmt=True), 30.0),
        (email.utils.formatdate(999_000, usegmt=True), 0.0),
        # The forms of old (RFC 9110, 5.6.7), all of them in UTC.
        ("Monday, 12-Jan-70 13:47:10 GMT", 30.0),
        ("Mon Jan 12 13:47:10 1970", 30.0),
        ("1.5", 1.5),
        ("9" * 400, math.inf),
        ("9" * 5000, math.inf),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253401300799.0),
        ("soon", None),
        ("1e3", None),
        ("inf", None),
        ("5, 5", None),
        ("-5", None),
        ("", None),
        ("٣", None),
        ("Mon, 99 Jan 9999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_as_seconds_and_as_date(text, seconds, far_east):
    assert retry_after(response(503, f"Retry-After: {text}".encode()), 1_000_000) == seconds


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")))
def test_any_retry_after_can_be_looked_at(text):
    asked = retry_after(response(503, f"Retry-After: {text}".encode("latin-1")), 0.0)
    assert asked is None or asked >= 0


# -- the breaker --------------------------------------------------------------------------------


async def test_a_host_that_fails_is_left_alone():
    async with (
        scripted(failing(99)) as server,
        HTTPStream(breaker=CircuitBreaker(fail_max=3)) as stream,
    ):
        for _ in range(3):
            assert (await stream.fetch(server.url)).status == 503
        with pytest.raises(CircuitOpenError, match="3 requests in a row"):
            await stream.fetch(server.url)
        assert len(server.asked) == 3


async def test_other_hosts_are_not():
    async with (
        scripted(failing(99)) as bad,
        scripted(failing(0)) as good,
        HTTPStream(breaker=CircuitBreaker(fail_max=1)) as stream,
    ):
        await stream.fetch(bad.url)
        assert (await stream.fetch(good.url)).status == 200


async def test_after_a_while_one_is_let_through_and_closes_it():
    breaker = CircuitBreaker(fail_max=1, reset_timeout=0.05)
    are_refused = asyncio.Event()

    async def script(asked: Asked) -> Say:
        if asked.number == 1:
            await are_refused.wait()  # the circuit is open for as long as the answer is not there
        return Say(503 if asked.number == 0 else 200)

    async with scripted(script) as server, HTTPStream(breaker=breaker) as stream:
        await stream.fetch(server.url)
        late = [asyncio.ensure_future(stream.fetch(server.url, delay=0.1)) for _ in range(3)]
        await until(lambda: sum(one.done() for one in late) == 2)
        are_refused.set()
        ends = await asyncio.gather(*late, return_exceptions=True)
        assert sorted(type(one).__name__ for one in ends) == [
            "CircuitOpenError",
            "CircuitOpenError",
            "Response",
        ]
        assert (await stream.fetch(server.url)).status == 200


async def test_a_success_in_between_starts_the_count_anew():
    async with (
        scripted(lambda asked: Say(503 if asked.number % 2 else 200)) as server,
        HTTPStream(breaker=CircuitBreaker(fail_max=2)) as stream,
    ):
        for _ in range(8):
            await stream.fetch(server.url)
        assert len(server.asked) == 8


async def test_a_probe_that_is_cancelled_lets_another_one_through():
    breaker = CircuitBreaker(fail_max=1, reset_timeout=0.05)
    held = asyncio.Event()

    async def script(asked: Asked) -> Say:
        if asked.number == 1:
            held.set()
            await asyncio.Event().wait()
        return Say(503 if asked.number == 0 else 200)

    async with scripted(script) as server, HTTPStream(breaker=breaker) as stream:
        await stream.fetch(server.url)
        probe = stream.add_request(server.url, print, delay=0.1)
        await held.wait()
        probe.cancel()
        assert (await stream.fetch(server.url)).status == 200


def test_hosts_that_failed_once_are_forgotten(monkeypatch):
    now = 0.0
    monkeypatch.setattr("webqq_tornado.retry.time.monotonic", lambda: now)
    breaker = CircuitBreaker(fail_max=1, reset_timeout=30)
    first = Request("http://first.test/")
    breaker.record(first, ConnectError("refused"))
    for now in range(6000):
        breaker.record(Request(f"http://host-{now}.test/"), ConnectError("refused"))
        if now % 10 == 0:  # it is asked all the time, and stays in mind
            breaker.record(first, ConnectError("refused"))
            assert isinstance(breaker.admit(first), CircuitOpenError)
    assert len(breaker._circuits) < 2500


def test_a_breaker_that_cannot_work_is_refused():
    with pytest.raises(ValueError, match="fail_max"):
        CircuitBreaker(fail_max=0)
