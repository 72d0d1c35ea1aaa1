"""Digest authentication on handles that know an old nonce (RFC 7616)."""

from __future__ import annotations

import io

import pytest
from servers.digest import Challenging
from servers.raw import raw_server
from servers.web import Web

from webqq_tornado import HTTPStream, Multipart, Request

CREDENTIALS = {"auth_username": "ann", "auth_password": "right", "auth_mode": "digest"}


ASKED = {
    "GET": dict,
    "POST": lambda: {"body": b"body"},
    "a file": lambda: {"body": io.BytesIO(b"body")},
    "multipart": lambda: {"body": Multipart({"a": "b"})},
    "a sink": lambda: {"sink": [].append},
    "HEAD": lambda: {"method": "HEAD"},
}


@pytest.mark.parametrize("says_stale", [True, False])
@pytest.mark.parametrize("options", ASKED.values(), ids=ASKED.keys())
async def test_a_nonce_that_is_not_taken_any_more_is_replaced(options, says_stale: bool):
    async with raw_server(Challenging(says_stale=says_stale)) as url, HTTPStream() as stream:
        for asked in (options(), {}, options(), options(), {}):
            response = await stream.fetch(Request(url, **CREDENTIALS, **asked))
            assert response.status == 200


async def test_as_a_stream():
    async with raw_server(Challenging()) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, **CREDENTIALS))
        async with stream.open(Request(url, **CREDENTIALS)) as response:
            assert (response.status, await response.stream.read()) == (200, b"GET")


async def test_a_wrong_password_is_tried_once_and_the_challenge_is_the_answer():
    challenging = Challenging()
    async with raw_server(challenging) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, **CREDENTIALS))
        challenging.asked.clear()
        response = await stream.fetch(Request(url, **{**CREDENTIALS, "auth_password": "wrong"}))
    assert (response.status, challenging.asked) == (401, [False, True])


async def test_neither_other_servers_nor_requests_without_get_any():
    first, second = Challenging(), Challenging()
    async with raw_server(first) as url, raw_server(second) as other, HTTPStream() as stream:
        await stream.fetch(Request(url, **CREDENTIALS))
        first.asked.clear()
        await stream.fetch(url)
        await stream.fetch(Request(other, **CREDENTIALS))
    assert first.asked == [False]
    assert second.asked[0] is False


@pytest.mark.parametrize("says_stale", [True, False])
async def test_a_proxys_nonce_is_replaced_too(says_stale: bool):
    proxy = Challenging(says_stale=says_stale, is_proxy=True)
    async with raw_server(proxy) as url, HTTPStream() as stream:
        options = {"proxy": url.replace("//", "//ann:right@"), "proxy_auth_mode": "digest"}
        for _ in range(4):
            response = await stream.fetch(Request("http://far.test/", **options))
            assert (response.status, response.body) == (200, b"GET")


async def test_a_proxys_nonce_is_replaced_for_a_tunnel(web: Web):
    """There libcurl asks without credentials first."""
    proxy = Challenging(is_proxy=True)
    async with raw_server(proxy) as url, HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        options = {"proxy": url.replace("//", "//ann:right@"), "proxy_auth_mode": "digest"}
        for _ in range(2):
            proxy.asked.clear()
            await stream.add_request(
                Request(web.https, **options), None, errback=lambda error: None
            )
            assert proxy.asked[-1] is True
