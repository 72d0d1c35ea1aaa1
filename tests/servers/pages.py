"""The server as a process, and people who use its page, without a browser or in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers.chromium import DEADLINE, Browser

SERVER = Path(__file__).parent.parent / "server" / "web" / "page_server.py"


class Server:
    """The server as a process that can be stopped and started again on the same port and data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(SERVER), str(self.directory), str(self.port)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.port = int(self._line())
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=DEADLINE)

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    def sign_in_link(self, account: int) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{account}\n")
        self.process.stdin.flush()
        return f"{self.url}/signin?token={self._line()}"

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            self.stop()
            pytest.fail("the server ended; its stderr says why")
        return line


class Person:
    """Somebody who uses the page's API without a page."""

    password = "correct horse"

    def __init__(self, server: Server, nick: str) -> None:
        self.server = server
        self.nick = nick
        self.opener = urllib.request.build_opener()
        registered = self.post("/page/register", nick=nick, password=self.password)
        self.account: int = registered["self"]["account"]
        self.opener.addheaders = [("Authorization", f"Bearer {registered['token']}")]

    def post(self, path: str, **fields: Any) -> Any:
        request = urllib.request.Request(self.server.url + path, json.dumps(fields).encode())
        request.add_header("Content-Type", "application/json")
        with self.opener.open(request, timeout=DEADLINE) as reply:
            return json.loads(reply.read() or b"null")

    def befriend(self, other: Person) -> None:
        self.post("/page/friends", account=other.account)

    def say(self, conversation: str, *content: Any) -> None:
        nonce = os.urandom(8).hex()
        self.post("/page/messages", conversation=conversation, content=list(content), nonce=nonce)

    def sees(self, friend: Person) -> str:
        """How a friend is to be reached."""
        with self.opener.open(f"{self.server.url}/page/state", timeout=DEADLINE) as reply:
            threads = json.load(reply)["conversations"]
        (status,) = [each["status"] for each in threads if each["number"] == friend.account]
        return str(status)

    def heard(self, conversation: str) -> list[Any]:
        address = f"{self.server.url}/page/messages?conversation={conversation}&limit=50"
        with self.opener.open(address, timeout=DEADLINE) as reply:
            return [message["content"] for message in json.load(reply)["messages"]]


def sign_in(page: Browser, person: Person, conversation: str = "") -> None:
    page.sign_in(person.server.sign_in_link(person.account), person.nick, conversation)


def with_(person: Person) -> str:
    """The conversation with somebody, as their friends name it."""
    return f"friend:{person.account}"
