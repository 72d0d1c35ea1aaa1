"""Keys of links without a journal."""

from __future__ import annotations

import gc

import pytest
from servers.web import Web

from webqq_tornado import HTTPStream, Next, StreamError
from webqq_tornado.engine.chain import Chain


async def test_a_chain_that_has_ended_is_not_held_by_its_key(web: Web):
    async with HTTPStream() as stream:
        for number in range(5):
            await stream.add_request(f"{web.http}/echo", lambda response: None, key=str(number))
        gc.collect()
        held = [one for one in gc.get_objects() if type(one) is Chain]
        assert not [one for one in held if one._keeper is stream._runner]


async def test_how_the_chain_of_a_key_ended_is_known(web: Web, caplog: pytest.LogCaptureFixture):
    async with HTTPStream() as stream:
        urls = {"done": f"{web.http}/echo", "failed": "http://127.0.0.1:1/"}
        for key, url in urls.items():
            alive = stream.add_request(url, lambda response: None, key=key)
            assert stream.add_request(url, None, key=key) is alive
        await stream.drain()
        assert await stream.add_request(urls["done"], None, key="done") is None
        with pytest.raises(StreamError, match="the key 'failed' has failed before: ConnectError"):
            await stream.add_request(urls["failed"], None, key="failed")
        assert stream.stats().requests == 2


async def test_a_key_leads_to_the_chain_as_which_a_branch_goes_on(web: Web):
    async with HTTPStream() as stream:

        def several(response):
            yield Next(f"{web.http}/echo/1", lambda response: None)
            yield Next(f"{web.http}/echo/2", lambda response: again, key="last")

        again = Next(f"{web.http}/hold/keys", lambda response: None)
        chain = stream.add_request(f"{web.http}/echo", several)
        async with HTTPStream() as other:
            await other.get(f"{web.http}/arrived/keys")
            found = stream.add_request(f"{web.http}/echo", None, key="last")
            assert not found.done
            await other.get(f"{web.http}/release/keys")
        await chain
        assert stream.add_request(f"{web.http}/echo", None, key="last").done
