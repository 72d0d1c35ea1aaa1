"""The server for the page's tests, in a process of its own: page_server.py DIRECTORY PORT.

Prints its port; then, for each account number on a line of its input, a sign-in token.
"""

import asyncio
import signal
import sys
from pathlib import Path

from webqq_tornado.server import Storage, WebQQServer


async def main() -> None:
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    server = WebQQServer(Storage(directory / "server.db"))
    print(server.listen(port), flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def give_token() -> None:
        line = sys.stdin.readline()
        if line:
            print(server.signin_url(int(line)).partition("token=")[2], flush=True)
        else:
            stop.set()

    loop.add_reader(sys.stdin, give_token)
    await stop.wait()
    await server.close()


asyncio.run(main())
