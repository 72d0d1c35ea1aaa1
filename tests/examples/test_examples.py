"""The examples run as their first lines say, against the service that comes with them."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from waiting import until

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot
from webqq_tornado.client import Client, Endpoints
from webqq_tornado.examples.api import PRICES, Service
from webqq_tornado.journal import Journal, JournalError
from webqq_tornado.protocol.models import FriendMessage
from webqq_tornado.server import Storage, WebQQServer

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
async def service() -> AsyncIterator[str]:
    """URL of the examples' service, on the test's own loop."""
    socket, port = bind_unused_port()
    server = HTTPServer(Service())
    server.add_socket(socket)
    yield f"http://127.0.0.1:{port}"
    server.stop()


async def python(folder: Path, *arguments: str) -> str:
    """What `python -m ...` prints; it has to leave with 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def run(folder: Path, flow: str, *arguments: str) -> str:
    return await python(
        folder, "webqq_tornado", "run", f"webqq_tornado.examples.{flow}", *arguments
    )


#: Lines that are not blank, and how many the same program has with the best peer's.
PEERS = {"poll": 19, "crawl": 9, "login_poll": 27, "embed": 28, "sync": 19}


@pytest.mark.parametrize("name", PEERS)
def test_an_example_is_as_short_as_with_the_best_peer(name: str):
    text = (ROOT / "webqq_tornado" / "examples" / f"{name}.py").read_text(encoding="utf-8")
    lines = len([line for line in text.splitlines() if line.strip()])
    assert lines <= PEERS[name]
    page = ROOT / "webqq_tornado" / "docs" / "howto" / "migrating.rst"
    said = re.search(rf"^`{name}`.* (\d+) +[\w ]+ (\d+)$", page.read_text(encoding="utf-8"), re.M)
    assert said
    assert said.groups() == (str(lines), str(PEERS[name]))


async def test_poll_writes_what_50_apis_say_three_times(tmp_path: Path, service: str):
    output = await python(tmp_path, "webqq_tornado.examples.poll", "rates.csv", service)
    with (tmp_path / "rates.csv").open(newline="") as file:
        rows = sorted((int(row["id"]), int(row["rate"])) for row in csv.DictReader(file))
    assert rows == [(n, rate) for n in range(50) for rate in (101, 102, 103)]
    assert "responses=150" in output


async def test_login_poll_logs_in_polls_and_answers_until_sigterm(service: str):
    async with started("webqq_tornado.examples.login_poll", "bob", service) as process:
        assert process.stdout is not None
        said = [(await process.stdout.readline()).decode().strip() for _ in range(4)]
        process.terminate()
        assert await process.wait() == 143
    assert said == 2 * ["bob answers 'hello bob'", "bob answers 'how are you?'"]


async def test_sync_writes_all_items(tmp_path: Path, service: str):
    url = f"{service}/prices"
    output = await python(tmp_path, "webqq_tornado.examples.sync", "prices.jsonl", url)
    lines = (tmp_path / "prices.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == list(PRICES)
    assert "9 items in 3 pages" in output


async def test_crawl_visits_each_page_once_as_deep_as_told(tmp_path: Path, service: str):
    words = (f"{service}/site/", "max_depth=2", "-o", "pages.csv")
    output = await run(tmp_path, "crawl:Pages", *words)
    with (tmp_path / "pages.csv").open(newline="") as file:
        rows = sorted(row["title"] for row in csv.DictReader(file))
    assert rows == ["a", "b", "c", "home"]
    assert "4 items in pages.csv" in output
    assert "4 pages read; filtered: 1 depth, 3 duplicate" in output
    assert "0 failed, 0 cancelled; 5 responses" in output


async def test_durable_goes_on_where_it_was_killed(tmp_path: Path, service: str):
    words = ("webqq_tornado.examples.durable", "prices.db", service)
    async with started(*words, folder=tmp_path) as process:
        await until(lambda: _steps(tmp_path / "prices.db"))
        process.kill()
        await process.wait()
    output = await python(tmp_path, *words)
    assert "results=9, waiting=9" in output
    with Journal(tmp_path / "prices.db") as journal:
        names = [json.loads(text)["name"] for _, text in journal.results()]
    assert names == list(PRICES)


def _steps(path: Path) -> bool:
    """Whether the flow has had a link and another one."""
    try:
        return Journal(path).summary().steps > 1
    except JournalError:  # not made yet
        return False


@contextlib.asynccontextmanager
async def started(
    *arguments: str, folder: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program, ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


@contextlib.asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[str]:
    """A server that says where it is; ended with the block."""
    async with started(*arguments) as process:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().split()[-1]


async def latest(stream: HTTPStream, app: str, until: str) -> object:
    """What the application of `embed` has, once that says something."""
    while True:
        seen = (await stream.fetch(app)).json()["latest"]
        if until in str(seen):
            return seen
        await asyncio.sleep(0)


async def test_embed_polls_in_an_application_until_sigterm(service: str, free_port: int):
    async with started("webqq_tornado.examples.embed", str(free_port), service) as process:
        assert process.stdout is not None
        app = (await process.stdout.readline()).decode().split()[-1]
        async with HTTPStream() as stream:
            seen = await latest(stream, app, "apple")
        process.terminate()
        assert await process.wait() == 0
    assert [item["name"] for item in seen] == list(PRICES)[:3]


async def test_embed_goes_on_where_there_is_no_service(free_port: int):
    nowhere = "http://127.0.0.1:1"
    async with (
        program("webqq_tornado.examples.embed", str(free_port), nowhere) as app,
        HTTPStream() as stream,
    ):
        assert "refused" in str(await latest(stream, app, "refused"))


async def test_the_hello_plugin_answers(tmp_path: Path):
    storage = Storage(tmp_path / "server.db")
    bot_account, ann = (storage.accounts.create(nick, "pw").number for nick in ("Bot", "Ann"))
    storage.friends.befriend(bot_account, ann)
    server = WebQQServer(storage)
    server.listen(0)
    answers: asyncio.Queue[str] = asyncio.Queue()
    async with HTTPStream() as stream:
        here = Endpoints.at(server.url)
        client, user = (Client(stream, number, "pw", here) for number in (bot_account, ann))
        bot = Bot(client)
        bot.load_plugin("webqq_tornado.examples.hello")
        user.on_event(lambda e: isinstance(e, FriendMessage) and answers.put_nowait(e.content.text))
        await client.login()
        await user.login()
        user.send(user.contacts.find("Bot"), "hi there")
        assert await answers.get() == "hello Ann"
        user.send(user.contacts.find("Bot"), "order")
        assert await answers.get() == "Which one?"
        user.send(user.contacts.find("Bot"), "Margherita")
        assert await answers.get() == "Margherita for Ann: that makes 1"
        bot.close()
        await client.logout()
        await user.logout()
    await server.close()
