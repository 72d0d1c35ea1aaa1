"""What a stream and its sessions have in common for all their requests."""

from __future__ import annotations

import pytest
from servers.web import Web

from webqq_tornado import HTTPStream, Request
from webqq_tornado.engine.defaults import RequestDefaults, request_defaults


async def told(stream: HTTPStream, url: str, **options) -> dict:
    """What the server got, with its headers by name."""
    got = (await stream.get(url, **options)).json()
    return {**got, "headers": dict(got["headers"])}


async def test_relative_urls_are_relative_to_the_base_url(web: Web):
    async with HTTPStream(base_url=f"{web.http}/echo/v1") as stream:
        assert (await told(stream, "users"))["uri"] == "/echo/v1/users"
        assert (await told(stream, "/echo"))["uri"] == "/echo"
        assert (await told(stream, "users", params={"a": 1}))["uri"] == "/echo/v1/users?a=1"
        assert (await stream.fetch("users")).json()["uri"] == "/echo/v1/users"
        async with stream.open("users") as response:
            assert b"/echo/v1/users" in await response.stream.read()


async def test_links_of_begin_and_add_request_are_relative_to_the_base_url(web: Web):
    seen = []

    class Flow(HTTPStream):
        def begin(self):
            return "echo", seen.append

    async with Flow(base_url=web.http) as flow:
        await flow.launch()
        await flow.add_request("echo", seen.append)
    assert [response.url for response in seen] == [f"{web.http}/echo"] * 2


async def test_headers_and_params_are_added_where_a_request_has_none(web: Web):
    async with HTTPStream(headers={"X-A": "1", "X-B": "2"}, params={"key": "k"}) as stream:
        got = await told(stream, f"{web.http}/echo?own=1", headers={"x-b": "mine"})
        assert got["uri"] == "/echo?own=1&key=k"
        assert (got["headers"]["X-A"], got["headers"]["X-B"]) == ("1", "mine")
        assert (await told(stream, f"{web.http}/echo?key=mine"))["uri"] == "/echo?key=mine"


async def test_a_response_s_request_sent_again_is_the_same(web: Web):
    seen = []
    async with HTTPStream(params={"key": "k"}, headers={"X-A": "1"}) as stream:

        def read(response):
            seen.append(response.json())
            return (response.request, read) if len(seen) < 3 else None

        await stream.add_request(f"{web.http}/echo", read)
    assert [got["uri"] for got in seen] == ["/echo?key=k"] * 3
    assert [got["headers"].count(["X-A", "1"]) for got in seen] == [1, 1, 1]


async def test_another_origin_gets_no_secrets_params_or_credentials(web: Web):
    options = {"headers": {"Authorization": "secret", "X-A": "1"}, "params": {"key": "k"}}
    async with HTTPStream(base_url=web.http, **options) as stream:
        got = await told(stream, f"{web.other}/echo")
        assert got["uri"] == "/echo"
        assert "Authorization" not in got["headers"]
        assert got["headers"]["X-A"] == "1"
        assert (await told(stream, "echo"))["headers"]["Authorization"] == "secret"


async def test_user_and_password_go_to_the_origin_of_the_base_url_alone(web: Web):
    async with HTTPStream(base_url=web.http, auth=("ann", "pw")) as stream:
        assert "Authorization" in (await told(stream, "echo"))["headers"]
        assert "Authorization" not in (await told(stream, f"{web.other}/echo"))["headers"]


async def test_a_session_takes_over_what_it_does_not_say(web: Web):
    async with HTTPStream(base_url=web.http, headers={"X-A": "1", "X-B": "2"}) as stream:
        ann = stream.session("ann", headers={"X-B": "ann"}, params={"who": "ann"})
        got = await told(stream, "echo", session=ann)
        assert got["uri"] == "/echo?who=ann"
        assert (got["headers"]["X-A"], got["headers"]["X-B"]) == ("1", "ann")
        assert (await told(stream, "echo"))["headers"]["X-B"] == "2"


async def test_a_session_with_credentials_does_not_send_the_stream_s(web: Web):
    headers = {"Authorization": "stream"}
    async with HTTPStream(base_url=web.http, headers=headers, auth=("a", "b")) as stream:
        ann, bob = stream.session("ann", auth=("ann", "pw")), stream.session("bob")
        assert (await told(stream, "echo", session=ann))["headers"]["Authorization"][:5] == "Basic"
        assert (await told(stream, "echo", session=bob))["headers"]["Authorization"] == "stream"


async def test_a_session_can_be_given_more_later(web: Web):
    async with HTTPStream(base_url=web.http) as stream:
        stream.session("ann", headers={"X-A": "1"}, auth=("ann", "pw"))
        ann = stream.session("ann", headers={"X-B": "2"})
        got = (await told(stream, "echo", session=ann))["headers"]
        assert (got["X-A"], got["X-B"], got["Authorization"][:5]) == ("1", "2", "Basic")


async def test_timeout_is_the_request_timeout_of_all():
    stream = HTTPStream(timeout=5)
    assert stream.defaults["request_timeout"] == 5
    stream.close()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"base_url": "users"}, "base_url: URL 'users' is not absolute"),
        ({"headers": {"X\n": "1"}}, "header name"),
        ({"timeout": -1}, "timeout is seconds"),
        ({"auth": ("ann",)}, r"auth is \(user, password\)"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(options, named):
    with pytest.raises(ValueError, match=named):
        HTTPStream(**options)


def test_applied_twice_it_changes_nothing():
    defaults = request_defaults("http://a.example", {"X-A": "1"}, {"k": "v"}, 5, ("u", "p"))
    assert defaults is not None
    once = defaults.applied(Request("http://a.example/"))
    assert defaults.applied(once) is once
    again = defaults.applied(once.replace(method="PUT"))
    assert (again.url, again.header_pairs) == (once.url, once.header_pairs)


def test_a_request_that_is_given_again_is_made_once():
    defaults = RequestDefaults(headers=(("X-A", "1"),))
    request = Request("http://a.example/")
    assert defaults.applied(request) is defaults.applied(request)


def test_its_repr_shows_no_password():
    assert "pw" not in repr(request_defaults(credentials=("ann", "pw")))


def test_a_base_url_with_a_query_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="base_url has a query: give that as params="):
        HTTPStream(base_url="http://h/a?key=1")


@pytest.mark.parametrize("headers", [None, {"X-Own": "B"}])
async def test_a_request_of_one_session_takes_nothing_of_it_into_another(web: Web, headers):
    async with HTTPStream() as stream:
        one = stream.session("A", headers={"X-Token": "A"})
        other = stream.session("B", headers=headers or ())
        first = await stream.fetch(f"{web.http}/echo", session=one)
        for session in (other, None, one):
            got = (await stream.fetch(first.request, session=session)).json()
            sent = dict(got["headers"])
            assert sent.get("X-Token") == ("A" if session is one else None)
            assert sent.get("X-Own") == ("B" if session is other and headers else None)


def test_two_timeouts_of_a_stream_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="timeout= and the request_timeout of defaults="):
        HTTPStream(timeout=5, defaults={"request_timeout": 6})
