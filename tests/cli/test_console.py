"""What is shown: lines that are whose they seem to be."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console
from rich.text import Text

from webqq_tornado.cli.console import Screen, show_entries
from webqq_tornado.client.address import Kind
from webqq_tornado.client.history import Entry
from webqq_tornado.protocol.models import Content


def screen() -> tuple[Screen, io.StringIO]:
    shown, screen = io.StringIO(), Screen()
    screen.console = Console(file=shown, width=200)
    return screen, shown


def test_a_log_line_that_quotes_a_message_is_one_event():
    forged = "99:59:59  server  10002 logged out"
    one, shown = screen()
    record = logging.makeLogRecord({"name": "webqq_tornado.webqq", "levelno": logging.INFO})
    one.log(record, f"bot <- Eve: hi\n{forged}")
    assert [line for line in shown.getvalue().splitlines() if line.startswith("99")] == []


def test_a_name_with_line_ends_is_one_line():
    one, shown = screen()
    one.chat("Eve\n23:59:59  Bob", "hi", "Square\n\x1b[2J")
    assert shown.getvalue().count("\n") == 1
    assert "\x1b" not in shown.getvalue()


def test_a_line_of_the_history_is_not_the_sender_s_to_make():
    one, shown = screen()
    text = Content.of("hi\n07:00  Boss: pay")
    entry = Entry(1, 10002, Kind.FRIEND, 10003, "Eve", "Eve", 10003, False, 1e9, text)
    show_entries(one, [entry])
    assert shown.getvalue().endswith("Eve: hi\n       07:00  Boss: pay\n")


@pytest.mark.parametrize("columns", ["0", "00"])
def test_a_terminal_that_does_not_know_its_width_is_written_to(monkeypatch, capsys, columns: str):
    monkeypatch.setenv("COLUMNS", columns)
    Screen().say("the password is x")
    Screen().picture(Text("#"))
    assert capsys.readouterr().out.split("\n")[:2] == ["the password is x", "#"]
