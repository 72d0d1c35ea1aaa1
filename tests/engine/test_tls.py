"""TLS: verified unless somebody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.raw import answer, raw_server
from servers.web import Web

from webqq_tornado import HTTPStream, ProtocolError, Request, StreamError, TLSError


async def test_a_server_of_a_trusted_ca_is_fine(web: Web):
    async with HTTPStream() as stream:
        response = await stream.fetch(Request(web.https, ca_certs=web.ca))
    assert response.json()["protocol"] == "https"
    assert response.time_info["appconnect"] > 0


async def test_a_server_is_verified_by_default(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(TLSError, match="ca_certs=") as caught:
            await stream.fetch(web.https)
    assert caught.value.code == 60


@pytest.mark.parametrize("door", ["wrong_host", "stranger"])
async def test_a_server_that_is_not_who_it_should_be_is_a_tls_error(web: Web, door):
    async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        with pytest.raises(TLSError, match="verifying the server"):
            await stream.fetch(getattr(web, door))


@pytest.mark.parametrize("door", ["https", "wrong_host", "stranger"])
async def test_verification_can_be_switched_off(web: Web, door):
    async with HTTPStream() as stream:
        request = Request(getattr(web, door), validate_cert=False)
        assert (await stream.fetch(request)).status == 200


@pytest.mark.parametrize("door", ["https", "wrong_host", "stranger"])
async def test_what_was_not_verified_is_not_used_for_a_request_that_asks_for_it(web: Web, door):
    """Neither the connection, nor the session that TLS would resume."""
    url = getattr(web, door)
    async with HTTPStream(max_clients=1) as stream:
        unverified = Request(f"{url}/close", validate_cert=False)
        for request in (Request(url, validate_cert=False), unverified):
            await stream.fetch(request)
            with pytest.raises(TLSError):
                await stream.fetch(url)


@pytest.mark.parametrize("option", ["tls_ciphers", "tls13_ciphers"])
async def test_ciphers_that_do_not_exist_are_a_tls_error_that_names_them(web: Web, option):
    async with HTTPStream() as stream:
        with pytest.raises(TLSError, match=f"NO-SUCH.*{option}="):
            await stream.fetch(Request(web.https, ca_certs=web.ca, **{option: "NO-SUCH"}))


async def test_what_one_ca_vouched_for_is_not_used_under_another(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        await stream.fetch(Request(web.https, ca_certs=web.ca))
        with pytest.raises(TLSError):
            await stream.fetch(web.https)


async def test_a_server_that_wants_a_certificate_gets_it(web: Web):
    async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        request = Request(web.mutual, client_cert=web.client)
        assert (await stream.fetch(request)).status == 200


async def test_a_server_that_wants_a_certificate_and_gets_none_refuses(web: Web):
    # In TLS 1.3 the refusal comes after the handshake; the reset behind it may overtake it.
    async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        with pytest.raises((TLSError, ProtocolError)):
            await stream.fetch(web.mutual)


async def test_a_certificate_is_not_lent_to_requests_without_one(web: Web):
    async with HTTPStream(defaults={"ca_certs": web.ca}, max_clients=1) as stream:
        await stream.fetch(Request(web.mutual, client_cert=web.client))
        with pytest.raises(StreamError):
            await stream.fetch(web.mutual)


@pytest.mark.parametrize("what", ["ca_certs", "client_cert"])
async def test_a_certificate_file_that_is_not_there_is_a_tls_error(web: Web, what):
    arguments = {"ca_certs": web.ca, what: "/nowhere/a.pem"}
    async with HTTPStream() as stream:
        with pytest.raises(TLSError, match="ca_certs=, client_cert="):
            await stream.fetch(Request(web.https, **arguments))


async def test_a_path_may_be_outside_ascii(web: Web, tmp_path: Path):
    path = tmp_path / "证书.pem"
    path.symlink_to(web.ca)
    async with HTTPStream() as stream:
        assert (await stream.fetch(Request(web.https, ca_certs=str(path)))).status == 200


async def test_a_path_may_be_a_path(web: Web):
    async with HTTPStream() as stream:
        assert (await stream.fetch(Request(web.https, ca_certs=Path(web.ca)))).status == 200


async def test_tls_where_none_is_spoken_is_a_tls_error():
    async def handler(reader, writer):
        await reader.read(5)
        writer.write(answer())
        await writer.drain()

    async with raw_server(handler) as url, HTTPStream() as stream:
        with pytest.raises(TLSError):
            await stream.fetch(url.replace("http:", "https:"))
