"""Many accounts in one process, chatting: `python -m tests.bench.accounts N RATE SECONDS URL PID`.

All log in at once. Then messages leave at a steady rate, each from the next account in turn: to
its friend, every tenth to its group; what comes is told from the text. So a message that is lost,
comes twice or out of turn is seen. Prints its figures as JSON.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import json
import logging
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

from webqq_tornado import HTTPStream
from webqq_tornado.client import Client, Endpoints
from webqq_tornado.client.state import ClientEvent
from webqq_tornado.protocol.models import FriendMessage, GroupMessage

from .town import FIRST, PASSWORD

#: Every so many messages go to a group.
TO_GROUP = 10
#: Seconds that what is under way at the end gets to arrive.
PATIENCE = 30
#: Seconds between two looks at the clock: messages that are due leave together.
TICK = 0.01


class Chat:
    """What was said by whom, and what of it was heard.

    Attributes:
        waits: seconds from `send` to the listener, of each message heard.
        problems: how often each thing that must not be has been.
    """

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.problems: Counter[str] = Counter()
        self.offered = 0
        self._sent_at: dict[int, float] = {}
        self._due: Counter[int] = Counter()  # hearers that a message has not reached yet
        self._latest: dict[tuple[Client, str, str], int] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()

    def hear(self, client: Client, event: ClientEvent) -> None:
        """A listener of every client."""
        if not isinstance(event, (FriendMessage, GroupMessage)):
            return
        number, thread, sender = event.content.text.split()
        key = (client, thread, sender)
        if int(number) <= self._latest.get(key, 0):
            self.problems["came twice, or out of turn"] += 1
            return
        self._latest[key] = int(number)
        self.waits.append(time.perf_counter() - self._sent_at[int(number)])
        self._due[int(number)] -= 1
        if not self._due[int(number)]:
            del self._due[int(number)], self._sent_at[int(number)]
            if not self._due:
                self._quiet.set()

    def say(self, client: Client) -> None:
        """One message: to the friend, or to the group."""
        self.offered += 1
        number = self.offered
        # Each time that somebody's turn comes it is another tenth of them who say it to a group.
        if (number + number // 1000) % TO_GROUP:
            contact, hearers = next(iter(client.friends.values())), 1
        else:
            contact = next(iter(client.groups.values()))
            hearers = len(client.contacts.details[contact.gid].members) - 1
        self._sent_at[number] = time.perf_counter()
        self._due[number] = hearers
        self._quiet.clear()
        sent = client.send(contact, f"{number} {type(contact).__name__} {client.account}")
        sent.add_done_callback(self._on_receipt)

    async def ebb(self) -> None:
        """Wait until all is heard, or until that is not to be expected any more."""
        try:
            await asyncio.wait_for(self._quiet.wait(), PATIENCE)
        except asyncio.TimeoutError:
            self.problems["were lost"] += sum(self._due.values())

    def _on_receipt(self, receipt: asyncio.Future) -> None:
        if receipt.exception() is not None:
            self.problems[f"not sent: {receipt.exception()}"] += 1


class Usage:
    """What two processes have used since.

    Args:
        server: process id of the other one.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._began = (time.perf_counter(), time.process_time(), cpu_of(server))

    def facts(self) -> dict[str, float]:
        """Seconds, and how much of a core client and server used of them."""
        now = (time.perf_counter(), time.process_time(), cpu_of(self._server))
        seconds, client, server = (end - begin for begin, end in zip(self._began, now, strict=True))
        return {"seconds": seconds, "client_cpu": client / seconds, "server_cpu": server / seconds}


def cpu_of(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def log_in(stream: HTTPStream, people: int, url: str, chat: Chat) -> list[Client]:
    """All of them, at once."""
    clients = []
    for account in range(FIRST, FIRST + people):
        client = Client(stream, account, PASSWORD, Endpoints.at(url), log_level=logging.DEBUG)
        client.on_event(functools.partial(chat.hear, client))
        clients.append(client)
    await asyncio.gather(*(client.login() for client in clients))
    return clients


async def converse(clients: list[Client], chat: Chat, rate: float, seconds: float) -> None:
    """Offer messages at a steady rate, whatever becomes of them."""
    turns = itertools.cycle(clients)
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        while chat.offered < (now - began) * rate:
            chat.say(next(turns))
        await asyncio.sleep(TICK)


async def measure(people: int, rate: float, seconds: float, url: str, server: int) -> dict:
    """The figures."""
    chat = Chat()
    async with HTTPStream() as stream:
        await stream.fetch(url)  # what is loaded by the first request is no account's
        before = (resident(os.getpid()), resident(server))
        usage = Usage(server)
        clients = await log_in(stream, people, url, chat)
        login = usage.facts()
        gc.collect()
        memory = [
            (now - then) / people / 1024
            for now, then in zip((resident(os.getpid()), resident(server)), before, strict=True)
        ]
        usage = Usage(server)
        await converse(clients, chat, rate, seconds)
        facts = usage.facts()
        heard = len(chat.waits)
        await chat.ebb()
        for client in clients:
            client.leave()
    ranks = statistics.quantiles(chat.waits, n=100)
    return {
        **facts,
        "offered": chat.offered,
        "heard": heard,
        "heard_in_all": len(chat.waits),
        "p50_ms": ranks[49] * 1e3,
        "p99_ms": ranks[98] * 1e3,
        "max_ms": max(chat.waits) * 1e3,
        "login_seconds": login["seconds"],
        "login_client_cpu": login["client_cpu"],
        "login_server_cpu": login["server_cpu"],
        "client_kib": memory[0],
        "server_kib": memory[1],
        "problems": chat.problems,
    }


def main() -> None:
    """See the module."""
    people, rate, seconds, url, pid = sys.argv[1:]
    coroutine = measure(int(people), float(rate), float(seconds), url, int(pid))
    print(json.dumps(asyncio.run(coroutine)))


if __name__ == "__main__":
    main()
