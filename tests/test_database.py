"""A file of ours: private, migrated step by step, also by several at once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import stat
import sys
import time

import pytest

from webqq_tornado.database import DatabaseError, is_locked, open_database, transaction

STEPS = ["CREATE TABLE a (b);", "ALTER TABLE a ADD COLUMN c;"]
WORDS = {"role": "a list", "remedy": "take another"}


@pytest.fixture
def db(tmp_path):
    db = open_database(tmp_path / "folder" / "list.db", STEPS, **WORDS)
    yield db
    db.close()


def test_its_owner_alone_may_read_it(db, tmp_path):
    assert stat.S_IMODE((tmp_path / "folder" / "list.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


def test_an_older_file_is_taken_on_with_all_that_is_in_it(tmp_path):
    path = tmp_path / "list.db"
    old = open_database(path, STEPS[:1], **WORDS)
    old.execute("INSERT INTO a VALUES (1)")
    old.close()
    new = open_database(path, STEPS, **WORDS)
    assert new.execute("SELECT b, c FROM a").fetchall() == [(1, None)]
    new.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "list.db"
    open_database(path, STEPS[:1], **WORDS).close()
    with pytest.raises(DatabaseError, match=r"cannot be used as a list \(.*nonsense.*take another"):
        open_database(path, [STEPS[0], "CREATE TABLE d (e); nonsense;"], **WORDS)
    again = open_database(path, STEPS[:1], **WORDS)
    assert again.execute("SELECT name FROM sqlite_master").fetchall() == [("a",)]
    again.close()


@pytest.mark.slow
async def test_several_processes_open_a_new_file_at_once(tmp_path):
    code = (
        "import sys; from webqq_tornado.client.store import Store\n"
        "sys.stdin.read(1)\n"
        "with Store(sys.argv[1]) as store: store.put('a', 'b', 1)"
    )
    pipes = {"stdin": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    command = (sys.executable, "-c", code, str(tmp_path / "store.db"))
    processes = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(4)]
    ended = await asyncio.gather(*(process.communicate(b"x") for process in processes))
    assert [error.decode() for _, error in ended] == [""] * 4


def test_a_transaction_within_another_is_part_of_it(db):
    def fail() -> None:
        with transaction(db):
            with transaction(db):
                db.execute("INSERT INTO a VALUES (1, 2)")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert db.execute("SELECT * FROM a").fetchall() == []


def test_a_transaction_that_cannot_be_ended_swallows_nothing_that_follows(tmp_path):
    db = open_database(
        tmp_path / "list.db",
        [
            "CREATE TABLE a (b PRIMARY KEY);"
            "CREATE TABLE c (d REFERENCES a DEFERRABLE INITIALLY DEFERRED);"
        ],
        **WORDS,
    )
    db.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(sqlite3.IntegrityError), transaction(db):
        db.execute("INSERT INTO c VALUES (1)")
    assert not db.in_transaction
    db.close()


def test_a_full_disk_is_what_the_error_says(db):
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"), transaction(db):
        db.executemany("INSERT INTO a VALUES (?, ?)", [("x" * 1000, n) for n in range(1000)])
    assert not db.in_transaction


def test_a_file_that_has_no_room_to_be_made_says_so(tmp_path):
    step = "PRAGMA max_page_count=1; CREATE TABLE a (b);"
    with pytest.raises(DatabaseError, match=r"disk is full\); make room on its disk$"):
        open_database(tmp_path / "a.db", [step], role="a list", remedy="name another file")


def test_every_statement_outside_of_one_is_kept_at_once(db, tmp_path):
    db.execute("INSERT INTO a VALUES (1, 2)")
    other = sqlite3.connect(tmp_path / "folder" / "list.db")
    assert other.execute("SELECT * FROM a").fetchall() == [(1, 2)]
    other.close()


def test_another_program_that_locks_the_file_is_waited_for_once(tmp_path):
    db = open_database(tmp_path / "list.db", STEPS, patience=0.3, **WORDS)
    other = sqlite3.connect(tmp_path / "list.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began, patience = time.monotonic(), []
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError) as caught:
            db.execute("INSERT INTO a (b) VALUES (1)")
        assert is_locked(caught.value)
        assert time.monotonic() - began >= 0.3
        assert db.execute("SELECT count(*) FROM a").fetchone() == (0,)
        patience += db.execute("PRAGMA busy_timeout").fetchone()
    other.execute("COMMIT")
    db.execute("INSERT INTO a (b) VALUES (1)")
    patience += db.execute("PRAGMA busy_timeout").fetchone()
    assert patience == [0, 0, 0, 300]
    other.close()
    db.close()


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "theirs.db"
    for version in (0, 2, -1):
        path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as theirs:
            theirs.execute("CREATE TABLE theirs (x)")
            theirs.execute(f"PRAGMA user_version={version}")
        with pytest.raises(DatabaseError, match=r"of another program.*take another"):
            open_database(path, STEPS, **WORDS)
        with contextlib.closing(sqlite3.connect(path)) as theirs:
            assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def _filled(path):
    db = open_database(path, STEPS, **WORDS)
    with transaction(db):
        db.executemany("INSERT INTO a (b) VALUES (?)", ((f"{i}" * 100,) for i in range(2000)))
    db.close()
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_a_file_that_is_cut_short_or_overwritten_says_how_to_save_what_is_in_it(tmp_path, share):
    path = tmp_path / "list.db"
    good = _filled(path)
    at = int(len(good) * share)
    for content in (good[:at], good[:at] + b"\xa5" * 8192 + good[at + 8192 :], b"\xff" * 5000):
        path.write_bytes(content)
        with pytest.raises(DatabaseError, match=r"a copy of it back.*recover.*take another"):
            open_database(path, STEPS, **WORDS)
        assert path.read_bytes() == content


def test_a_new_file_that_another_program_has_locked_is_not_to_be_removed(tmp_path, monkeypatch):
    connect = sqlite3.connect
    other = connect(tmp_path / "list.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(sqlite3, "connect", functools.partial(connect, timeout=0))
    with pytest.raises(
        DatabaseError, match=r"\(database is locked\); another program writes to it"
    ):
        open_database(tmp_path / "list.db", STEPS, **WORDS)
    other.close()


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(DatabaseError, match="a device or a pipe"):
        open_database("/dev/null", STEPS, **WORDS)
    for path in (tmp_path, tmp_path / "text" / "list.db"):
        (tmp_path / "text").write_text("")
        with pytest.raises(DatabaseError, match=r"(folder|in the way).*take another"):
            open_database(path, STEPS, **WORDS)
