"""`public_only`: what strangers name is not asked of this machine, nor of its networks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

import pytest
from descriptors import open_descriptors
from servers.raw import answer, raw_server, saying
from servers.web import Web
from tenacity import stop_after_attempt, wait_none
from waiting import until

from webqq_tornado import AddressError, ConnectError, HTTPStream, Request
from webqq_tornado.engine import addresses
from webqq_tornado.engine.transport import transfer
from webqq_tornado.retry import CircuitBreaker, Retry


@contextlib.asynccontextmanager
async def a_service() -> AsyncIterator[tuple[int, list[str]]]:
    """One that listens on all addresses of this machine; its port, and who came."""
    came: list[str] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(serve, "", 0, family=socket.AF_INET6)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is to work: the tests leave the machine for nothing."""
    monkeypatch.setattr(
        transfer, "is_public", lambda host: host == "127.0.0.1" or addresses.is_public(host)
    )


SPELLINGS = [
    "127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "127.0.0.1.", "%31%32%37.0.0.1",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "localhost", "LOCALHOST.",
    "app.localhost", "0.0.0.0", "0", "[::1]", "[::]", "[0:0::0:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "10.0.0.1", "192.168.0.1",
    "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "255.255.255.255", "224.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
async def test_this_machine_is_refused_however_it_is_spelt(host):
    async with a_service() as (port, came), HTTPStream() as stream:
        request = Request(f"http://{host}:{port}/", public_only=True)
        with pytest.raises(AddressError, match="not a public address"):
            await stream.fetch(request)
    assert not came


@pytest.mark.parametrize("settings", [{"http_version": "2-prior-knowledge"}, {"ip_version": 4}])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_it_is_refused_by_every_protocol(scheme, settings):
    async with a_service() as (port, came), HTTPStream() as stream:
        request = Request(f"{scheme}://localhost:{port}/", "POST", public_only=True, **settings)
        with pytest.raises(AddressError):
            await stream.fetch(request)
    assert not came


async def test_it_is_refused_by_http_3_too(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.setblocking(False)
        async with HTTPStream() as stream:
            port = service.getsockname()[1]
            request = Request(f"https://127.0.0.1:{port}/", http_version="3", public_only=True)
            with pytest.raises(AddressError):
                await stream.fetch(request)
        with pytest.raises(BlockingIOError):
            service.recv(1)


async def test_a_name_that_stands_for_it_is_refused(web: Web):
    async with a_service() as (port, came), HTTPStream() as stream:
        for target in ("127.0.0.1", "[::1]", f"localhost:{port}"):
            request = Request(
                f"http://a.test:{port}/", public_only=True, resolve={"a.test": target}
            )
            with pytest.raises(AddressError):
                await stream.fetch(request)
    assert not came


@pytest.mark.usefixtures("loopback_is_public")
async def test_a_redirect_to_it_is_refused():
    async with a_service() as (port, came), HTTPStream() as stream:
        there = f"Location: http://[::1]:{port}/".encode()
        async with raw_server(saying(answer(b"", there, status=b"302 Found"))) as url:
            with pytest.raises(AddressError):
                await stream.fetch(Request(url, public_only=True))
    assert not came


async def test_a_connection_that_is_there_already_is_not_used(web: Web):
    """Nor is it in a chain that had made it, nor the other way round."""
    async with HTTPStream(max_clients=1) as stream:
        await stream.fetch(web.http)
        with pytest.raises(AddressError):
            await stream.fetch(Request(web.http, public_only=True))
        link = Request(web.http, public_only=True), None
        chain = stream.add_request(web.http, lambda _: link)
        chain._is_quiet = True  # who awaits it hears of it
        with pytest.raises(AddressError):
            await chain
        assert (await stream.fetch(web.http)).status == 200


@pytest.mark.usefixtures("loopback_is_public")
async def test_connections_are_of_two_pools(web: Web):
    plain, public = Request(f"{web.http}/echo"), Request(f"{web.http}/echo", public_only=True)
    async with HTTPStream(max_clients=1) as stream:
        peers = [
            (await stream.fetch(request)).json()["peer"]
            for request in (plain, public, plain, public)
        ]
    assert peers[0] == peers[2] != peers[1] == peers[3]


@pytest.mark.usefixtures("loopback_is_public")
async def test_what_is_public_is_asked_as_ever(web: Web):
    before = open_descriptors()
    async with HTTPStream(defaults={"public_only": True, "ca_certs": web.ca}) as stream:
        await asyncio.gather(*[stream.fetch(f"{web.http}/close") for _ in range(20)])
        assert (await stream.fetch(Request(web.https, "POST", body=b"a"))).status == 200
        assert (await stream.fetch(Request(f"{web.http}/echo", public_only=False))).status == 200
        with pytest.raises(ConnectError) as caught:
            await stream.fetch("http://127.0.0.1:9/")
        assert "Errno 111" in str(caught.value) or "refused" in str(caught.value)
    await until(lambda: open_descriptors() <= before)


@pytest.mark.usefixtures("loopback_is_public")
async def test_its_sockets_are_not_for_programs_that_are_started(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(Request(f"{web.http}/hold/own", public_only=True))
        await stream.fetch(f"{web.http}/arrived/own")
        assert stream.fd_map
        assert not any(map(os.get_inheritable, stream.fd_map))
        await stream.fetch(f"{web.http}/release/own")
        await chain


async def test_no_proxy_of_the_environment_is_used(monkeypatch):
    async with a_service() as (port, came):
        for variable in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        async with HTTPStream() as stream:
            for scheme in ("http", "https"):
                with pytest.raises(AddressError):
                    await stream.fetch(Request(f"{scheme}://10.0.0.1/", public_only=True))
    assert not came


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proxy", "http://127.0.0.1:1"),
        ("unix_socket", "/run/docker.sock"),
        ("doh_url", "https://dns.test/"),
    ],
)
async def test_what_goes_around_it_is_refused(name, value):
    with pytest.raises(ValueError, match=f"public_only=True with {name}="):
        Request("http://a.test/", public_only=True, **{name: value})
    async with HTTPStream(defaults={name: value}) as stream:
        with pytest.raises(ValueError, match=f"public_only=True with {name}="):
            await stream.fetch(Request("http://a.test/", public_only=True))
    with pytest.raises(ValueError, match=f"public_only=True with {name}="):
        HTTPStream(defaults={name: value, "public_only": True})


async def test_it_is_not_tried_again_and_opens_no_circuit():
    breaker = CircuitBreaker(fail_max=1)
    retry = Retry(stop=stop_after_attempt(3), wait=wait_none())
    async with HTTPStream(retry=retry, breaker=breaker) as stream:
        for _ in range(3):
            with pytest.raises(AddressError) as caught:
                await stream.fetch(Request("http://127.0.0.1:9/", public_only=True))
            assert not caught.value.retried


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_it_is_refused_by_web_sockets(scheme):
    async with a_service() as (port, came), HTTPStream() as stream:
        chain = stream.add_request(Request(f"{scheme}://localhost:{port}/", public_only=True))
        chain._is_quiet = True  # who awaits it hears of it
        with pytest.raises(AddressError):
            await chain
    assert not came
