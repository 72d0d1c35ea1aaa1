"""Where a request goes, by which way, and how it is secured."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pycurl
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from servers.nginx import Nginx
from servers.raw import answer, raw_server
from servers.scripted import Say, scripted
from servers.web import Web

from webqq_tornado import (
    HTTPStream,
    ProxyError,
    Request,
    ResolveError,
    TimeoutError,
    TLSError,
)
from webqq_tornado.engine.addresses import LOOPBACK, is_loopback, is_public, no_proxy_of


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _tls(web: Web) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(web.certificate)
    return context


# -- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "9.9.9.9", "100.63.255.255", "172.15.0.1", "172.32.0.1", "223.255.255.255",
        "2606:4700:4700::1111", "2a00:1450::1", "::ffff:9.9.9.9", "64:ff9b::909:909",
    ],
)  # fmt: skip
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
        "127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255",
        "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255",
        "::", "::1", "::2", "::127.0.0.1", "::9.9.9.9", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1",
        "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::",
        "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254",
        "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
        "", "localhost", "/run/socket", "127.1", "9.9.9.9:80", "[2606:4700::1]",
    ],
)  # fmt: skip
def test_any_other_address_is_not(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True), ("a.b.localhost.", True), ("127.0.0.1", True), ("[::1]", True),
        ("::ffff:127.1.1.1", True), ("0.0.0.0", True), ("10.0.0.1", False), ("::2", False),
        ("localhost.test", False), ("notlocalhost", False), ("", False),
    ],
)  # fmt: skip
def test_this_machine_is_known_by_name_and_address(host, is_ours):
    assert is_loopback(host) is is_ours


@pytest.mark.parametrize(
    ("no_proxy", "environment", "right"),
    [
        (None, {}, "*"),
        ("a.test", {"HTTP_PROXY": "p", "http_proxy": ""}, "*"),
        (None, {"http_proxy": "p"}, LOOPBACK),
        ("", {"http_proxy": "p", "no_proxy": "b.test"}, LOOPBACK),
        ("a.test", {"ALL_PROXY": "p", "no_proxy": "b.test"}, f"{LOOPBACK},a.test"),
        (None, {"https_proxy": "p", "no_proxy": "", "NO_PROXY": "b c"}, f"{LOOPBACK},b c"),
        (None, {"HTTPS_PROXY": "p", "no_proxy": "*"}, "*"),
    ],
)
def test_this_machine_is_among_the_hosts_without_a_proxy(no_proxy, environment, right):
    assert no_proxy_of(no_proxy, None, environment) == right


def test_a_name_given_this_machines_address_is_among_them():
    resolve = {"a.test": "127.0.0.1", "b.test:80": "[::1]:8080", "c.test": "10.0.0.1"}
    assert no_proxy_of("", resolve, {"http_proxy": "p"}) == f"{LOOPBACK},a.test,b.test"


async def test_own_addresses_take_the_place_of_the_resolver(web: Web):
    settings = {
        "resolve": {"shop.test": "127.0.0.1", "other.test:80": f"127.0.0.1:{_port(web.http)}"}
    }
    async with HTTPStream(defaults=settings) as stream:
        shop = await stream.fetch(f"http://shop.test:{_port(web.http)}/echo")
        other = await stream.fetch("http://other.test/echo")
    assert dict(shop.json()["headers"])["Host"] == f"shop.test:{_port(web.http)}"
    assert dict(other.json()["headers"])["Host"] == "other.test"


async def test_own_addresses_are_of_their_request_alone(web: Web):
    url = f"http://shop.test:{_port(web.http)}/"
    async with HTTPStream() as stream:
        mapped = Request(url, resolve={"shop.test": "127.0.0.1"})
        assert (await stream.fetch(mapped)).status == 200
        with pytest.raises(ResolveError):
            await stream.fetch(url)


async def test_tls_verifies_the_name_in_the_url(web: Web):
    settings = {"resolve": {"shop.test": "127.0.0.1"}, "ca_certs": web.ca}
    async with HTTPStream(defaults=settings) as stream:
        with pytest.raises(TLSError):
            await stream.fetch(f"https://shop.test:{_port(web.https)}/")


async def test_a_port_of_ones_own_to_send_from(web: Web):
    first = 20_000 + os.getpid() % 10_000
    request = Request(f"{web.http}/echo", local_port=(first, first + 40))
    async with HTTPStream() as stream:
        peer = (await stream.fetch(request)).json()["peer"]
    assert first <= peer <= first + 40


async def test_ipv4_is_tried_soon_when_ipv6_does_not_answer(web: Web):
    """A name with both: the server listens on IPv4 alone."""
    request = Request(f"http://localhost:{_port(web.http)}/", happy_eyeballs_delay=0.01)
    async with HTTPStream() as stream:
        assert (await stream.fetch(request)).status == 200
        with pytest.raises(Exception, match="connect"):
            await stream.fetch(request.replace(ip_version=6))


# -- DNS over HTTPS ---------------------------------------------------------------------------


class Resolver:
    """Knows that `known.test` is 127.0.0.1, and nothing else."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    def answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        question, kind = query[12 : at + 5], struct.unpack("!H", query[at + 1 : at + 3])[0]
        name = ".".join(labels)
        self.asked.append(name)
        is_known = name == "known.test" and kind == 1
        code = 0x8180 if name == "known.test" else 0x8183
        head = query[:2] + struct.pack("!HHHHH", code, 1, int(is_known), 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1])
        return head + question + (record if is_known else b"")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            body = self.answer(await reader.readexactly(length))
            lines = f"Content-Type: application/dns-message\r\nContent-Length: {len(body)}"
            writer.write(f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\n".encode() + body)


@contextlib.asynccontextmanager
async def a_resolver(web: Web) -> AsyncIterator[Resolver]:
    resolver = Resolver()
    async with raw_server(resolver.serve, _tls(web)) as url:
        resolver.url = f"{url}/dns-query"
        yield resolver


async def test_names_may_be_asked_for_over_https(web: Web):
    async with a_resolver(web) as resolver:
        settings = {"doh_url": resolver.url, "ca_certs": web.ca}
        async with HTTPStream(defaults=settings) as stream:
            response = await stream.fetch(f"http://known.test:{_port(web.http)}/echo")
            with pytest.raises(ResolveError):
                await stream.fetch("http://unknown.test/")
        assert response.status == 200
        assert set(resolver.asked) == {"known.test", "unknown.test"}


# -- proxies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
async def test_every_kind_of_socks_proxy(web: Web, scheme):
    """One of a few lines: it says what it was asked for, and connects there."""
    asked: list[bytes] = []

    async def proxy(reader, writer):
        version = (await reader.readexactly(1))[0]
        if version == 4:
            port, address = struct.unpack("!xH4s", await reader.readexactly(7))
            await reader.readuntil(b"\0")
            asked.append(
                (await reader.readuntil(b"\0"))[:-1] if address[:3] == bytes(3) else address
            )
            writer.write(b"\0Z" + bytes(6))
        else:
            await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\5\0")
            kind = (await reader.readexactly(4))[3]
            size = 4 if kind == 1 else (await reader.readexactly(1))[0]
            asked.append(await reader.readexactly(size))
            (port,) = struct.unpack("!H", await reader.readexactly(2))
            writer.write(b"\5\0\0\1" + bytes(6))
        onward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))

    async with (
        raw_server(proxy) as url,
        HTTPStream(defaults={"proxy": url.replace("http", scheme)}) as stream,
    ):
        request = Request(f"http://localhost:{_port(web.http)}/echo", ip_version=4)
        response = await stream.fetch(request, timeout=60)
    assert response.status == 200
    assert asked == [b"localhost" if scheme in {"socks4a", "socks5h"} else bytes([127, 0, 0, 1])]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def a_tls_proxy(web: Web) -> AsyncIterator[tuple[str, list[str]]]:
    """An https proxy that makes tunnels; what it was told."""
    told: list[str] = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        told.append(head)
        host, port = head.split()[1].split(":")
        onward = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))

    async with raw_server(serve, _tls(web)) as url:
        yield url, told


async def test_an_https_proxy_and_headers_for_it_alone(web: Web):
    async with a_tls_proxy(web) as (proxy, told):
        settings = {"proxy": proxy, "ca_certs": web.ca, "proxy_headers": {"X-Pass": "let me"}}
        async with HTTPStream(defaults=settings) as stream:
            response = await stream.fetch(f"{web.https}/echo", timeout=60)
    assert "X-Pass: let me" in told[0]
    assert "X-Pass" not in dict(response.json()["headers"])


async def test_an_https_proxy_is_verified_unless_told_otherwise(web: Web):
    async with a_tls_proxy(web) as (proxy, told):
        async with HTTPStream(defaults={"proxy": proxy}) as stream:
            with pytest.raises((TLSError, ProxyError)):
                await stream.fetch(Request(web.https, validate_cert=False), timeout=60)
            assert not told
            request = Request(web.https, validate_cert=False, proxy_validate_cert=False)
            assert (await stream.fetch(request, timeout=60)).status == 200


@pytest.mark.parametrize(
    ("no_proxy", "is_proxied"),
    [
        ("127.0.0.1", False),
        ("127.0.0.0/8", False),
        ("*", False),
        ("a.test, *", False),
        ("a.test 127.0.0.1", False),
        ("10.0.0.1", True),
        ("", True),
    ],
)
async def test_hosts_that_need_no_proxy(web: Web, no_proxy, is_proxied):
    settings = {"proxy": "http://127.0.0.1:1", "no_proxy": no_proxy}
    async with HTTPStream(defaults=settings) as stream:
        if is_proxied:
            with pytest.raises(ProxyError):
                await stream.fetch(web.http)
        else:
            assert (await stream.fetch(web.http)).status == 200


@pytest.mark.parametrize("listed", ["*.web.test", ".web.test", "WEB.test", "a.test web.test\tb"])
async def test_names_that_need_no_proxy_as_other_clients_take_them(listed: str, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", listed)
    async with HTTPStream() as stream:
        with pytest.raises(ResolveError):
            await stream.fetch("http://a.web.test/")
        with pytest.raises(ProxyError):
            await stream.fetch("http://another-web.test/")


# -- TLS --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def a_tls_server(web: Web, lowest=None, highest=None) -> AsyncIterator[tuple[str, list]]:
    """Tells the version, cipher and whether the session was resumed, of each connection."""
    context = _tls(web)
    context.minimum_version = lowest or context.minimum_version
    context.maximum_version = highest or context.maximum_version
    seen: list[tuple[str, str, bool]] = []

    async def serve(reader, writer):
        tls = writer.get_extra_info("ssl_object")
        seen.append((tls.version(), tls.cipher()[0], tls.session_reused))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()

    async with raw_server(serve, context) as url:
        yield f"{url}/", seen


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_the_highest_version_of_tls_may_be_said(web: Web, version):
    async with a_tls_server(web) as (url, seen):
        async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
            await stream.fetch(Request(url, tls_max_version=version))
    assert seen[0][0] == f"TLSv{version}"


async def test_a_server_below_the_lowest_version_is_refused(web: Web):
    async with a_tls_server(web, highest=ssl.TLSVersion.TLSv1_2) as (url, seen):
        async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
            with pytest.raises(TLSError):
                await stream.fetch(Request(url, tls_min_version="1.3"))
            assert (await stream.fetch(Request(url, tls_min_version="1.2"))).status == 200
    assert len(seen) == 1


async def test_ciphers_of_either_kind(web: Web):
    async with a_tls_server(web) as (url, seen):
        async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
            old = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256"
            await stream.fetch(Request(url, tls_max_version="1.2", tls_ciphers=old))
            await stream.fetch(Request(url, tls13_ciphers="TLS_CHACHA20_POLY1305_SHA256"))
    assert seen[0][1] in old
    assert seen[1][1] == "TLS_CHACHA20_POLY1305_SHA256"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_tls_session_is_resumed_on_the_next_connection(web: Web, version):
    async with a_tls_server(web) as (url, seen):
        async with HTTPStream(defaults={"ca_certs": web.ca, "tls_max_version": version}) as stream:
            for _ in range(2):
                await stream.fetch(url)
            await stream.fetch(url, session=stream.session("another"))
    assert [resumed for _, _, resumed in seen] == [False, True, False]


def _pin(web: Web) -> str:
    certificate = x509.load_pem_x509_certificate(Path(web.certificate).read_bytes())
    key = certificate.public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


async def test_a_pinned_key_is_the_only_one_that_will_do(web: Web):
    async with (
        a_tls_server(web) as (url, _),
        HTTPStream(defaults={"ca_certs": web.ca}) as stream,
    ):
        assert (await stream.fetch(Request(url, pinned_public_key=_pin(web)))).status == 200
        wrong = "sha256//" + base64.b64encode(bytes(32)).decode()
        with pytest.raises(TLSError, match="pinned"):
            await stream.fetch(Request(url, pinned_public_key=wrong))


def test_keys_are_logged_where_the_environment_says(web: Web, tmp_path: Path):
    code = (
        "import sys; from webqq_tornado import HTTPStream, Request; s = HTTPStream(); "
        "s.add_request(Request(sys.argv[1], ca_certs=sys.argv[2]), print); s.start(); s.close()"
    )
    log = tmp_path / "keys"
    subprocess.run(
        [sys.executable, "-c", code, web.https, web.ca],
        env={**os.environ, "SSLKEYLOGFILE": str(log)},
        check=True,
        capture_output=True,
        timeout=90,
    )
    assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()


# -- signatures -------------------------------------------------------------------------------


async def test_aws_signature_version_4_is_what_botocore_would_sign():
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        request = Request(
            f"{server.url}/bucket/key?b=2&a=1",
            "PUT",
            {"Content-Type": "text/plain"},
            b"content",
            aws_sigv4="aws:amz:eu-north-1:service",
            auth_username="AKIDEXAMPLE",
            auth_password="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        )
        assert (await stream.fetch(request)).status == 200
        (asked,) = server.asked
    told = asked.headers["Authorization"]
    signed = told.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    ours = AWSRequest(
        "PUT",
        f"{server.url}/bucket/key?a=1&b=2",
        data=b"content",
        headers={name: asked.headers[name] for name in signed if name != "host"},
    )
    credentials = Credentials(request.auth_username, request.auth_password)
    signer = SigV4Auth(credentials, "service", "eu-north-1")
    ours.context["timestamp"] = asked.headers["X-Amz-Date"]
    canonical = signer.canonical_request(ours)
    signature = signer.signature(signer.string_to_sign(ours, canonical), ours)
    assert told.endswith(f"Signature={signature}")
    assert datetime.datetime.strptime(asked.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")


# -- keepalive --------------------------------------------------------------------------------


_KEEPALIVE = [getattr(socket, f"TCP_KEEP{name}", 0) for name in ("IDLE", "INTVL")]


@pytest.mark.skipif(not all(_KEEPALIVE), reason="the system has other names for them")
@pytest.mark.parametrize(("given", "held"), [({}, [15, 5]), ({"tcp_keepalive": 4.5}, [5, 1])])
async def test_the_system_asks_whether_the_other_end_is_still_there(given, held):
    handles: list[pycurl.Curl] = []
    found = []

    async def look(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        fd = handles[0].getinfo(pycurl.ACTIVESOCKET)  # of the client, which waits
        with socket.socket(fileno=os.dup(fd)) as opened:
            found.append(opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            found.extend(opened.getsockopt(socket.IPPROTO_TCP, name) for name in _KEEPALIVE)
        writer.write(answer())

    async with raw_server(look) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, prepare_curl=handles.append, **given))
    assert found == [1, *held]


# -- versions ---------------------------------------------------------------------------------


async def test_streams_of_one_connection_may_have_weights(nginx: Nginx):
    async with HTTPStream(defaults={"http_version": "2-prior-knowledge"}) as stream:
        urls = [Request(f"{nginx.h2c}/connection", stream_weight=n) for n in (1, 16, 256)]
        responses = await asyncio.gather(*map(stream.fetch, urls))
    assert len({response.text for response in responses}) == 1


# -- wrong ones -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("local_port", 0),
        ("local_port", (10, 5)),
        ("resolve", {"a b": "127.0.0.1"}),
        ("resolve", {"a.test": "http://127.0.0.1"}),
        ("resolve", {"a.test": "::1"}),
        ("doh_url", "http://127.0.0.1/dns-query"),
        ("tls_min_version", "1.4"),
        ("tls_max_version", 1.3),
        ("tls_ciphers", "a\r\nb"),
        ("aws_sigv4", "aws amz"),
        ("stream_weight", 0),
        ("happy_eyeballs_delay", -1),
        ("tcp_keepalive", 40_000),
        ("proxy_headers", {"X": "a\nb"}),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=r"X|" + name):
        Request("http://a.test/", **{name: value})


async def test_versions_the_wrong_way_round_are_refused(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="tls_min_version"):
            await stream.fetch(Request(web.https, tls_min_version="1.3", tls_max_version="1.2"))


async def test_a_name_server_that_does_not_answer_runs_into_the_timeout(web: Web):
    async def silent(reader, writer):
        await reader.read()

    async with raw_server(silent) as url, HTTPStream() as stream:
        doh_url = url.replace("http", "https")
        request = Request("http://slow.test/", doh_url=doh_url, connect_timeout=0.1)
        with pytest.raises((TimeoutError, ResolveError)):
            await stream.fetch(request, timeout=60)


@pytest.mark.parametrize("given", ["environment", "default", "request"])
@pytest.mark.parametrize(
    ("listed", "url", "is_proxied"),
    [
        ("web.test:81", "http://web.test:81/", False),
        ("web.test:81", "http://a.web.test:81/", False),
        ("a.test, .web.test:81", "http://a.web.test:81/", False),
        ("web.test:80", "http://web.test/", False),
        ("web.test:81", "http://web.test/", True),
        ("web.test:8", "http://web.test:81/", True),
        ("web.test:81,web.test:82", "http://web.test:82/", False),
        ("web.test:443", "http://web.test/", True),
        ("192.0.2.1:81", "http://192.0.2.1/", True),
        ("[2001:db8::1]:81", "http://[2001:db8::1]/", True),
        ("2001:db8::1:81", "http://[2001:db8::1]:81/", True),
    ],
)
async def test_hosts_that_need_no_proxy_at_a_port(monkeypatch, given, listed, url, is_proxied):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    if given == "environment":
        monkeypatch.setenv("no_proxy", listed)
    defaults = {"no_proxy": listed} if given == "default" else {}
    options = {"no_proxy": listed} if given == "request" else {}
    async with HTTPStream(defaults=defaults) as stream:
        for request in (Request(url, **options), Request(url, body=b"x", **options)):
            with pytest.raises(ProxyError if is_proxied else ResolveError):
                await stream.fetch(request)
        if given != "request":
            with pytest.raises(ProxyError if is_proxied else ResolveError):
                await stream.fetch(url)
