"""Accounts that come back after what others have done with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from servers.town import PASSWORD, Town
from tenacity import wait_none

from webqq_tornado.cli import presence as presence_module
from webqq_tornado.cli.presence import BOT, YOU, Name, Presence
from webqq_tornado.client import Client, State


class Watched:
    """Ann's presence, and what is said of it."""

    def __init__(self, town: Town, name: Name, **options: object) -> None:
        self.town = town
        self.client, _ = town.client(town.ann, str(options.pop("secret", PASSWORD)))
        self.lines: list[str] = []
        self.states: asyncio.Queue[State] = asyncio.Queue()
        self.presence = Presence(self.client, name, self.lines.append, **options)
        self.client.on_event(lambda event: self.states.put_nowait(getattr(event, "state", None)))

    async def until(self, state: State) -> None:
        while await self.states.get() is not state:
            pass

    def other(self) -> Client:
        return self.town.client(self.town.ann)[0]


@asynccontextmanager
async def online(
    name: Name = YOU, *, path: Path | str = ":memory:", **options: object
) -> AsyncIterator[Watched]:
    async with Town(path) as town:
        watched = Watched(town, name, **{"is_attended": True, **options})
        await watched.presence.sign_in()
        await watched.until(State.ONLINE)
        yield watched
        watched.presence.close()


async def _log_out_elsewhere(watched: Watched) -> None:
    """As `logout` in another terminal does: with the session that both know."""
    town = watched.town
    session = town.server.hub.find(watched.client.session.psessionid)
    while session.held_poll is None:
        await town.stream.fetch(f"{town.server.url}/loginproxy.html")
    town.server.hub.close_session(session)
    await watched.until(State.KICKED)


async def test_who_is_logged_out_elsewhere_comes_back_by_itself():
    async with online() as watched:
        await _log_out_elsewhere(watched)
        await watched.until(State.ONLINE)
        assert watched.lines == [
            "You were signed out by another program. Signing in again ...",
            "You are online again.",
        ]
        assert watched.presence.trouble == ""


async def test_who_is_thrown_out_by_a_login_waits_for_enter():
    async with online(BOT) as watched:
        await watched.other().login()
        await watched.until(State.KICKED)
        assert watched.lines[0].startswith("The bot was signed out by a login elsewhere: ")
        assert watched.lines[1:] == ["Press Enter to sign in again."]
        assert watched.presence.trouble == "The bot: signed out, Enter signs in again"
        assert await watched.presence.sign_in()
        assert watched.client.state is State.ONLINE
        assert watched.lines[2:] == ["The bot is online again."]


async def test_where_nobody_can_press_enter_it_comes_back_after_a_while(monkeypatch):
    async with online(is_attended=False) as watched:
        monkeypatch.setattr(presence_module, "_RETURNS", wait_none())
        await watched.other().login()
        await watched.until(State.ONLINE)
        assert "You will sign in again in 0 s." in watched.lines


def test_each_time_in_a_row_it_waits_longer():
    class Silent:
        def on_event(self, _listener: object) -> None:
            pass

    presence = Presence(Silent(), BOT, lambda _line: None, is_attended=False)
    assert [presence._next_pause() for _ in range(8)] == [60, 120, 240, 480, 960, 1920, 3600, 3600]


async def test_a_wrong_password_is_asked_for():
    asked = []

    async def password(is_wrong: bool) -> str:
        asked.append(is_wrong)
        return PASSWORD

    kept = []
    options = {"password": password, "remember": kept.append}
    async with online(secret="changed meanwhile", **options) as watched:
        assert asked == [True]
        assert kept == [PASSWORD]
        assert "wrong password" in watched.lines[0]
        assert watched.client.state is State.ONLINE


async def test_what_keeps_it_out_is_said():
    async with Town() as town:
        watched = Watched(town, YOU, is_attended=False, secret="wrong")
        assert not await watched.presence.sign_in()
    assert watched.lines == [
        f"You are not signed in: wrong password, or no such account: {town.ann}"
        f" ({watched.lines[0].partition('(')[2]}"
    ]


async def test_a_server_that_comes_back_is_met_again(tmp_path: Path):
    async with online(path=tmp_path / "server.db") as watched:
        async with watched.town.away():
            await watched.until(State.RECONNECTING)
            assert watched.presence.trouble == "signing in"
        await watched.until(State.ONLINE)
        assert watched.lines[0].startswith("You are cut off: ")
        assert watched.lines[-1] == "You are online again."


async def test_who_is_logged_out_while_the_server_goes_away_comes_back_with_it(tmp_path: Path):
    async with online(path=tmp_path / "server.db") as watched:
        await _log_out_elsewhere(watched)
        async with watched.town.away():
            pass
        await watched.until(State.ONLINE)
