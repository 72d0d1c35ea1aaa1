"""Fixtures of tests of the page: a server, a browser, and people on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.chromium import Browser
from servers.pages import Person, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture
def page(browser: Browser) -> Iterator[Browser]:
    yield browser
    assert browser.complaints() == []


@pytest.fixture
def ada(server: Server) -> Person:
    return Person(server, "Ada")


@pytest.fixture
def bo(server: Server, ada: Person) -> Person:
    """A friend of Ada's."""
    bo = Person(server, "Bo")
    bo.befriend(ada)
    return bo
