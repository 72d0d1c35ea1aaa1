"""The bot's tests, by each way to its account: WebQQ 3, SmartQQ and OneBot 11."""

from __future__ import annotations

import pytest
import servers.bots


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that has a bot online by all ways."""
    uses_bots = {"chatting", "a_bot"} & set(metafunc.function.__code__.co_names)
    if uses_bots and not metafunc.definition.get_closest_marker("webqq"):
        metafunc.fixturenames.append("way")
        metafunc.parametrize("way", servers.bots.WAYS, indirect=True)


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way that bots go online."""
    monkeypatch.setattr(servers.bots, "way", request.param)
    return request.param
