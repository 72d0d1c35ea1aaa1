"""A session in a file: a client that starts again goes on with it."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import pytest
from servers.town import Town

from webqq_tornado.client import Client, Endpoints, LoginError, State, Store
from webqq_tornado.client.saved_session import SavedSession
from webqq_tornado.protocol.models import FriendMessage


def _client(town: Town, file: Path, password: str = "no longer known") -> Client:
    client = Client(
        town.stream, town.ann, password, Endpoints.at(town.server.url), session_file=file
    )
    town.clients.append(client)
    return client


async def test_a_client_that_starts_again_needs_no_password(tmp_path):
    file = tmp_path / "sessions" / "ann.json"
    async with Town() as town:
        first = _client(town, file, "correct horse")
        await first.login()
        before = first.session
        first.leave()
        assert first.state is State.OFFLINE
        again = _client(town, file)
        await again.login()
        assert again.session.psessionid == before.psessionid
        assert again.nick == "Ann"


async def test_its_contacts_have_the_same_numbers_as_before(tmp_path):
    async with Town() as town:
        first = _client(town, tmp_path / "ann", "correct horse")
        await first.login()
        first.leave()
        again = _client(town, tmp_path / "ann")
        await again.login()
        assert set(again.friends) == set(first.friends)


async def test_what_came_in_between_is_not_lost(tmp_path):
    async with Town() as town:
        first = _client(town, tmp_path / "ann", "correct horse")
        await first.login()
        first.leave()
        bob, _ = town.client(town.bob)
        await bob.login()
        await bob.send(bob.find("Ann"), "are you there?")
        again = _client(town, tmp_path / "ann")
        heard = []
        again.on_event(heard.append)
        await again.login()
        while not any(isinstance(event, FriendMessage) for event in heard):
            await again.stream.fetch(f"{town.server.url}/loginproxy.html")
        (message,) = [event for event in heard if isinstance(event, FriendMessage)]
        assert message.content.text == "are you there?"


async def test_only_its_owner_may_read_the_file(tmp_path):
    async with Town() as town:
        client = _client(town, tmp_path / "ann", "correct horse")
        await client.login()
        assert stat.S_IMODE((tmp_path / "ann").stat().st_mode) == 0o600


async def test_who_logs_out_needs_the_password_again(tmp_path):
    async with Town() as town:
        first = _client(town, tmp_path / "ann", "correct horse")
        await first.login()
        await first.logout()
        assert not (tmp_path / "ann").exists()
        with pytest.raises(LoginError, match="wrong password"):
            await _client(town, tmp_path / "ann").login()


async def test_a_session_that_the_server_has_forgotten_is_no_hindrance(tmp_path):
    async with Town() as town:
        client = _client(town, tmp_path / "ann", "correct horse")
        SavedSession(town.ann, "webqq3", 1, "gone", "Ann", ()).save(tmp_path / "ann")
        await client.login()
        assert client.state is State.ONLINE


GOOD = {
    "account": 10001,
    "dialect": "webqq3",
    "clientid": 1,
    "psessionid": "x",
    "nick": "Ann",
    "cookies": [],
}


def _with(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


DAMAGED = [
    *("", "[]", "null", '{"account": 1}', "\0", "[" * 100_000, "\ud800"),
    _with(account=float("inf")),
    *(_with(account=account) for account in (-1, "10001", True, None, 10**30)),
    *(_with(clientid=clientid) for clientid in (1.5, [])),
    *(_with(psessionid=psessionid) for psessionid in (1, None, "\ud800")),
    *(_with(nick=nick) for nick in (None, {})),
    *(_with(cookies=cookies) for cookies in (1, [1], [{"x": 1}], [{}], {"a": 1}, "abc")),
    _with(cookies=[{"name": "a", "value": "b", "domain": 1}]),
    _with(cookies=[{"name": "a", "value": 1, "domain": "qq.com"}]),
    _with(cookies=[{"name": "a", "value": "b", "domain": "qq.com", "expires": float("inf")}]),
]


@pytest.mark.parametrize("damaged", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_told_of(tmp_path, caplog, damaged):
    (tmp_path / "ann").write_text(damaged, errors="surrogatepass")
    assert SavedSession.load(tmp_path / "ann") is None
    assert str(tmp_path / "ann") in caplog.text
    caplog.clear()


def test_a_file_that_is_whole_is_taken(tmp_path):
    (tmp_path / "ann").write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert SavedSession.load(tmp_path / "ann").account == 10001


async def test_a_folder_in_its_place_is_no_hindrance(tmp_path, caplog):
    (tmp_path / "ann").mkdir()
    async with Town() as town:
        client = _client(town, tmp_path / "ann", "correct horse")
        await client.login()
        await client.logout()
    for words in ("it is a folder", "cannot be saved", "cannot be deleted"):
        assert any(words in record.message for record in caplog.records)
    caplog.clear()


async def test_a_damaged_file_is_passed_over(tmp_path, caplog):
    (tmp_path / "ann").write_text("[]")
    async with Town() as town:
        await _client(town, tmp_path / "ann", "correct horse").login()
    record = next(record for record in caplog.records if "holds no session" in record.message)
    assert record.levelno == logging.WARNING
    assert str(tmp_path / "ann") in record.message
    caplog.clear()


async def test_the_session_of_another_account_is_not_taken(tmp_path):
    async with Town() as town:
        bob, _ = town.client(town.bob, file=tmp_path / "one")
        await bob.login()
        bob.leave()
        ann = _client(town, tmp_path / "one", "correct horse")
        await ann.login()
        assert ann.account == town.ann
        assert ann.nick == "Ann"


async def test_no_secret_of_a_kept_session_is_shown(tmp_path):
    kept = SavedSession(1, "webqq3", 1, "geheim", "Ann", ({"name": "skey", "value": "geheim"},))
    assert "geheim" not in repr(kept)


async def test_a_store_keeps_the_session_as_well(tmp_path):
    with Store(tmp_path / "store.db") as store:
        async with Town() as town:
            first, again = (_stored(town, store, word) for word in ("correct horse", "forgotten"))
            await first.login()
            before = first.session
            first.leave()
            await again.login()
            assert again.session.psessionid == before.psessionid
            await again.logout()
            assert store.load_session(town.ann) is None


async def test_whoever_scanned_the_code_has_records_in_the_store_also_the_second_time(tmp_path):
    with Store(tmp_path / "store.db") as store:
        async with Town() as town:
            for text in ("one", "two"):
                client, _ = town.smart_client(
                    town.confirm_as(town.ann), file=tmp_path / "session", store=store
                )
                await client.login()
                await client.send(client.find("Bob"), text)
                client.leave()
            assert [entry.text for entry in store.history(town.ann)] == ["one", "two"]


def _stored(town: Town, store: Store, password: str) -> Client:
    client = Client(town.stream, town.ann, password, Endpoints.at(town.server.url), store=store)
    town.clients.append(client)
    return client
