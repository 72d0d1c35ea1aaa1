"""What goes wrong between the answers: a connection gone stale, a reader that blocks, bad TLS."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
import warnings

import pytest
import trustme
from servers.raw import answer, raw_server
from servers.web import Web

from webqq_tornado import HTTPStream, Request, TLSError

#: Seconds that a fault may take to become known.
DEADLINE = 60.0


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
