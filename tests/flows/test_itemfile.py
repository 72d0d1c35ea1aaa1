"""Items in files: each format, what an item may be, and what an interrupted file is called."""

from __future__ import annotations

import csv
import enum
import json
import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from servers.scripted import Asked, Say, scripted

from webqq_tornado import HTTPStream
from webqq_tornado.flows import ItemFile


class Point(NamedTuple):
    x: int
    y: str


@dataclass
class Place:
    x: int
    y: str


def rows_of_csv(path: Path) -> list[Any]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{"x": int(row["x"]), "y": row["y"]} for row in csv.DictReader(file)]


def rows_of_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def rows_of_sqlite(path: Path) -> list[Any]:
    database = sqlite3.connect(path)
    rows = [{"x": x, "y": y} for x, y in database.execute("SELECT x, y FROM items")]
    database.close()
    return rows


def rows_of_parquet(path: Path) -> list[Any]:
    return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()


READERS: dict[str, Callable[[Path], list[Any]]] = {
    "csv": rows_of_csv,
    "jsonl": rows_of_lines,
    "parquet": rows_of_parquet,
    "sqlite": rows_of_sqlite,
}


@pytest.mark.parametrize("suffix", READERS)
def test_each_format_has_what_was_written(tmp_path: Path, suffix: str):
    path = tmp_path / f"items.{suffix}"
    with ItemFile(path) as file:
        for item in ({"x": 1, "y": 'a,"é'}, Point(2, "\n"), Place(3, "")):
            file.write(item)
    assert READERS[suffix](path) == [{"x": 1, "y": 'a,"é'}, {"x": 2, "y": "\n"}, {"x": 3, "y": ""}]
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", READERS)
def test_more_than_a_batch_is_written(tmp_path: Path, suffix: str):
    path = tmp_path / f"items.{suffix}"
    with ItemFile(path) as file:
        for number in range(2500):
            file.write(Point(number, "-"))
    assert [row["x"] for row in READERS[suffix](path)] == list(range(2500))


@pytest.mark.parametrize("suffix", READERS)
def test_a_file_whose_block_fails_keeps_what_came(tmp_path: Path, suffix: str):
    path = tmp_path / f"items.{suffix}"
    path.write_text("of before")
    file = ItemFile(path)
    file.write(Point(1, "a"))
    file.__exit__(RuntimeError)
    assert path.read_text() == "of before"
    assert READERS[suffix](file.part) == [{"x": 1, "y": "a"}]


@pytest.mark.parametrize("suffix", READERS)
def test_no_item_is_an_empty_file_of_the_format(tmp_path: Path, suffix: str):
    with ItemFile(tmp_path / f"items.{suffix}") as file:
        pass
    assert file.count == 0
    assert file.path.exists()


def test_a_column_that_the_first_item_had_not_is_named_with_the_remedy(tmp_path: Path):
    with ItemFile(tmp_path / "items.csv") as file:
        file.write({"x": 1})
        with pytest.raises(ValueError, match=r"has 'y'.*--fields x,y.*\.jsonl"):
            file.write({"x": 2, "y": 3})
        file.write({})
    assert file.path.read_text().split() == ["x", "1", '""']


def test_fields_choose_the_columns_and_their_order(tmp_path: Path):
    for name in ("items.csv", "items.jsonl"):
        with ItemFile(tmp_path / name, ["y", "x"]) as file:
            file.write({"x": 1, "z": 2})
    assert (tmp_path / "items.csv").read_text().splitlines() == ["y,x", ",1"]
    assert (tmp_path / "items.jsonl").read_text() == '{"y": null, "x": 1}\n'


def test_a_parquet_column_has_one_type(tmp_path: Path):
    with ItemFile(tmp_path / "items.parquet") as file:
        file.write({"x": 1.5, "y": None, "tags": ["a"]})
        with pytest.raises(ValueError, match="column 'x' has values of type float"):
            file.write({"x": "2"})
        file.write({"x": 2, "y": "b"})
    rows = rows_of_parquet(file.path)
    assert rows == [{"x": 1.5, "y": None, "tags": ["a"]}, {"x": 2.0, "y": "b", "tags": None}]


def test_a_list_in_a_cell_is_json(tmp_path: Path):
    with ItemFile(tmp_path / "items.csv") as file:
        file.write({"tags": ["a", "é"], "path": Path("b")})
    assert file.path.read_text("utf-8").splitlines()[1] == '"[""a"", ""é""]",b'


class Color(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "in_json", "in_csv", "in_sqlite"),
    [
        (math.nan, None, "nan", None),
        (Color.RED, "red", "red", "red"),
        (b"\xff\xc3\xa9", "\\xffé", "\\xffé", b"\xff\xc3\xa9"),
        ({1}, [1], "[1]", "[1]"),
        (
            {"at": Place(1, "a"), (1, 2): {3}},
            None,
            None,
            '{"at": {"x": 1, "y": "a"}, "(1, 2)": [3]}',
        ),
        (2**63, 2**63, str(2**63), str(2**63)),
        ("\ud800", "\ud800", "\\ud800", "\\ud800"),
        (Decimal("1.10"), "1.10", "1.10", "1.10"),
    ],
)
def test_a_value_that_a_format_has_not_becomes_the_nearest(
    tmp_path: Path, value: object, in_json: object, in_csv: object, in_sqlite: object
):
    path = tmp_path / "items"
    for suffix in (".jsonl", ".csv", ".sqlite"):
        with ItemFile(path.with_suffix(suffix)) as file:
            file.write({"x": value})
    database = sqlite3.connect(path.with_suffix(".sqlite"))
    assert database.execute("SELECT x FROM items").fetchone() == (in_sqlite,)
    database.close()
    if in_csv is None:  # a mapping: JSON in each of them
        in_csv, in_json = in_sqlite, json.loads(str(in_sqlite))
    text = path.with_suffix(".jsonl").read_text("utf-8")
    assert "NaN" not in text
    assert json.loads(text) == {"x": in_json}
    with path.with_suffix(".csv").open(newline="", encoding="utf-8") as csv_file:
        assert next(csv.DictReader(csv_file)) == {"x": in_csv}


def test_of_a_batch_that_parquet_refuses_only_the_wrong_item_is_lost(tmp_path: Path):
    file = ItemFile(tmp_path / "items.parquet")
    for tags in ([1], [2], ["text"], [3]):
        file.write({"color": Color.RED, "tags": tags, "more": {}})
    with pytest.raises(ValueError, match=r"'text'.* write \.jsonl"):
        file.close()
    assert [row["tags"] for row in rows_of_parquet(file.part)] == [[1], [2], [3]]
    with pytest.raises(ValueError, match="more than 64 bits: emit str"):
        ItemFile(tmp_path / "big.parquet").write({"x": 2**64})


@pytest.mark.parametrize(
    ("item", "says"),
    [({}, "the first item has no fields"), ({"a": 1, "A": 2}, "one column to SQL")],
)
def test_an_item_that_makes_no_table_is_named(tmp_path: Path, item: dict[str, int], says: str):
    with (
        ItemFile(tmp_path / "items.sqlite") as file,
        pytest.raises(ValueError, match=says),
    ):
        file.write(item)


def test_other_suffixes_and_other_items_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"end with \.csv, \.jsonl"):
        ItemFile(tmp_path / "items.xlsx")
    with (
        ItemFile(tmp_path / "items.csv") as file,
        pytest.raises(TypeError, match="a dataclass or a NamedTuple, not str"),
    ):
        file.write("text")


async def test_what_a_flow_emits_is_kept_or_taken():
    class Sizes(HTTPStream):
        def begin(self):
            for path in "ab":
                yield f"{url}/{path}", self.read

        def read(self, response):
            self.emit({"path": response.url[-1]})

    def script(asked: Asked) -> Say:
        return Say(200)

    taken: list[Any] = []
    async with scripted(script) as server:
        url = server.url
        async with Sizes() as kept, Sizes() as takes:
            takes.take_items(taken.append)
            kept.launch()
            takes.launch()
    assert sorted(item["path"] for item in kept.emitted) == ["a", "b"]
    assert sorted(item["path"] for item in taken) == ["a", "b"]
    assert takes.emitted == []


@pytest.mark.parametrize("fails", [False, True])
async def test_a_run_writes_its_items_and_names_the_file_when_it_is_whole(
    tmp_path: Path, fails: bool, caplog: pytest.LogCaptureFixture
):
    class Emits(HTTPStream):
        def begin(self):
            self.emit({"a": 1})
            if fails:
                self.add_request("http://127.0.0.1:1/")

    path = tmp_path / "items.csv"
    await Emits().serve(signals=False, items=ItemFile(path))
    found = path if not fails else path.with_name("items.csv.part")
    assert found.read_text() == "a\n1\n"
    assert [one.name for one in tmp_path.iterdir()] == [found.name]
    caplog.clear()
