"""Links by method: returned by readers, and awaited."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from servers.scripted import Say, scripted
from servers.web import Web

from engine.readers import REFUSED
from webqq_tornado import ConnectError, Gather, HTTPStream, Next, Response

METHODS = ("get", "post", "put", "patch", "delete", "options")


@pytest.mark.parametrize("method", METHODS)
async def test_a_link_by_method_is_awaited_for_its_response(web: Web, method):
    async with HTTPStream() as stream:
        response = await getattr(stream, method)(f"{web.http}/echo")
        assert response.json()["method"] == method.upper()


async def test_head_has_no_body(web: Web):
    async with HTTPStream() as stream:
        response = await stream.head(f"{web.http}/echo")
    assert (response.status, response.body) == (200, b"")


async def test_a_link_by_method_is_returned_by_a_reader(web: Web):
    seen = []
    async with HTTPStream() as stream:

        def first(response):
            return stream.post("/echo", second, json={"n": 1})

        def second(response):
            seen.append(response.json())

        await stream.add_request(web.http, first)
    assert seen[0]["method"] == "POST"
    assert json.loads(seen[0]["body"]) == {"n": 1}


async def test_links_by_method_are_yielded_by_begin(web: Web):
    seen = []

    class Flow(HTTPStream):
        def begin(self):
            yield self.get("/echo", self.read, params={"a": 1})
            yield self.get("/echo", self.read, params={"a": 2})

        def read(self, response):
            seen.append(response.json()["uri"])

    flow = Flow(base_url=web.http)
    await flow.launch()
    flow.close()
    assert sorted(seen) == ["/echo?a=1", "/echo?a=2"]


async def test_a_link_by_method_is_gathered(web: Web):
    gathered = []
    async with HTTPStream() as stream:
        links = [stream.get(f"{web.http}/echo"), stream.get(f"{web.http}/status/404")]
        await stream.add_request(web.http, lambda _: Gather(links, gathered.extend))
    assert [response.status for response in gathered] == [200, 404]


async def test_a_link_by_method_can_be_a_task(web: Web):
    async with HTTPStream() as stream:
        task = asyncio.create_task(stream.get(f"{web.http}/echo"))
        both = await asyncio.gather(task, asyncio.wait_for(stream.get(f"{web.http}/echo"), 60))
    assert [response.status for response in both] == [200, 200]


async def test_links_that_say_the_same_are_sent_as_often_as_they_are_awaited():
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        await asyncio.gather(*(stream.get(server.url) for _ in range(3)))
        for response in asyncio.as_completed([stream.get(server.url) for _ in range(2)]):
            await response
    assert len(server.asked) == 5


async def test_a_task_of_a_link_is_cancelled_with_its_request(web: Web):
    async with HTTPStream() as stream:
        task = asyncio.create_task(stream.get(f"{web.http}/hold/cancelled-task"))
        await stream.fetch(f"{web.http}/arrived/cancelled-task")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stream.drain(60)


async def test_a_link_that_is_changed_can_still_be_awaited(web: Web):
    async with HTTPStream() as stream:
        response = await stream.get(f"{web.http}/echo")._replace(priority=3)
        assert response.status == 200


async def test_data_goes_to_the_reader(web: Web):
    seen = []

    def read(response, page):
        seen.append((page, response.json()["uri"]))
        if page < 3:
            return response.follow(f"?page={page + 1}", read, data={"page": page + 1})
        return None

    async with HTTPStream() as stream:
        await stream.add_request(stream.get(f"{web.http}/echo", read, data={"page": 1}))
    assert seen == [(1, "/echo"), (2, "/echo?page=2"), (3, "/echo?page=3")]


async def test_data_goes_to_the_errback_as_far_as_it_takes_it():
    seen = []

    def failed(error, page):
        seen.append((type(error), page))

    async with HTTPStream() as stream:
        data = {"page": 1, "other": 2}
        await stream.add_request(Next("http://127.0.0.1:1/", None, errback=failed, data=data))
    assert seen == [(ConnectError, 1)]


async def test_a_builtin_as_errback_gets_the_error_alone(caplog):
    async with HTTPStream() as stream:
        stream.add_request(stream.get(REFUSED, errback=str, data={"n": 1}))
    assert "str returned" in caplog.text  # the text of the error, which is no link


async def test_data_is_for_one_link(web: Web):
    seen = []

    def second(response, **data):
        seen.append(data)

    async with HTTPStream() as stream:
        link = stream.get(web.http, lambda response, n: (web.http, second), data={"n": 1})
        await stream.add_request(link)
    assert seen == [{}]


async def test_data_without_a_reader_is_no_form():
    async with HTTPStream() as stream:
        with pytest.raises(TypeError, match="form= sends fields, json= JSON"):
            stream.post("http://127.0.0.1/", data={"name": "Ann"})


@pytest.mark.parametrize(
    ("name", "ours"), [("allow_redirects", "follow_redirects="), ("verify", "validate_cert=")]
)
async def test_names_of_other_clients_are_answered_with_ours(name, ours):
    async with HTTPStream() as stream:
        with pytest.raises(TypeError, match=f"Request has no {name}=.*{ours}"):
            stream.get("http://127.0.0.1/", **{name: True})


async def test_an_argument_that_nobody_has_is_named():
    async with HTTPStream() as stream:
        with pytest.raises(TypeError, match=r"no jason=: is it json=\?"):
            stream.get("http://127.0.0.1/", jason={})


async def test_names_of_other_clients_are_answered_wherever_they_are_given(web: Web):
    async with HTTPStream() as stream:
        response = await stream.get(f"{web.http}/echo")
        for call, says in (
            (lambda: HTTPStream(data={}), "HTTPStream has no data=: of a request form= sends"),
            (lambda: HTTPStream(json={}), "it is of one request: stream.post"),
            (lambda: stream.session("ann", verify=False), "stream.session has no verify=: "),
            (lambda: stream.session("ann", time_out=5), "is it timeout=?"),
            (lambda: stream.get(response.url, header={}), "Request has no header=: is it headers="),
            (lambda: stream.post(response.url, json={}, foo=1), "Request has no foo=: see help"),
            (lambda: response.follow("/", content=b""), "Request has no content=: it is body="),
            (lambda: response.follow("/", data={"a": 1}), "data= goes to a reader"),
        ):
            with pytest.raises(TypeError, match=re.escape(says)):
                call()
        for ask, says in (
            (lambda: response.iter_text, "iterate .stream"),
            (lambda: response.method, "it is .request.method"),
            (lambda: stream.mount, "replay="),
            (lambda: stream.cookies, "they are in .cookiejar"),
            (lambda: stream.session("ann").get, "stream.get(url, session=session)"),
            (lambda: stream.session("ann").headers, "by stream.session(name, ...)"),
            (
                lambda: stream.get(response.url).status_code,
                "await it, and of its response it is .s",
            ),
        ):
            with pytest.raises(AttributeError, match=re.escape(says)):
                ask()


async def _awaits(response: Response) -> None:
    await response.json()


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda response: response.text(), "response.text and response.url are text"),
        (lambda response: response.url.host, "response.url is text; urllib.parse.urlsplit"),
        (_awaits, "at once, without await"),
    ],
)
async def test_a_reader_that_takes_text_for_another_clients_object_is_told(
    web: Web, caplog, read, says: str
):
    async with HTTPStream() as stream:
        stream.add_request(f"{web.http}/echo", read)
    assert says in caplog.text


async def test_a_relative_url_without_a_base_is_an_error_that_says_what_to_give():
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="base_url= of the stream"):
            await stream.get("users")
        with pytest.raises(ValueError, match="base_url= of the stream"):
            stream.add_request("/users", None)
