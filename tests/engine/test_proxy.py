"""Proxies: HTTP, CONNECT and SOCKS. Names under `.test` are known to the proxies alone."""

from __future__ import annotations

import pytest
from servers.proxies import PASSWORD, USER, Proxies
from servers.raw import answer, raw_server, saying
from servers.web import Web

from webqq_tornado import ConnectError, HTTPStream, ProxyError, Request

LOGIN = f"{USER}:{PASSWORD}".replace(" ", "%20")


def _behind(url: str) -> str:
    """The same server by a name that only the proxies know."""
    return url.replace("127.0.0.1", "web.test")


async def test_plain_http_goes_through_an_http_proxy(web: Web, proxies: Proxies):
    async with HTTPStream(defaults={"proxy": f"http://127.0.0.1:{proxies.http}"}) as stream:
        response = await stream.fetch(f"{_behind(web.http)}/echo/through")
    assert response.json()["uri"] == "/echo/through"


async def test_a_proxy_may_want_a_login(web: Web, proxies: Proxies):
    proxy = f"http://{LOGIN}@127.0.0.1:{proxies.http_auth}"
    async with HTTPStream(defaults={"proxy": proxy}) as stream:
        response = await stream.fetch(_behind(web.http))
    assert response.status == 200


async def test_https_goes_through_a_tunnel_and_is_verified_end_to_end(web: Web, proxies: Proxies):
    settings = {"proxy": f"http://127.0.0.1:{proxies.http}", "ca_certs": web.ca}
    async with HTTPStream(defaults=settings) as stream:
        response = await stream.fetch(f"{web.https}/echo/tunnel")
    assert response.json()["protocol"] == "https"
    assert response.status == 200
    assert response.headers["X-Method"] == "GET"
    assert response.history == []


async def test_a_tunnel_may_want_a_login(web: Web, proxies: Proxies):
    proxy = f"http://{LOGIN}@127.0.0.1:{proxies.http_auth}"
    async with HTTPStream(defaults={"proxy": proxy, "ca_certs": web.ca}) as stream:
        assert (await stream.fetch(web.https)).status == 200


@pytest.mark.parametrize("login", ["", "walker:wrong@"])
async def test_a_proxy_that_refuses_the_tunnel_is_a_proxy_error(web, proxies: Proxies, login):
    proxy = f"http://{login}127.0.0.1:{proxies.http_auth}"
    async with HTTPStream(defaults={"proxy": proxy, "ca_certs": web.ca}) as stream:
        with pytest.raises(ProxyError) as caught:
            await stream.fetch(web.https)
    assert "wrong" not in str(caught.value)


async def test_a_proxy_that_answers_a_tunnel_with_403_is_a_proxy_error(web: Web):
    refusing = saying(answer(b"no", status=b"403 Forbidden"))
    async with raw_server(refusing) as proxy, HTTPStream() as stream:
        with pytest.raises(ProxyError, match="403"):
            await stream.fetch(Request(web.https, proxy=proxy, ca_certs=web.ca))


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks5"])
async def test_a_proxy_that_is_not_there_is_a_proxy_error(web: Web, scheme):
    async with HTTPStream(defaults={"proxy": f"{scheme}://127.0.0.1:1"}) as stream:
        with pytest.raises(ProxyError, match="check proxy="):
            await stream.fetch(web.http)


async def test_a_proxy_whose_name_has_no_address_is_a_proxy_error(web: Web):
    async with HTTPStream(defaults={"proxy": "http://nobody.onion:80"}) as stream:
        with pytest.raises(ProxyError):
            await stream.fetch(web.http)


async def test_socks5h_leaves_names_to_the_proxy(web: Web, proxies: Proxies):
    async with HTTPStream(defaults={"proxy": f"socks5h://127.0.0.1:{proxies.socks5}"}) as stream:
        response = await stream.fetch(_behind(web.http))
    assert response.status == 200


async def test_socks5h_may_want_a_login(web: Web, proxies: Proxies):
    proxy = f"socks5h://{LOGIN}@127.0.0.1:{proxies.socks5_auth}"
    async with HTTPStream(defaults={"proxy": proxy, "ca_certs": web.ca}) as stream:
        assert (await stream.fetch(_behind(web.http))).status == 200
        assert (await stream.fetch(web.https)).status == 200


async def test_a_socks_proxy_that_refuses_the_login_is_a_proxy_error(web: Web, proxies: Proxies):
    proxy = f"socks5h://walker:wrong@127.0.0.1:{proxies.socks5_auth}"
    async with HTTPStream(defaults={"proxy": proxy}) as stream:
        with pytest.raises(ProxyError):
            await stream.fetch(web.http)


async def test_the_environment_names_the_proxy(web: Web, proxies: Proxies, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxies.http}")
    async with HTTPStream() as stream:
        assert (await stream.fetch(_behind(web.http))).status == 200


async def test_the_environment_names_hosts_without_a_proxy(web: Web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with HTTPStream() as stream:
        assert (await stream.fetch(web.http)).status == 200


async def test_an_empty_proxy_forbids_that_of_the_environment(web: Web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with HTTPStream() as stream:
        assert (await stream.fetch(Request(web.http, proxy=""))).status == 200
        with pytest.raises(ConnectError):
            await stream.fetch(web.http)


async def test_a_request_through_a_proxy_and_one_without_share_no_connection(
    web: Web, proxies: Proxies
):
    proxied = Request(web.http, proxy=f"http://127.0.0.1:{proxies.http}")
    async with HTTPStream() as stream:
        responses = [await stream.fetch(r) for r in (web.http, proxied, web.http)]
    first, between, last = (response.json()["peer"] for response in responses)
    assert first == last != between


async def test_the_servers_login_is_not_told_to_a_proxy_with_a_tunnel(web: Web):
    seen = []

    async def proxy(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))

    async with raw_server(proxy) as address:
        settings = {"proxy": address, "ca_certs": web.ca}
        async with HTTPStream(defaults=settings) as stream:
            headers = {"Authorization": "Bearer swordfish", "Cookie": "a=swordfish"}
            with pytest.raises(ConnectError):
                await stream.fetch(Request(web.https, headers=headers))
    assert seen[0].startswith(b"CONNECT ")
    assert b"swordfish" not in seen[0]
