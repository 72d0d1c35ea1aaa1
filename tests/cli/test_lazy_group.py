"""The command as a whole: what it imports, how it shows its commands, how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.shell import line, run
from webqq_tornado.cli.main import SECTIONS, main

NAMES = [name for section in SECTIONS.values() for name in section]


def loaded(*words: str) -> set[str]:
    """Modules that a command has imported when it ends."""
    code = (
        # What another package's .pth file loads at each start is not ours.
        "import sys; before = set(sys.modules); from webqq_tornado.cli import main\n"
        f"try: main({list(words)!r}, prog_name='x')\n"
        "finally: print('\\n', *(sys.modules.keys() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"asyncio", "tornado", "pycurl", "rich", "prompt_toolkit", "PIL", "sqlite3", "ssl"}


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_version_and_help_import_nothing_of_the_commands(words: list[str]):
    modules = loaded(*words)
    assert not HEAVY & modules
    assert not {name for name in modules if ".flows" in name or ".server" in name}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["monitor", "run", "history", "send"])
def test_a_command_imports_neither_server_nor_prompt(name: str):
    modules = loaded(name, "--help")
    assert not {"prompt_toolkit", "webqq_tornado.server.app", "cryptography"} & modules


@pytest.mark.parametrize("name", NAMES)
def test_the_line_in_the_table_is_the_first_of_the_commands_help(name: str):
    command = main.get_command(click.Context(main), name)
    (said,) = [section[name].help for section in SECTIONS.values() if name in section]
    assert (command.help or "").startswith(said.rstrip("."))


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_an_example(name: str):
    said = CliRunner().invoke(main.get_command(click.Context(main), name), ["--help"]).output
    assert f"python -m webqq_tornado {name}" in said


def helps() -> Iterator[str]:
    """The help of the program, and of each command and of those below it."""
    waiting: list[tuple[click.Context, click.Command]] = [(click.Context(main), main)]
    while waiting:
        above, command = waiting.pop()
        context = click.Context(command, parent=above, info_name=command.name)
        yield command.get_help(context)
        if isinstance(command, click.Group):
            below = (command.get_command(context, name) for name in command.list_commands(context))
            waiting += [(context, one) for one in below if one is not None]


def test_help_fits_a_terminal_and_has_no_marks_of_its_source():
    for said in helps():
        assert "\\b" not in said
        assert [line for line in said.splitlines() if len(line) > 80] == []


def test_help_is_in_sections():
    said = subprocess.run(
        [sys.executable, "-m", "webqq_tornado", "-h"], capture_output=True, text=True, check=True
    ).stdout
    places = [said.index(f"\n{title}:\n") for title in ("Options", "QQ", "Flows", "Server")]
    assert places == sorted(places)


async def test_a_command_that_was_mistyped_is_guessed(tmp_path: Path):
    ended = await run(tmp_path, "histroy")
    assert (ended.code, ended.error) == (2, "No such command 'histroy'; did you mean history?")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("--version >/dev/full", 1, "the output cannot be written: No space left on device"),
        ("history --help >/dev/full", 1, "the output cannot be written: No space left on device"),
        ("--help | head -0", 0, None),
        ("--version >&-", 0, None),
        ("--version <&- 2>&-", 0, None),
    ],
)
async def test_whatever_the_output_is_there_is_no_traceback(tmp_path, text, code, says):
    ended = await line(tmp_path, f"$qq {text}")
    assert ended.code == code
    assert ended.errors == (f"Error: {says}\n" if says else "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--address", ""), "'' is not an address such as 127.0.0.1"),
        (("--address", "127.0.0.1:80"), "is not an address such as 127.0.0.1"),
        (("--address", "a..b"), "is not an address such as 127.0.0.1"),
        (("status", "--server", "http://[::1/", "--account", "1"), "give a URL such as"),
        (("status", "--server", "http://127.0.0.1:99999", "--account", "1"), "give a URL such as"),
        (("status", "--account", "9" * 30), "is not in the range"),
        (("history", "--limit", "9" * 30), "is not in the range"),
        (("send", "Bob", b"\xff".decode("utf-8", "surrogateescape")), "is not UTF-8 text"),
    ],
)
async def test_what_cannot_be_is_wrong_usage(tmp_path: Path, words, says):
    ended = await run(tmp_path, *words, WEBQQ_PORT="0")
    assert ended.code == 2
    assert says in ended.error
    assert "Traceback" not in ended.errors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["status", "contacts", "history", "login", "logout", "confirm"])
async def test_where_no_server_was_ever_started_it_says_how(tmp_path: Path, name: str):
    ended = await run(tmp_path, name)
    assert ended.code == 2
    assert "python -m webqq_tornado serve" in ended.error
    assert str(tmp_path / "state" / "server.url") in ended.error


@pytest.mark.slow
@pytest.mark.parametrize("words", [("status",), ("contacts",), ("send", "Bob", "hi"), ("login",)])
async def test_where_no_server_answers_it_says_where_it_looked(tmp_path: Path, words):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "server.url").write_text("http://127.0.0.1:1")
    account = ("--account", "1")
    ended = await run(tmp_path, *words, *account, WEBQQ_PASSWORD="x")
    assert ended.code == 1
    assert ended.error.startswith(f"no server runs with {tmp_path}/state (the one at http://127.")
    assert "start a server with `python -m webqq_tornado serve`" in ended.error
    given = ("--server", "http://127.0.0.1:1")
    ended = await run(tmp_path, *words, *account, *given, WEBQQ_PASSWORD="x")
    assert ended.code == 1
    assert ended.error.startswith("no server answers at http://127.0.0.1:1 (as given with --server")
    assert "start a server with `python -m webqq_tornado serve`" in ended.error
    assert "?uin=" not in ended.errors
