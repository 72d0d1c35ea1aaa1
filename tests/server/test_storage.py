"""What the server remembers."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from webqq_tornado.protocol.models import Content, Face
from webqq_tornado.server.storage import Conversation, Storage, StorageError


@pytest.fixture
def storage(tmp_path: Path):
    storage = Storage(tmp_path / "new" / "server.db")
    yield storage
    storage.close()


def test_the_file_is_its_owners_alone(storage: Storage):
    assert storage.path.stat().st_mode & 0o777 == 0o600
    assert storage.path.parent.stat().st_mode & 0o777 == 0o700


def test_numbers_go_up(storage: Storage):
    made = [
        storage.create_account("A", "x").number,
        storage.create_account("B", "x", 20_000).number,
    ]
    assert [*made, storage.create_account("C", "x").number] == [10001, 20_000, 20_001]


def test_a_number_is_given_once(storage: Storage):
    storage.create_account("A", "x", 12345)
    with pytest.raises(ValueError, match="12345 exists"):
        storage.create_account("B", "x", 12345)


def test_no_password_is_kept_as_it_is(storage: Storage):
    storage.create_account("A", "the password itself")
    storage.close()
    for path in storage.path.parent.iterdir():
        assert b"the password itself" not in path.read_bytes()


def test_all_is_there_after_a_restart(tmp_path: Path):
    storage = Storage(tmp_path / "server.db")
    one, other = (storage.create_account(n, "x").number for n in "AB")
    storage.befriend(one, other)
    content = Content.of("hi ", Face(14), " & <b>")
    storage.add_message(one, Conversation("friend", other), content, [other])
    storage.add_page_session("token", one)
    storage.close()
    storage = Storage(tmp_path / "server.db")
    assert storage.are_friends(other, one)
    (message,) = storage.undelivered(other)
    assert message.content == content
    assert storage.page_account("token") == one
    storage.close()


def test_what_was_delivered_is_gone(storage: Storage):
    one, other = (storage.create_account(n, "x").number for n in "AB")
    for text in "abc":
        storage.add_message(one, Conversation("friend", other), Content.of(text), [other])
    first, second, _ = storage.undelivered(other)
    storage.mark_delivered(other, [first.id, second.id])
    assert [message.content.text for message in storage.undelivered(other)] == ["c"]


def test_a_newer_file_is_refused(tmp_path: Path):
    Storage(tmp_path / "server.db").close()
    database = sqlite3.connect(tmp_path / "server.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageError, match="newer version"):
        Storage(tmp_path / "server.db")


def test_what_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / "server.db").write_text("this is a text, and a long one" * 100)
    with pytest.raises(StorageError, match="can not be used"):
        Storage(tmp_path / "server.db")


def test_friends_must_exist_and_differ(storage: Storage):
    one = storage.create_account("A", "x").number
    with pytest.raises(ValueError, match="no account 999"):
        storage.befriend(one, 999)
    with pytest.raises(ValueError, match="own friend"):
        storage.befriend(one, one)
