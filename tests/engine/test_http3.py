"""HTTP/3 against Hypercorn, where libcurl has it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pycurl
import pytest
from servers import processes
from servers.web import Web

from webqq_tornado import ConnectError, HTTPStream, ProtocolError, Request

HAS_HTTP_3 = bool(pycurl.version_info()[4] & 1 << 25)


@pytest.fixture(scope="module")
def http3(web: Web) -> Iterator[str]:
    with processes.running("servers.http3", web.certificate) as facts:
        yield facts["url"]


if HAS_HTTP_3:

    async def test_http_3_is_spoken_when_it_is_asked_for(web: Web, http3: str):
        async with HTTPStream(defaults={"http_version": "3", "ca_certs": web.ca}) as stream:
            response = await stream.fetch(http3)
        assert response.text == "3 0"
        assert (response.version, response.status) == (30, 200)

    async def test_a_chain_of_links_and_bodies(web: Web, http3: str):
        settings = {"http_version": "3", "ca_certs": web.ca}
        async with HTTPStream(defaults=settings) as stream:
            body = b"x" * 300_000
            request = Request(http3, "POST", body=body)
            responses = await asyncio.gather(*(stream.fetch(request) for _ in range(30)))
            assert {response.text for response in responses} == {"3 300000"}
            reused = await stream.fetch(http3)
            assert reused.time_info["connect"] == 0.0

    async def test_nobody_there_is_an_error_in_time(web: Web):
        settings = {"http_version": "3", "ca_certs": web.ca, "connect_timeout": 5}
        async with HTTPStream(defaults=settings) as stream:
            with pytest.raises((ConnectError, ProtocolError)):
                await stream.fetch("https://127.0.0.1:1/")

else:

    async def test_http_3_is_refused_with_what_to_take_instead(web: Web):
        async with HTTPStream() as stream:
            with pytest.raises(ValueError, match="no HTTP/3"):
                await stream.fetch(Request(web.https, http_version="3"))
