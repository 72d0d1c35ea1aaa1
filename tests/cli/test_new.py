"""`new` writes programs that are typed, and tests of them that pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.shell import run
from webqq_tornado.cli.new import _class_name

ROOT = Path(__file__).parent.parent.parent


def tool(folder: Path, *words: str) -> str:
    """What a Python tool says of the files; it has to leave with 0."""
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "command"),
    [("bot", "mine_too", "--plugin mine_too.py"), ("flow", "prices", "run prices.py:Prices ")],
)
async def test_what_is_written_passes_its_test(tmp_path: Path, kind: str, name: str, command: str):
    ended = await run(tmp_path, "new", kind, name, PYTHONPATH=str(ROOT))
    assert ended.code == 0, ended.errors
    assert f"python -m pytest test_{name}.py" in ended.output
    assert command in ended.output
    assert "1 passed" in tool(tmp_path, "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.slow
async def test_what_is_written_is_typed(tmp_path: Path):
    pytest.importorskip("mypy")
    names = ("a_bot", "a_flow")
    for name in names:
        assert (await run(tmp_path, "new", name[2:], name, PYTHONPATH=str(ROOT))).code == 0
    cache = str(ROOT / ".mypy_cache")  # of the package: it is not to be checked anew
    tool(tmp_path, "mypy", "--strict", "--cache-dir", cache, "--follow-imports", "silent", ".")


async def test_what_is_there_is_not_overwritten(tmp_path: Path):
    (tmp_path / "test_mine.py").write_text("mine")
    ended = await run(tmp_path, "new", "flow", "mine", PYTHONPATH=str(ROOT))
    assert ended.code == 1
    assert ended.error == "test_mine.py is there already: take another name"
    assert [path.name for path in tmp_path.glob("*.py")] == ["test_mine.py"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("price_list", "PriceList"), ("PriceList", "PriceList"), ("link", "LinkFlow")],
)
def test_a_class_is_named_as_the_file_and_hides_no_import(name: str, kind: str):
    assert _class_name(name) == kind


@pytest.mark.parametrize(
    ("name", "why"),
    [("my-bot", "no Python name"), ("class", "no Python name"), ("random", "a module of Python's")],
)
async def test_a_name_that_is_no_good_is_refused(tmp_path: Path, name: str, why: str):
    ended = await run(tmp_path, "new", "bot", name, PYTHONPATH=str(ROOT))
    assert ended.code == 2
    assert why in ended.error
    assert not list(tmp_path.glob("*.py"))
