"""send, contacts, history, status, login and logout, as processes against a server."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest
from servers.town import PASSWORD, Ear, Town

from webqq_tornado.cli.history import _write
from webqq_tornado.client import Client
from webqq_tornado.protocol.models import FriendMessage, GroupMessage, StatusChange

pytestmark = pytest.mark.slow


class Shell:
    """Ann at a shell, and Bob online elsewhere."""

    def __init__(self, town: Town, state: Path) -> None:
        self.town, self.state = town, state
        self.bob: Client
        self.ear: Ear
        self.bob, self.ear = town.client(town.bob)
        self.environment = {
            **os.environ,
            "WEBQQ_STATE_DIR": str(state),
            "WEBQQ_SERVER": town.server.url,
            "WEBQQ_ACCOUNT": str(town.ann),
            "WEBQQ_PASSWORD": PASSWORD,
        }

    async def run(self, *words: str, given: str = "", code: int = 0, **changes: str) -> str:
        """What a command prints; its exit code is looked at."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado", *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in {**self.environment, **changes}.items() if value},
        )
        output, _ = await process.communicate(given.encode())
        assert process.returncode == code, output.decode()
        return output.decode()


@asynccontextmanager
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with Town(tmp_path / "server.db") as town:
        one = Shell(town, tmp_path / "state")
        await one.bob.login()
        yield one


async def test_send_sends_and_says_so(tmp_path):
    async with shell(tmp_path) as one:
        assert await one.run("send", "Bob", "hello", "there [微笑]") == "Sent to Bob.\n"
        content = (await one.ear.next(FriendMessage)).content
        assert content.text == "hello there [微笑]"
        assert len(content.parts) == 2  # the face is one


async def test_send_reads_standard_input(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("send", "Square", "-", given="two\nlines\n")
        assert (await one.ear.next(GroupMessage)).content.text == "two\nlines"


async def test_send_says_as_json_what_it_did(tmp_path):
    async with shell(tmp_path) as one:
        said = json.loads(await one.run("send", "10002", "x" * 1500, "--json"))
        assert (said["to"], said["kind"], said["messages"]) == ("Bob", "friend", 3)


async def test_send_to_nobody_names_who_there_is(tmp_path):
    async with shell(tmp_path) as one:
        said = await one.run("send", "Carl", "hello", code=1)
        assert said == "Error: 'Carl': nobody is called so; there are: Bob, Square\n"


async def test_nothing_is_not_sent(tmp_path):
    async with shell(tmp_path) as one:
        assert "nothing to send" in await one.run("send", "Bob", "-", given=" \n", code=2)


async def test_what_the_server_does_not_take_waits_in_the_outbox(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("login")
        async with one.town.away():
            said = await one.run("send", "Bob", "later", code=1)
            assert "connecting failed" in said


async def test_a_kept_session_needs_no_password(tmp_path):
    async with shell(tmp_path) as one:
        assert await one.run("login") == f"Ann (10001) is logged in at {one.town.server.url}.\n"
        await one.run("send", "Bob", "hello", WEBQQ_PASSWORD="")
        assert (await one.ear.next(FriendMessage)).content.text == "hello"
        (file,) = one.state.rglob("*.session")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_after_logout_the_password_is_needed(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("login")
        assert "logged out" in await one.run("logout")
        said = await one.run("send", "Bob", "hello", code=1, WEBQQ_PASSWORD="")
        assert said.startswith("Error: no password: set WEBQQ_PASSWORD")
        assert "no session" in await one.run("logout", code=1)


async def test_sending_leaves_the_program_that_listens_online(tmp_path):
    async with shell(tmp_path) as one:
        bot = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=one.environment,
        )
        try:
            while b"10001 (Ann) is online at" not in await bot.stdout.readline():
                pass
            await one.run("send", "Bob", "hello")
            one.bob.send(one.bob.find("Ann"), "ping")
            heard = [(await one.ear.next(FriendMessage)).content.text for _ in range(2)]
        finally:
            bot.terminate()
            await bot.communicate()
    assert heard == ["hello", "pong"]


async def test_contacts_lists_who_there_is(tmp_path):
    async with shell(tmp_path) as one:
        rows = [json.loads(line) for line in (await one.run("contacts", "--json")).splitlines()]
        assert [(row["kind"], row["number"], row["name"]) for row in rows] == [
            ("friend", 10002, "Bob"),
            ("group", one.town.square, "Square"),
        ]
        assert (rows[0]["status"], rows[1]["members"]) == ("online", 3)
        assert "Square" not in await one.run("contacts", "--search", "bo")


async def test_history_shows_searches_and_exports_without_the_server(tmp_path):
    async with shell(tmp_path) as one:
        for text in ("the weather is fine", "so it is"):
            await one.run("send", "Bob", text)
        async with one.town.away():
            found = await one.run("history", "--with", "Bob", "--search", "weather")
            assert "Ann -> Bob: the weather is fine" in found
            assert "so it is" not in found
            lines = (await one.run("history", "--all", "--json")).splitlines()
        assert [json.loads(line)["text"] for line in lines] == ["the weather is fine", "so it is"]


async def test_history_of_nothing_says_so(tmp_path):
    async with shell(tmp_path) as one:
        assert "nothing was written or read yet" in await one.run("history", code=1)
        await one.run("login")
        assert await one.run("history") == "Nothing found.\n"


async def test_status_is_changed_for_others(tmp_path):
    async with shell(tmp_path) as one:
        assert "busy" in await one.run("status", "busy")
        while (await one.ear.next(StatusChange)).status.value != "busy":
            pass
        assert "Invalid value" in await one.run("status", "asleep", code=2)


async def test_whom_to_log_in_as_is_asked_for(tmp_path):
    async with shell(tmp_path) as one:
        said = await one.run("contacts", code=2, WEBQQ_ACCOUNT="")
        assert "give --account N" in said


async def test_a_wrong_address_is_told_in_one_line(tmp_path):
    async with shell(tmp_path) as one:
        said = await one.run("send", "Bob", "x", code=2, WEBQQ_SERVER="ftp://x")
        assert "give a URL such as http://127.0.0.1:8100" in said


async def test_a_qr_code_is_saved_and_can_be_confirmed(tmp_path):
    async with shell(tmp_path) as one:
        running = asyncio.ensure_future(one.run("login", "--qr", WEBQQ_ACCOUNT=""))
        while not (waiting := one.town.server.qr.all_waiting()):
            await one.town.stream.fetch(f"{one.town.server.url}/proxy.html")
        one.town.server.qr.confirm(waiting[0].id, one.town.bob)
        said = await running
        assert "login.png" in said
        assert "Bob (10002) is logged in" in said
        (picture,) = one.state.rglob("login.png")
        assert picture.read_bytes().startswith(b"\x89PNG")


async def test_history_since_then_and_into_a_file(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("send", "Bob", "just now")
        assert await one.run("history", "--since", "2999-01-01") == "Nothing found.\n"
        assert "just now" in await one.run("history", "--since", "5min")
        file = tmp_path / "messages.jsonl"
        said = await one.run("history", "--export", str(file), "--with", "Bob")
        assert said == f"1 messages are in {file}.\n"
        assert json.loads(file.read_text())["text"] == "just now"
        assert "give a date" in await one.run("history", "--since", "once", code=2)


async def test_history_exports_to_standard_output_and_through_links(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("send", "Bob", "just now")
        assert json.loads(await one.run("history", "--export", "-"))["text"] == "just now"
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "file")
        await one.run("history", "--export", str(link))
        assert link.is_symlink()
        assert json.loads((tmp_path / "file").read_text())["text"] == "just now"
        for path in (str(tmp_path / "no" / "file"), "/dev/full"):
            said = await one.run("history", "--export", path, code=1)
            assert f"{path} cannot be written" in said
            assert said.count("\n") == 1


def test_an_export_that_fails_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "messages.jsonl"
    file.write_text("of yesterday")

    def lines():
        yield "one"
        raise OSError(28, "No space left on device")

    with pytest.raises(click.ClickException, match=r"cannot be written \(the disk is full"):
        _write(file, lines())
    assert file.read_text() == "of yesterday"
    assert [each.name for each in tmp_path.iterdir()] == ["messages.jsonl"]


async def test_an_export_is_for_its_owner_alone(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("send", "Bob", "our secret")
        file = tmp_path / "messages.jsonl"
        await one.run("history", "--export", str(file))
        assert "our secret" in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "is a directory" in await one.run("history", "--export", str(tmp_path), code=2)


async def test_an_export_into_a_pipe_leaves_it_a_pipe(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("send", "Bob", "hello")
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        await one.run("history", "--export", str(pipe))
        assert json.loads(os.read(reader, 65536))["text"] == "hello"
        os.close(reader)
        assert pipe.is_fifo()


async def in_a_shell(one: Shell, line: str) -> tuple[int | None, str]:
    """Exit code and standard error of a line for a shell, in which $qq is the command."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", line),
        stderr=subprocess.PIPE,
        env={**one.environment, "qq": f"{sys.executable} -m webqq_tornado"},
    )
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


@pytest.mark.parametrize("command", ["contacts", "contacts --json", "status"])
async def test_a_full_disk_is_told_in_one_line(tmp_path, command):
    async with shell(tmp_path) as one:
        code, errors = await in_a_shell(one, f"$qq {command} >/dev/full")
    assert (code, errors) == (1, "Error: the output cannot be written: No space left on device\n")


async def test_a_closed_standard_input_holds_nothing_to_send(tmp_path):
    async with shell(tmp_path) as one:
        code, errors = await in_a_shell(one, "$qq send Bob - <&-")
    assert code == 2
    assert "there is nothing to send" in errors


async def test_what_an_ascii_output_has_not_is_escaped(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("send", "Bob", "[微笑]")
        said = await one.run("history", PYTHONIOENCODING="ascii")
    assert "[\\u5fae\\u7b11]" in said


async def test_options_count_before_the_command_too(tmp_path):
    async with shell(tmp_path) as one:
        options = ("--account", str(one.town.bob))
        assert "Bob (10002) is logged in" in await one.run(*options, "login")


async def test_two_accounts_are_too_many_for_one_message(tmp_path):
    async with shell(tmp_path) as one:
        said = await one.run("send", "Bob", "x", "--account", "10001", "--account", "2", code=2)
        assert "several accounts are given (10001, 2): say --account with one" in said


async def test_the_shell_completes_names_of_those_one_has_written_with(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("send", "Bob", "hello")
        variables = {"_X_COMPLETE": "bash_complete", "COMP_WORDS": "x send B", "COMP_CWORD": "2"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from webqq_tornado.cli import main; main(prog_name='x')"),
            stdout=subprocess.PIPE,
            env={**one.environment, **variables},
        )
        output, _ = await process.communicate()
        assert output.decode() == "plain,Bob\n"


async def test_a_name_that_several_have_is_sent_nothing_and_told_with_their_numbers(tmp_path):
    async with shell(tmp_path) as one:
        storage = one.town.server.storage
        jacks = [storage.accounts.create("jack", PASSWORD).number for _ in range(2)]
        for jack in jacks:
            storage.friends.befriend(one.town.ann, jack)
        said = await one.run("send", "jack", "hello", code=1)
        assert said.startswith("Error: 'jack': several are called so: jack (friend 1000")
        assert all(str(jack) in said for jack in jacks)
        assert await one.run("send", str(jacks[1]), "hello") == "Sent to jack.\n"


async def test_a_search_without_a_hit_says_so(tmp_path):
    async with shell(tmp_path) as one:
        said = await one.run("contacts", "--search", "zzz", "--json", code=1)
    assert said == "Error: nobody has 'zzz' in a name or number\n"


async def test_the_history_with_a_stranger_names_who_there_is(tmp_path):
    async with shell(tmp_path) as one:
        await one.run("send", "Bob", "hello")
        file = tmp_path / "kept.jsonl"
        file.write_text("as it was")
        for more in ([], ["--json"], ["--export", str(file)]):
            said = await one.run("history", "--with", "Nobdoy", *more, code=1)
            assert said.startswith("Error: 'Nobdoy': nothing was written to or read from anybody")
            assert said.endswith("there are: Bob\n")
        assert file.read_text() == "as it was"
        assert await one.run("history", "--with", "Bob", "--search", "x") == "Nothing found.\n"


@pytest.mark.parametrize("damage", ["noise", "folder", "pages"])
async def test_a_history_that_cannot_be_read_is_one_line(tmp_path, damage):
    async with shell(tmp_path) as one:
        await one.run("send", "Bob", "hello " * 100)
        (file,) = one.state.rglob("client.db")
        content = file.read_bytes()
        for path in file.parent.glob("client.db*"):
            path.unlink()
        if damage == "folder":
            file.mkdir()
        else:
            rest = content[: 4096 * 3] if damage == "pages" else b""
            file.write_bytes(rest + os.urandom(max(5000, len(content) - len(rest))))
        said = await one.run("history", "--all", code=1)
    assert said.count("\n") == 1
    assert str(file) in said


C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


async def test_a_locale_of_ascii_changes_no_message(tmp_path):
    async with shell(tmp_path) as one:
        one.environment.pop("PYTHONIOENCODING", None)
        changes = {**C, "PYTHONIOENCODING": ""}
        await one.run("send", "Bob", "你好", **changes)
        await one.run("send", "Bob", "-", given="微笑\n", **changes)
        heard = [(await one.ear.next(FriendMessage)).content.text for _ in range(2)]
        assert "Bob" in await one.run("contacts", **changes)
        lines = (await one.run("history", "--all", "--json", **changes)).splitlines()
    assert heard == ["你好", "微笑"]
    assert [json.loads(line)["text"] for line in lines] == heard
