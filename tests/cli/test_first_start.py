"""The accounts of the first start, and the file with their passwords, whatever becomes of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click
import pytest

from webqq_tornado.cli.first_start import (
    FirstStartAccounts,
    first_start_accounts,
    known_logins,
    remember_password,
)
from webqq_tornado.files import FileError
from webqq_tornado.server import Storage


class Place:
    """A state directory with a server's database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "accounts.json"
        self.storage = Storage(folder / "server.db")

    def start(self) -> FirstStartAccounts:
        return first_start_accounts(self.storage, self.folder)

    def lets_in(self, home: FirstStartAccounts) -> bool:
        """Whether the server takes the passwords, and the file has them."""
        on_disk = json.loads(self.file.read_text())
        return all(
            self.storage.accounts.get(login.account).password
            == hashlib.md5(login.password.encode()).digest()
            and on_disk[part] == login._asdict()
            for part, login in (("bot", home.bot), ("user", home.user))
        )


@pytest.fixture
def place(tmp_path: Path):
    place = Place(tmp_path)
    yield place
    place.storage.close()


def test_the_first_start_makes_them_and_the_second_finds_them(place: Place):
    first = place.start()
    assert first.is_new
    assert place.lets_in(first)
    assert place.file.stat().st_mode & 0o777 == 0o600
    assert place.start() == first._replace(is_new=False)


GOOD = {"account": 10001, "password": "x", "nick": "B"}
DAMAGED = [
    *(b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"\x00" * 100, b'"\xb0\xa1"'),
    *(
        json.dumps({"bot": {**GOOD, **changes}, "user": GOOD}).encode()
        for changes in ({"account": "1"}, {"account": -1}, {"account": True}, {"account": 1e999})
    ),
    *(
        json.dumps({"bot": {**GOOD, **changes}, "user": GOOD}).encode()
        for changes in ({"password": 1}, {"password": ""}, {"nick": None}, {"more": 1})
    ),
    json.dumps({"bot": GOOD}).encode(),
    json.dumps({"bot": GOOD, "user": {**GOOD, "account": 99}}).encode(),
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_costs_two_passwords_and_nothing_else(place: Place, content: bytes):
    first = place.start()
    place.file.write_bytes(content)
    again = place.start()
    assert not again.is_new
    assert str(place.file) in again.renewal
    assert (again.bot.account, again.user.account) == (first.bot.account, first.user.account)
    assert again.bot.password != first.bot.password
    assert place.lets_in(again)
    assert len(place.storage.accounts.all()) == 2
    assert place.start() == again._replace(renewal="")


def test_a_file_that_is_gone_is_made_anew(place: Place):
    first = place.start()
    place.file.unlink()
    again = place.start()
    assert "gone" in again.renewal
    assert again.user.account == first.user.account
    assert place.lets_in(again)


def test_accounts_of_others_get_no_new_passwords(place: Place):
    stranger = place.storage.accounts.create("Stranger", "hers alone")
    first = place.start()
    place.file.write_text("")
    place.start()
    assert place.storage.accounts.get(stranger.number) == stranger
    assert stranger.number not in (first.bot.account, first.user.account)


def test_a_file_without_its_database_is_not_overwritten(place: Place):
    content = json.dumps({"bot": GOOD, "user": {**GOOD, "account": 10002}})
    place.file.write_text(content)
    with pytest.raises(click.ClickException, match=r"server\.db is empty.*accounts\.json away"):
        place.start()
    assert place.file.read_text() == content
    place.file.unlink()
    assert place.start().is_new


def test_what_is_no_file_stops_the_start_in_one_line(place: Place):
    place.start()
    place.file.unlink()
    place.file.mkdir()
    with pytest.raises(click.ClickException, match=r"accounts\.json: it is a folder"):
        place.start()


def test_a_disk_that_is_full_changes_no_password(place: Place, monkeypatch):
    first = place.start()
    place.file.write_text("")
    monkeypatch.setattr("os.replace", _no_room)
    with pytest.raises(click.ClickException, match="cannot be written: the disk is full"):
        place.start()
    account = place.storage.accounts.get(first.bot.account)
    assert account.password == hashlib.md5(first.bot.password.encode()).digest()


def _no_room(*_paths: object) -> None:
    raise OSError(28, "No space left on device")


def test_an_older_database_learns_whose_file_it_is(place: Place):
    first = place.start()
    place.storage._db.execute("DELETE FROM local_account")
    assert place.start() == first._replace(is_new=False)
    place.file.write_text("")
    assert place.start().user.account == first.user.account


def test_a_password_that_was_changed_elsewhere_is_kept(place: Place):
    first = place.start()
    remember_password(place.folder, first.user.account, "another one")
    again = place.start()
    assert again.user == first.user._replace(password="another one")
    assert again.bot == first.bot


def test_known_logins_of_a_damaged_file_are_an_error(tmp_path: Path):
    assert known_logins(tmp_path) == {}
    (tmp_path / "accounts.json").write_text("[]")
    with pytest.raises(FileError, match="a bot and a user"):
        known_logins(tmp_path)
