"""https with the certificates of a local CA, for clients that ask for the historical hosts."""

from __future__ import annotations

import datetime
import http.client
import http.cookiejar
import json
import socket
import ssl
import stat
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from servers.processes import running
from servers.town import PASSWORD, Town

from webqq_tornado.protocol import endpoints, hashes
from webqq_tornado.server import PortTaken, certificates, tls
from webqq_tornado.server.hosts import HISTORICAL_HOSTS, hosts_lines
from webqq_tornado.server.tls import CertificateError, server_context


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_authority_is_made_once_and_its_key_is_nobody_elses(tmp_path):
    first = certificates(tmp_path / "tls")
    before = [path.read_bytes() for path in first]
    second = certificates(tmp_path / "tls")
    assert [path.read_bytes() for path in second] == before
    assert _mode(tmp_path / "tls" / "ca.key") == _mode(first.server) == 0o600


def test_a_new_address_needs_a_new_certificate_of_the_same_authority(tmp_path):
    first = certificates(tmp_path)
    authority, server = (path.read_bytes() for path in first)
    certificates(tmp_path, ["127.0.0.7", "localhost"])
    assert first.authority.read_bytes() == authority
    assert first.server.read_bytes() != server
    renewed = first.server.read_bytes()
    certificates(tmp_path)
    assert first.server.read_bytes() == renewed


def test_a_certificate_that_is_about_to_end_is_made_anew(tmp_path, monkeypatch):
    files = certificates(tmp_path)
    authority, server = (path.read_bytes() for path in files)
    monkeypatch.setattr(tls, "_RENEW_DAYS", 400)
    certificates(tmp_path)
    assert files.authority.read_bytes() == authority
    assert files.server.read_bytes() != server


@pytest.mark.parametrize("days", [-20_000, 20_000])
def test_certificates_of_a_clock_that_was_wrong_are_made_anew(tmp_path, monkeypatch, caplog, days):
    wrong = tls._now() + datetime.timedelta(days=days)
    monkeypatch.setattr(tls, "_now", lambda: wrong)
    certificates(tmp_path)
    monkeypatch.undo()
    assert _handshake(certificates(tmp_path), "d.web2.qq.com")
    assert "is not valid at this time" in caplog.text


def test_a_server_s_certificate_of_tomorrow_is_made_anew(tmp_path, monkeypatch):
    certificates(tmp_path)
    (tmp_path / "server.pem").unlink()
    tomorrow = tls._now() + datetime.timedelta(days=2)
    monkeypatch.setattr(tls, "_now", lambda: tomorrow)
    certificates(tmp_path)
    monkeypatch.undo()
    assert _handshake(certificates(tmp_path), "d.web2.qq.com")


def _encrypted(key: bytes) -> bytes:
    private = serialization.load_pem_private_key(key, None)
    how = serialization.BestAvailableEncryption(b"x")
    form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, form, how)


DAMAGES = [
    lambda _good: b"nonsense",
    lambda _good: b"",
    lambda good: good[: len(good) // 2],
    lambda good: bytes(reversed(good)),
    lambda good: good.replace(b"M", b"N"),
    lambda good: good.upper(),
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["ca.key", "ca.pem"])
def test_a_damaged_authority_is_named_with_what_to_do(tmp_path, name, damage):
    certificates(tmp_path)
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(CertificateError, match="move the folder away"):
        certificates(tmp_path)


def test_a_key_that_is_encrypted_or_anothers_is_named(tmp_path):
    certificates(tmp_path / "one")
    certificates(tmp_path / "two")
    key = tmp_path / "one" / "ca.key"
    for content in (_encrypted(key.read_bytes()), (tmp_path / "two" / "ca.key").read_bytes()):
        key.write_bytes(content)
        with pytest.raises(CertificateError, match=r"cannot be used .* move the folder away"):
            certificates(tmp_path / "one")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_certificate_of_the_server_is_made_anew(tmp_path, damage):
    files = certificates(tmp_path)
    authority = files.authority.read_bytes()
    files.server.write_bytes(damage(files.server.read_bytes()))
    assert _handshake(certificates(tmp_path), "d1.web2.qq.com")
    assert files.authority.read_bytes() == authority


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "server.pem"])
def test_a_folder_in_place_of_a_file_is_named(tmp_path, name):
    certificates(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(CertificateError, match="it is a folder"):
        certificates(tmp_path)


def test_a_lost_key_of_the_authority_means_a_new_authority(tmp_path):
    files = certificates(tmp_path)
    authority = files.authority.read_bytes()
    (tmp_path / "ca.key").unlink()
    certificates(tmp_path)
    assert files.authority.read_bytes() != authority
    assert _handshake(files, "d1.web2.qq.com")


@pytest.mark.parametrize("host", [*HISTORICAL_HOSTS, "localhost", "127.0.0.1", "::1"])
def test_the_certificate_is_good_for_each_host(tmp_path_factory, host):
    assert _handshake(_shared(tmp_path_factory), host)


def test_the_certificate_is_good_for_no_other_host(tmp_path_factory):
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        _handshake(_shared(tmp_path_factory), "example.org")


@pytest.mark.parametrize("host", ["bank.example", "qq.com", "mail.qq.com", "x.d.web2.qq.com"])
def test_the_authority_cannot_sign_for_the_rest_of_the_web(tmp_path, monkeypatch, host):
    monkeypatch.setattr(tls, "_HOSTS", (host,))
    with pytest.raises(ssl.SSLCertVerificationError, match="subtree"):
        _handshake(certificates(tmp_path), host)


@pytest.mark.parametrize("address", ["192.0.2.7", "::2"])
def test_the_authority_cannot_sign_for_addresses_of_others(tmp_path, monkeypatch, address):
    monkeypatch.setattr(tls, "_ADDRESSES", (address,))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        _handshake(certificates(tmp_path), address)


def test_any_address_of_loopback_can_be_served(tmp_path):
    assert _handshake(certificates(tmp_path, ["127.3.2.1"]), "127.3.2.1")


def test_an_address_of_a_network_is_left_out_with_a_word(tmp_path, caplog):
    assert _handshake(certificates(tmp_path, ["192.0.2.7"]), "localhost")
    assert "192.0.2.7 is not in the certificate" in caplog.text


def test_an_authority_of_before_the_constraints_is_made_anew_with_a_word(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(tls, "_PERMITTED", x509.NameConstraints([x509.DNSName("qq.com")], None))
    former = certificates(tmp_path).authority.read_bytes()
    monkeypatch.undo()
    files = certificates(tmp_path)
    assert files.authority.read_bytes() != former
    assert "Clients have to trust the new file" in caplog.text
    assert _handshake(files, "d.web2.qq.com")


_FILES: list[tls.Certificates] = []


def _shared(factory: pytest.TempPathFactory) -> tls.Certificates:
    if not _FILES:
        _FILES.append(certificates(factory.mktemp("tls")))
    return _FILES[0]


def _handshake(files: tls.Certificates, host: str) -> bool:
    """A client that trusts the authority meets the server in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=files.authority)
    client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context(files).wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return bool(client.cipher())


# -- the server ---------------------------------------------------------------------------------


async def test_our_engine_speaks_to_the_historical_hosts_with_their_own_addresses(tmp_path):
    files = certificates(tmp_path)
    async with Town() as town:
        port = town.server.listen_tls(0, files)
        request = town.stream.make_post_request(
            "https://d1.web2.qq.com/channel/poll2",
            {"r": "{}"},
            headers={"Referer": endpoints.SMARTQQ_REFERER_D},
            resolve={"d1.web2.qq.com:443": f"127.0.0.1:{port}"},
            ca_certs=str(files.authority),
        )
        response = await town.stream.fetch(request)
    assert response.json()["retcode"] == 103


async def test_a_link_of_https_leads_to_https(tmp_path):
    files = certificates(tmp_path)
    async with Town() as town:
        port = town.server.listen_tls(0, files)
        response = await town.stream.fetch(
            town.stream.make_get_request(
                "https://ptlogin4.web2.qq.com/check_sig",
                resolve={"ptlogin4.web2.qq.com": f"127.0.0.1:{port}"},
                ca_certs=str(files.authority),
                follow_redirects=False,
            )
        )
    assert response.headers["Location"].startswith("https://web2.qq.com/loginproxy.html")


#: Tornado's `bind_sockets` leaves the socket that could not be bound to the collector.
_left_by_tornado = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@_left_by_tornado
async def test_a_port_for_https_that_is_taken_is_named(tmp_path):
    async with Town() as town:
        with pytest.raises(PortTaken, match="give --tls-port another one"):
            town.server.listen_tls(town.port, certificates(tmp_path))


@_left_by_tornado
async def test_a_port_for_https_that_is_taken_can_be_passed_over(tmp_path):
    async with Town() as town:
        port = town.server.listen_tls_on_free_port(town.port, certificates(tmp_path))
        assert port == town.server.tls_port > town.port


@pytest.mark.parametrize("host", ["d1.web2.qq.com", "qun.qq.com", "qinfo.clt.qq.com"])
def test_hosts_of_all_that_the_server_answers_are_among_them(host):
    """The last two are where qqbot takes the numbers of friends and members from."""
    assert host in HISTORICAL_HOSTS


def test_hosts_lines_lead_every_host_to_the_address():
    lines = hosts_lines("192.0.2.7")
    assert all(line.startswith("192.0.2.7 ") for line in lines)
    assert [host for line in lines for host in line.split()[1:]] == list(HISTORICAL_HOSTS)


class _Connection(http.client.HTTPSConnection):
    """What a hosts file and port 443 do."""

    port_of_server = 0

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port_of_server), 30)
        context: ssl.SSLContext = self._context  # type: ignore[attr-defined]
        self.sock = context.wrap_socket(plain, server_hostname=self.host)


class _Handler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(_Connection, request, context=self._context)  # type: ignore[attr-defined]


def test_the_standard_library_signs_in_over_https_with_its_cookies(tmp_path, monkeypatch):
    with running("servers.webqq", str(tmp_path)) as server:
        monkeypatch.setattr(_Connection, "port_of_server", server["tls_port"])
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(
            _Handler(context=ssl.create_default_context(cafile=server["authority"])),
            urllib.request.HTTPCookieProcessor(jar),
        )
        with opener.open("https://ssl.ptlogin2.qq.com/check?uin=10001&appid=1003903") as reply:
            code = reply.read().decode().split("'")[3]
        p = hashes.password_hash(PASSWORD, hashes.password_salt(10001), code)
        query = urlencode({"u": 10001, "p": p, "verifycode": code, "aid": 1003903})
        opener.open(f"https://ssl.ptlogin2.qq.com/login?{query}").close()
        (ptwebqq,) = [cookie for cookie in jar if cookie.name == "ptwebqq"]
        assert ptwebqq.domain == ".qq.com"
        r = json.dumps({"ptwebqq": "", "clientid": 1, "psessionid": "", "status": "online"})
        request = urllib.request.Request(
            "https://d1.web2.qq.com/channel/login2", urlencode({"r": r}).encode()
        )
        request.add_header("Referer", endpoints.SMARTQQ_REFERER_D)
        with opener.open(request) as reply:
            assert json.load(reply)["result"]["uin"] == 10001
