"""What the server remembers."""

from __future__ import annotations

import random
import sqlite3
import time
from itertools import takewhile
from pathlib import Path

import pytest

from webqq_tornado.database import open_database, transaction
from webqq_tornado.protocol.models import Content, Face, Font
from webqq_tornado.server import Storage, StorageError
from webqq_tornado.server.storage import _MOVED, Conversation, Nonce, Ticket
from webqq_tornado.server.storage.database import _MIGRATIONS
from webqq_tornado.server.storage.messages import _halves


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
        storage.accounts.create("A", "x").number,
        storage.accounts.create("B", "x", 20_000).number,
    ]
    assert [*made, storage.accounts.create("C", "x").number] == [10001, 20_000, 20_001]


def test_a_number_is_given_once(storage: Storage):
    storage.accounts.create("A", "x", 12345)
    with pytest.raises(ValueError, match="12345 exists"):
        storage.accounts.create("B", "x", 12345)


def test_no_password_is_kept_as_it_is(storage: Storage):
    storage.accounts.create("A", "the password itself")
    storage.close()
    for path in storage.path.parent.iterdir():
        assert b"the password itself" not in path.read_bytes()


def test_all_is_there_after_a_restart(tmp_path: Path):
    storage = Storage(tmp_path / "server.db")
    one, other = (storage.accounts.create(n, "x").number for n in "AB")
    storage.friends.befriend(one, other)
    content = Content.of("hi ", Face(14), " & <b>")
    storage.messages.add(one, Conversation("friend", other), content, [other])
    storage.sessions.add_page_session("token", one)
    storage.close()
    storage = Storage(tmp_path / "server.db")
    assert storage.friends.are_friends(other, one)
    (message,) = storage.messages.undelivered(other)
    assert message.content == content
    assert storage.sessions.page_account("token") == one
    storage.close()


def test_a_message_that_waits_keeps_its_font(storage: Storage):
    content = Content.of("a", font=Font("黑体", 12, True, False, True, "ff0000"))
    storage.messages.add(1, Conversation("friend", 2), content, [2])
    assert [message.content for message in storage.messages.undelivered(2)] == [content]


@pytest.mark.parametrize("number", [5000, -1, 2**63 - 1])
def test_a_face_that_nobody_knows_comes_out_as_it_went_in(storage: Storage, number: int):
    content = Content.of("a", Face(number))
    storage.messages.add(1, Conversation("friend", 2), content, [2])
    assert [message.content for message in storage.messages.undelivered(2)] == [content]


def test_a_clock_that_was_put_back_takes_no_new_message_for_an_old_one(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    to, nonce = Conversation("friend", 2), Nonce("1", 120)
    storage.messages.add(1, to, Content.of("a"), [2], nonce)
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    _, is_new = storage.messages.add(1, to, Content.of("a"), [2], nonce)
    assert is_new


def test_what_was_delivered_is_gone(storage: Storage):
    one, other = (storage.accounts.create(n, "x").number for n in "AB")
    for text in "abc":
        storage.messages.add(one, Conversation("friend", other), Content.of(text), [other])
    _, second, _ = storage.messages.undelivered(other)
    storage.messages.mark_delivered(other, second.id)
    assert [message.content.text for message in storage.messages.undelivered(other)] == ["c"]


def test_a_newer_file_is_refused(tmp_path: Path):
    Storage(tmp_path / "server.db").close()
    database = sqlite3.connect(tmp_path / "server.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageError, match="newer version"):
        Storage(tmp_path / "server.db")


def test_what_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / "server.db").write_text("this is a text, and a long one" * 100)
    with pytest.raises(StorageError, match="cannot be used"):
        Storage(tmp_path / "server.db")


def test_friends_must_exist_and_differ(storage: Storage):
    one = storage.accounts.create("A", "x").number
    with pytest.raises(ValueError, match="no account 999"):
        storage.friends.befriend(one, 999)
    with pytest.raises(ValueError, match="own friend"):
        storage.friends.befriend(one, one)


# -- friends ------------------------------------------------------------------------------------


def pair(storage: Storage) -> tuple[int, int]:
    one, other = (storage.accounts.create(n, "x").number for n in "AB")
    storage.friends.befriend(one, other)
    return one, other


def test_headings_and_marks_are_ones_own(storage: Storage):
    one, other = pair(storage)
    heading = storage.friends.add_heading(one, "Work")
    storage.friends.set_category(one, other, heading.number)
    storage.friends.set_mark(one, other, "Bee")
    (mine,), (theirs,) = storage.friends.rows(one), storage.friends.rows(other)
    assert (mine.category, mine.mark) == (heading.number, "Bee")
    assert (theirs.category, theirs.mark) == (0, "")


def test_who_was_under_a_heading_that_is_gone_is_under_the_default_one(storage: Storage):
    one, other = pair(storage)
    heading = storage.friends.add_heading(one, "Work")
    storage.friends.set_category(one, other, heading.number)
    storage.friends.remove_heading(one, heading.number)
    assert storage.friends.rows(one)[0].category == 0
    assert storage.friends.headings(one) == []


def test_a_request_is_settled_by_friendship(storage: Storage):
    one, other = (storage.accounts.create(n, "x").number for n in "AB")
    storage.friends.add_request(one, other, "let me in")
    assert [request.text for request in storage.friends.requests(other)] == ["let me in"]
    storage.friends.befriend(other, one)
    assert storage.friends.requests(other) == []


def test_a_profile_is_kept_and_the_signs_follow_from_the_birthday(storage: Storage):
    one = storage.accounts.create("A", "x").number
    storage.accounts.change_profile(one, {"city": "青岛", "birthday": [1989, 1, 30], "lnick": "hm"})
    storage.accounts.change_profile(one, {"nick": "B", "gender": "male"})
    profile = storage.accounts.profile(one)
    assert profile
    assert (profile.nick, profile.city, profile.lnick) == ("B", "青岛", "hm")
    assert (profile.gender, profile.constel, profile.shengxiao) == (
        "male",
        1,
        5,
    )  # as in a capture of 2016


@pytest.mark.parametrize(
    "changes",
    [{"number": 1}, {"city": 5}, {"gender": "x"}, {"birthday": [1, 2]}, {"face": 10**6}],
)
def test_a_profile_takes_only_what_it_can_have(storage: Storage, changes: dict[str, object]):
    one = storage.accounts.create("A", "x").number
    with pytest.raises(ValueError, match=r"profile|birthday"):
        storage.accounts.change_profile(one, changes)


# -- rooms --------------------------------------------------------------------------------------


def test_a_group_whose_owner_leaves_goes_to_an_administrator(storage: Storage):
    one, two, three = (storage.accounts.create(n, "x").number for n in "ABC")
    room = storage.rooms.create_group("G", one, [two, three]).number
    storage.rooms.set_admin(room, three, True)
    storage.rooms.remove_member(room, one)
    group = storage.rooms.group(room)
    assert group
    assert group.owner == three
    assert storage.rooms.member_numbers(room) == {two, three}


def test_a_discussion_is_no_group(storage: Storage):
    one, other = pair(storage)
    discussion = storage.rooms.create_discussion("D", one, [other])
    assert storage.rooms.group(discussion.number) is None
    assert storage.rooms.groups(one) == []
    assert [room for room, _, _ in storage.rooms.of(other, "discussion")] == [discussion]


def test_whom_one_wrote_with_last_comes_first(storage: Storage):
    one, other = pair(storage)
    room = storage.rooms.create_group("G", one, [other]).number
    storage.messages.add(other, Conversation("friend", one), Content.of("hi"), [])
    storage.messages.add(one, Conversation("group", room), Content.of("all"), [])
    threads = [Conversation("group", room), Conversation("friend", other)]
    assert storage.messages.recent(one) == threads


def _counted_anew(storage: Storage, account: int, thread: Conversation, seen: int) -> int:
    """What `unread` is to be, the slow way."""
    messages, _ = storage.messages.history(account, thread, limit=10_000)
    return sum(message.sender != account and message.id > seen for message in messages)


@pytest.mark.parametrize("seed", range(5))
def test_unread_counts_are_kept_as_if_they_were_counted(storage: Storage, seed: int):
    chance = random.Random(seed)
    ann, bob, eve = (storage.accounts.create(nick, "x" * 9).number for nick in ("A", "B", "E"))
    room = storage.rooms.create_group("G", ann, [bob, eve]).number
    threads = [
        *(
            (kind, one, other)
            for kind in ("friend", "session")
            for one in (bob, eve)
            for other in (ann,)
        ),
        *(("group", one, room) for one in (ann, bob, eve)),
    ]
    seen: dict[tuple[int, Conversation], int] = {}
    for _ in range(300):
        kind, sender, target = chance.choice(threads)
        if chance.random() < 0.7:
            storage.messages.add(sender, Conversation(kind, target), Content.of("x"), ())
        thread = Conversation(kind, sender if target == ann else target)
        newest = storage.messages.newest(ann, thread)
        if newest is not None and chance.random() < 0.2:
            read = chance.randint(0, newest.id + 5)
            storage.messages.mark_seen(ann, thread, read)
            seen[ann, thread] = max(seen.get((ann, thread), 0), min(read, newest.id))
        up_to = seen.get((ann, thread), 0)
        assert storage.messages.unread(ann, thread) == _counted_anew(storage, ann, thread, up_to)


def test_what_is_not_there_yet_cannot_be_read(storage: Storage):
    ann, bob = (storage.accounts.create(nick, "x" * 9).number for nick in ("A", "B"))
    storage.messages.mark_seen(ann, Conversation("friend", bob), 2**53 - 1)
    storage.messages.add(bob, Conversation("friend", ann), Content.of("x"), ())
    storage.messages.mark_seen(ann, Conversation("friend", bob), 2**53 - 1)
    storage.messages.add(bob, Conversation("friend", ann), Content.of("y"), ())
    assert storage.messages.unread(ann, Conversation("friend", bob)) == 1


def test_messages_of_before_are_counted_once_when_the_file_is_taken_over(tmp_path: Path):
    path = tmp_path / "server.db"
    before = list(takewhile(lambda step: "CREATE TABLE thread" not in step, _MIGRATIONS))
    old = open_database(path, before, role="x", remedy="y")
    for number in (1, 2):
        old.execute("INSERT INTO account VALUES (?, 'N', x'00', '', 0, 0, 0, 0, '{}')", (number,))
    rows = [(2, "friend", 1), (1, "friend", 2), (2, "group", 9), (1, "group", 9), (2, "group", 9)]
    old.executemany(
        "INSERT INTO message (sender, kind, target, content, time) VALUES (?, ?, ?, '[]', 1)",
        rows * 4,
    )
    old.execute("INSERT INTO seen VALUES (1, 'friend', 2, 7), (1, 'group', 9, 10)")
    old.close()
    storage = Storage(path)
    assert storage.messages.unread(1, Conversation("friend", 2)) == 2
    assert storage.messages.unread(1, Conversation("group", 9)) == 4
    assert storage.messages.unread(2, Conversation("group", 9)) == 4
    storage.close()


def test_a_thread_is_read_without_a_look_at_all_that_was_written(storage: Storage):
    for kind, number in (("friend", 2), ("session", 2), ("group", 9)):
        for where, values in _halves(1, Conversation(kind, number)):
            plan = storage._db.execute(
                f"EXPLAIN QUERY PLAN SELECT * FROM message WHERE {where} AND id < 5 "
                "ORDER BY id DESC LIMIT 1",
                values,
            ).fetchall()
            assert "USING INDEX" in plan[0][3]
            assert len(plan) == 1  # nothing is sorted


def test_who_asks_for_rooms_that_are_none_fills_no_memory(storage: Storage):
    for room in range(1000):
        assert not storage.rooms.is_member(room, 1)
        assert not storage.rooms.blocked_by(room)
    assert not storage.rooms._numbers
    assert not storage.rooms._blocked


def test_a_clock_that_was_put_back_signs_nobody_out(storage: Storage, monkeypatch):
    now = time.time()
    ann = storage.accounts.create("Ann", "correct horse").number
    storage.sessions.add_ticket("before", Ticket(ann, "webqq3"))
    storage.sessions.add_page_session("before", ann)
    monkeypatch.setattr(time, "time", lambda: now - 10 * 365 * 86400)
    storage.sessions.add_ticket("meanwhile", Ticket(ann, "webqq3"))
    storage.sessions.add_page_session("meanwhile", ann)
    found = [
        (storage.sessions.ticket(one), storage.sessions.page_account(one))
        for one in ("before", "meanwhile")
    ]
    monkeypatch.setattr(time, "time", lambda: now)
    found += [
        (storage.sessions.ticket(one), storage.sessions.page_account(one))
        for one in ("before", "meanwhile")
    ]
    assert found == [(Ticket(ann, "webqq3"), ann)] * 4


def test_who_was_away_for_longer_than_a_month_signs_in_again(storage: Storage, monkeypatch):
    now = time.time()
    ann = storage.accounts.create("Ann", "correct horse").number
    storage.sessions.add_ticket("ticket", Ticket(ann, "webqq3"))
    monkeypatch.setattr(time, "time", lambda: now + 20 * 86400)
    assert storage.sessions.ticket("ticket") is not None  # and that is a use
    monkeypatch.setattr(time, "time", lambda: now + 45 * 86400)
    assert storage.sessions.ticket("ticket") is not None
    monkeypatch.setattr(time, "time", lambda: now + 80 * 86400)
    assert storage.sessions.ticket("ticket") is None


# -- search -------------------------------------------------------------------------------------


def written(storage: Storage, sender: int, to: Conversation, *texts: str) -> list[int]:
    """Send messages; their ids."""
    return [storage.messages.add(sender, to, Content.of(text), ())[0].id for text in texts]


def found(storage: Storage, account: int, text: str, **how) -> list[str]:
    return [message.content.text for message in storage.messages.search(account, text, **how)[0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the quince jelly is in the cellar", "QUINCE"),
        ("the quince jelly is in the cellar", "cellar quin"),
        ("今天的测试消息", "测试"),
        ("今天的测试消息", "消息"),
        ("今天的测试消息", "天"),
        ("今天的测试消息", "的测试消"),
        ("ＷｅｂＱＱ　好", "webqq"),
        ("Привет, мир", "ПРИВЕТ ми"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("مرحبا بالعالم", "بالعالم"),
        ("नमस्ते दुनिया", "दुनिया"),
        ("สวัสดีชาวโลก", "ชาวโลก"),
        ("ok 👍🏽 then", "👍"),
        ('a "quoted" word', '"quoted"'),
        ("100%_sure\\ AND", "%_sure\\ and"),
        ("a OR b*", "b*"),
    ],
)
@pytest.mark.parametrize("has_index", [True, False])
def test_a_message_is_found_by_its_words_in_any_script(
    storage: Storage, text: str, words: str, has_index: bool
):
    one, other = pair(storage)
    storage.messages._index.is_there = has_index
    written(storage, one, Conversation("friend", other), "something else", text)
    assert found(storage, one, words) == found(storage, other, words) == [text]


def test_a_search_looks_in_ones_own_threads_alone(storage: Storage):
    one, other = pair(storage)
    room = storage.rooms.create_group("G", other).number
    written(storage, other, Conversation("group", room), "secret of the room")
    third = storage.accounts.create("C", "x").number
    written(storage, other, Conversation("friend", third), "secret of two")
    for words in ("secret", "se", "t"):
        assert found(storage, one, words) == []
    storage.rooms.add_members(room, [one])
    assert found(storage, one, "secret") == found(storage, one, "se") == ["secret of the room"]
    assert found(storage, third, "secret") == []  # of one who is no friend


def test_what_was_said_before_one_came_is_not_unread(storage: Storage):
    one, other = pair(storage)
    room = storage.rooms.create_group("G", one).number
    square = Conversation("group", room)
    written(storage, one, square, "one", "two")
    storage.rooms.add_members(room, [other])
    assert storage.messages.unread(other, square) == 0
    storage.rooms.remove_member(room, other)
    written(storage, one, square, "three")
    storage.rooms.add_members(room, [other])
    written(storage, one, square, "four")
    assert storage.messages.unread(other, square) == 1


@pytest.mark.parametrize("words", ["same", "sa"])
def test_what_a_search_finds_comes_in_pages(storage: Storage, words: str):
    one, other = pair(storage)
    ids = written(storage, one, Conversation("friend", other), *["the same"] * 7)
    pages, before = [], 2**62
    for _ in range(4):
        page, rest = storage.messages.search(one, words, before, limit=3)
        pages += [message.id for message in page]
        if rest is None:
            break
        before = rest
    assert pages == ids[::-1]
    assert rest is None


@pytest.mark.parametrize("words", ["needle", "ee"])
def test_a_search_ends_though_others_write_what_it_looks_for(storage: Storage, words: str):
    one, other = pair(storage)
    to = Conversation("friend", other)
    (needle,) = written(storage, one, to, "a needle")
    rows = [(7, "friend", 8, '["needles"]', 1)] * 45_000
    with transaction(storage._db):
        storage._db.executemany(
            "INSERT INTO message (sender, kind, target, content, time) VALUES (?, ?, ?, ?, ?)", rows
        )
    before, asked, seen = 2**62, 0, []
    while before is not None:
        page, before = storage.messages.search(one, words, before)
        seen, asked = [*seen, *page], asked + 1
    assert [message.id for message in seen] == [needle]
    assert 2 < asked < 30


def test_an_index_that_is_missing_is_made(tmp_path: Path):
    storage = Storage(tmp_path / "server.db")
    one, other = pair(storage)
    written(storage, one, Conversation("friend", other), *["the quince"] * 300)
    storage._db.execute("DROP TABLE message_index")
    storage.close()
    storage = Storage(tmp_path / "server.db")
    assert len(found(storage, one, "quince", limit=500)) == 300
    storage.close()


def test_messages_after_one_come_in_order(storage: Storage):
    one, other = pair(storage)
    to = Conversation("friend", other)
    ids = [
        *written(storage, one, to, "a", "b"),
        *written(storage, other, Conversation("friend", one), "c", "d"),
    ]
    page, more = storage.messages.history_after(one, to, ids[0], 2)
    assert ([message.id for message in page], more) == (ids[1:3], True)
    page, more = storage.messages.history_after(other, Conversation("friend", one), ids[2], 2)
    assert ([message.id for message in page], more) == (ids[3:], False)


def test_methods_of_the_previews_are_found_by_their_old_names():
    storage = Storage(":memory:")
    with pytest.warns(DeprecationWarning, match=r"use Storage\.accounts\.create instead"):
        ann = storage.create_account("Ann", "correct-horse-9")
    assert storage.accounts.get(ann.number) == ann
    for old in _MOVED:
        with pytest.warns(DeprecationWarning, match=f"Storage.{old} is deprecated"):
            assert callable(getattr(storage, old))
    with pytest.raises(AttributeError, match="no attribute 'happenings'"):
        _ = storage.happenings
    storage.close()
