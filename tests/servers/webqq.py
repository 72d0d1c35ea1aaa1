"""A WebQQ server in a process of its own: ``python -m servers.webqq DIRECTORY [PORT]``.

It serves https as well, with certificates in DIRECTORY/tls.

Ann (10001) and Bob (10002) are friends; with Eve (10003) they are in Ann's group Square (20001).
Their password is `town.PASSWORD`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from servers.processes import announce, wait_for_the_end
from servers.town import PASSWORD
from webqq_tornado.server import Storage, WebQQServer, certificates


async def main() -> None:
    directory = Path(sys.argv[1])
    storage = Storage(directory / "server.db")
    if not storage.accounts.all():
        ann, bob, eve = (
            storage.accounts.create(nick, PASSWORD).number for nick in ("Ann", "Bob", "Eve")
        )
        storage.friends.befriend(ann, bob)
        storage.rooms.create_group("Square", ann, [bob, eve])
    server = WebQQServer(storage, poll_timeout=0.2)
    files = certificates(directory / "tls")
    port = server.listen(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    tls_port = server.listen_tls(0, files)
    announce(port=port, tls_port=tls_port, authority=str(files.authority))
    await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)
    await server.close()


if __name__ == "__main__":
    asyncio.run(main())
