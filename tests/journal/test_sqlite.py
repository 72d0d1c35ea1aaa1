"""The file of a journal: who may have it, and what it says of itself."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from webqq_tornado.journal import Journal, JournalError, sqlite_file
from webqq_tornado.journal.records import Batch, ChainRow


@pytest.fixture
def journal(tmp_path: Path):
    journal = Journal(tmp_path / "a.db")
    journal.own("a.py:A")
    yield journal
    journal.close()


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


def test_a_link_to_a_journal_is_the_same_journal(journal: Journal, tmp_path: Path):
    link = tmp_path / "link.db"
    link.symlink_to(journal.path)
    with pytest.raises(JournalError, match=f"process {os.getpid()} runs on it"):
        Journal(link).own("a.py:A")


def test_a_journal_of_the_version_before_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_file, "_MIGRATIONS", sqlite_file._MIGRATIONS[:2])
        with Journal(tmp_path / "a.db") as old:
            old.own("a.py:A")
            batch = Batch()
            batch.new = {4: ChainRow(4, 7, None, None, "http://localhost/")}
            batch.results = [(4, 6, 0, '"first"'), (0, 0, -1, '"second"')]
            old.commit(batch, 1)
    with Journal(tmp_path / "a.db") as journal:
        journal.own("a.py:A")
        assert journal.results() == [(1, '"first"'), (2, '"second"')]
        assert [row.step for row in journal.rows([4])] == [7]
        batch.new = {}
        with pytest.raises(JournalError, match="UNIQUE"):  # still: of a step each result once
            journal.commit(batch, 3)
