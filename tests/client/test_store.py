"""The store by itself: what it keeps, finds and tells apart."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from webqq_tornado.client import Entry, Kind, Store, StoreError
from webqq_tornado.client import store as store_module
from webqq_tornado.client.address import Address
from webqq_tornado.client.unhandled import Unhandled
from webqq_tornado.lockfile import holder_of
from webqq_tornado.protocol.models import Content, Face, Font, GroupPicture, UnknownPart

ME = 10001
BOB = Address(Kind.FRIEND, "Bob", 10002, 777, "today")
SQUARE = Address(Kind.GROUP, "Square", 20001, 888, "today")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db") as store:
        yield store


def entry(text: str | Content, account: int = ME, time: float = 1.0, **more) -> Entry:
    content = Content.of(text) if isinstance(text, str) else text
    given = {"sender": "Bob", "sender_number": 10002, "is_own": False} | more
    return Entry(0, account, Kind.FRIEND, 0, "", **given, time=time, content=content)


def hear(store: Store, text: str, address: Address = BOB, account: int = ME) -> bool:
    return store.receive(text.encode(), entry(text, account), address)


def texts(entries) -> list[str]:
    return [entry.text for entry in entries]


# -- the file ----------------------------------------------------------------------------------


def test_only_its_owner_may_read_the_file_and_its_log(store, tmp_path):
    hear(store, "hello")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert "store.db-wal" in modes


def test_what_is_kept_is_there_when_it_is_opened_again(store, tmp_path):
    hear(store, "hello")
    store.put("plugin", "key", {"a": [1]})
    with Store(tmp_path / "store.db") as again:
        assert texts(again.history(ME)) == ["hello"]
        assert again.get("plugin", "key") == {"a": [1]}


def test_a_file_of_a_newer_version_is_refused_with_a_remedy(tmp_path):
    with sqlite3.connect(tmp_path / "new.db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match=r"new.db: .*written by a newer version .* upgrade"):
        Store(tmp_path / "new.db")


def test_a_file_that_is_none_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(StoreError, match=r"cannot be used .* name another file"):
        Store(tmp_path / "text")


def test_a_file_of_the_version_before_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_MIGRATIONS", store_module._MIGRATIONS[:1])
    with Store(tmp_path / "store.db") as old:
        old._db.execute("INSERT INTO seen (account, mark) VALUES (?, ?)", (ME, b"hello"))
    monkeypatch.undo()
    with Store(tmp_path / "store.db") as store:
        assert not hear(store, "hello")
        assert store.unhandled(ME) == []


# -- what is to be handled ---------------------------------------------------------------------


def test_what_is_to_be_handled_is_there_until_it_is(store, tmp_path):
    for text in ("one", "two"):
        store.receive(text.encode(), entry(text), BOB, f"message {text}")
    hear(store, "nobody says when it is handled")
    store.begin_handling(ME, b"two")
    store.handled(ME, b"one")
    with Store(tmp_path / "store.db") as again:
        assert again.unhandled(ME) == [Unhandled(b"two", BOB, "message two", 1)]
        assert again.unhandled(10003) == []


def test_what_is_to_be_handled_belongs_to_who_wrote_it_when_the_number_becomes_known(store):
    store.remember(ME, BOB)
    new = Address(Kind.FRIEND, "Bob", 0, 999, "tomorrow")
    store.receive(b"hello", entry("hello"), new, "message")
    store.remember(ME, replace(new, number=10002))
    (stored,) = store.unhandled(ME)
    assert (stored.address.number, stored.address.session) == (10002, "tomorrow")


@pytest.mark.parametrize("name", ["half \ud83d", "\x00", ""])
def test_a_name_that_no_database_takes_is_kept_as_well_as_may_be(store, name):
    address = Address(Kind.FRIEND, name, 0, 2**70, "today", is_unique=True)
    for text in ("one", "two"):
        assert hear(store, text, address)
    assert texts(store.history(ME)) == ["one", "two"]


# -- history -----------------------------------------------------------------------------------


def test_a_message_is_new_once_only(store):
    assert hear(store, "hello")
    assert not hear(store, "hello")
    assert texts(store.history(ME)) == ["hello"]


def test_accounts_do_not_see_each_others_messages(store):
    hear(store, "to me")
    hear(store, "to me", account=10003)
    assert len(store.history(ME)) == 1
    assert len(store.history()) == 2


def test_who_wrote_first_is_known_by_the_number_that_is_looked_up_afterwards(store):
    unknown = replace(BOB, number=0)
    for is_own in (False, True):
        said = entry(str(is_own), sender_number=0, is_own=is_own)
        store.receive(said.text.encode(), said, unknown)
    store.receive(b"3", entry("all", sender_number=0), SQUARE)
    store.remember(ME, BOB)
    numbers = {one.text: one.sender_number for one in store.history(ME)}
    assert numbers == {"False": 10002, "True": 0, "all": 0}


def test_history_is_the_latest_oldest_first_and_goes_back_by_pages(store):
    for number in range(10):
        hear(store, f"{number}")
    page = store.history(ME, limit=3)
    assert texts(page) == ["7", "8", "9"]
    assert texts(store.history(ME, limit=3, before=page[0].id)) == ["4", "5", "6"]


@pytest.mark.parametrize("name", ["Bob", "bob", " BOB ", "10002", 10002])
def test_a_conversation_is_found_by_name_or_number(store, name):
    hear(store, "from Bob")
    hear(store, "from the square", SQUARE)
    hear(store, "from Bobby", Address(Kind.FRIEND, "Bobby", 10009))
    assert texts(store.history(ME, with_=name)) == ["from Bob"]


def test_digits_are_a_number_before_they_are_a_name(store):
    hear(store, "from Bob")
    hear(store, "from who is called as Bob is numbered", Address(Kind.FRIEND, "10002", 10009))
    assert texts(store.history(ME, with_="10002")) == ["from Bob"]


def test_without_a_whole_name_a_part_will_do(store):
    hear(store, "from the square", SQUARE)
    assert texts(store.history(ME, with_="squ")) == ["from the square"]
    assert store.history(ME, with_="nobody") == []


SAID = ["今天天气很好", "明天下雨", "The weather is fine", "50% of it_all", 'say "hi" \\ there']


@pytest.mark.parametrize("is_indexed", [True, False])
@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("天气", SAID[:1]),
        ("天天气", SAID[:1]),
        ("天", SAID[:2]),
        ("weather FINE", SAID[2:3]),
        ("the", SAID[2:3] + SAID[4:]),
        ("50%", SAID[3:4]),
        ("0%_", []),
        ("_a", SAID[3:4]),
        ('"hi"', SAID[4:]),
        ("\\", SAID[4:]),
        ("NEAR(", []),
        ("x' OR 1", []),
    ],
)
def test_search_finds_words_in_any_script(store, search, found, is_indexed):
    for text in SAID:
        hear(store, text)
    store._history.is_indexed &= is_indexed
    assert texts(store.history(ME, search=search)) == found


def test_the_index_is_completed_after_an_sqlite_without_it(store, tmp_path):
    hear(store, "indexed")
    store._history.is_indexed = False
    hear(store, "not indexed")
    with Store(tmp_path / "store.db") as again:
        assert texts(again.history(ME, search="indexed")) == ["indexed", "not indexed"]


def test_an_entry_has_all_that_was_said(store):
    picture = GroupPicture("a.jpg", 7, "key", "1.2.3.4:80")
    content = Content.of("look ", Face(14), picture, "\n<&> ", font=Font("Arial", 12, bold=True))
    store.receive(b"1", entry(content, time=12.5), SQUARE)
    (kept,) = store.history(ME)
    assert kept.content == content
    assert (kept.kind, kept.number, kept.name) == (Kind.GROUP, 20001, "Square")
    assert (kept.sender, kept.sender_number, kept.is_own, kept.time) == ("Bob", 10002, False, 12.5)


def test_an_export_is_lines_of_json_oldest_first(store):
    for number in range(1200):
        hear(store, f"第{number}")
    lines = list(store.export(ME))
    assert [json.loads(line)["text"] for line in lines] == [f"第{n}" for n in range(1200)]
    assert json.loads(lines[0])["name"] == "Bob"
    assert "第0" in lines[0]


def test_a_number_that_sqlite_cannot_hold_is_no_error(store):
    assert store.receive(b"1", entry("x"), Address(Kind.FRIEND, "Big", 2**64 - 1, 2**63, "s"))


def test_marks_are_forgotten_only_when_there_are_many_later_ones(store, monkeypatch):
    monkeypatch.setattr("webqq_tornado.client.store.REMEMBERED", 10)
    hear(store, "another's", account=10003)
    for number in range(25):
        hear(store, f"{number}")
    assert not hear(store, "another's", account=10003)
    assert not any(hear(store, f"{number}") for number in range(15, 25))
    assert hear(store, "0")


# -- whom one talks to -------------------------------------------------------------------------


def test_a_number_that_is_found_out_later_joins_what_was_said_before(store):
    hear(store, "long ago")
    today = Address(Kind.FRIEND, "Robert", 0, 5, "tomorrow")
    hear(store, "new name", today)
    store.accept(ME, today, [Content.of("hi")], 1)
    assert texts(store.history(ME, with_=10002)) == ["long ago"]
    store.remember(ME, Address(Kind.FRIEND, "Robert", 10002, 5, "tomorrow"))
    assert texts(store.history(ME, with_="Robert")) == ["long ago", "new name"]
    assert store.outbox(ME)[0].address.number == 10002


def test_without_a_number_one_is_known_by_a_name_that_nobody_shares(store):
    hear(store, "one", Address(Kind.DISCUSSION, "Plan", 0, 5, "today", is_unique=True))
    hear(store, "two", Address(Kind.DISCUSSION, "Plan", 0, 9, "tomorrow", is_unique=True))
    hear(store, "three", Address(Kind.DISCUSSION, "Plan", 0, 4, "later", is_unique=False))
    names = {e.text: e.name for e in store.history(ME)}
    assert len(names) == 3
    rows = store._db.execute("SELECT count(*) FROM party").fetchone()
    assert rows == (2,)


def test_numbers_are_remembered_for_the_session_in_which_they_hold(store):
    store.remember(ME, BOB)
    assert store.numbers_in(ME, "today") == {(Kind.FRIEND, 777): 10002}
    assert store.numbers_in(ME, "tomorrow") == {}


# -- outbox ------------------------------------------------------------------------------------


def test_what_is_accepted_waits_in_order_with_numbers_that_never_repeat(store, tmp_path):
    first = store.accept(ME, BOB, [Content.of("a"), Content.of("b")], 1)
    with Store(tmp_path / "store.db") as again:
        again.accept(ME, SQUARE, [Content.of("c")], 2)
        waiting = again.outbox(ME)
    assert texts(letter.content for letter in waiting) == ["a", "b", "c"]
    assert waiting[:2] == first
    assert len({letter.message_id for letter in waiting}) == 3
    assert len({letter.clientid for letter in waiting}) == 1
    assert [letter.whole == first[0].id for letter in waiting] == [True, True, False]


def test_what_is_sent_leaves_the_outbox_for_the_history(store):
    letter, other = store.accept(ME, BOB, [Content.of("a"), Content.of("b")], 1)
    store.sent(letter.id, entry("a", is_own=True, sender="Me"))
    assert store.outbox(ME) == [other]
    (kept,) = store.history(ME)
    assert (kept.name, kept.text, kept.is_own) == ("Bob", "a", True)


def test_what_is_sent_twice_is_in_the_history_once(store):
    (letter,) = store.accept(ME, BOB, [Content.of("a")], 1)
    store.sent(letter.id, entry("a"))
    store.sent(letter.id, entry("a"))
    assert len(store.history(ME)) == 1


def test_a_stranger_is_kept_with_the_way_to_them(store):
    stranger = Address(Kind.STRANGER, "Eve", 10003, 5, "today", origin=SQUARE)
    store.accept(ME, stranger, [Content.of("psst")], 1)
    assert store.outbox(ME)[0].address == stranger


def test_a_transaction_that_fails_leaves_nothing(store):
    def fail() -> None:
        with store.transaction():
            store.put("p", "k", 1)
            store.accept(ME, BOB, [Content.of("a")], 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.outbox(ME) == []
    assert store.get("p", "k") is None


# -- values and sessions -----------------------------------------------------------------------


def test_plugins_do_not_see_each_others_values(store):
    store.put("a", "k", 1)
    store.put("b", "k", None)
    assert (store.get("a", "k"), store.get("b", "k", 5), store.get("c", "k", 5)) == (1, None, 5)


def test_values_can_be_listed_changed_and_deleted(store):
    store.put("a", "z", 1)
    store.put("a", "y", 2)
    store.put("a", "z", "三")
    assert store.values("a") == {"y": 2, "z": "三"}
    assert store.delete("a", "z")
    assert not store.delete("a", "z")
    assert store.values("a") == {"y": 2}


def test_a_session_is_kept_until_it_is_over(store):
    assert store.load_session(ME) is None
    store.save_session(ME, "one")
    store.save_session(ME, "two")
    assert store.load_session(ME) == "two"
    store.forget_session(ME)
    assert store.load_session(ME) is None
    assert store.accounts == [ME]


def test_what_is_nested_as_deeply_as_can_be_read_is_kept_all_the_same(store):
    for depth in range(sys.getrecursionlimit() - 60, sys.getrecursionlimit()):
        raw = '["x",' * depth + "1" + "]" * depth
        content = Content.of("before", UnknownPart("x", raw))
        store.receive(str(depth).encode(), entry(content), BOB)
    assert {kept.text for kept in store.history(ME)} == {"before[x]"}
    assert len(list(store.export(ME))) == 60


# -- damage --------------------------------------------------------------------------------------

DAMAGED = [
    ("party", "kind", "nobody"),
    ("party", "name", b"\xff"),
    ("party", "number", b"\xff"),
    ("history", "sender", b"\xff"),
    ("history", "sender_number", "x"),
    *(("history", "time", value) for value in ("x", -5, 2**62, float("inf"))),
    *(("history", "content", value) for value in ("", "[1", b"\xff", "[" * 100_000)),
    ("history", "text", b"\xff"),
]


@pytest.mark.parametrize(("table", "column", "value"), DAMAGED)
def test_a_damaged_row_of_the_history_leaves_the_others_readable(store, table, column, value):
    for number in range(3):
        hear(store, f"text {number}")
    where = "" if table == "party" else " WHERE id = 2"
    store._db.execute(f"UPDATE {table} SET {column} = ?{where}", (value,))
    assert len(store.history(ME)) == len(list(store.export(ME))) == 3
    assert store.history(ME)[0].text == "text 0"


@pytest.mark.parametrize("content", ["", "[1", "{}", b"\xff", "[" * 100_000])
def test_a_damaged_message_of_the_outbox_keeps_no_other_one_back(store, content, caplog):
    for text in ("one", "two"):
        store.accept(ME, BOB, [Content.of(text)], 1.0)
    store._db.execute("UPDATE outbox SET content = ? WHERE id = 1", (content,))
    assert [letter.content.text for letter in store.outbox(ME)] == ["two"]
    assert "message 1 in the outbox" in caplog.text
    assert "stays there" in caplog.text
    caplog.clear()


def test_a_recipient_that_is_gone_or_leads_in_a_circle_is_told(store, caplog):
    store.accept(ME, BOB, [Content.of("one")], 1.0)
    for damage in ("UPDATE party SET origin = id", "DELETE FROM party"):
        store._db.execute("PRAGMA foreign_keys=OFF")
        store._db.execute(damage)
        assert store.outbox(ME) == []
    assert caplog.text.count("stays there") == 2
    caplog.clear()


# -- who listens -----------------------------------------------------------------------------------

LISTEN = """
import signal, sys
from webqq_tornado.client import Store
store = Store(sys.argv[1])
store.claim(10001, "http://127.0.0.1:1")
print(flush=True)
signal.pause()
"""


@pytest.mark.slow
def test_two_programs_do_not_listen_for_one_account(tmp_path):
    path = tmp_path / "store.db"
    process = subprocess.Popen([sys.executable, "-c", LISTEN, path], stdout=subprocess.PIPE)
    with process, Store(path) as store:
        process.stdout.readline()
        with pytest.raises(StoreError, match=rf"process {process.pid}, at http://127.0.0.1:1"):
            store.claim(10001, "http://127.0.0.1:1")
        store.claim(10002, "http://127.0.0.1:1")  # another account of the same file
        process.kill()
        process.wait()
        store.claim(10001, "http://127.0.0.1:1")
        assert holder_of(tmp_path / "store.db-10001.lock").is_this_process
    assert holder_of(tmp_path / "store.db-10001.lock") is None


def test_several_stores_of_one_process_share_a_file(tmp_path):
    with Store(tmp_path / "store.db") as one, Store(tmp_path / "store.db") as two:
        for store in (one, two):
            store.claim(ME, "http://127.0.0.1:1")
