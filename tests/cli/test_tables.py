"""Rows as they are shown: in pipes, on terminals wide and narrow."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from webqq_tornado.cli.console import Screen
from webqq_tornado.cli.tables import show_table

COLUMNS = ("URL", "now", "checks", "last")
ROWS = [
    ("http://example.org/a/rather/long/path?with=a&query=too", "up", "12", "200 in 4 ms"),
    ("http://微笑.example/", "DOWN", "3", "ConnectError: connecting failed\nfor\tsome reason"),
]


def shown(width: int, *, is_terminal: bool) -> list[str]:
    screen = Screen()
    file = io.StringIO()
    screen.console = Console(
        file=file, width=width, force_terminal=is_terminal, soft_wrap=True, color_system=None
    )
    show_table(screen, COLUMNS, ROWS)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 80])
def test_in_a_pipe_each_row_is_one_line_with_all_of_it(width: int):
    head, first, second = shown(width, is_terminal=False)
    assert head.split() == list(COLUMNS)
    assert ROWS[0][0] in first
    assert second.endswith("ConnectError: connecting failed for some reason")
    assert first.index("up") == head.index("now")


def test_on_a_wide_terminal_it_is_a_table():
    lines = shown(140, is_terminal=True)
    assert ROWS[0][0] in "\n".join(lines)
    assert any("─" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80])
def test_on_a_narrow_terminal_each_row_is_a_block(width: int):
    lines = shown(width, is_terminal=True)
    assert ROWS[0][0] in lines
    assert "  now up  checks 12  last 200 in 4 ms" in lines
    assert len(lines) < 8
