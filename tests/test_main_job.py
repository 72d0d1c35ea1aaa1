"""The main job from end to end: the command, another client, the page in Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from servers.chromium import Browser

from webqq_tornado import HTTPStream
from webqq_tornado.client import Client, Endpoints

pytestmark = pytest.mark.slow


@asynccontextmanager
async def running(state: Path) -> AsyncIterator[tuple[str, str]]:
    """The command, as on a machine where nothing is configured: its address and sign-in link."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webqq_tornado", "--state-dir", state, "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = ""
    while not (found := re.search(r"(http://127\.0\.0\.1:\d+)/signin\?token=\S+\n", output)):
        line = await process.stdout.readline()
        assert line, output
        output += line.decode()
    yield found[1], found[0].strip()
    process.send_signal(signal.SIGINT)
    rest, _ = await process.communicate()
    assert process.returncode == 0, output + rest.decode()


async def test_what_the_bot_answers_to_another_client_is_seen_on_the_page(tmp_path: Path):
    async with running(tmp_path / "state") as (url, link):
        page = Browser(tmp_path / "profile")
        try:
            accounts = json.loads((tmp_path / "state" / "accounts.json").read_text())
            bot, user = accounts["bot"], accounts["user"]
            page.sign_in(link, user["nick"], f"friend:{bot['account']}")
            async with HTTPStream() as stream:
                client = Client(stream, user["account"], user["password"], Endpoints.at(url))
                await client.login()
                await client.send(client.contacts.find("Bot"), "echo from end to end")
                page.wait_for(".messages li.mine", "echo from end to end")
                page.wait_for(".messages li:not(.mine)", "from end to end")
                await client.logout()
            page.say("ping")
            page.wait_for(".messages li:not(.mine)", "pong")
        finally:
            page.driver.quit()


@pytest.mark.parametrize(
    ("number", "is_ignored"), [("SIGTERM", False), ("SIGHUP", False), ("SIGHUP", True)]
)
def test_in_the_background_of_a_terminal_it_serves_until_told_to_end(
    tmp_path: Path, number: str, is_ignored: bool
):
    there, terminal = os.openpty()
    nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    job = [sys.executable, "-m", "webqq_tornado", "--state-dir", str(tmp_path), "--port", "0"]
    command = [*nohup, *job] if is_ignored else job
    pipes = {"stdin": subprocess.DEVNULL, "stdout": terminal, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **pipes) as process:
        os.close(terminal)
        shown = b""
        while not re.search(rb"signin\?token=\S+\r\n", shown):
            shown += os.read(there, 65536)
        process.send_signal(signal.Signals[number])
        if is_ignored:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):  # of a terminal that nobody has open any more
            while piece := os.read(there, 65536):
                shown += piece
    os.close(there)
    assert process.returncode == 0
    assert shown.count(b"leaving") == 1
    assert not (tmp_path / "server.url").exists()
    assert b"right here" not in shown
