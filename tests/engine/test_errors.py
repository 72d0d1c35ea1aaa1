"""The classes of errors, what they say, and what they must not say."""

from __future__ import annotations

import builtins
import pickle
import re
import socket
import struct

import pytest
from servers.proxies import Proxies
from servers.raw import answer, raw_server, resetting, saying
from servers.web import Web
from waiting import span

from webqq_tornado import (
    ClosedError,
    ConnectError,
    DeadlineError,
    HTTPStream,
    LinkError,
    ProtocolError,
    ProxyError,
    RedirectError,
    Request,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
    TooLargeError,
)
from webqq_tornado.engine import errors
from webqq_tornado.engine.secrets import safe_url
from webqq_tornado.engine.transport.failures import from_curl

REFUSED = "http://127.0.0.1:1/"
HEAD = b"HTTP/1.1 200 OK\r\n"
GZIP = b"Content-Encoding: gzip"


async def _error_of(request: object, **defaults) -> StreamError:
    async with HTTPStream(defaults=defaults) as stream:
        with pytest.raises(StreamError) as caught:
            await stream.fetch(request)
    error = caught.value
    assert error.chain
    assert error.step == 1
    return error


# -- classes --------------------------------------------------------------------------------


async def test_a_refused_connection_names_url_phase_and_remedy():
    error = await _error_of(REFUSED)
    assert type(error) is ConnectError
    assert error.code == 7
    assert f"GET {REFUSED}: connecting failed" in str(error)
    assert "check that the server runs" in str(error)


async def test_a_name_without_an_address_is_a_resolve_error():
    # libcurl never asks anybody for these names (RFC 7686).
    error = await _error_of("http://nobody.onion/")
    assert type(error) is ResolveError
    assert "nobody.onion" in str(error)


async def test_a_server_that_does_not_answer_in_time_is_a_timeout(web: Web):
    error = await _error_of(f"{web.http}/hold/slow", request_timeout=0.05)
    assert type(error) is TimeoutError
    assert isinstance(error, builtins.TimeoutError)
    assert "request_timeout" in str(error)


async def test_a_body_that_stalls_is_a_timeout(web: Web):
    error = await _error_of(f"{web.http}/hold/stalls?after=10", request_timeout=0.05)
    assert type(error) is TimeoutError


@pytest.mark.slow
async def test_silence_is_a_timeout_of_its_own(web: Web):
    async with span() as took:
        error = await _error_of(f"{web.http}/hold/silent?after=10", idle_timeout=1)
        assert took.seconds < 5
    assert type(error) is TimeoutError


async def test_a_host_that_does_not_take_the_connection_is_a_timeout():
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):  # the queue is full then; the kernel drops the rest
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        error = await _error_of(url, connect_timeout=0.1)
    assert type(error) is TimeoutError


BROKEN = {
    "nothing": b"",
    "half a header": HEAD + b"Content-Le",
    "a short body": HEAD + b"Content-Length: 10\r\n\r\nshort",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nshort",
    "a bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "corrupt gzip": answer(b"not gzip at all", GZIP),
    "a bad status": b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
    "a bad length": HEAD + b"Content-Length: -5\r\n\r\n",
}


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_not_http_is_a_protocol_error(what):
    async with raw_server(saying(BROKEN[what])) as url:
        error = await _error_of(url, request_timeout=5)
    assert type(error) is ProtocolError
    assert error.code


async def test_a_reset_connection_is_a_protocol_error():
    async with raw_server(resetting) as url:
        error = await _error_of(url)
    assert type(error) is ProtocolError


async def test_a_reset_in_mid_body_is_a_protocol_error():
    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 1000)
        await writer.drain()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with raw_server(handler) as url:
        error = await _error_of(url)
    assert type(error) is ProtocolError


@pytest.mark.parametrize("how", ["", "?chunked=1"])
async def test_a_body_over_the_limit_is_too_large(web: Web, how):
    error = await _error_of(f"{web.http}/bytes/300000{how}", max_body_size=1000)
    assert type(error) is TooLargeError
    assert "max_body_size" in str(error)


async def test_too_many_headers_are_a_protocol_error():
    many = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(1000))
    async with raw_server(saying(HEAD + many + b"\r\n")) as url:
        error = await _error_of(url)
    assert isinstance(error, (ProtocolError, TooLargeError))


async def test_an_error_in_one_chain_leaves_the_others_alone(web: Web, caplog):
    read = []
    async with HTTPStream() as stream:
        for url in (REFUSED, web.http) * 10:
            stream.add_request(url, read.append)
    assert len(read) == 10


# -- what errors say ------------------------------------------------------------------------


SECRET = "swordfish"
SECRET_URLS = [
    "http://me:swordfish@127.0.0.1:1/",
    "http://swordfish@127.0.0.1:1/",
    "http://127.0.0.1:1/?token=swordfish",
    "http://127.0.0.1:1/?a=1&ptwebqq=swordfish&b=2",
    "http://127.0.0.1:1/?access_key=swordfish#swordfish",
    "http://me:p@swordfish@127.0.0.1:1/",
]


@pytest.mark.parametrize("url", SECRET_URLS)
async def test_no_secret_of_the_url_is_in_an_error_a_repr_or_a_log_line(url, caplog):
    caplog.set_level("DEBUG")
    async with HTTPStream() as stream:
        chain = stream.add_request(url)
        shown = [repr(chain), repr(stream)]
        with pytest.raises(StreamError) as caught:
            await chain
    error = caught.value
    shown += [str(error), repr(error), repr(error.request), repr(error.args), caplog.text]
    assert SECRET not in "".join(shown)
    assert "127.0.0.1:1" in str(error)


@pytest.mark.parametrize(
    "where",
    [
        {"headers": {"Authorization": "Bearer swordfish"}},
        {"headers": {"Cookie": "a=swordfish"}},
        {"body": b"swordfish"},
        {"auth_username": "me", "auth_password": "swordfish"},
        {"client_key_password": "swordfish", "client_cert": "/nowhere"},
        {"proxy": "http://me:swordfish@127.0.0.1:1"},
        {"proxy": "socks5h://me:swordfish@127.0.0.1:1"},
    ],
    ids=lambda where: next(iter(where)),
)
async def test_no_secret_of_a_request_is_in_an_error_a_repr_or_a_log_line(where, caplog):
    caplog.set_level("DEBUG")
    request = Request(REFUSED, **where)
    async with HTTPStream() as stream:
        with pytest.raises(StreamError) as caught:
            await stream.add_request(request)
    shown = [str(caught.value), repr(caught.value), repr(request), caplog.text]
    assert SECRET not in "".join(shown)


@pytest.mark.parametrize(
    "wrong",
    [
        "me:swordfish@example.org/",
        "//me:swordfish@example.org/",
        "http:/me:swordfish@example.org/",
        "http:///me:swordfish@example.org/",
        "ftp://me:swordfish@example.org/",
        "http://me:swordfish@[::1/ x",
        "http://me:swordfish@exa mple.org/\0",
        b"http://me:swordfish@example.org/",
        ["http://me:swordfish@example.org/"],
        {"url": "http://example.org/?token=swordfish"},
    ],
)
async def test_what_is_no_request_is_refused_without_its_secret(wrong):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match=r"URL|not a request") as caught:
            stream.add_request(wrong)
    assert SECRET not in str(caught.value)


WRONG_LINKS = [
    "http://me:swordfish@h/",
    ("http://me:swordfish@h/", 5),
    ["http://me:swordfish@h/"],
    [("http://me:swordfish@h/", 5)],
    {"next": "http://me:swordfish@h/"},
    b"http://me:swordfish@h/",
]


@pytest.mark.parametrize("wrong", WRONG_LINKS, ids=lambda wrong: type(wrong).__name__)
async def test_what_is_no_link_is_refused_without_its_secret(web: Web, wrong, caplog):
    async with HTTPStream() as stream:
        with pytest.raises((LinkError, ValueError)) as caught:
            await stream.add_request(web.http, lambda _: wrong)
    assert SECRET not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://example.org/a?b=c", "http://example.org/a?b=c"),
        ("http://me:pw@example.org/", "http://example.org/"),
        ("http://example.org/?id=7&token=abc", "http://example.org/?id=7&token=..."),
        ("http://example.org/#part", "http://example.org/"),
        ("http://example.org/?long=" + "x" * 40, "http://example.org/?long=..."),
        ("http://[::1", "http://[::1"),
    ],
)
def test_the_part_of_a_url_that_may_be_shown(url, shown):
    assert safe_url(url) == shown


# -- as values ------------------------------------------------------------------------------

ALL = [
    ClosedError,
    ConnectError,
    DeadlineError,
    LinkError,
    ProtocolError,
    ProxyError,
    RedirectError,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
    TooLargeError,
]


@pytest.mark.parametrize("kind", ALL)
def test_errors_can_be_pickled(kind):
    error = kind("what", request=Request(REFUSED), chain="a", step=3, code=7)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error) == "what [chain a, step 3]"
    assert (copy.chain, copy.step, copy.code, copy.request.url) == ("a", 3, 7, REFUSED)


async def test_an_error_that_happened_can_be_pickled_and_its_request_sent_again(web: Web):
    async with HTTPStream() as stream:
        for request in (REFUSED, Request(REFUSED, headers={"A": "b"})):
            with pytest.raises(ConnectError) as caught:
                await stream.fetch(request)
            copy = pickle.loads(pickle.dumps(caught.value))
            assert str(copy) == str(caught.value)
            with pytest.raises(ConnectError):
                await stream.fetch(copy.request)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_a_stream_error(kind):
    assert issubclass(kind, StreamError)
    assert kind.__doc__


def test_errors_are_what_their_builtin_names_say():
    assert issubclass(TimeoutError, builtins.TimeoutError)
    assert issubclass(DeadlineError, TimeoutError)
    assert issubclass(LinkError, TypeError)


@pytest.mark.parametrize("code", range(1, 102))
def test_every_code_of_libcurl_has_a_class_a_phase_and_a_remedy(code):
    error = from_curl(code, "its words.", method="GET", url="http://u:p@h/", request=None)
    assert isinstance(error, StreamError)
    assert re.fullmatch(r"GET http://h/: .+ failed: its words; .+", str(error))


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (56, "CONNECT tunnel failed, response 407", ProxyError),
        (97, "SOCKS5: rejected", ProxyError),
        (5, "Could not resolve proxy: x", ProxyError),
        (7, "Failed to connect to 127.0.0.1 port 1", ConnectError),
        (7, "Failed to connect to proxy.example port 80 after 0 ms", ConnectError),
        (56, "Recv failure: Connection reset by peer", ProtocolError),
        (56, "SSL_read: error:0A00045C:SSL routines::tlsv13 alert certificate required", TLSError),
        (1, "Received HTTP/0.9 when not allowed", ProtocolError),
        (1, 'Protocol "file" not supported', RedirectError),
    ],
)
def test_whose_fault_it_was(code, text, kind):
    url = "http://proxy.example/"
    assert type(from_curl(code, text, method="GET", url=url, request=Request(url))) is kind


async def test_a_server_whose_name_speaks_of_a_proxy_is_none():
    error = await _error_of("http://proxy.localhost:1/")
    assert type(error) is ConnectError


async def test_the_proxies_are_not_blamed_for_a_server_that_is_not_there(proxies: Proxies):
    error = await _error_of(REFUSED, proxy=f"socks5h://127.0.0.1:{proxies.socks5}")
    assert isinstance(error, (ConnectError, ProtocolError))


KINDS = [getattr(errors, name) for name in errors.__all__ if name.endswith(("Error", "Out"))]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_that_is_raised_bare_says_what_it_is(kind):
    with pytest.raises(StreamError) as caught:
        raise kind
    assert len(str(caught.value)) > 20
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
