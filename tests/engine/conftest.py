"""Servers and habits that the engine's tests share."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from servers import nginx as nginx_server
from servers import processes
from servers.proxies import Proxies
from servers.web import Web

from engine.balance import assert_is_balanced
from webqq_tornado import HTTPStream

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may sit behind a proxy."""
    for name in _PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def balanced_streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test does to its streams: nothing is counted twice, and nothing stays counted."""
    streams: weakref.WeakSet[HTTPStream] = weakref.WeakSet()
    init = HTTPStream.__init__

    @functools.wraps(init)
    def noting_init(self: HTTPStream, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        streams.add(self)

    monkeypatch.setattr(HTTPStream, "__init__", noting_init)
    yield
    for stream in tuple(streams):
        assert_is_balanced(stream)


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may trust others than certifi does."""
    for name in _CERTIFICATES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web server with all its doors, in a process of its own."""
    folder = tmp_path_factory.mktemp("web")
    with processes.running("servers.web", str(folder)) as doors:
        yield Web(**doors)


@pytest.fixture(scope="session")
def proxies() -> Iterator[Proxies]:
    """The proxies, in a process of their own."""
    with processes.running("servers.proxies") as ports:
        yield Proxies(**ports)


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, web: Web) -> Iterator[nginx_server.Nginx]:
    """Nginx, which speaks HTTP/2."""
    folder = tmp_path_factory.mktemp("nginx")
    with nginx_server.running(folder, web.certificate, web.http) as addresses:
        yield addresses
