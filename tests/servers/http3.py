"""A server that speaks HTTP/3 (Hypercorn); `python -m servers.http3 CERTIFICATE` runs it."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from typing import Any

from servers.processes import announce, wait_for_the_end


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Says which version was spoken, and how large the body was."""
    if scope["type"] != "http":
        return
    size, goes_on = 0, True
    while goes_on:
        message = await receive()
        size += len(message.get("body", b""))
        goes_on = message.get("more_body", False)
    body = f"{scope['http_version']} {size}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    """Serve until standard input ends."""
    from hypercorn.asyncio import serve  # here: whoever only looks need not have it
    from hypercorn.config import Config

    logging.disable()
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    host, port = listening.getsockname()
    config = Config()
    config.bind, config.quic_bind = [], [f"fd://{listening.detach()}"]
    config.certfile = config.keyfile = sys.argv[1]
    ended = asyncio.Event()
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=ended.wait))  # type: ignore[arg-type]
    # The socket is bound: what arrives before Hypercorn reads waits in the kernel.
    announce(url=f"https://{host}:{port}")
    await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)
    ended.set()
    await serving


if __name__ == "__main__":
    asyncio.run(main())
