"""Results of a journal go to a file, each once, whatever ends the process in between."""

from __future__ import annotations

import csv
import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from webqq_tornado.flows import Export, export
from webqq_tornado.journal import Journal, JournalError
from webqq_tornado.journal.codec import pack_item
from webqq_tornado.journal.records import Batch

SUFFIXES = [".jsonl", ".csv", ".sqlite", ".parquet"]


@pytest.fixture
def journal(tmp_path: Path):
    journal = Journal(tmp_path / "a.db")
    journal.own("a.py:A")
    yield journal
    journal.close()


def add(journal: Journal, *items: object) -> None:
    batch = Batch()
    batch.results = [(0, 0, -1, pack_item(item)) for item in items]
    journal.commit(batch, journal.counts().last_item + 1)


def numbers(first: int, last: int) -> list[dict[str, Any]]:
    return [{"n": n, "text": f'a "{n}",\nb'} for n in range(first, last)]


def content(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [{**row, "n": int(row["n"])} for row in csv.DictReader(file)]
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    rows = [dict(row) for row in database.execute("SELECT * FROM items")]
    database.close()
    return rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_results_are_appended_and_leave_the_journal(suffix: str, journal: Journal, tmp_path: Path):
    path = tmp_path / f"items{suffix}"
    add(journal, *numbers(0, 3))
    with Export(journal, path) as file:
        assert file.drain() == 3
        add(journal, *numbers(3, 5))
        assert file.drain() == 2
    assert journal.results() == []
    add(journal, *numbers(5, 6))
    with Export(journal, path) as file:
        assert file.drain() == 1
        assert file.count == 6
    assert content(path) == numbers(0, 6)


class Killed(BaseException):
    """Ends the export where a kill would."""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_written_and_not_noted_is_in_the_file_once(
    suffix: str, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / f"items{suffix}"
    for last in (3, 6):
        add(journal, *numbers(last - 3, last))
        file = Export(journal, path)
        with monkeypatch.context() as patch:
            patch.setattr(journal, "note_export", _kill)
            with pytest.raises(Killed):
                file.drain()
        file.close()
        with Export(journal, path) as again:
            again.drain()
            assert again.count == last
    assert content(path) == numbers(0, 6)


def _kill(*_: object) -> None:
    raise Killed


def test_a_half_written_line_is_cut(journal: Journal, tmp_path: Path):
    path = tmp_path / "items.jsonl"
    add(journal, *numbers(0, 2))
    with Export(journal, path) as file:
        file.drain()
    with path.open("a") as file_of_crash:
        file_of_crash.write('{"n": 2, "te')
    add(journal, *numbers(2, 3))
    with Export(journal, path) as file:
        file.drain()
    assert content(path) == numbers(0, 3)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_that_was_shortened_is_an_error_that_names_the_byte(
    suffix: str, journal: Journal, tmp_path: Path
):
    path = tmp_path / f"items{suffix}"
    add(journal, *numbers(0, 2))
    with Export(journal, path) as file:
        file.drain()
    whole = path.read_bytes()
    path.write_bytes(whole[:7])
    with pytest.raises(JournalError, match=rf"ends at byte 7, and {len(whole)} bytes were written"):
        Export(journal, path)
    path.unlink()
    with pytest.raises(JournalError, match="is gone"):
        Export(journal, path)


@pytest.mark.parametrize("suffix", [".sqlite", ".parquet"])
def test_a_file_that_was_put_back_from_before_is_an_error(
    suffix: str, journal: Journal, tmp_path: Path
):
    path = tmp_path / f"items{suffix}"
    add(journal, *numbers(0, 2))
    with Export(journal, path) as file:
        file.drain()
    if suffix == ".parquet":
        next(path.iterdir()).unlink()
    else:
        path.unlink()
    with pytest.raises(JournalError, match=r"put them back|is gone"):
        Export(journal, path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_somebody_else_is_left_alone(suffix: str, journal: Journal, tmp_path: Path):
    path = tmp_path / f"items{suffix}"
    if suffix == ".parquet":
        path.mkdir()
        (path / "theirs").write_text("theirs")
    else:
        path.write_text("theirs")
    with pytest.raises(JournalError, match="is there, and not of"):
        Export(journal, path)


def test_columns_that_were_not_there_first_are_an_error_and_nothing_is_lost(
    journal: Journal, tmp_path: Path
):
    add(journal, {"a": 1}, {"a": 2, "b": 3})
    with Export(journal, tmp_path / "items.csv") as file:
        with pytest.raises(ValueError, match="--fields a,b"):
            file.drain()
    assert len(journal.results()) == 2
    with Export(journal, tmp_path / "named.csv", ["b", "a"]) as file:
        file.drain()
    assert (tmp_path / "named.csv").read_text().splitlines() == ["b,a", ",1", "3,2"]
    with pytest.raises(ValueError, match="its columns are b,a, not a"):
        Export(journal, tmp_path / "named.csv", ["a"])


def test_any_result_is_a_line_of_json(journal: Journal, tmp_path: Path):
    add(journal, 1, [2], None, {"at": datetime(2026, 1, 2)})
    with Export(journal, tmp_path / "items.jsonl") as file:
        file.drain()
    lines = (tmp_path / "items.jsonl").read_text().splitlines()
    assert lines == ["1", "[2]", "null", '{"at": "2026-01-02 00:00:00"}']


def test_parquet_waits_for_a_part_that_is_full(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export._ParquetParts, "batch", 4)
    add(journal, *numbers(0, 10))
    with Export(journal, tmp_path / "items.parquet") as file:
        assert file.drain(is_last=False) == 8
        assert file.drain() == 2
    assert len(list((tmp_path / "items.parquet").iterdir())) == 3


def test_both_may_be_moved_together(journal: Journal, tmp_path: Path):
    add(journal, *numbers(0, 1))
    with Export(journal, tmp_path / "items.jsonl") as file:
        file.drain()
    journal.close()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("a.db", "items.jsonl"):
        (tmp_path / name).rename(moved / name)
    with Journal(moved / "a.db") as again:
        again.own()
        with Export(again, moved / "items.jsonl") as file:
            assert file.count == 1
