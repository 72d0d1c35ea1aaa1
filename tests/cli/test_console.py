"""What is shown: lines that are whose they seem to be."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys

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


@pytest.mark.parametrize("sink", ["/dev/full", "a pipe without a reader"])
def test_a_log_that_cannot_be_written_ends_nothing(sink: str):
    code = (
        "import logging, sys\n"
        "from webqq_tornado.cli.console import Screen, show_logs\n"
        "show_logs(Screen(), False)\n"
        "sys.stdin.read()\n"
        "for _ in range(3): logging.getLogger('webqq_tornado.server').info('a stranger was here')\n"
        "sys.stderr.write('goes on')\n"
    )
    if sink.startswith("/"):
        output = os.open(sink, os.O_WRONLY)
    else:
        reader, output = os.pipe()
        os.close(reader)
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.PIPE}
    done = subprocess.run(command, check=False, **pipes)
    os.close(output)
    assert done.stderr.decode().startswith("goes on")
