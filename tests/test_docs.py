"""The documentation has all that is public, and no page of it is out of reach."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "webqq_tornado" / "docs"
NAMES = (
    "retry",
    "auth",
    "eventsource",
    "har",
    "metrics",
    "otel",
    "httpclient",
    "flows",
    "journal",
    "shards",
    "client",
    "bot",
    "server",
)
FACES = ("", *(f".{name}" for name in NAMES))


@pytest.mark.parametrize("face", FACES)
def test_the_reference_has_each_public_name(face: str):
    module = f"webqq_tornado{face}"
    page = DOCS / "reference" / f"{face.removeprefix('.') or 'engine'}.rst"
    text = page.read_text(encoding="utf-8")
    if face:  # autodoc goes by `__all__`
        assert f".. automodule:: {module}\n" in text
    else:
        shown = re.findall(
            r"^\.\. (?:autoclass|autoexception|py:type):: (\w+)$", text, re.MULTILINE
        )
        assert sorted(shown) == sorted(importlib.import_module(module).__all__)


def test_each_page_is_in_a_table_of_contents():
    entries = {DOCS / "index"}
    for index in DOCS.rglob("*.rst"):
        trees = re.findall(
            r"\.\. toctree::\n((?:   .*\n|\n)+)", index.read_text(encoding="utf-8") + "\n"
        )
        names = re.findall(r"^   ([\w/]+)$", "".join(trees), re.MULTILINE)
        entries.update(index.parent / name for name in names)
    assert {path.with_suffix("") for path in DOCS.rglob("*.rst")} == entries
