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
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    config = Config()
    config.bind = config.quic_bind = [address]
    config.certfile = config.keyfile = sys.argv[1]
    ended = asyncio.Event()
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=ended.wait))  # type: ignore[arg-type]
    # Hypercorn tells nobody when it listens.
    while not _answers(address) and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    announce(url=f"https://{address}")
    await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)
    ended.set()
    await serving


def _answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


if __name__ == "__main__":
    asyncio.run(main())
