"""Faults of servers and of the network: each with its end, next to a healthy chain."""

from __future__ import annotations

import asyncio
import datetime
import gc
import ssl
import time
import warnings

import pytest
import trustme
from descriptors import open_descriptors
from servers.misbehaving import NAMES, misbehaving
from servers.raw import answer, raw_server, saying
from servers.web import Web
from waiting import until

from engine.readers import polling
from webqq_tornado import (
    Chain,
    ConnectError,
    HTTPStream,
    ProtocolError,
    RedirectError,
    Request,
    Response,
    StreamError,
    TimeoutError,
    TLSError,
    TooLargeError,
)
from webqq_tornado.engine.transport.download import Inflow
from webqq_tornado.engine.transport.transfer import Transfer
from webqq_tornado.engine.transport.upload import IteratorOutflow

#: Seconds that a fault may take to become known: our own limits, and some for a slow machine.
DEADLINE = 60.0
#: What comes of it: a class of error, or the status and the body of the response.
ENDS: dict[str, type[Exception] | tuple[int, bytes]] = {
    "reset_before_headers": ProtocolError,
    "reset_in_headers": ProtocolError,
    "reset_in_body": ProtocolError,
    "reset_in_a_chunk": ProtocolError,
    "close_before_headers": ProtocolError,
    "close_in_the_status_line": ProtocolError,
    "close_in_headers": ProtocolError,
    "close_in_a_chunk": ProtocolError,
    "close_before_the_last_chunk": ProtocolError,
    "close_in_the_trailers": ProtocolError,
    "stalled_before_headers": TimeoutError,
    "stalled_in_headers": TimeoutError,
    "stalled_in_body": TimeoutError,
    "trickle": TimeoutError,
    "trickle_of_headers": TimeoutError,
    "no_number_for_a_status": ProtocolError,
    "status_of_two_digits": ProtocolError,
    "status_below_100": ProtocolError,
    "unknown_version": ProtocolError,
    "version_of_another_connection": ProtocolError,
    "http_0_9": ProtocolError,
    "another_protocol": ProtocolError,
    "tls_where_none_was_asked_for": ProtocolError,
    "giant_status_line": TooLargeError,
    "some_1xx": (200, b"half"),
    "flood_of_1xx": ProtocolError,
    "interim_answer_and_close": ProtocolError,
    "header_without_a_colon": ProtocolError,
    "header_with_a_nul": ProtocolError,
    "header_with_a_bare_cr": ProtocolError,
    "lines_that_end_in_lf": (200, b"half"),
    "giant_header": TooLargeError,
    "many_headers": TooLargeError,
    "endless_headers": TooLargeError,
    "short_body": ProtocolError,
    "long_body": (200, b"half"),
    "conflicting_lengths": ProtocolError,
    "conflicting_lengths_in_a_list": ProtocolError,
    "the_same_length_twice": (200, b"half"),
    "length_and_chunks": (200, b"half"),
    "negative_length": ProtocolError,
    "length_in_words": ProtocolError,
    "huge_length": TooLargeError,
    "body_without_a_length": (200, b"half"),
    "body_that_cannot_be": (204, b""),
    "bad_chunk_size": ProtocolError,
    "chunk_size_that_overflows": ProtocolError,
    "chunk_longer_than_its_size": ProtocolError,
    "many_trailers": TooLargeError,
    "giant_trailer": TooLargeError,
    "transfer_encoding_nobody_asked_for": ProtocolError,
    "corrupt_gzip": ProtocolError,
    "gzip_with_another_checksum": ProtocolError,
    "gzip_with_something_after_it": (200, bytes(range(256)) * 400),
    "two_gzips": (200, bytes(range(256)) * 800),
    "no_gzip_at_all": ProtocolError,
    "truncated_gzip": ProtocolError,
    "truncated_gzip_without_a_length": ProtocolError,
    "corrupt_deflate": ProtocolError,
    "corrupt_brotli": ProtocolError,
    "truncated_brotli": ProtocolError,
    # Nobody has asked for it, and the body is what came.
    "corrupt_zstd": (200, b"\x28\xb5\x2f\xfd\xff\xff\xff\xff this is none"),
    "unknown_encoding": (200, b"unys"),
    "too_many_encodings": ProtocolError,
    "redirect_to_itself": RedirectError,
    "redirect_to_a_file": RedirectError,
    "redirect_to_a_script": RedirectError,
    "redirect_to_no_host": RedirectError,
    "redirect_to_no_port": RedirectError,
    "redirect_to_no_url": RedirectError,
    "redirect_to_nowhere": ConnectError,
    "redirect_to_two_places": ProtocolError,
    "redirect_without_a_place": (302, b"half"),
    "refusal_during_upload": (413, b"no"),
    "refusal_and_reset_during_upload": (413, b"no"),
}


def test_there_is_an_end_for_every_fault():
    assert set(ENDS) == NAMES


async def _meet(stream: HTTPStream, url: str, name: str) -> Response | Exception:
    body = bytes(3_000_000) if name.endswith("upload") else None
    seconds = 0.2 if ENDS[name] is TimeoutError else DEADLINE
    request = Request(f"{url}/{name}", body=body, idle_timeout=seconds, request_timeout=2 * seconds)
    try:
        return await stream.fetch(request, timeout=DEADLINE)
    except Exception as error:
        return error


@pytest.mark.parametrize("name", ENDS)
async def test_a_fault_has_its_end_and_leaves_the_other_chains_alone(web: Web, name):
    async with misbehaving() as url, HTTPStream() as stream, polling(stream, web):
        outcome = await _meet(stream, url, name)
    end = ENDS[name]
    if isinstance(end, tuple):
        assert isinstance(outcome, Response), outcome
        assert (outcome.status, outcome.body) == end
    else:
        assert type(outcome) is end, outcome


def _held() -> tuple[int, int]:
    """Descriptors that are open, and objects of ours in memory."""
    gc.collect()
    kinds = (Chain, Request, Response, Transfer, Inflow, IteratorOutflow, StreamError)
    return open_descriptors(), sum(isinstance(each, kinds) for each in gc.get_objects())


@pytest.mark.parametrize("name", ENDS)
async def test_a_fault_leaves_neither_descriptor_nor_memory_behind(name):
    async def meet_five() -> None:
        await asyncio.gather(*[_meet(stream, url, name) for _ in range(5)])
        if not name.startswith("redirect"):  # those keep their connections
            # The server closes its ends, too, when it has heard.
            await until(lambda: len(asyncio.all_tasks()) == tasks)

    async with misbehaving() as url, HTTPStream() as stream:
        tasks = len(asyncio.all_tasks())
        await meet_five()
        descriptors, objects = _held()
        for _ in range(2):
            await meet_five()
        now_descriptors, now_objects = _held()
        assert now_descriptors < descriptors + 5  # one each would be ten
        assert now_objects < objects + 5
        assert stream.stats()[:4] == (0, 0, 0, 0)


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


@pytest.mark.parametrize("name", ["redirect_to_no_port", "redirect_to_a_file"])
async def test_a_redirect_that_leads_nowhere_can_be_looked_at_as_its_error_says(name):
    async with misbehaving() as url, HTTPStream() as stream:
        with pytest.raises(RedirectError, match="follow_redirects=False"):
            await stream.fetch(f"{url}/{name}")
        response = await stream.fetch(Request(f"{url}/{name}", follow_redirects=False))
        assert response.status == 302


async def test_a_transfer_encoding_that_is_not_undone_is_not_blamed_on_the_bodys():
    async with misbehaving() as url, HTTPStream() as stream:
        with pytest.raises(ProtocolError) as caught:
            await stream.fetch(f"{url}/transfer_encoding_nobody_asked_for")
    assert "decompress_response" not in str(caught.value)


@pytest.mark.parametrize("said", [b"utf-8", b"aws-chunked", b"gzip, binary"])
async def test_a_word_that_is_no_coding_is_passed_over_in_a_stream_too(said):
    told = answer(b"as it is", b"Content-Encoding: " + said)
    async with raw_server(saying(told)) as url, HTTPStream() as stream:
        async with stream.open(url) as response:
            assert response.status == 200
            assert await response.stream.read() == b"as it is"
    assert stream.stats().in_flight == 0


#: Seconds that a fault may take to become known.


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_connection_that_closed_just_before_it_was_used_again_is_replaced(method):
    """Nothing was answered on it, so that the server cannot have worked on the request."""
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
