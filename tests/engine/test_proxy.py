"""Proxies: HTTP, CONNECT and SOCKS. Names under `.test` are known to the proxies alone."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import unquote

import pytest
from servers.proxies import PASSWORD, USER, Proxies
from servers.raw import answer, raw_server, saying
from servers.web import Web

from webqq_tornado import ConnectError, HTTPStream, ProxyError, Request, ResolveError
from webqq_tornado.httpclient import HTTPStreamClient

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


PASSWORDS = ["hush#hush", "hush/hush", "hush?hush", "hush hush", "hush@hush", "hüsh%23", "hush%"]


@pytest.mark.parametrize("scheme", ["http://", ""])
@pytest.mark.parametrize("password", PASSWORDS)
async def test_a_proxys_password_may_be_written_as_it_is(password: str, scheme: str):
    told: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.extend((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n"))
        writer.write(answer())

    async with raw_server(proxy) as url, HTTPStream() as stream:
        address = f"{scheme}me:{password}@{url.removeprefix('http://')}"
        assert (await stream.fetch(Request("http://web.test/", proxy=address))).body == b"ok"
    login = base64.b64encode(f"me:{unquote(password)}".encode())
    assert b"Proxy-Authorization: Basic " + login in told


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("password", PASSWORDS)
async def test_no_error_shows_a_password_of_the_environments_proxy(monkeypatch, password, scheme):
    monkeypatch.setenv("http_proxy", f"{scheme}://me:{password}@127.0.0.1:1")
    async with HTTPStream() as stream:
        with pytest.raises(ProxyError) as caught:
            await stream.fetch("http://web.test/")
    assert not any(part in str(caught.value) for part in ("hush", "hüsh", "me:"))


async def test_the_environment_names_the_proxy(web: Web, proxies: Proxies, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxies.http}")
    async with HTTPStream() as stream:
        assert (await stream.fetch(_behind(web.http))).status == 200


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
async def test_the_environment_names_hosts_without_a_proxy(variable, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, "other.test,web.test")
    async with HTTPStream() as stream:
        with pytest.raises(ResolveError):
            await stream.fetch("http://web.test/")
        with pytest.raises(ProxyError):
            await stream.fetch("http://next.test/")


async def test_an_empty_proxy_forbids_that_of_the_environment(web: Web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with HTTPStream() as stream:
        with pytest.raises(ProxyError):
            await stream.fetch("http://example.test/")
        with pytest.raises(ResolveError):
            await stream.fetch(Request("http://example.test/", proxy=""))


def _hosts_of_this_machine() -> list[str]:
    return [
        "localhost",
        "LocalHost",
        "localhost.",
        "app.localhost",
        "127.0.0.1",
        "127.1",
        "127.8.9.10",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f08:1]",
        "[::]",
    ]


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", _hosts_of_this_machine())
async def test_no_proxy_of_the_environment_sees_what_is_for_this_machine(
    host, variable, monkeypatch
):
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for no_proxy in (None, "", "a.test b.test", "10.0.0.1,"):
        settings = {} if no_proxy is None else {"no_proxy": no_proxy}
        async with HTTPStream(defaults=settings) as stream:
            with pytest.raises(ConnectError) as caught:  # nobody is at port 9
                await stream.fetch(f"http://{host}:9/")
        assert not isinstance(caught.value, ProxyError)


@pytest.mark.parametrize("host", ["localhost.test", "notlocalhost", "128.0.0.1", "[::2]"])
async def test_a_host_with_a_name_like_this_machines_is_another(host, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with HTTPStream() as stream:
        with pytest.raises(ProxyError):
            await stream.fetch(f"http://{host}:9/")


async def test_https_to_this_machine_goes_by_no_proxy_of_the_environment(web: Web, monkeypatch):
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
        async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
            assert (await stream.fetch(web.https)).status == 200
            assert (await stream.fetch(Request(web.https, "POST", body=b"a"))).status == 200


async def test_a_name_that_stands_for_this_machine_needs_no_proxy(web: Web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    request = Request(_behind(web.http), resolve={"web.test": "127.0.0.1"})
    async with HTTPStream() as stream:
        assert (await stream.fetch(request)).status == 200


async def test_tornados_client_goes_by_no_proxy_to_this_machine(web: Web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client = HTTPStreamClient(force_instance=True)
    assert (await client.fetch(web.http)).code == 200
    assert (await client.fetch(web.http, method="POST", body=b"")).code == 200
    client.close()


async def test_a_redirect_to_this_machine_leaves_the_proxy(web: Web, monkeypatch):
    redirecting = saying(answer(b"", b"Location: %s/" % web.http.encode(), status=b"302 Found"))
    async with raw_server(redirecting) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        async with HTTPStream() as stream:
            assert (await stream.fetch("http://far.test/")).status == 200


async def test_the_callers_own_proxy_is_used_for_this_machine(web: Web, monkeypatch):
    monkeypatch.setenv("no_proxy", "a.test")
    async with HTTPStream(defaults={"proxy": "http://127.0.0.1:1"}) as stream:
        with pytest.raises(ProxyError):
            await stream.fetch(web.http)


async def test_a_star_in_the_environment_stands_for_all_hosts(web: Web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    async with HTTPStream() as stream:
        with pytest.raises(ResolveError):
            await stream.fetch("http://far.test/")


async def test_http_proxy_in_capitals_is_a_strangers_header(monkeypatch):
    """In a CGI script (CVE-2016-5385)."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with HTTPStream() as stream:
        with pytest.raises(ResolveError):
            await stream.fetch("http://far.test/")


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
