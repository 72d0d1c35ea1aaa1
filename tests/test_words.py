"""Plain English, held by a list of words that no docstring or message may use."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import webqq_tornado

PACKAGE = Path(webqq_tornado.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
#: Scripts, styles and pages of the browser.
STATIC = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("static/*")
    if path.suffix in (".js", ".css", ".html")
)
#: A docstring starts with a noun or an imperative, never with one of these.
RIDDLE = re.compile(r"(What|Who|Whom|Whose|Whether|It|Somebody|Nobody)\b")
#: Spellings that the field does not use, with the one that it does.
SPELLINGS = {r"\bcan not\b": "cannot", r"\bweb[ -]socket": "WebSocket"}

#: Turns of phrase that read as translated, with plain ones.
PHRASES = {
    r"\b(come|comes|came) to nothing\b": "fails",
    r"\b(see|sees|seen) to it\b": "makes",
    r"\bgone on with\b": "resumed",
    r"\bmade good\b": "recovered",
    r"\btaken? up again\b": "resumed",
    r"\blikes best\b": "preferred",
    r"\bnot to be had\b": "not available",
    r"\bby other ways\b": "elsewhere",
    r"\bdeeds?\b": "action",
}
#: Names of former days, which a search is to find nowhere, with the present ones.
FORMER_NAMES = {
    "Conduct": "Policies",
    "Readiness": "Poller",
    "Allowance": "RateLimiter",
    "Letter": "OutgoingMessage",
    "Slip": "PendingMessage",
    "Kept": "StoredRecords",
    "KeptSession": "SavedSession",
    "Happening": "ClientEvent",
    "Drawer": "KeyValueStore",
    "Asks": "PendingQuestions",
    "Lanes": "ConversationQueues",
    "Calls": "HandlerInvoker",
    "Habits": "Quirks",
    "Gate": "Authenticator",
    "Household": "FirstStartAccounts",
}
#: Layers whose classes must not have any of these names.
ABOVE_THE_ENGINE = ("client/", "bot/", "server/", "cli/", "flows/")


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


@pytest.mark.parametrize("name", FILES + STATIC)
def test_no_phrase_reads_as_translated(name: str):
    text = (PACKAGE / name).read_text(encoding="utf-8")
    found = [
        f"{name}: write {plain!r} for {match[0]!r}"
        for phrase, plain in PHRASES.items()
        for match in re.finditer(phrase, text, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(ABOVE_THE_ENGINE)])
def test_classes_have_the_names_of_the_field(name: str):
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    former = [f"{name}: {each} is {FORMER_NAMES[each]}" for each in classes if each in FORMER_NAMES]
    assert not former, "\n".join(former)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("client/", "bot/"))])
def test_no_class_is_imported_under_the_name_of_another(name: str):
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    aliases = [
        f"{name}:{node.lineno}: {alias.name} as {alias.asname}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
        if alias.asname and alias.name[:1].isupper() and not alias.asname.endswith(alias.name)
    ]
    assert not [each for each in aliases if "onebot/" not in each], "\n".join(aliases)


def test_a_riddle_is_found():
    riddle = 'def name():\n    """Whether it is."""\n'
    assert [line for line, text in docstrings(riddle) if RIDDLE.match(text)] == [2]
