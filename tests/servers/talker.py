"""A client with a store that talks and listens at once, to be killed and started again.

``python -m servers.talker URL ACCOUNT STORE DIALECT PEER COUNT``: it says "0", "1", ... to its
peer, and ends when all is said and as much was heard. What is in the store, said or waiting, it
does not say again. It prints a line when it is online, and one for each message that it hears.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from servers.town import PASSWORD
from webqq_tornado import HTTPStream, StreamError
from webqq_tornado.client import Client, Endpoints, State, Store
from webqq_tornado.protocol.dialect import SMARTQQ, WEBQQ3
from webqq_tornado.protocol.models import FriendMessage


async def _let_in(url: str, account: int) -> None:
    """Confirm the newest QR code on the server's page."""
    async with HTTPStream() as page:
        headers: dict[str, str] = {}

        async def post(path: str, **body: object) -> bytes:
            request = page.make_post_request(url + path, json=body, headers=headers)
            response = await page.fetch(request)
            assert response.status < 300, response.text
            return response.body

        signed_in = json.loads(await post("/page/signin", account=account, password=PASSWORD))
        headers["Authorization"] = f"Bearer {signed_in['token']}"
        request = page.make_get_request(f"{url}/page/qr", headers=headers)
        waiting = json.loads((await page.fetch(request)).body)["waiting"]
        await post("/page/qr", id=waiting[0]["id"], confirm=True)


async def _talk(client: Client, store: Store, peer: str, count: int) -> None:
    heard = asyncio.Event()

    def look() -> None:
        texts = [e.text for e in store.history(client.account, limit=4 * count) if not e.is_own]
        if len(texts) >= count:
            heard.set()

    def on_event(event: object) -> None:
        if isinstance(event, FriendMessage):
            print(event.content.text, flush=True)
            if int(event.content.text) == count - 1:
                look()

    client.on_event(on_event)
    while client.state is not State.ONLINE:
        with contextlib.suppress(StreamError):  # the server is being started
            await client.login()
    print("online", flush=True)
    said = {letter.content.text for letter in store.outbox(client.account)}
    said |= {e.text for e in store.history(client.account, limit=4 * count) if e.is_own}
    for number in range(count):
        if str(number) not in said:
            client.send(client.find(peer), str(number))
            await asyncio.sleep(0)  # what was said goes out meanwhile
    look()
    await client.flush()
    await heard.wait()


async def _main(url: str, account: str, path: str, dialect: str, peer: str, count: str) -> None:
    tasks = []

    def show(_picture: bytes) -> None:
        tasks.append(asyncio.ensure_future(_let_in(url, int(account))))

    with Store(path) as store:
        stream = HTTPStream()
        client = Client(
            stream,
            int(account),
            PASSWORD,
            Endpoints.at(url),
            dialect={"webqq3": WEBQQ3, "smartqq": SMARTQQ}[dialect],
            store=store,
            on_qr=show,
        )
        await _talk(client, store, peer, int(count))
        client.leave()
        stream.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
