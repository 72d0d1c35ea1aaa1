"""`HTTPStreamClient` beyond what Tornado's own suites ask of it (`test_tornado_suites.py`)."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import os
import pickle
import ssl
import time

import pytest
from descriptors import open_descriptors
from servers.proxies import PASSWORD, USER, Proxies
from servers.raw import answer, raw_server, saying
from servers.web import Web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders
from tornado.ioloop import IOLoop
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError
from waiting import until

from engine.readers import run_script
from webqq_tornado.httpclient import HTTPStreamClient, HTTPStreamError


def client(**arguments: object) -> HTTPStreamClient:
    return HTTPStreamClient(force_instance=True, **arguments)


async def test_configured_it_is_the_client_of_an_app(web: Web):
    AsyncHTTPClient.configure("webqq_tornado.httpclient.HTTPStreamClient", max_clients=7)
    try:
        http = AsyncHTTPClient()
        assert type(http) is HTTPStreamClient
        assert http.max_clients == 7
        assert AsyncHTTPClient() is http
        response = await http.fetch(f"{web.http}/bytes/3")
        assert response.body == b"012"
        http.close()
    finally:
        AsyncHTTPClient.configure(None)


def test_each_loop_has_its_own():
    async def instance() -> HTTPStreamClient:
        return HTTPStreamClient()

    loops = [IOLoop(make_current=False) for _ in range(2)]
    first, second = (loop.run_sync(instance) for loop in loops)
    assert first is not second
    for one, loop in zip((first, second), loops, strict=True):
        one.close()
        loop.close()


async def test_the_short_way_and_the_long_one_answer_alike(web: Web):
    http = client()
    url = f"{web.http}/status/404"
    short = await http.fetch(url, raise_error=False)
    long = await http.fetch(HTTPRequest(url), raise_error=False)
    for name in ("code", "reason", "body", "effective_url"):
        assert getattr(short, name) == getattr(long, name)
    assert short.request.url == long.request.url == url
    assert short.headers["Content-Type"] == long.headers["Content-Type"]
    assert short.time_info.keys() == long.time_info.keys()
    assert short.buffer.read() == short.body
    assert type(short.error) is type(long.error) is HTTPClientError
    http.close()


@pytest.mark.parametrize("headers", [{"X-A": "b"}, HTTPHeaders({"X-A": "b"})])
async def test_headers_of_either_kind_are_sent_by_the_short_way_too(web: Web, headers):
    http = client(defaults={"user_agent": "mine"})
    request = HTTPRequest(f"{web.http}/echo", headers=headers)
    response = await http.fetch(request)
    told = dict(json.loads(response.body)["headers"])
    assert (told["X-A"], told["User-Agent"]) == ("b", "mine")
    assert response.request is request
    plain = await http.fetch(f"{web.http}/echo")
    assert "X-A" not in dict(json.loads(plain.body)["headers"])
    http.close()


async def test_the_clients_own_defaults_hold_by_both_ways(web: Web):
    def prepare(curl):
        curl.setopt(curl.USERAGENT, "prepared")

    url = f"{web.http}/echo"
    settings = {"auth_username": "ann", "auth_password": "pw", "allow_ipv6": False}
    for defaults, name, value in (
        (settings, "Authorization", "Basic YW5uOnB3"),
        ({"prepare_curl_callback": prepare}, "User-Agent", "prepared"),
    ):
        http = client(defaults=defaults)
        for request in (
            url,
            HTTPRequest(url),
            HTTPRequest(url, headers={"X": "y"}, method="POST", body=""),
        ):
            told = dict(json.loads((await http.fetch(request)).body)["headers"])
            assert told[name] == value
        http.close()


async def test_a_bad_status_raises_with_the_response(web: Web):
    http = client()
    with pytest.raises(HTTPClientError) as caught:
        await http.fetch(f"{web.http}/status/418")
    assert caught.value.code == 418
    assert caught.value.response.code == 418
    http.close()


async def test_time_info_is_that_of_curl_httpclient(web: Web):
    http = client()
    response = await http.fetch(web.http)
    phases = {"queue", "namelookup", "connect", "appconnect", "pretransfer", "starttransfer"}
    assert phases <= response.time_info.keys()
    assert 0 < response.time_info["total"] == pytest.approx(response.request_time)
    http.close()


async def test_it_keeps_no_cookies(web: Web):
    http = client()
    await http.fetch(f"{web.http}/set-cookie?a=1", raise_error=False)
    names = [name for name, _ in json.loads((await http.fetch(f"{web.http}/echo")).body)["headers"]]
    assert "Cookie" not in names
    http.close()


async def test_max_clients_wait_in_order(web: Web):
    http = client(max_clients=1)
    order: list[str] = []

    async def fetch(name: str) -> None:
        await http.fetch(f"{web.http}/echo?{name}")
        order.append(name)

    await asyncio.gather(*(fetch(name) for name in "abcd"))
    assert order == list("abcd")
    http.close()


async def test_the_queue_has_the_shorter_of_both_timeouts(web: Web):
    http = client(max_clients=1)
    held = asyncio.ensure_future(http.fetch(f"{web.http}/hold/queue"))
    with pytest.raises(HTTPTimeoutError, match="queue"):
        await http.fetch(HTTPRequest(web.http, request_timeout=0.05))
    assert len(http.queue) == 0
    other = client()
    await other.fetch(f"{web.http}/release/queue")
    assert (await held).code == 200
    http.close()
    other.close()


async def test_close_fails_what_is_in_flight_and_what_waits(web: Web):
    http = client(max_clients=1)
    futures = [http.fetch(f"{web.http}/hold/closing") for _ in range(3)]
    http.close()
    for future in futures:
        with pytest.raises(HTTPStreamClosedError, match="closed"):
            await future
    with pytest.raises(RuntimeError, match="closed"):
        await http.fetch(web.http)


async def test_a_refused_connection_is_an_oserror_too():
    http = client()
    with pytest.raises(OSError, match=r"\[Errno 111\] Connection refused") as caught:
        await http.fetch("http://127.0.0.1:1/")
    assert isinstance(caught.value, HTTPStreamError)
    assert (caught.value.code, caught.value.errno) == (599, 7)
    http.close()


async def test_the_last_of_too_many_redirects_is_the_answer(web: Web):
    http = client()
    request = HTTPRequest(f"{web.http}/hops/5", max_redirects=2)
    response = await http.fetch(request, raise_error=False)
    assert response.code == 302
    assert response.effective_url.endswith("/hops/3")
    http.close()


async def test_a_proxy_with_a_password(web: Web, proxies: Proxies):
    http = client()
    proxy = {"proxy_host": "127.0.0.1", "proxy_port": proxies.http_auth}
    url = web.http.replace("127.0.0.1", "somewhere.test")
    with pytest.raises(HTTPClientError, match="407"):
        await http.fetch(url, proxy_username="nobody", proxy_password="x", **proxy)
    response = await http.fetch(url, proxy_username=USER, proxy_password=PASSWORD, **proxy)
    assert response.code == 200
    http.close()


async def test_a_client_certificate_by_ssl_options(web: Web):
    http = client()
    options = {"certfile": web.client, "ca_certs": web.ca}
    assert (await http.fetch(web.mutual, ssl_options=options)).code == 200
    http.close()


async def test_an_ssl_context_is_refused_with_what_to_give_instead(web: Web):
    http = client()
    with pytest.raises(ValueError, match="client_cert"):
        await http.fetch(web.https, ssl_options=ssl.create_default_context())
    http.close()


async def test_a_coroutine_as_streaming_callback_holds_the_sender(web: Web):
    http = client()
    taken = 0

    async def take(chunk: bytes) -> None:
        nonlocal taken
        await asyncio.sleep(0)
        taken += len(chunk)

    response = await http.fetch(f"{web.http}/bytes/3000000", streaming_callback=take)
    assert taken == 3_000_000
    assert response.body == b""
    http.close()


async def test_prepare_curl_callback_has_the_last_word(web: Web):
    http = client()

    def prepare(curl):
        curl.setopt(curl.USERAGENT, "prepared")

    response = await http.fetch(f"{web.http}/echo", prepare_curl_callback=prepare)
    assert ["User-Agent", "prepared"] in json.loads(response.body)["headers"]
    plain = await http.fetch(HTTPRequest(f"{web.http}/echo"))
    assert b"prepared" not in plain.body
    http.close()


@pytest.mark.parametrize("is_redirected", [False, True])
async def test_a_prepare_curl_callback_that_raises_cancelled_is_the_error_of_its_fetch(
    web: Web, is_redirected, caplog
):
    """`future.result()` raises it, say. Its place is free then."""
    asked = 0

    def prepare(_easy: object) -> None:
        nonlocal asked
        asked += 1
        if asked > is_redirected:
            raise asyncio.CancelledError

    http = client(max_clients=1)
    url = f"{web.http}/redirect?to=/bytes/3" if is_redirected else web.http
    with pytest.raises(HTTPClientError if is_redirected else RuntimeError):
        await asyncio.wait_for(http.fetch(url, prepare_curl_callback=prepare), 60)
    assert (await http.fetch(f"{web.http}/bytes/3")).body == b"012"
    http.close()


def test_a_fetch_without_a_descriptor_left_is_an_error_and_the_next_one_goes(web: Web):
    script = """
        import asyncio, os, resource, sys
        from webqq_tornado.httpclient import HTTPStreamClient

        async def main():
            http = HTTPStreamClient(max_clients=1)
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
            fetches = [http.fetch(sys.argv[1]) for _ in range(3)]
            errors = await asyncio.gather(*fetches, return_exceptions=True)
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
            good = await http.fetch(sys.argv[1])
            http.close()
            print(good.code, *(type(error).__name__ for error in errors))

        asyncio.run(asyncio.wait_for(main(), 60))
    """
    assert run_script(script, web.http).split() == ["200", *["_ConnectError"] * 3]


async def test_what_broke_off_is_a_closed_stream():
    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    http = client()
    async with raw_server(hang_up) as url:
        with pytest.raises(HTTPStreamClosedError):
            await http.fetch(url)
    http.close()


async def test_a_cancelled_fetch_leaves_nothing(web: Web):
    http = client()
    await http.fetch(web.http)
    before = open_descriptors()
    future = http.fetch(f"{web.http}/bytes/5")
    future.cancel()
    await http.fetch(web.http)
    await until(lambda: open_descriptors() <= before + 1)
    http.close()


async def test_a_url_may_be_bytes_as_for_curl_httpclient(web: Web):
    http = client()
    url = f"{web.http}/bytes/1".encode()
    for request in (url, HTTPRequest(url), HTTPRequest(url, headers={"A": "b"})):
        assert (await http.fetch(request)).body == b"0"
    posted = await http.fetch(url, method="POST", body="", raise_error=False)
    assert posted.code == 405
    http.close()


def test_loops_that_come_and_go_leave_nothing_behind(web: Web):
    """As of scripts that call `asyncio.run` again and again, and close no client."""

    async def fetch() -> HTTPStreamClient:
        http = HTTPStreamClient()
        assert (await http.fetch(web.http)).code == 200
        http.fetch(f"{web.http}/hold/loops")
        return http

    first = asyncio.run(fetch())
    descriptors = open_descriptors()
    for _ in range(3):
        last = asyncio.run(fetch())
    assert open_descriptors() <= descriptors
    assert (first._closed, last._closed) == (True, False)
    last.close()


def test_closing_a_loop_with_all_its_files_takes_nobody_elses_number(web: Web):
    """A client that nobody closed must not close, when it goes, what has its number by then."""
    loop = IOLoop(make_current=False)

    async def make() -> HTTPStreamClient:
        http = client()
        await http.fetch(web.http)
        return http

    http = loop.run_sync(make)
    number = http._transport._idle._epoll.fileno()
    loop.close(all_fds=True)
    heir = os.open(os.devnull, os.O_RDONLY)
    os.dup2(heir, number)
    del http, make
    gc.collect()
    os.close(number)  # raises if it is closed already
    os.close(heir)


async def test_thousands_that_cannot_be_sent_leave_the_queue_one_by_one(web: Web):
    http = client(max_clients=1)

    def refuse(curl):
        raise ZeroDivisionError("no")

    held = http.fetch(f"{web.http}/hold/refused")
    futures = [http.fetch(web.http, prepare_curl_callback=refuse) for _ in range(3000)]
    last = http.fetch(f"{web.http}/bytes/3")
    other = client()
    await other.fetch(f"{web.http}/arrived/refused")
    await other.fetch(f"{web.http}/release/refused")
    other.close()
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert {type(one) for one in results} == {ValueError}
    assert (await held).code == 200
    assert (await last).body == b"012"
    http.close()


@pytest.mark.slow
async def test_thousands_that_time_out_in_the_queue_do_not_hold_up_the_loop(web: Web):
    http = client(max_clients=1)
    held = http.fetch(f"{web.http}/hold/queue-timeouts")
    futures = [http.fetch(HTTPRequest(web.http, request_timeout=0.1)) for _ in range(20_000)]
    began = time.process_time()
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert {type(one).__name__ for one in results} == {"_TimeoutError"}
    assert time.process_time() - began < 5  # 0.2 s
    http.close()
    with pytest.raises(HTTPStreamClosedError):
        await held


async def test_a_body_producer_that_fails_is_the_error_of_its_fetch(web: Web, caplog):
    async def producer(write):
        await write(b"some")
        raise ZeroDivisionError("no more")

    http = client()
    with pytest.raises(HTTPStreamClosedError):
        await asyncio.wait_for(
            http.fetch(f"{web.http}/echo", method="POST", body_producer=producer), 5
        )
    assert "no more" in caplog.text
    assert (await http.fetch(web.http)).code == 200
    http.close()


async def test_a_body_producer_is_cancelled_with_its_client(web: Web):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def producer(write):
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    http = client()
    future = http.fetch(f"{web.http}/echo", method="POST", body_producer=producer)
    await begun.wait()
    http.close()
    await asyncio.wait_for(ended.wait(), 60)
    with pytest.raises(HTTPStreamClosedError):
        await future


async def test_close_says_nothing_of_a_fetch_that_was_cancelled(web: Web):
    http = client()
    future = http.fetch(f"{web.http}/hold/cancelled-and-closed")
    future.cancel()
    await asyncio.sleep(0)
    http.close()  # a line in the log would fail the test
    assert future.cancelled()


# -- errors elsewhere ---------------------------------------------------------------------------


def _kinds(kind: type[HTTPStreamError] = HTTPStreamError) -> list[type[HTTPStreamError]]:
    return [kind, *(one for child in kind.__subclasses__() for one in _kinds(child))]


@pytest.mark.parametrize("kind", _kinds())
@pytest.mark.parametrize("how", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_is_the_same_after_it_was_pickled_or_copied(kind, how):
    error = kind(7, "no connection")
    error.note = "mine"
    again = how(error)
    assert type(again) is kind
    assert (str(again), repr(again)) == (str(error), repr(error))
    for name in ("code", "errno", "message", "response", "note", "args"):
        assert getattr(again, name) == getattr(error, name)


async def test_an_answer_that_is_an_error_is_pickled_with_its_response(web: Web):
    client = HTTPStreamClient(force_instance=True)
    with pytest.raises(HTTPClientError) as caught:
        await client.fetch(f"{web.http}/status/404")
    client.close()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.code, again.message) == (404, caught.value.message)
    assert again.response.body == caught.value.response.body
    assert again.response.headers == caught.value.response.headers


@pytest.mark.parametrize("line", [b"\x01X: 1", b"X Y: 1", b"X@: 1", b"X: a\x01b", b"X: a\x7fb"])
async def test_headers_that_tornado_does_not_take_leave_the_others(line: bytes):
    tornados = client()
    async with raw_server(saying(answer(b"ok", line, b"X-Right: 1"))) as url:
        response = await tornados.fetch(url)
    tornados.close()
    assert response.body == b"ok"
    assert set(response.headers) == {"Content-Length", "X-Right", "X-Http-Reason"}
