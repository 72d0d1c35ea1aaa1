"""A client with a store, in a process of its own, to be killed and started again.

``say``: it says "0", "1", ... to a contact. Started again it goes on where it was: what is in
the store, sent or waiting, it does not say again. ``hear``: it prints what it hears. ``handle``:
it is a bot, and prints what it has handled; ``most`` behind that is for at most once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot, Message
from webqq_tornado.client import Client, Endpoints, Store, outbox
from webqq_tornado.protocol.models import FriendMessage, GroupMessage

TESTS = Path(__file__).parent.parent


@contextlib.asynccontextmanager
async def townsman(*arguments: object) -> AsyncIterator[Process]:
    """Run this module; it is killed at the end, if it has not ended by itself."""
    command = (sys.executable, "-m", "servers.townsman", *map(str, arguments))
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=TESTS, stdout=PIPE, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            # Not by the process itself: that asks whether it has ended, which asyncio is to do.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        await process.communicate()


async def _say(client: Client, store: Store, name: str, count: int) -> None:
    said = {letter.content.text for letter in store.outbox(client.account)}
    said |= {entry.text for entry in store.history(client.account, with_=name, limit=count)}
    for number in range(count):
        if str(number) not in said:
            client.send(client.find(name), str(number))
            await asyncio.sleep(0)  # what was said goes out meanwhile
    await client.flush()


def _handle(client: Client, *, at_most_once: bool) -> None:
    """What "poison" does is up to the process: it ends it."""
    bot = Bot(client, at_most_once=at_most_once)

    @bot.on_message
    async def handle(message: Message) -> None:
        await asyncio.sleep(0.001)  # so that one is often under way
        if message.text == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        print(message.text, "again" if message.again else "", flush=True)


async def _main(task: str, url: str, account: str, password: str, path: str, *rest: str) -> None:
    outbox.GROUP_SPACING = 0.001  # the test's server drops nothing
    with Store(path) as store:
        stream = HTTPStream()
        client = Client(stream, int(account), password, Endpoints.at(url), store=store)
        if task == "hear":
            client.on_event(
                lambda event: (
                    isinstance(event, (FriendMessage, GroupMessage))
                    and print(event.content.text, flush=True)
                )
            )
        if task == "handle":
            _handle(client, at_most_once=rest == ("most",))
        await client.login()
        if task == "say":
            await _say(client, store, rest[0], int(rest[1]))
        else:
            await asyncio.Event().wait()
        await client.logout()
        stream.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
