"""Type checkers accept `typing/accepted.py`, and find an error in each marked line elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "typing"
ROOT = HERE.parent.parent


def _said(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert not done.stderr, done.stderr
    return done.stdout


def lines_of_mypy(name: str, folder: Path) -> set[int]:
    """Numbers of the lines in which mypy finds an error."""
    options = ("--strict", "--no-error-summary", "--cache-dir", str(folder))
    said = _said("mypy", *options, str(HERE / name))
    return {int(number) for number in re.findall(rf"{name}:(\d+):.* error", said)}


def lines_of_pyright(name: str, folder: Path) -> set[int]:
    """Numbers of the lines in which pyright finds an error."""
    config = folder / "pyrightconfig.json"
    files = {"include": [str(HERE / name)], "extraPaths": [str(ROOT)]}
    config.write_text(json.dumps({**files, "typeCheckingMode": "strict"}), "utf-8")
    options = ("--outputjson", "-p", str(config), "--pythonpath", sys.executable)
    report = json.loads(_said("basedpyright", *options))
    assert report["summary"]["filesAnalyzed"]
    return {
        found["range"]["start"]["line"] + 1
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    }


CHECKERS = (lines_of_mypy, lines_of_pyright)


@pytest.mark.parametrize("lines_of", CHECKERS)
def test_all_forms_of_links_are_accepted(lines_of, tmp_path: Path):
    assert lines_of("accepted.py", tmp_path) == set()


@pytest.mark.parametrize("lines_of", CHECKERS)
def test_what_is_no_link_is_an_error(lines_of, tmp_path: Path):
    lines = (HERE / "refused.py").read_text("utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
    assert lines_of("refused.py", tmp_path) == marked
