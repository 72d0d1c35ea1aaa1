"""Policies, credentials and hooks that fail, hang, or are cancelled at a bad moment."""

from __future__ import annotations

import asyncio
import io
import time

import pytest
from servers.scripted import Asked, Say, scripted
from servers.web import Web
from tenacity import wait_none

from engine.readers import REFUSED, Oops, raising, wait
from webqq_tornado import AuthError, ConnectError, HTTPStream, Limits, Request, State
from webqq_tornado.auth import BearerAuth, LoginAuth
from webqq_tornado.retry import CircuitBreaker, Retry


async def fetched(stream: HTTPStream, url: str, **options):
    """A fetch that does not hang."""
    return await asyncio.wait_for(stream.fetch(url, **options), 60)


# -- users' code that raises --------------------------------------------------------------------


async def test_a_retry_policy_that_raises_ends_the_link_with_its_error():
    policy = Retry(wait=wait_none(), when=lambda attempt: attempt.outcome.status == 503)
    async with HTTPStream(retry=policy) as stream:
        with pytest.raises(AttributeError, match="status"):
            await fetched(stream, REFUSED)


async def test_an_on_retry_that_raises_ends_the_link_with_its_error():
    class Told(HTTPStream):
        on_retry = raising

    async with Told(retry=Retry(wait=wait_none())) as stream:
        with pytest.raises(Oops):
            await fetched(stream, REFUSED)


async def test_an_observer_that_raises_is_logged_and_disturbs_nobody(web: Web, caplog):
    async with HTTPStream() as stream:
        stream.observe(raising)
        assert (await fetched(stream, web.http)).status == 200
    assert "observer" in caplog.text


async def test_to_end_an_observer_twice_ends_no_other():
    async with HTTPStream() as stream:
        seen = []
        stop = stream.observe(lambda *what: seen.append(what))
        stop()
        stop()


@pytest.mark.parametrize("method", ["apply", "is_refused", "renew", "on_renewed"])
async def test_credentials_that_raise_end_the_link(method, caplog):
    auth = LoginAuth(lambda: None, is_logged_in=method in {"apply", "is_refused"})
    setattr(auth, method, raising)
    async with scripted(lambda asked: Say(401)) as server, HTTPStream(auth=auth) as stream:
        with pytest.raises((Oops, AuthError), match="in a reader"):
            await fetched(stream, server.url)


async def test_a_breaker_that_raises_ends_the_link(web: Web):
    async with HTTPStream(breaker=CircuitBreaker(is_failure=raising)) as stream:
        with pytest.raises(Oops):
            await fetched(stream, web.http)


async def test_an_on_request_that_returns_no_request_ends_the_link(web: Web):
    class Wrong(HTTPStream):
        def on_request(self, request):
            return 42

    async with Wrong() as stream:
        with pytest.raises(ValueError, match="int"):
            await fetched(stream, web.http)


# -- renewals -----------------------------------------------------------------------------------


async def test_a_renewal_that_hangs_ends_in_time_and_the_next_may_succeed():
    async def renew():
        if len(asked) == 0:
            asked.append(1)
            await asyncio.Event().wait()
        return "token"

    asked: list[int] = []
    auth = BearerAuth(renew=renew)
    auth.renew_timeout = 0.05
    async with scripted(lambda asked: Say()) as server, HTTPStream(auth=auth) as stream:
        with pytest.raises(AuthError, match=r"0\.05 s"):
            await fetched(stream, server.url)
        assert (await fetched(stream, server.url)).status == 200


async def test_links_refused_with_new_credentials_do_not_renew_them_one_after_the_other():
    renewals = []

    def renew() -> str:
        renewals.append(1)
        return f"token-{len(renewals)}"

    auth = BearerAuth("stale", renew=renew)
    async with scripted(lambda asked: Say(401)) as server, HTTPStream(auth=auth) as stream:
        answers = await asyncio.gather(*(fetched(stream, server.url) for _ in range(20)))
        assert {answer.status for answer in answers} == {401}
        assert len(renewals) == 1
        assert len(server.asked) <= 40


async def test_each_who_waits_gets_an_error_of_its_own(caplog):
    async with HTTPStream(auth=LoginAuth(lambda: (REFUSED, None))) as stream:
        chains = [stream.add_request("http://127.0.0.1:1/a", name=f"n{n}") for n in range(3)]
        errors = await asyncio.gather(*map(wait, chains), return_exceptions=True)
        assert [error.chain for error in errors] == ["n0", "n1", "n2"]
        assert len(set(map(id, errors))) == 3
        assert all(error.request is not None for error in errors)


async def test_what_a_renewal_fetches_leaves_no_mark_on_who_reads_afterwards():
    """A connection that was opened by a renewal is used, and heard, by others later."""

    async def renew() -> str:
        return (await stream.fetch(f"{server.url}/token")).text

    async def script(asked: Asked) -> Say:
        if asked.path == "/token":
            return Say(200, b"good")
        return Say(200, b"" if asked.headers["Authorization"] else b"nobody")

    read = []

    async def read_later(answer):
        read.append((await stream.fetch(f"{server.url}/third")).body)

    def again(answer):
        read.append(answer.body)
        stream.add_request(f"{server.url}/again", lambda answer: read.append(answer.body))
        return f"{server.url}/second", read_later

    async with scripted(script) as server:
        stream = HTTPStream(auth=BearerAuth(renew=renew))
        stream.add_request(server.url, again)
        await stream.drain(60)
        stream.close()
    assert read == [b""] * 3


async def test_what_a_renewal_leaves_running_has_credentials_when_it_is_over():
    async def later() -> None:
        await is_over.wait()
        seen.append((await stream.fetch(server.url)).body)

    async def renew() -> str:
        tasks.append(asyncio.ensure_future(later()))
        return "good"

    def script(asked: Asked) -> Say:
        return Say(200, (asked.headers["Authorization"] or "nobody").encode())

    is_over, seen, tasks = asyncio.Event(), [], []
    async with scripted(script) as server:
        stream = HTTPStream(auth=BearerAuth(renew=renew))
        await fetched(stream, server.url)
        is_over.set()
        await tasks[0]
        stream.close()
    assert seen == [b"Bearer good"]


async def test_a_renewal_goes_before_others_that_wait_for_their_turn():
    def script(asked: Asked) -> Say:
        return Say(200, b"good")

    def read(answer) -> None:
        auth.token = answer.text

    async with scripted(script) as server:
        auth = BearerAuth(renew=lambda: (f"{server.url}/token", read))
        stream = HTTPStream(auth=auth, limits=Limits(clients=1))
        other = stream.session("other")
        chains = [
            stream.add_request(f"{server.url}/{n}", session=other, priority=1) for n in range(5)
        ]
        chains.append(stream.add_request(f"{server.url}/mine", priority=2))
        await asyncio.gather(*map(wait, chains))
        stream.close()
    assert server.paths.index("/token") == 1


async def test_a_sink_that_has_the_refusal_does_not_get_the_answer_behind_it():
    def script(asked: Asked) -> Say:
        return Say(200, b"data") if "new" in asked.headers["Authorization"] else Say(401, b"who?")

    chunks: list[bytes] = []
    auth = BearerAuth("stale", renew=lambda: "new")
    async with scripted(script) as server, HTTPStream(auth=auth) as stream:
        answer = await fetched(stream, Request(server.url, sink=chunks.append))
        assert (answer.status, b"".join(chunks)) == (401, b"who?")
        answer = await fetched(stream, Request(server.url, sink=chunks.append))
        assert b"".join(chunks) == b"who?data"


# -- where credentials go -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("https://api.test/", True),
        ("https://api.test", True),
        ("https://API.test:443/x?y", True),
        ("https://api.test.evil.test/", False),
        ("https://api.test@evil.test/", False),
        ("https://api.test:8443/", False),
        ("http://api.test/", False),
    ],
)
@pytest.mark.parametrize("origin", ["https://api.test", "https://api.test/"])
def test_credentials_are_for_their_origin_and_no_other(url, is_ours, origin):
    request = BearerAuth("t", origin=origin).apply(Request(url))
    assert (("Authorization", "Bearer t") in request.header_pairs) is is_ours


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [("/v1", True), ("/v1/x", True), ("/v1?x", True), ("/v12", False), ("/v1/../x", False)],
)
def test_an_origin_may_have_a_path(path, is_ours):
    request = BearerAuth("t", origin="https://api.test/v1").apply(
        Request(f"https://api.test{path}")
    )
    assert (("Authorization", "Bearer t") in request.header_pairs) is is_ours


def test_an_origin_without_a_host_is_refused():
    with pytest.raises(ValueError, match="origin"):
        BearerAuth("t", origin="api.test")


async def test_links_elsewhere_neither_wait_for_credentials_nor_renew_them():
    renewals = []
    async with scripted(lambda asked: Say(401)) as server:
        auth = LoginAuth(lambda: renewals.append(1), origin="https://api.test/")
        async with HTTPStream(auth=auth) as stream:
            assert (await fetched(stream, server.url)).status == 401
    assert not renewals


async def test_a_token_that_can_be_no_header_is_an_error_without_it():
    async with HTTPStream(auth=BearerAuth("hush\n")) as stream:
        with pytest.raises((ValueError, AuthError)) as caught:
            await fetched(stream, REFUSED)
    assert "hush" not in str(caught.value)


# -- the breaker --------------------------------------------------------------------------------


async def test_a_probe_that_cannot_be_sent_lets_another_one_through(web: Web, monkeypatch):
    breaker = CircuitBreaker(fail_max=1, reset_timeout=1e-9)
    breaker.record(Request(web.http), ConnectError("once"))
    unsendable = Request(web.http, proxy="nonsense://127.0.0.1")
    async with HTTPStream(breaker=breaker) as stream:

        def instead(error):
            return web.http, None

        chain = stream.add_request(unsendable, errback=instead)
        assert (await asyncio.wait_for(chain, 60)).status == 200


def test_only_the_end_of_the_probe_itself_lets_another_one_through():
    breaker = CircuitBreaker(fail_max=1, reset_timeout=1e-9, is_failure=lambda one: True)
    old, probe, more = (Request("http://a.test/") for _ in range(3))
    assert breaker.admit(old) is None
    breaker.record(Request("http://a.test/"), ConnectError("no"))
    assert breaker.admit(probe) is None
    breaker.give_up(old)
    assert breaker.admit(more) is not None
    breaker.record(old, ConnectError("no"))
    assert breaker.admit(more) is not None
    breaker.give_up(probe)
    assert breaker.admit(more) is None


# -- retries ------------------------------------------------------------------------------------


async def test_of_very_many_attempts_the_last_are_kept():
    policy = Retry(wait=wait_none(), stop=lambda state: state.attempt_number > 100)
    async with scripted(lambda asked: Say(503)) as server, HTTPStream(retry=policy) as stream:
        answer = await fetched(stream, server.url)
        assert len(server.asked) == 101
        assert [one.number for one in answer.retried] == list(range(85, 101))
        assert stream.stats().retries == 100


async def test_of_a_chain_that_is_cancelled_nobody_is_told_afterwards(web: Web):
    seen = []
    breaker = CircuitBreaker(fail_max=1)
    breaker.record(Request(web.http), ConnectError("once"))
    async with HTTPStream(breaker=breaker) as stream:
        stream.observe(lambda chain, request, outcome: seen.append(request))
        stream.add_request(web.http).cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert seen == []


async def test_an_observer_may_end_the_chain(web: Web):
    read = []
    async with HTTPStream() as stream:
        stream.observe(lambda chain, request, outcome: chain.cancel())
        chain = stream.add_request(web.http, read.append)
    assert chain.state is State.CANCELLED
    assert read == []


async def test_a_file_gets_no_error_pages_and_may_have_the_next_answer():
    file = io.BytesIO()
    script = lambda asked: Say(200, b"data") if asked.number else Say(503, b"sorry")  # noqa: E731
    async with (
        scripted(script) as server,
        HTTPStream(retry=Retry(wait=wait_none())) as stream,
    ):
        assert (await fetched(stream, Request(server.url, sink=file))).status == 200
    assert file.getvalue() == b"data"


def test_a_clock_that_is_set_back_does_not_keep_a_circuit_open():
    breaker = CircuitBreaker(fail_max=1, reset_timeout=30)
    request = Request("http://a.test/")
    breaker.record(request, ConnectError("no"))
    circuit, now = breaker._circuits[request.host], time.time()
    assert not circuit.lets_through(request, now - 3600)
    assert circuit.lets_through(request, now - 3600 + 31)


async def test_a_breaker_that_raises_when_it_is_given_up_strands_no_chain(web: Web, caplog):
    class Broken(CircuitBreaker):
        def give_up(self, request):
            raise ZeroDivisionError

    async with HTTPStream(breaker=Broken()) as stream:
        links = [(f"{web.http}/hold/given-up", None)] * 2
        chain = stream.add_request(web.http, lambda _: links)
        await stream.fetch(f"{web.http}/arrived/given-up")
        chain.cancel()
        assert not stream.chains
        assert stream.stats().in_flight == 0
    assert "give_up" in caplog.text
