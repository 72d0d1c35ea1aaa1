"""Plain English, held by a list of words that no docstring or message may use."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import webqq_tornado

PACKAGE = Path(webqq_tornado.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
#: A docstring starts with a noun or an imperative, never with one of these.
RIDDLE = re.compile(r"(What|Who|Whom|Whose|Whether|It|Somebody|Nobody)\b")
#: Spellings that the field does not use, with the one that it does.
SPELLINGS = {r"\bcan not\b": "cannot", r"\bweb[ -]socket": "WebSocket"}


def docstrings(source: str) -> list[tuple[int, str]]:
    """Line and text of each docstring of a module."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    found = [(node, ast.get_docstring(node)) for node in nodes]
    return [(node.body[0].lineno, text) for node, text in found if text]


@pytest.mark.parametrize("name", FILES)
def test_no_docstring_begins_as_a_riddle(name: str):
    found = docstrings((PACKAGE / name).read_text(encoding="utf-8"))
    riddles = [f"{name}:{line}: {text[:60]}" for line, text in found if RIDDLE.match(text)]
    assert not riddles, "\n".join(riddles)


@pytest.mark.parametrize("name", FILES)
def test_words_are_spelt_as_in_the_field(name: str):
    lines = (PACKAGE / name).read_text(encoding="utf-8").splitlines()
    wrong = [
        f"{name}:{number}: write {right!r}"
        for number, line in enumerate(lines, 1)
        for spelling, right in SPELLINGS.items()
        if re.search(spelling, line, re.IGNORECASE)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_riddle_is_found():
    riddle = 'def name():\n    """Whether it is."""\n'
    assert [line for line, text in docstrings(riddle) if RIDDLE.match(text)] == [2]
