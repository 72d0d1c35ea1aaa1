"""The command as a user runs it: in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from servers.town import PASSWORD, Ear, Town

from webqq_tornado import HTTPStream
from webqq_tornado.client import Client, Endpoints
from webqq_tornado.protocol.models import FriendMessage

pytestmark = pytest.mark.slow


class Command:
    """`python -m webqq_tornado ...` under way."""

    def __init__(self, process: asyncio.subprocess.Process, state: Path) -> None:
        self.process, self.state, self.output = process, state, ""

    async def until(self, pattern: str) -> re.Match[str]:
        """Read on until the output has it."""
        assert self.process.stdout is not None
        while not (found := re.search(pattern, self.output)):
            line = await self.process.stdout.readline()
            assert line, f"it ended without {pattern!r}:\n{self.output}"
            self.output += line.decode()
        return found

    async def end(self, number: int = signal.SIGINT) -> int | None:
        self.process.send_signal(number)
        rest, _ = await self.process.communicate()
        self.output += rest.decode()
        return self.process.returncode

    @property
    def accounts(self) -> dict[str, dict[str, object]]:
        return json.loads((self.state / "accounts.json").read_text())


@asynccontextmanager
async def command(
    tmp_path: Path, *arguments: str, before: Callable[[], None] | None = None, **environment: str
) -> AsyncIterator[Command]:
    """A command, run as it is or in a process that `before` has prepared."""
    state = tmp_path / "state"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webqq_tornado", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "WEBQQ_STATE_DIR": str(state), "WEBQQ_PORT": "0", **environment},
        preexec_fn=before,
    )
    try:
        yield Command(process, state)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def the_user(running: Command) -> AsyncIterator[tuple[Client, Ear]]:
    """The user of a server that a command has started, online, and what they hear."""
    url = (await running.until(r"(http://127.0.0.1:\d+)/signin\?token=\S+\n"))[1]
    user = running.accounts["user"]
    async with HTTPStream() as stream:
        client = Client(stream, user["account"], user["password"], Endpoints.at(url))
        ear = Ear(client)
        await client.login()
        yield client, ear
        await client.logout()


async def failure(tmp_path: Path, *arguments: str, **environment: str) -> str:
    """What a command that cannot work says on stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webqq_tornado", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "WEBQQ_STATE_DIR": str(tmp_path / "state"), **environment},
    )
    output, errors = await process.communicate()
    assert process.returncode in (1, 2)
    assert "Traceback" not in output.decode() + errors.decode()
    return errors.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_chats_and_leaves_in_peace(tmp_path: Path, number: int):
    async with command(tmp_path) as running:
        url = (await running.until(r"(http://127.0.0.1:\d+)/signin\?token=\S+\n"))[1]
        user = running.accounts["user"]
        async with HTTPStream() as stream:
            client = Client(stream, user["account"], user["password"], Endpoints.at(url))
            ear = Ear(client)
            await client.login()
            client.send(client.contacts.find("Bot"), "ping")
            assert (await ear.next(FriendMessage)).content.text == "pong"
            await client.logout()
        assert await running.end(number) == 0
    assert "bot <- You: ping" in running.output
    assert "logged out" in running.output


async def test_passwords_are_shown_by_the_first_start_only(tmp_path: Path):
    async with command(tmp_path) as first:
        await first.until("token=")
        password = first.accounts["bot"]["password"]
        await first.end()
    async with command(tmp_path) as second:
        await second.until("token=")
        await second.end()
    assert password in first.output
    assert password not in second.output
    assert (first.state / "accounts.json").stat().st_mode & 0o777 == 0o600
    assert (first.state / "server.db").stat().st_mode & 0o777 == 0o600


async def test_verbose_shows_links_without_secrets(tmp_path: Path):
    async with command(tmp_path, "--verbose") as running:
        await running.until("token=")
        await running.end()
    assert "/login?u=10001&p=...&verifycode=..." in running.output
    assert not re.search(r"[0-9a-fA-F]{32}", running.output)
    assert "\x1b[" not in running.output


async def test_another_command_connects_to_a_server(tmp_path: Path):
    async with Town() as town:
        arguments = ("--server", town.server.url, "--account", str(town.ann))
        async with command(tmp_path, *arguments, WEBQQ_PASSWORD=PASSWORD) as running:
            await running.until(rf"{town.ann} \(Ann\) is online at")
            bob, ear = town.client(town.bob)
            await bob.login()
            bob.send(bob.contacts.find("Ann"), "ping")
            assert (await ear.next(FriendMessage)).content.text == "pong"
            assert await running.end() == 0


async def test_serve_runs_the_server_alone(tmp_path: Path):
    async with command(tmp_path, "serve") as running:
        await running.until(r"Serving WebQQ on http://127")
        assert await running.end() == 0
    assert "bot" not in running.output.split("First start")[0]


def few_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))


async def test_serve_takes_more_clients_than_it_was_allowed_files_to_begin_with(tmp_path: Path):
    async with command(tmp_path, "serve", before=few_files) as running, AsyncExitStack() as open_:
        port = int((await running.until(r"Serving WebQQ on http://127\.0\.0\.1:(\d+)"))[1])
        for _ in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            open_.callback(writer.close)
        writer.write(b"GET /check?uin=10001 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await asyncio.wait_for(reader.readline(), 60) == b"HTTP/1.1 200 OK\r\n"


def no_more_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


async def test_serve_turns_away_whom_it_has_no_files_for_and_serves_the_others(tmp_path: Path):
    async with command(tmp_path, "serve", before=no_more_files) as running:
        port = int((await running.until(r"Serving WebQQ on http://127\.0\.0\.1:(\d+)"))[1])
        async with AsyncExitStack() as open_:
            clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
            for _, writer in clients:
                open_.callback(writer.close)
            (first, to_first), (last, _) = clients[0], clients[-1]
            assert await asyncio.wait_for(last.read(), 60) == b"", "turned away"
            to_first.write(b"GET /check?uin=10001 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await asyncio.wait_for(first.readline(), 60) == b"HTTP/1.1 200 OK\r\n"
        await running.end()
    assert running.output.count("no file descriptors left") == 1
    assert "Traceback" not in running.output


async def test_option_before_variable_before_file(tmp_path: Path):
    config = tmp_path / "webqq.toml"
    config.write_text(f'state_dir = "{tmp_path}/file"\nverbose = true\nport = 0\n')
    async with command(tmp_path, "--config", str(config)) as running:
        await running.until("token=")
        await running.end()
    assert "GET /check 200" in running.output, "verbose comes from the file"
    assert (tmp_path / "state").exists(), "the variable counts more than the file"
    assert not (tmp_path / "file").exists()
    option = ("--state-dir", str(tmp_path / "option"))
    async with command(tmp_path, "--config", str(config), *option) as running:
        await running.until("token=")
        await running.end()
    assert (tmp_path / "option").exists()


async def test_a_plugin_answers(tmp_path: Path):
    plugin = tmp_path / "hello.py"
    plugin.write_text("@bot.on_message(text='^hi')\nasync def f(m): m.reply('hello')\n")
    async with command(tmp_path, "--plugin", str(plugin)) as running:
        async with the_user(running) as (client, ear):
            client.send(client.contacts.find("Bot"), "hi")
            assert (await ear.next(FriendMessage)).content.text == "hello"
        await running.end()


OWNED = "from webqq_tornado.bot.bot import OWNER\n" + (
    "@bot.command('who', permission=OWNER)\nasync def f(m): m.reply('{word}')\n"
)


async def test_the_user_here_owns_the_bot_and_its_plugins_are_loaded_again(tmp_path: Path):
    plugin = tmp_path / "hello.py"
    plugin.write_text(OWNED.format(word="old"))
    async with command(tmp_path, "--plugin", str(plugin), "--reload") as running:
        async with the_user(running) as (client, ear):
            client.send(client.contacts.find("Bot"), "who")
            assert (await ear.next(FriendMessage)).content.text == "old"
            plugin.write_text(OWNED.format(word="the new version"))
            await running.until("plugin hello is reloaded")
            client.send(client.contacts.find("Bot"), "who")
            assert (await ear.next(FriendMessage)).content.text == "the new version"
        await running.end()


async def test_an_owner_takes_the_place_of_the_user(tmp_path: Path):
    plugin = tmp_path / "hello.py"
    plugin.write_text(OWNED.format(word="wrong"))
    async with command(tmp_path, "--plugin", str(plugin), "--owner", "4711") as running:
        async with the_user(running) as (client, ear):
            client.send(client.contacts.find("Bot"), "who")
            client.send(client.contacts.find("Bot"), "ping")
            assert (await ear.next(FriendMessage)).content.text == "pong"
        await running.end()


async def test_errors_of_a_login_are_one_line(tmp_path: Path):
    async with Town() as town:
        there = ("--server", town.server.url, "--account")
        wrong = await failure(tmp_path, *there, str(town.ann), WEBQQ_PASSWORD="wrong")
        unknown = await failure(tmp_path, *there, "999", WEBQQ_PASSWORD="wrong")
        nothing = await failure(tmp_path, *there, str(town.ann))
    assert wrong.startswith("Error: wrong password")
    assert unknown.startswith("Error: wrong password, or no such account: 999")
    assert "WEBQQ_PASSWORD" in nothing
    assert {text.count("\n") for text in (wrong, unknown, nothing)} == {1}


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("--server", "http://127.0.0.1:1", "--account", "1"), {}, "check that the server runs"),
        (("--server", "nowhere", "--account", "1"), {}, "give a URL"),
        (("--server", "http://127.0.0.1:1"), {}, "--account"),
        (("--plugin", "none.py", "--port", "0"), {}, "plugin none.py: there is no such"),
        (("--config", "none.toml"), {}, "config file none.toml: there is no such file"),
        (("--config", "broken.toml"), {}, "is not TOML"),
        (("--config", "unknown.toml"), {}, "unknown key 'prot'"),
        (("--state-dir", "file/x"), {}, "cannot be used"),
        (("run", "nomodule"), {}, "not of the form"),
        (("run", "no_such_module:Flow"), {}, "cannot be imported"),
        (("run", "json:JSONDecoder"), {}, "not a subclass of HTTPStream"),
        (("run", "json:Nothing"), {}, "has no such name"),
        ((), {"WEBQQ_PORT": "many"}, "WEBQQ_PORT"),
        (("--port", "65536"), {}, "65536 is not in the range"),
        (("serve", "--tls-port", "-1"), {}, "-1 is not in the range"),
        (("--account", "-5", "status"), {}, "-5 is not in the range"),
        (("--owner", "0"), {}, "0 is not in the range"),
        (("--account", "1", "send", "Bob", "x", "--timeout", "nan"), {}, "not a number of seconds"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, arguments, environment, says):
    (tmp_path / "broken.toml").write_text("a = ")
    (tmp_path / "unknown.toml").write_text("prot = 1")
    (tmp_path / "file").write_text("")
    environment = {"WEBQQ_PASSWORD": "x", **environment}
    errors = await failure(tmp_path, *arguments, **environment)
    error = errors[errors.index("Error:") :]  # wrong usage shows the usage first
    assert says in error
    assert error.count("\n") == 1


async def test_a_port_that_is_taken_is_named(tmp_path: Path):
    async with Town() as town:
        errors = await failure(tmp_path, "--port", str(town.port))
    assert errors == (
        f"Error: cannot listen on 127.0.0.1 port {town.port}: it is taken; "
        "give --port another one, or 0 for a free one\n"
    )


FLOW = """
from webqq_tornado import HTTPStream

class Flow(HTTPStream):
    def begin(self):
        for _ in range(3):
            yield "{url}/", self.read

    def read(self, response):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("pass", 0, "3 chains done, 0 failed, 0 cancelled; 3 responses"),
        ("raise KeyError('oops')", 1, "0 chains done, 3 failed, 0 cancelled; 3 responses"),
    ],
)
async def test_run_ends_with_a_summary(tmp_path: Path, body: str, code: int, says: str):
    async with Town() as town:
        (tmp_path / "flows_of_mine.py").write_text(FLOW.format(url=town.server.url, body=body))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado", "run", "flows_of_mine:Flow"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        output, _ = await process.communicate()
    assert process.returncode == code, output.decode()
    assert f"Flow: {says}" in output.decode()


async def test_serve_serves_https_with_a_ca_that_is_kept(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        async with command(tmp_path, "serve", "--tls-port", "0") as server:
            port = int((await server.until(r"https is served on port (\d+)"))[1])
            authority = Path((await server.until(r"trust\n +(\S+ca\.pem)"))[1])
            stream = HTTPStream()
            url = f"https://localhost:{port}/page/static/icon.svg"
            request = stream.make_get_request(url, ca_certs=str(authority))
            assert (await stream.fetch(request)).status == 200
            stream.close()
            assert await server.end() == 0
        found.append(authority.read_bytes())
    assert found[0] == found[1]


async def test_a_second_start_says_where_the_first_one_runs(tmp_path: Path):
    async with command(tmp_path) as first:
        await first.until("The bot is online")
        url = (first.state / "server.url").read_text()
        for words in ((), ("serve",)):
            said = await failure(tmp_path, *words, "--port", "0", "--state-dir", str(first.state))
            assert said.count("\n") == 1
            for fact in (url, f"process {first.process.pid}", "chat --state-dir", "another one"):
                assert fact in said
        assert (first.state / "server.url").read_text() == url
        assert (first.state / "server.url").stat().st_mode & 0o777 == 0o600
        await first.end()
    async with command(tmp_path) as second:
        await second.until("The bot is online")
        await second.end()


async def test_a_server_that_was_killed_is_not_asked_and_not_in_the_way(tmp_path: Path):
    async with command(tmp_path) as first:
        await first.until("The bot is online")
        url = (first.state / "server.url").read_text()
        first.process.kill()
        await first.process.wait()
        port = int(url.rpartition(":")[2])
        asked = asyncio.Event()
        thief = await asyncio.start_server(lambda *_: asked.set(), "127.0.0.1", port)
        said = await failure(tmp_path, "send", "Bot", "x", "--state-dir", str(first.state))
        assert f"the one at {url} has ended" in said
        assert "python -m webqq_tornado" in said
        assert not asked.is_set()
        thief.close()
    async with command(tmp_path) as second:
        await second.until("The bot is online")
        await second.end()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"http://[", b"http://127.0.0.1:99999", b"", b"file:///x"]
)
async def test_a_damaged_address_is_no_hindrance(tmp_path: Path, content: bytes):
    async with command(tmp_path) as running:
        await running.until("The bot is online")
        (running.state / "server.url").write_bytes(content)
        environment = {**os.environ, "WEBQQ_STATE_DIR": str(running.state)}
        status = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado", "status"),
            env=environment,
            stdout=subprocess.PIPE,
        )
        output, _ = await status.communicate()
        assert status.returncode == 0
        assert b"10002" in output
        await running.end()


async def test_a_damaged_database_is_one_line_with_the_remedy(tmp_path: Path):
    async with command(tmp_path) as running:
        await running.until("The bot is online")
        await running.end()
    state = tmp_path / "state"
    for path in (state / "clients" / "here" / "client.db", state / "server.db"):
        good = path.read_bytes()
        for content in (good[: len(good) // 2], b"\xff" * 5000):
            path.write_bytes(content)
            said = await failure(tmp_path, "--port", "0")
            assert said.count("\n") == 1
            assert "put a copy of it back" in said
            assert "recover" in said
            assert path.read_bytes() == content
        path.write_bytes(good)
