"""The opening handshake of WebSockets: RFC 6455, 4.1, and what a request can say of it."""

from __future__ import annotations

import asyncio
import base64
import ssl

import pytest
from servers.proxies import PASSWORD, USER, Proxies
from servers.raw import answer, raw_server, saying
from servers.web import Web
from servers.ws import TEXT, Sending, accepting, closing, frame, headers_of
from tenacity import stop_after_attempt, wait_none
from waiting import put_ahead

from webqq_tornado import (
    HTTPStream,
    ProtocolError,
    ProxyError,
    RedirectError,
    Request,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
)
from webqq_tornado.retry import Retry

HELLO = frame(TEXT, b"hello") + closing(1000)


def ws(url: str) -> str:
    return url.replace("http", "ws", 1)


async def opened(url: str, stream: HTTPStream | None = None, **options) -> list[str]:
    """What a server has said that lets us in."""
    seen: list[str] = []
    async with stream or HTTPStream() as stream:
        chain = stream.add_request(
            Request(url, **options), lambda message: seen.append(message.data), errback=_raise
        )
        chain._is_quiet = True
        await chain
    return seen


def _raise(error):
    raise error


class Answering:
    """A handler that answers the handshake with what `make` gives for its head."""

    def __init__(self, make) -> None:
        self.make = make

    async def __call__(self, reader, writer) -> None:
        writer.write(self.make(await reader.readuntil(b"\r\n\r\n")) + HELLO)
        await writer.drain()
        await reader.read()


WRONG = {
    "no Upgrade": lambda head: accepting(head, without="Upgrade"),
    "another Upgrade": lambda head: accepting(head, "Upgrade: h2c", without="Upgrade"),
    "two Upgrades": lambda head: accepting(head, "Upgrade: h2c"),
    "no Connection": lambda head: accepting(head, without="Connection"),
    "another Connection": lambda head: accepting(head, "Connection: close", without="Connection"),
    "no Accept": lambda head: accepting(head, without="Sec"),
    "an Accept for another key": lambda head: accepting(
        head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", without="Sec"
    ),
    "an empty Accept": lambda head: accepting(head, "Sec-WebSocket-Accept: ", without="Sec"),
    "an Accept in small letters": lambda head: (
        accepting(head)[:-32] + accepting(head)[-32:].lower()
    ),
    "a status line in small letters": lambda head: accepting(head).replace(b"HTTP", b"http"),
    "two Accepts": lambda head: accepting(head, "Sec-WebSocket-Accept: x"),
    "an extension that was not asked for": lambda head: accepting(
        head, "Sec-WebSocket-Extensions: x-webkit-deflate-frame"
    ),
    "a window that is none": lambda head: accepting(
        head, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"
    ),
    "the same extension twice": lambda head: accepting(
        head, "Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"
    ),
    "a list that is none": lambda head: accepting(head, "Sec-WebSocket-Extensions: ;;"),
    "a subprotocol that was not asked for": lambda head: accepting(
        head, "Sec-WebSocket-Protocol: other"
    ),
    "two subprotocols": lambda head: accepting(head, "Sec-WebSocket-Protocol: v1, v2"),
    "HTTP/1.0": lambda head: accepting(head).replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_handshake_that_is_wrong_opens_nothing(name):
    async with raw_server(Answering(WRONG[name])) as url:
        with pytest.raises(ProtocolError, match=r"handshake|HTTP") as caught:
            await opened(ws(url), subprotocols=["v1", "v2"])
        assert caught.value.request.url.startswith("ws:")


async def test_a_subprotocol_and_an_extension_that_nobody_asked_for():
    for line in ("Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Extensions: permessage-deflate"):
        async with raw_server(Answering(lambda head, line=line: accepting(head, line))) as url:
            with pytest.raises(ProtocolError, match=r"no (subprotocols|extensions) supported"):
                await opened(ws(url), decompress_response=False)


RIGHT = {
    "as it is": accepting,
    "names in small letters": lambda head: (
        accepting(head).replace(b"Upgrade:", b"upgrade:").replace(b"Connection:", b"connection:")
    ),
    "values in any case": lambda head: (
        accepting(head, "Upgrade: WebSocket", "Connection: keep-alive, UPGRADE", without="pgrade")
        .replace(b"Connection: Upgrade\r\n", b"")
        .replace(b"Upgrade: websocket\r\n", b"")
    ),
    "other headers": lambda head: accepting(head, "Server: x", "Date: now", "X-Name: \u5c0f"),
    "headers of bodies": lambda head: accepting(
        head, "Content-Length: 3", "Transfer-Encoding: chunked", "Content-Encoding: gzip"
    ),
    "an interim answer": lambda head: b"HTTP/1.1 103 X\r\nLink: <a>\r\n\r\n" + accepting(head),
    "no reason": lambda head: accepting(head).replace(b" Switching Protocols", b""),
    "a subprotocol": lambda head: accepting(head, "Sec-WebSocket-Protocol: v2"),
}


@pytest.mark.parametrize("name", RIGHT)
async def test_a_handshake_that_is_right_opens_it(name):
    async with raw_server(Answering(RIGHT[name])) as url:
        assert await opened(ws(url), subprotocols=["v1", "v2"]) == ["hello"]


@pytest.mark.parametrize("status", [200, 204, 300, 304, 400, 401, 403, 404, 426, 500, 503])
@pytest.mark.parametrize("body", [b"", b"no" * 50_000])
async def test_an_answer_that_lets_nobody_in_is_an_error_that_has_it(status, body):
    words = b"%d Oh dear" % status
    async with raw_server(saying(answer(body, b"X-Why: tired", status=words))) as url:
        with pytest.raises(ProtocolError, match=f"{status} Oh dear") as caught:
            await opened(ws(url))
    response = caught.value.response
    assert (response.status, response.headers["X-Why"]) == (status, "tired")


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 101 X\r\nUpgr", b"SSH-2.0-x\r\n", b"\x16\x03\x01\r\n\r\n", b"\x00" * 999],
    ids=["nothing", "half a head", "ssh", "tls", "zeros"],
)
async def test_an_answer_that_is_none_is_an_error(said):
    async with raw_server(saying(said)) as url:
        with pytest.raises(ProtocolError):
            await opened(ws(url))


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (503, 3)])
async def test_whether_it_is_tried_again_depends_on_the_answer(status, tries):
    heads = []

    async def refuse(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(b"", b"Retry-After: 0", status=b"%d X" % status))

    retry = Retry(stop=stop_after_attempt(3), wait=wait_none())
    async with raw_server(refuse) as url:
        with pytest.raises(ProtocolError):
            await opened(ws(url), HTTPStream(retry=retry))
    assert len(heads) == tries


# -- redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["", "ws:", "http:"])
async def test_a_redirect_is_followed(status, scheme):
    server, told = Sending(HELLO), []
    async with raw_server(server) as url, HTTPStream() as stream:
        place = f"{scheme}{url.removeprefix('http:')}/end?a=1"
        first = answer(b"x", b"Location: " + place.encode(), status=b"%d X" % status)
        async with raw_server(saying(first)) as start:
            stream.observe(lambda chain, request, outcome: told.append(outcome))
            assert await opened(ws(start), stream) == ["hello"]
    assert server.heads[0].startswith(b"GET /end?a=1 HTTP/1.1")
    assert told[0].url == f"{ws(url)}/end?a=1"
    assert [hop.status for hop in told[0].history] == [status]


async def test_a_redirect_leads_to_tls(web: Web):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(web.certificate)
    async with raw_server(Sending(HELLO), context) as end:
        first = answer(b"", b"Location: " + end.encode(), status=b"301 X")
        async with raw_server(saying(first)) as start:
            assert await opened(ws(start), ca_certs=web.ca) == ["hello"]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("ftp://127.0.0.1/", "no WebSocket"),
        ("javascript:alert(1)", "no WebSocket"),
        ("http://a b/", "no URL"),
        ("http://[::1", "no URL"),
        ("http://127.0.0.1:99999/", "no URL"),
    ],
)
async def test_a_redirect_that_leads_to_no_socket_is_an_error(location, why):
    first = answer(b"", b"Location: " + location.encode(), status=b"302 X")
    async with raw_server(saying(first)) as url:
        with pytest.raises(RedirectError, match=why) as caught:
            await opened(ws(url))
        assert caught.value.response.status == 302


async def test_a_redirect_does_not_lead_out_of_tls(web: Web):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(web.certificate)
    first = answer(b"", b"Location: ws://127.0.0.1:1/", status=b"302 X")
    async with raw_server(saying(first), context) as url:
        with pytest.raises(RedirectError, match="without TLS"):
            await opened(ws(url), ca_certs=web.ca)


@pytest.mark.parametrize("most", [0, 1, 3])
async def test_redirects_are_counted(most):
    seen = []

    async def round_and_round(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(b"", b"Location: /again", status=b"302 X"))

    async with raw_server(round_and_round) as url:
        with pytest.raises(RedirectError, match=f"max_redirects={most}"):
            await opened(ws(url), max_redirects=most)
    assert len(seen) == most + 1


async def test_a_redirect_that_is_not_to_be_followed_is_an_error_that_has_it():
    first = answer(b"", b"Location: /end", status=b"302 Found")
    async with raw_server(saying(first)) as url:
        with pytest.raises(ProtocolError, match="302 Found") as caught:
            await opened(ws(url), follow_redirects=False)
        assert caught.value.response.headers["Location"] == "/end"


async def redirected(location: str, other: Sending, **options) -> dict[str, list[str]]:
    """The headers that arrive where a redirect to another origin leads."""
    async with raw_server(other) as end:
        first = answer(b"", b"Location: " + location.format(end=end).encode(), status=b"302 X")
        async with raw_server(saying(first)) as start:
            await opened(ws(start), HTTPStream(defaults=options.pop("defaults", None)), **options)
    return headers_of(other.heads[0])


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"authorization": "Bearer x", "COOKIE": "a=1", "X-Other": "kept"}},
        {"auth_username": "ann", "auth_password": "pw", "headers": {"X-Other": "kept"}},
        {
            "defaults": {"auth_username": "ann", "auth_password": "pw"},
            "headers": {"X-Other": "kept"},
        },
    ],
)
async def test_credentials_do_not_follow_to_another_origin(options):
    headers = await redirected("{end}/", Sending(HELLO), **options)
    assert headers["x-other"] == ["kept"]
    assert not headers.keys() & {"authorization", "cookie"}


async def test_credentials_stay_within_an_origin():
    heads = []

    async def server(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(headers_of(head))
        if b"GET /end" in head:
            writer.write(accepting(head) + HELLO)
        else:
            writer.write(answer(b"", b"Location: /end", status=b"302 X"))

    async with raw_server(server) as url:
        await opened(ws(url).replace("//", "//ann:pw@"), headers={"X-Token": "t", "Cookie": "a=1"})
    basic = f"Basic {base64.b64encode(b'ann:pw').decode()}"
    assert [one["authorization"] for one in heads] == [[basic], [basic]]
    assert [one["cookie"] for one in heads] == [["a=1"], ["a=1"]]


async def test_cookies_of_a_redirect_are_those_of_the_next_hop():
    heads = []

    async def server(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(headers_of(head))
        if b"GET /end" in head:
            writer.write(accepting(head) + HELLO)
        else:
            cookies = (b"Set-Cookie: a=1", b"Set-Cookie: b=2; Path=/elsewhere")
            writer.write(answer(b"", b"Location: /end", *cookies, status=b"302 X"))

    async with raw_server(server) as url:
        await opened(ws(url))
    assert "cookie" not in heads[0]
    assert heads[1]["cookie"] == ["a=1"]


# -- what the request says ----------------------------------------------------------------------


async def test_the_handshake_has_what_it_must_and_no_body():
    server = Sending(HELLO)
    async with raw_server(server) as url:
        await opened(ws(url) + "/a?b=c#d")
    headers = headers_of(server.heads[0])
    assert server.heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert headers["host"] == [url.removeprefix("http://")]
    assert headers["connection"] == ["Upgrade"]
    assert headers["upgrade"] == ["websocket"]
    assert headers["sec-websocket-version"] == ["13"]
    assert len(base64.b64decode(headers["sec-websocket-key"][0])) == 16
    assert not headers.keys() & {"content-length", "transfer-encoding", "expect", "content-type"}
    assert "accept-encoding" not in headers


async def test_each_handshake_has_its_own_key():
    server = Sending(HELLO)
    async with raw_server(server) as url:
        for _ in range(3):
            await opened(ws(url))
    assert len({headers_of(head)["sec-websocket-key"][0] for head in server.heads}) == 3


@pytest.mark.parametrize(
    "name",
    ["Connection", "upgrade", "Sec-WebSocket-Key", "sec-websocket-version", "Content-Length",
     "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Transfer-Encoding"],
)  # fmt: skip
async def test_headers_of_the_handshake_are_not_the_callers(name):
    with pytest.raises(ValueError, match=name):
        await opened("ws://127.0.0.1:1/", headers={name: "x"})


@pytest.mark.parametrize("subprotocols", ["chat", ["a b"], ["a,b"], [""], ["a", "a"], ["\u5c0f"]])
def test_subprotocols_are_tokens_and_each_is_named_once(subprotocols):
    with pytest.raises(ValueError, match="subprotocols"):
        Request("ws://a.test/", subprotocols=subprotocols)


@pytest.mark.parametrize("scheme", ["http://", "socks5://", "socks5h://"])
async def test_it_goes_by_a_proxy(scheme, proxies: Proxies):
    port = proxies.http if scheme == "http://" else proxies.socks5
    async with raw_server(Sending(HELLO)) as url:
        assert await opened(ws(url), proxy=f"{scheme}127.0.0.1:{port}") == ["hello"]


@pytest.mark.parametrize("scheme", ["http://", "socks5://"])
async def test_a_proxy_has_its_credentials(scheme, proxies: Proxies):
    port = proxies.http_auth if scheme == "http://" else proxies.socks5_auth
    login = f"{USER}:{PASSWORD}".replace(" ", "%20")
    async with raw_server(Sending(HELLO)) as url:
        assert await opened(ws(url), proxy=f"{scheme}{login}@127.0.0.1:{port}") == ["hello"]
        with pytest.raises(ProxyError):
            await opened(ws(url), proxy=f"{scheme}nobody:x@127.0.0.1:{port}")


async def test_the_environment_names_a_proxy_that_is_not_for_this_machine(
    proxies: Proxies, monkeypatch
):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxies.http}")
    async with raw_server(Sending(HELLO)) as url:
        port = url.rpartition(":")[2]
        assert await opened(f"ws://chat.test:{port}/") == ["hello"]  # only the proxy knows it
        with pytest.raises(ResolveError):
            await opened(f"ws://chat.test:{port}/", no_proxy="chat.test")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert await opened(ws(url)) == ["hello"]


async def test_own_addresses_and_unix_sockets(tmp_path):
    server = Sending(HELLO)
    async with raw_server(server) as url:
        port = url.rpartition(":")[2]
        resolve = {"chat.test:80": f"127.0.0.1:{port}"}
        assert await opened("ws://chat.test/", resolve=resolve) == ["hello"]
    assert headers_of(server.heads[0])["host"] == ["chat.test"]
    path = str(tmp_path / "socket")
    tasks = []

    def accept(reader, writer):
        tasks.append(asyncio.ensure_future(server(reader, writer)))
        tasks[0].add_done_callback(lambda _: writer.close())

    async with await asyncio.start_unix_server(accept, path):
        assert await opened("ws://chat.test/", unix_socket=path) == ["hello"]
        await tasks[0]


async def test_tls_is_verified_and_may_be_pinned(web: Web):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(web.certificate)
    async with raw_server(Sending(HELLO), context) as url:
        assert await opened(ws(url), ca_certs=web.ca) == ["hello"]
        assert await opened(ws(url), validate_cert=False) == ["hello"]
        for wrong in ({}, {"ca_certs": web.ca, "pinned_public_key": "sha256//" + "A" * 43 + "="}):
            with pytest.raises(TLSError):
                await opened(ws(url), **wrong)


async def test_credentials_of_the_request_go_out():
    server = Sending(HELLO)
    async with raw_server(server) as url:
        await opened(ws(url), auth_username="ann", auth_password="pw")
    basic = base64.b64encode(b"ann:pw").decode()
    assert headers_of(server.heads[0])["authorization"] == [f"Basic {basic}"]


async def test_limits_of_bodies_are_not_those_of_sockets():
    defaults = {"request_timeout": 0.01, "idle_timeout": 0.01, "http_version": "2"}
    async with raw_server(Sending(HELLO)) as url:
        stream = HTTPStream(defaults=defaults)
        assert await opened(ws(url), stream) == ["hello"]


async def test_the_handshake_has_a_limit_in_all():
    asked = asyncio.Event()

    async def slow(reader, writer):
        writer.write(accepting(await reader.readuntil(b"\r\n\r\n"))[:-2])
        asked.set()
        await reader.read()

    async with raw_server(slow) as url:
        opening = asyncio.ensure_future(opened(ws(url)))
        await asked.wait()
        put_ahead(20)
        with pytest.raises(TimeoutError, match="connect_timeout"):
            await opening


async def test_who_refuses_is_not_kept_waiting_for(web: Web):
    """The body of the answer may have no end."""

    async def endless(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 No\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with raw_server(endless) as url, HTTPStream() as stream:
        with pytest.raises(StreamError, match="403 No"):
            await stream.fetch(ws(url))
        assert stream.stats().in_flight == 0
