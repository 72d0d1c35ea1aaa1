"""Rows of a result: a table where there is room, a block for each row on a narrow terminal.

In a pipe each row is one whole line, for grep, awk and readers.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from .console import Screen, in_one_line

__all__ = ["show_table"]

#: Columns between two cells.
_GAP = 2


def show_table(screen: Screen, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show rows with their titles.

    Args:
        screen: a terminal or not.
        columns: titles.
        rows: of as many cells.
    """
    cells = [[in_one_line(value) for value in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    if not screen.is_terminal:
        for row in (columns, *cells):
            screen.say(_line(row, widths))
    elif sum(widths) + _GAP * len(widths) <= screen.console.width:
        screen.console.print(_table(columns, cells))
    else:
        for row in cells:
            _show_block(screen, columns, row)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
    )
    return (" " * _GAP).join(padded).rstrip()


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for number, title in enumerate(columns):
        is_number = any(row[number] for row in rows) and all(map(_is_number, _column(rows, number)))
        table.add_column(Text(title), no_wrap=True, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _column(rows: Sequence[Sequence[str]], number: int) -> list[str]:
    return [row[number] for row in rows]


def _is_number(text: str) -> bool:
    return text.replace(",", "").isdecimal() or text in ("", "-")


def _show_block(screen: Screen, columns: Sequence[str], row: Sequence[str]) -> None:
    """The first cell, and below it the other cells that are not empty."""
    screen.say(row[0], style="bold")
    width, line, length = screen.console.width, Text("  "), 2
    for title, value in zip(columns[1:], row[1:], strict=True):
        piece = Text.assemble((f"{title} ", "dim"), value)
        if length > 2 and length + _GAP + piece.cell_len > width:
            screen.console.print(line, soft_wrap=False)
            line, length = Text("  "), 2
        gap = " " * _GAP if length > 2 else ""
        line.append(gap).append_text(piece)
        length += len(gap) + piece.cell_len
    screen.console.print(line, soft_wrap=False)
