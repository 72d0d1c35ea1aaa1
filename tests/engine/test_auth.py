"""Credentials: carried, refused, renewed once for all who wait."""

from __future__ import annotations

import asyncio
import base64
import gc
import weakref

import pytest
from servers.scripted import Asked, Say, Scripted, scripted
from servers.web import Web
from tenacity import wait_none

from webqq_tornado import (
    AuthError,
    ClosedError,
    HTTPStream,
    LoggedOut,
    Next,
    Request,
    StreamError,
)
from webqq_tornado.auth import Auth, BasicAuth, BearerAuth, DigestAuth, LoginAuth
from webqq_tornado.retry import Retry


class Tokens:
    """Wants the newest token, which `/token` gives."""

    def __init__(self) -> None:
        self.given = 0
        self.held: asyncio.Event | None = None

    async def __call__(self, asked: Asked) -> Say:
        if asked.path == "/token":
            if self.held is not None:
                await self.held.wait()
            self.given += 1
            return Say(200, b"token-%d" % self.given)
        is_good = asked.headers["Authorization"] == f"Bearer token-{self.given}"
        return Say(200, b"welcome") if is_good else Say(401, b"who?")


def bearer(stream: HTTPStream, server: Scripted, token: str | None = None) -> BearerAuth:
    async def renew() -> str:
        return (await stream.fetch(f"{server.url}/token")).text

    return BearerAuth(token, renew=renew)


async def test_basic_authentication(web: Web):
    async with HTTPStream(auth=BasicAuth("ann", "secret")) as stream:
        answer = await stream.fetch(f"{web.http}/echo")
    login = base64.b64encode(b"ann:secret").decode()
    assert ["Authorization", f"Basic {login}"] in answer.json()["headers"]


async def test_digest_authentication():
    def script(asked: Asked) -> Say:
        if "Authorization" in asked.headers:
            return Say(200, asked.headers["Authorization"].encode())
        return Say(401, b"", {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})

    async with scripted(script) as server, HTTPStream(auth=DigestAuth("ann", "pw")) as stream:
        assert 'username="ann"' in (await stream.fetch(server.url)).text


async def test_each_session_has_its_own(web: Web):
    async with HTTPStream() as stream:
        ann = stream.session("ann", auth=BasicAuth("ann", "a"))
        bob = stream.session("bob", auth=BasicAuth("bob", "b"))
        seen = []
        for session in (ann, bob, None):
            answer = await stream.fetch(f"{web.http}/echo", session=session)
            seen.append(dict(answer.json()["headers"]).get("Authorization", ""))
    assert [base64.b64decode(one[6:]) for one in seen] == [b"ann:a", b"bob:b", b""]


async def test_credentials_stay_with_their_origin(web: Web):
    async with HTTPStream(auth=BearerAuth("t", origin=web.http)) as stream:
        theirs = await stream.fetch(f"{web.other}/echo")
        ours = await stream.fetch(f"{web.http}/echo")
        led_away = await stream.fetch(f"{web.http}/redirect?to={web.other}/echo")
    assert "Authorization" in dict(ours.json()["headers"])
    assert "Authorization" not in dict(theirs.json()["headers"])
    assert "Authorization" not in dict(led_away.json()["headers"])


@pytest.mark.parametrize(
    ("origin", "url", "is_covered"),
    [
        ("HTTPS://Bücher.example:443/v1/", "https://xn--bcher-kva.example/v1/a", True),
        ("https://a.test/v1", "https://a.test/v1?b", True),
        ("https://a.test/v1", "https://a.test\\v1\\b", True),
        ("https://a.test/v1", "https://a.test/x/..\\v1/b", True),
        ("http://127.1", "http://0x7f.0.0.1:80/", True),
        ("https://a.test/v1", "wss://a.test/v1/b", True),
        ("https://a.test/v1", "https://a.test/v1/%2E%2e/b", False),
        ("https://a.test/v1", "https://a.test/v1/..\\b", False),
        ("https://a.test/v1", "https://a.test/v1/..%2Fb", False),
        ("https://a.test/v1", "https://a.test/v1/x%5c..%5C..%5cb", False),
        ("https://a.test/v1", "https://a.test/v10", False),
        ("https://a.test", "https://a.test:8443/", False),
        ("https://a.test", "http://a.test:443/", False),
        ("https://straße.example", "https://strasse.example/", False),
        ("https://a.test", "https://a.test\\@b.test/", True),
        ("https://b.test", "https://a.test\\@b.test/", False),
    ],
)
def test_what_is_below_an_origin_is_seen_in_any_spelling(origin, url, is_covered):
    assert BearerAuth("t", origin=origin).covers(Request(url)) is is_covered


@pytest.mark.parametrize("origin", ["a.test", "ftp://a.test", "https://", "https://[a"])
def test_an_origin_that_is_no_url_is_refused(origin):
    with pytest.raises(ValueError, match="origin is a URL"):
        BearerAuth("t", origin=origin)


async def test_without_an_origin_they_stay_with_that_of_the_first_request(web: Web):
    async with HTTPStream(auth=BasicAuth("ann", "a")) as stream:
        own = await stream.fetch(f"{web.http}/echo")
        other = await stream.fetch(f"{web.http.replace('127.0.0.1', 'localhost')}/echo")
        again = await stream.fetch(f"{web.http}/echo?again")
    given = ["Authorization" in dict(one.json()["headers"]) for one in (own, other, again)]
    assert given == [True, False, True]


@pytest.mark.parametrize("auth", [BasicAuth("ann", "a"), DigestAuth("ann", "a"), BearerAuth("a")])
async def test_the_request_that_readers_see_has_no_credentials(web: Web, auth: Auth):
    async with HTTPStream(auth=auth) as stream:
        request = Request(f"{web.http}/echo", headers={"X-Mine": "1"})
        async with stream.open(request) as streamed:
            assert streamed.request.auth_password is None
            assert streamed.request.header_pairs == (("X-Mine", "1"),)
        assert (await stream.fetch(request)).request is request
        with pytest.raises(StreamError) as caught:
            await stream.fetch(request.replace(max_body_size=1))
    assert caught.value.request.auth_password is None
    assert caught.value.request.header_pairs == (("X-Mine", "1"),)


async def test_a_body_that_breaks_off_has_an_error_without_credentials():
    async with (
        scripted(lambda _: Say(200, b"half", {"Content-Length": "9"})) as server,
        HTTPStream(auth=BearerAuth("secret")) as stream,
        stream.open(server.url) as response,
    ):
        with pytest.raises(StreamError) as caught:
            [chunk async for chunk in response.stream]
    assert caught.value.request.header_pairs == ()


async def test_attempts_and_refused_sockets_show_no_credentials(web: Web):
    def script(asked: Asked) -> Say:
        return Say(200 if asked.number == 1 else 503)

    auth = BearerAuth("secret")
    async with scripted(script) as server, HTTPStream(auth=auth, retry=soon()) as stream:
        response = await stream.fetch(server.url)
        assert [one.request.header_pairs for one in response.retried] == [()]
        with pytest.raises(StreamError) as caught:
            await stream.fetch(server.url.replace("http", "ws"), retry=soon())
    assert caught.value.request.header_pairs == ()
    assert [asked.headers["Authorization"] for asked in server.asked[:3]] == ["Bearer secret"] * 3


async def test_what_is_sent_again_elsewhere_is_signed_anew(web: Web):
    async with HTTPStream() as stream:
        ann = stream.session("ann", auth=BasicAuth("ann", "a"))
        bob = stream.session("bob", auth=BasicAuth("bob", "b"))
        last = await stream.add_request(
            f"{web.http}/echo",
            lambda response: Next(response.request, lambda _: None, session=bob),
            session=ann,
        )
    login = base64.b64encode(b"bob:b").decode()
    assert dict(last.json()["headers"])["Authorization"] == f"Basic {login}"


async def test_what_is_signed_does_not_pile_up_from_poll_to_poll(web: Web):
    class Signed(Auth):
        def sign(self, request):
            return request.replace(headers=[*request.header_pairs, ("X-Key", "k")])

    keys = []

    def poll(response):
        keys.append([value for name, value in response.json()["headers"] if name == "X-Key"])
        return (response.request, poll) if len(keys) < 4 else None

    async with HTTPStream(auth=Signed()) as stream:
        await stream.add_request(f"{web.http}/echo", poll)
    assert keys == [["k"]] * 4


async def test_observers_see_the_request_as_sent(web: Web):
    seen = []
    async with HTTPStream(auth=BearerAuth("secret")) as stream:
        stream.observe(lambda chain, request, outcome: seen.append(request))
        await stream.fetch(f"{web.http}/echo")
    assert seen[0].header_pairs == (("Authorization", "Bearer secret"),)


async def test_a_token_is_fetched_before_the_first_request_goes():
    async with scripted(Tokens()) as server, HTTPStream() as stream:
        session = stream.session("api", auth=bearer(stream, server))
        assert (await stream.fetch(server.url, session=session)).text == "welcome"
        assert server.paths == ["/token", "/"]


async def test_a_token_that_is_refused_is_renewed_and_the_link_sent_again():
    async with scripted(Tokens()) as server, HTTPStream() as stream:
        session = stream.session("api", auth=bearer(stream, server, "stale"))
        assert (await stream.fetch(server.url, session=session)).text == "welcome"
        assert server.paths == ["/", "/token", "/"]


async def test_one_renewal_serves_all_who_wait():
    tokens = Tokens()
    tokens.held = asyncio.Event()
    async with scripted(tokens) as server, HTTPStream() as stream:
        session = stream.session("api", auth=bearer(stream, server, "stale"))
        fetches = [stream.fetch(f"{server.url}/{n}", session=session) for n in range(20)]
        waiting = asyncio.gather(*fetches)
        while server.paths.count("/token") == 0:
            await stream.fetch(f"{server.url}/other")
        tokens.held.set()
        assert {answer.text for answer in await waiting} == {"welcome"}
        assert server.paths.count("/token") == 1


async def test_a_fetch_in_the_same_session_does_not_wait_for_its_own_end():
    async with scripted(Tokens()) as server:

        async def renew() -> str:
            return (await stream.fetch(f"{server.url}/token")).text

        stream = HTTPStream(auth=BearerAuth(renew=renew))
        assert (await stream.fetch(server.url, timeout=60)).text == "welcome"
        stream.close()


async def test_a_token_may_come_by_a_chain():
    async with scripted(Tokens()) as server:

        def renew():
            return f"{server.url}/token", read

        def read(response):
            auth.token = response.text

        auth = BearerAuth(renew=renew)
        async with HTTPStream(auth=auth) as stream:
            assert (await stream.fetch(server.url)).text == "welcome"


async def test_refused_again_with_a_new_token_the_response_stands():
    refusing = Say(401, b"never")
    async with (
        scripted(lambda asked: refusing) as server,
        HTTPStream(auth=BearerAuth(renew=lambda: "new")) as stream,
    ):
        answer = await stream.fetch(server.url)
        assert (answer.status, answer.text) == (401, "never")
        assert len(server.asked) == 2


async def test_a_renewal_that_fails_fails_all_who_wait_and_is_tried_for_the_next():
    results = iter([ValueError("no such client"), "good"])

    async def renew() -> str:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    async with (
        scripted(lambda asked: Say()) as server,
        HTTPStream(auth=BearerAuth(renew=renew)) as stream,
    ):
        both = await asyncio.gather(
            stream.fetch(server.url), stream.fetch(server.url), return_exceptions=True
        )
        assert [type(one) for one in both] == [AuthError, AuthError]
        assert "no such client" in str(both[0])
        assert not server.asked
        assert (await stream.fetch(server.url)).status == 200


async def test_a_renewal_without_a_token_is_an_error():
    async with HTTPStream(auth=BearerAuth(renew=lambda: None)) as stream:
        with pytest.raises(AuthError, match="without any"):
            await stream.fetch("http://127.0.0.1:1/")


async def test_a_cancelled_link_does_not_come_back_after_the_renewal():
    tokens = Tokens()
    tokens.held = asyncio.Event()
    async with scripted(tokens) as server, HTTPStream() as stream:
        session = stream.session("api", auth=bearer(stream, server))
        chain = stream.add_request(f"{server.url}/gone", print, session=session)
        assert chain.cancel()
        tokens.held.set()
        await stream.drain()
        assert "/gone" not in server.paths


async def test_a_streamed_response_that_is_refused_is_renewed_too():
    async with scripted(Tokens()) as server, HTTPStream() as stream:
        session = stream.session("api", auth=bearer(stream, server, "stale"))
        async with stream.open(server.url, session=session) as answer:
            assert [chunk async for chunk in answer.stream] == [b"welcome"]


async def test_renewal_and_retries_get_along():
    tokens = Tokens()

    async def script(asked: Asked) -> Say:
        return Say(503) if asked.number in (0, 3) else await tokens(asked)

    async with scripted(script) as server, HTTPStream(retry=Retry(wait=wait_none())) as stream:
        session = stream.session("api", auth=bearer(stream, server, "stale"))
        answer = await stream.fetch(server.url, session=session)
        assert answer.text == "welcome"
        assert len(answer.retried) == 2


# -- logins by cookies --------------------------------------------------------------------------


def soon() -> Retry:
    return Retry(wait=wait_none())


class Portal:
    """Lets in who has the cookie of the last login."""

    def __init__(self) -> None:
        self.logins = 0

    def __call__(self, asked: Asked) -> Say:
        if asked.path == "/login":
            self.logins += 1
            return Say(200, b"", {"Set-Cookie": f"sid={self.logins}"})
        is_in = asked.headers["Cookie"] == f"sid={self.logins}"
        return Say(200, b"inside" if is_in else b"please log in")


def read(response):
    if response.text == "please log in":
        raise LoggedOut


async def test_the_login_is_a_chain_that_runs_first_and_when_a_reader_says_so():
    portal = Portal()
    async with scripted(portal) as server, HTTPStream() as stream:
        auth = LoginAuth(lambda: (f"{server.url}/login", None))
        session = stream.session("ann", auth=auth)
        await stream.add_request(f"{server.url}/1", read, session=session)
        portal.logins += 1  # the server forgets
        chains = [stream.add_request(f"{server.url}/2", read, session=session) for _ in range(5)]
        for answer in await asyncio.gather(*chains):
            assert answer.text == "inside"
        assert server.paths.count("/login") == 2


async def test_a_reader_that_says_it_again_gets_its_error(caplog):
    async with scripted(lambda asked: Say(200, b"please log in")) as server:
        stream = HTTPStream(auth=LoginAuth(lambda: (f"{server.url}/login", None)))
        chain = stream.add_request(server.url, read)
        with pytest.raises(LoggedOut):
            await chain
        stream.close()
        assert server.paths == ["/login", "/", "/login", "/"]


async def test_without_credentials_logged_out_is_an_error_like_any_other(caplog):
    async with scripted(lambda asked: Say(200, b"please log in")) as server, HTTPStream() as stream:
        seen = []
        await stream.add_request(server.url, read, errback=seen.append)
        assert isinstance(seen[0], LoggedOut)


async def test_an_async_reader_may_say_so_too():
    async def read_later(response):
        await asyncio.sleep(0)
        read(response)

    async with scripted(Portal()) as server:
        auth = LoginAuth(lambda: Next(f"{server.url}/login"), is_logged_in=True)
        async with HTTPStream(auth=auth) as stream:
            assert (await stream.add_request(server.url, read_later)).text == "inside"


async def test_a_login_of_several_steps():
    async with scripted(Portal()) as server:

        def login():
            return f"{server.url}/form", lambda _: (f"{server.url}/login", None)

        async with HTTPStream(auth=LoginAuth(login)) as stream:
            assert (await stream.add_request(server.url, read)).text == "inside"
            assert server.paths == ["/form", "/login", "/"]


async def test_credentials_of_ones_own_kind():
    class Signed(Auth):
        def sign(self, request: Request) -> Request:
            return request.replace(headers=[*request.header_pairs, ("X-Signature", "abc")])

    async with (
        scripted(lambda asked: Say(200, asked.headers["X-Signature"].encode())) as server,
        HTTPStream(auth=Signed()) as stream,
    ):
        assert (await stream.fetch(server.url)).text == "abc"


def test_a_bearer_without_a_token_and_a_way_to_get_one_is_refused():
    with pytest.raises(ValueError, match="token"):
        BearerAuth()


@pytest.mark.parametrize("is_plain", [False, True])
async def test_a_renewal_that_is_closed_before_it_begins_leaves_no_coroutine(web: Web, is_plain):
    async def renew():
        return "never"

    auth = BearerAuth(renew=(lambda: renew()) if is_plain else renew)  # noqa: PLW0108
    stream = HTTPStream(auth=auth)
    chain = stream.add_request(web.http, print)
    stream.close()  # a warning, that the coroutine was never awaited, would fail the test
    with pytest.raises(ClosedError):
        await chain


async def test_credentials_that_were_replaced_are_given_back(web: Web):
    async with HTTPStream() as stream:
        known = weakref.WeakSet()
        for number in range(5):
            session = stream.session("ann", auth=BearerAuth(f"token-{number}"))
            known.add(session.auth)
            await stream.fetch(web.http, session=session)
        gc.collect()
        assert [auth.token for auth in known] == ["token-4"]


async def test_credentials_that_were_replaced_on_the_way_are_tried_before_they_are_renewed():
    def script(asked: Asked) -> Say:
        if asked.headers["Authorization"] == "Bearer new":
            return Say()
        stream.session("ann", auth=BearerAuth("new", renew=renewals.append))
        return Say(401)

    renewals = []
    async with scripted(script) as server, HTTPStream() as stream:
        session = stream.session("ann", auth=BearerAuth("old", renew=lambda: "older"))
        assert (await stream.fetch(server.url, session=session)).status == 200
    assert len(renewals) == 0


async def test_a_refusal_behind_a_redirect_keeps_its_history_where_it_is_not_sent_again():
    def script(asked: Asked) -> Say:
        if asked.path == "/":
            return Say(302, b"", {"Location": "/there"})
        return Say(401, b"no")

    auth = BearerAuth("old", renew=lambda: "new")
    async with scripted(script) as server, HTTPStream(auth=auth) as stream:
        response = await stream.fetch(Request(server.url, sink=bytearray().extend))
    assert (response.status, response.url) == (401, f"{server.url}/there")
    assert [hop.status for hop in response.history] == [302]
