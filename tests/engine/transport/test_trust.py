"""Which CAs servers are verified by: the caller's, the environment's, certifi's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import certifi
import pytest
from servers.web import Web

from webqq_tornado import HTTPStream, Request, TLSError
from webqq_tornado.engine.transport.trust import Trust, trust_of
from webqq_tornado.httpclient import HTTPStreamClient


@pytest.fixture
def folder(web: Web, tmp_path: Path) -> str:
    """One of CAs, with the server's in it."""
    link = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", web.ca],
        check=True,
        capture_output=True,
        text=True,
    )
    (tmp_path / f"{link.stdout.strip()}.0").symlink_to(web.ca)
    return str(tmp_path)


def _set(monkeypatch: pytest.MonkeyPatch, file: str | None, folder: str | None) -> None:
    for name, value in (("SSL_CERT_FILE", file), ("SSL_CERT_DIR", folder)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)


async def _is_trusted(web: Web, **settings: object) -> bool:
    async with HTTPStream(defaults=settings) as stream:
        try:
            return (await stream.fetch(web.https)).status == 200
        except TLSError:
            return False


async def test_a_file_that_the_environment_names_is_trusted(web: Web, monkeypatch):
    _set(monkeypatch, web.ca, None)
    assert await _is_trusted(web)


async def test_a_folder_that_the_environment_names_is_trusted(web: Web, folder, monkeypatch):
    _set(monkeypatch, None, folder)
    assert await _is_trusted(web)


async def test_there_may_be_several_folders(web: Web, folder, monkeypatch):
    _set(monkeypatch, None, f"/nowhere{os.pathsep}{folder}")
    assert await _is_trusted(web)


async def test_there_may_be_a_file_and_a_folder(web: Web, folder, monkeypatch):
    _set(monkeypatch, certifi.where(), folder)
    assert await _is_trusted(web)
    _set(monkeypatch, web.ca, "/nowhere")
    assert await _is_trusted(web)


async def test_tornados_client_goes_by_the_environment_too(web: Web, monkeypatch):
    _set(monkeypatch, web.ca, None)
    client = HTTPStreamClient(force_instance=True)
    assert (await client.fetch(web.https)).code == 200
    assert (await client.fetch(web.https, method="POST", body=b"")).code == 200
    client.close()


async def test_what_the_caller_names_goes_first(web: Web, folder, monkeypatch):
    _set(monkeypatch, certifi.where(), None)
    assert await _is_trusted(web, ca_certs=web.ca)
    assert await _is_trusted(web, ca_certs=folder)
    _set(monkeypatch, web.ca, folder)
    assert not await _is_trusted(web, ca_certs=certifi.where())


async def test_a_folder_without_the_servers_ca_does_not_trust_it(web: Web, tmp_path):
    assert not await _is_trusted(web, ca_certs=str(tmp_path))


async def test_a_proxy_is_verified_by_the_same(web: Web, folder, monkeypatch):
    _set(monkeypatch, None, folder)
    async with HTTPStream() as stream:
        # It is no proxy, and says so: 404 or 405 to CONNECT, after the handshake.
        with pytest.raises(Exception, match=r"40\d"):
            await stream.fetch(Request("https://name.test/", proxy=web.https))


async def test_a_file_that_is_not_there_is_an_error_that_names_the_variable(web: Web, monkeypatch):
    _set(monkeypatch, "/nowhere/ca.pem", None)
    async with HTTPStream() as stream:
        with pytest.raises(TLSError, match="SSL_CERT_FILE"):
            await stream.fetch(web.https)


@pytest.mark.parametrize(
    ("file", "folder", "trust"),
    [
        (None, None, Trust(certifi.where(), None)),
        ("", "", Trust(certifi.where(), None)),
        ("/a.pem", None, Trust("/a.pem", None)),
        ("", "/b", Trust(None, "/b")),
        ("/a.pem", "/b", Trust("/a.pem", "/b")),
    ],
)
def test_certifis_are_trusted_where_the_environment_names_none(file, folder, trust, monkeypatch):
    _set(monkeypatch, file, folder)
    assert trust_of(None) == trust


def test_a_path_is_a_file_or_a_folder(tmp_path: Path):
    assert trust_of(tmp_path) == Trust(None, str(tmp_path))
    assert trust_of(str(tmp_path / "ca.pem")) == Trust(str(tmp_path / "ca.pem"), None)
