"""HTTP/2 against nginx."""

from __future__ import annotations

import asyncio

from servers.nginx import Nginx
from servers.web import Web

from webqq_tornado import HTTPStream


async def test_http_2_without_tls_is_spoken_when_it_is_asked_for(nginx: Nginx):
    async with HTTPStream(defaults={"http_version": "2-prior-knowledge"}) as stream:
        response = await stream.fetch(f"{nginx.h2c}/connection")
    assert response.text.endswith("HTTP/2.0")
    assert (response.version, response.status, response.reason) == (20, 200, "")


async def test_http_2_is_agreed_upon_over_tls(nginx: Nginx, web: Web):
    async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        response = await stream.fetch(f"{nginx.https}/connection")
    assert response.text.endswith("HTTP/2.0")


async def test_http_1_1_over_tls_is_spoken_when_it_is_asked_for(nginx: Nginx, web: Web):
    async with HTTPStream(defaults={"ca_certs": web.ca, "http_version": "1.1"}) as stream:
        response = await stream.fetch(f"{nginx.https}/connection")
    assert response.text.endswith("HTTP/1.1")


async def test_many_chains_share_one_http_2_connection(nginx: Nginx):
    seen = set()

    def read(response):
        seen.add(response.text)

    async with HTTPStream(defaults={"http_version": "2-prior-knowledge"}) as stream:
        await stream.fetch(f"{nginx.h2c}/connection")
        for _ in range(64):
            stream.add_request(f"{nginx.h2c}/connection", read)
    assert len(seen) == 1


async def test_the_first_requests_wait_for_the_connection_that_is_being_opened(nginx: Nginx):
    async with HTTPStream(defaults={"http_version": "2-prior-knowledge"}) as stream:
        fetches = [stream.fetch(f"{nginx.h2c}/connection") for _ in range(32)]
        responses = await asyncio.gather(*fetches)
    assert len({response.text for response in responses}) == 1


async def test_a_cancelled_stream_leaves_the_others_on_its_connection_alone(nginx: Nginx):
    async with HTTPStream(defaults={"http_version": "2-prior-knowledge"}) as stream:
        held = stream.add_request(f"{nginx.h2c}/proxied/hold/h2-a", name="held")
        other = stream.add_request(f"{nginx.h2c}/proxied/hold/h2-b", print)
        await stream.fetch(f"{nginx.h2c}/proxied/arrived/h2-a")
        held.cancel()
        await stream.fetch(f"{nginx.h2c}/proxied/release/h2-b")
        assert (await other).text == "released"


async def test_a_body_passes_through_http_2_whole(nginx: Nginx):
    async with HTTPStream(defaults={"http_version": "2-prior-knowledge"}) as stream:
        body = b"x" * 300_000
        request = stream.make_post_request(f"{nginx.h2c}/proxied/echo", body)
        response = await stream.fetch(request)
    assert response.json()["body"].encode("latin-1") == body
