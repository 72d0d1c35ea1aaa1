"""What comes of each fault: an error of which class, or a recovery; in time, and of no other chain.

Faults that need no server of this kind are elsewhere: connections refused, names without address,
credentials and other origins (`test_response`), cookies of others (`test_session`), TLS that is not
to be trusted (`test_tls`), proxies that refuse (`test_proxy`), descriptors that run out
(`test_balance`), a loop that is stopped (`test_ending`), readers that raise, return nonsense, close
the stream or cancel their own chain (`test_errbacks`, `test_ending`, `test_chain`).
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
import warnings

import pytest
import trustme
from conftest import open_descriptors
from servers.misbehaving import Faults, misbehaving
from servers.raw import answer, raw_server
from servers.web import Web

from webqq_tornado import (
    ConnectError,
    HTTPStream,
    ProtocolError,
    RedirectError,
    Request,
    Response,
    TimeoutError,
    TLSError,
    TooLargeError,
)

#: Seconds that a fault may take to become known: our own limits, and some for a slow machine.
DEADLINE = 5.0
#: What comes of it: a class of error, or the body of the response.
ENDS: dict[str, type[Exception] | tuple[int, bytes]] = {
    "reset_before_headers": ProtocolError,
    "reset_in_headers": ProtocolError,
    "reset_in_body": ProtocolError,
    "close_before_headers": ProtocolError,
    "close_in_headers": ProtocolError,
    "close_in_a_chunk": ProtocolError,
    "close_before_the_last_chunk": ProtocolError,
    "short_body": ProtocolError,
    "long_body": (200, b"half"),
    "stalled_before_headers": TimeoutError,
    "stalled_in_headers": TimeoutError,
    "stalled_in_body": TimeoutError,
    "trickle": TimeoutError,
    "trickle_of_headers": TimeoutError,
    "no_number_for_a_status": ProtocolError,
    "unknown_version": ProtocolError,
    "http_0_9": ProtocolError,
    "giant_header": TooLargeError,
    "many_headers": TooLargeError,
    "endless_headers": TooLargeError,
    "conflicting_lengths": ProtocolError,
    "length_and_chunks": (200, b"half"),
    "negative_length": ProtocolError,
    "huge_length": TooLargeError,
    "bad_chunk_size": ProtocolError,
    "corrupt_gzip": ProtocolError,
    "no_gzip_at_all": ProtocolError,
    # libcurl gives what it could decode, and does not tell that the encoding never ended. (Where
    # the connection breaks off it does: those are "short_body" and the like.)
    "truncated_gzip": (200, (bytes(range(256)) * 400)[:9803]),
    "corrupt_brotli": ProtocolError,
    "truncated_brotli": (200, b"hello"),
    "redirect_to_itself": RedirectError,
    "redirect_to_a_file": RedirectError,
    "redirect_to_nowhere": ConnectError,
    "flood_of_1xx": ProtocolError,
    "some_1xx": (200, b"half"),
    "refusal_during_upload": (413, b"no"),
    "refusal_and_reset_during_upload": (413, b"no"),
}


def test_there_is_an_end_for_every_fault():
    assert set(ENDS) == {name for name in vars(Faults) if not name.startswith("_")}


async def _meet(stream: HTTPStream, url: str, name: str) -> Response | Exception:
    body = bytes(3_000_000) if name.endswith("upload") else None
    request = Request(f"{url}/{name}", body=body, idle_timeout=0.3, request_timeout=0.8)
    try:
        return await stream.fetch(request, timeout=DEADLINE)
    except Exception as error:
        return error


@pytest.mark.parametrize("name", ENDS)
async def test_a_fault_has_its_end_and_leaves_the_other_chains_alone(web: Web, name):
    links = 0

    def healthy(response):
        nonlocal links
        assert (response.status, response.body) == (200, b"01234")
        links += 1
        return (response.request, healthy, 0.005) if not is_over else None

    is_over = False
    async with misbehaving() as url, HTTPStream() as stream:
        other = stream.add_request(f"{web.http}/bytes/5", healthy)
        outcome = await _meet(stream, url, name)
        is_over, before = True, links
        await other
        assert links > before
        assert stream.stats()[:2] == (0, 0)
    end = ENDS[name]
    if isinstance(end, tuple):
        assert isinstance(outcome, Response), outcome
        assert (outcome.status, outcome.body) == end
    else:
        assert type(outcome) is end, outcome


@pytest.mark.parametrize("name", ENDS)
async def test_a_fault_leaves_no_descriptor_behind(name):
    if ENDS[name] is TimeoutError:
        return  # the balance of these is looked at in test_balance, once for all
    async with misbehaving() as url, HTTPStream() as stream:
        for _ in range(2):
            await _meet(stream, url, name)
        await asyncio.sleep(0)
        before = open_descriptors()
        for _ in range(5):
            await _meet(stream, url, name)
        await asyncio.sleep(0.01)  # the server closes its ends, too
        assert open_descriptors() <= before + 1
        assert not stream.chains


@pytest.mark.parametrize("name", ["corrupt_gzip", "short_body", "reset_in_body", "bad_chunk_size"])
async def test_a_stream_and_a_sink_hear_of_it_too(name):
    async def read_all(url: str) -> None:
        async with stream.open(url) as response:
            async for _ in response.stream:
                pass

    async with misbehaving() as url, HTTPStream() as stream:
        with pytest.raises(ProtocolError):
            await read_all(f"{url}/{name}")
        with pytest.raises(ProtocolError):
            await stream.fetch(Request(f"{url}/{name}", sink=len))


async def test_limits_of_ones_own_on_headers_have_their_own_error():
    async with misbehaving() as url, HTTPStream() as stream:
        for limit in ("max_header_count", "max_header_size"):
            with pytest.raises(TooLargeError, match=limit):
                await stream.fetch(Request(f"{url}/many_headers", **{limit: 100}))


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_connection_that_closed_just_before_it_was_used_again_is_replaced(method):
    """Nothing was answered on it, so that the server can not have worked on the request."""
    asked = 0

    async def once_each(reader, writer):
        nonlocal asked
        head = await reader.readuntil(b"\r\n\r\n")
        length = 5 if b"Content-Length: 5" in head else 0
        await reader.readexactly(length)
        asked += 1
        writer.write(answer(b"ok"))  # and it closes, having promised to stay

    async with raw_server(once_each) as url, HTTPStream() as stream:
        request = Request(url, method, body=None if method == "GET" else b"12345")
        for _ in range(20):
            assert (await stream.fetch(request, timeout=DEADLINE)).body == b"ok"
        assert asked == 20


async def test_a_reader_that_blocks_the_loop_delays_others_and_fails_none(web: Web):
    def block(response):
        time.sleep(0.5)

    async with HTTPStream() as stream:
        others = [stream.fetch(f"{web.http}/bytes/5") for _ in range(20)]
        stream.add_request(web.http, block)
        bodies = {response.body for response in await asyncio.gather(*others)}
    assert bodies == {b"01234"}


async def test_a_reader_may_cancel_its_own_chain(web: Web):
    def read(response):
        chain.cancel()
        return response.request, read

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        with pytest.raises(asyncio.CancelledError):
            await chain
        assert not stream.chains


# -- TLS --------------------------------------------------------------------------------------


async def _tls_outcome(context: ssl.SSLContext, ca: str) -> Exception:
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"ok"))

    async with raw_server(serve, context) as url, HTTPStream() as stream:
        with pytest.raises(TLSError) as caught:
            await stream.fetch(Request(url, ca_certs=ca), timeout=DEADLINE)
        return caught.value


async def test_a_certificate_that_has_expired(tmp_path):
    ca = trustme.CA()
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", not_after=past).configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert "expired" in str(await _tls_outcome(context, str(tmp_path / "ca.pem")))


async def test_a_server_that_only_speaks_an_old_version_of_tls(web: Web):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(web.certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is what this is about
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    await _tls_outcome(context, web.ca)
