"""The file of a journal: who may have it, and what it says of itself."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from webqq_tornado.journal import Journal, JournalError
from webqq_tornado.journal.records import Batch, ChainRow


def row(number: int, **values: object) -> ChainRow:
    return ChainRow(number, 1, None, None, f"http://example.org/{number}", **values)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path):
    journal = Journal(tmp_path / "a.db")
    journal.own("a.py:A")
    yield journal
    journal.close()


def add(journal: Journal, *rows: ChainRow) -> None:
    batch = Batch()
    batch.new = {each.id: each for each in rows}
    journal.commit(batch, journal.counts().last_item + 1)


def test_there_is_none_before_a_flow_has_made_it(tmp_path: Path):
    with pytest.raises(JournalError, match="there is no such journal"):
        Journal(tmp_path / "none.db").summary()
    assert not list(tmp_path.iterdir())


def test_sync_is_one_of_two(tmp_path: Path):
    with pytest.raises(ValueError, match='"full" or "normal", not \'fast\''):
        Journal(tmp_path / "a.db", sync="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"text, no database", b"SQLite format 3\0" + b"\xff" * 200])
def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="cannot be used as a journal"):
        Journal(path).own("a.py:A")
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path: Path):
    path = tmp_path / "a.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE a (b)")
    other.close()
    with pytest.raises(JournalError, match="another program"):
        Journal(path).own("a.py:A")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be used"):
        Journal(tmp_path / "file" / "a.db").own("a.py:A")


def test_who_has_it_is_told(journal: Journal):
    code = (
        "import sys; from webqq_tornado.journal import Journal\n"
        "print(Journal(sys.argv[1]).summary().pid)\n"
        "Journal(sys.argv[1]).own()"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, journal.path], check=False, capture_output=True, text=True
    )
    pid = journal.summary().pid
    assert int(other.stdout) == pid
    assert f"process {pid} runs on it" in other.stderr


def test_chains_are_read_ready_ones_first_then_by_time(journal: Journal):
    rows = [row(n, due=float(n % 7) if n % 3 else None, priority=n % 2) for n in range(1, 1200)]
    add(journal, *rows)
    found = list(journal.waiting(1100))
    assert sorted(each.id for each in found) == list(range(1, 1101))
    order = [(each.due is not None, each.due or 0, -each.priority, each.id) for each in found]
    assert order == sorted(order)


def test_a_chain_whose_time_changes_meanwhile_is_read_once(journal: Journal):
    add(journal, *map(row, range(1, 4)), row(4, due=1.0))
    waiting = journal.waiting(4)
    found = [next(waiting).id]
    batch = Batch()
    batch.moved = {1: (1, 2.0, 2.0, 1), 4: (1, 3.0, 3.0, 1)}  # they are tried again later
    journal.commit(batch, 1)
    found += [each.id for each in waiting]
    assert found == [1, 2, 3, 4]


def test_what_a_reader_had_not_finished_is_taken_back(journal: Journal):
    add(journal, row(1))
    journal.add_drafts([row(2, draft=1), row(3, draft=1)])
    journal.add_draft_results([(1, 1, 0, "{}")], 1)
    journal.close()
    again = Journal(journal.path)
    again.own("a.py:A")
    assert [each.id for each in again.waiting(100)] == [1]
    assert again.results() == []
    again.close()


def test_a_commit_is_all_or_nothing(journal: Journal):
    add(journal, row(1))
    batch = Batch()
    batch.new = {2: row(2), 1: row(1)}
    batch.keys = {b"key": 2}
    with pytest.raises(JournalError, match="cannot be written"):
        journal.commit(batch, 1)
    assert journal.summary().ready == 1
    assert journal.chain_of_key(b"key") is None


def test_chains_are_dropped_by_name(journal: Journal):
    add(journal, row(1)._replace(name="one"), row(2)._replace(name="two"))
    assert journal.drop(journal.ids_of(["one"], failed=False)) == 1
    with pytest.raises(JournalError, match="no chain of the name 'one' is alive"):
        journal.ids_of(["one"], failed=False)
    assert journal.summary().cancelled == 1
