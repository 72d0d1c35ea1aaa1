"""HTTP and SOCKS proxies (pproxy); `python -m servers.proxies` runs them.

To them all names that end in `.test` are this machine. Nobody else knows such names, so that
whoever reaches one has come through a proxy.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, NamedTuple

from servers.processes import announce, wait_for_the_end

USER, PASSWORD = "walker", "open sesame"


class Proxies(NamedTuple):
    """The ports of the proxies on 127.0.0.1."""

    http: int  # also CONNECT
    http_auth: int  # wants USER and PASSWORD
    socks5: int
    socks5_auth: int


_getaddrinfo = socket.getaddrinfo


def _resolve(host: Any, *arguments: Any, **options: Any) -> Any:
    text = host.decode() if isinstance(host, bytes) else host
    return _getaddrinfo("127.0.0.1" if text.endswith(".test") else host, *arguments, **options)


async def main() -> None:
    """Serve until standard input ends."""
    import pproxy  # here: whoever only wants to know the ports need not have it

    socket.getaddrinfo = _resolve
    ports = []
    for uri in ("http://", "http://", "socks5://", "socks5://"):
        login = f"#{USER}:{PASSWORD}" if len(ports) % 2 else ""
        proxy = pproxy.Server(f"{uri}127.0.0.1:0{login}")
        # By default pproxy remembers for a month from where somebody has logged in.
        arguments = {"rserver": [], "verbose": print_nothing, "authtime": -1}
        server = await proxy.start_server(arguments)
        ports.append(server.sockets[0].getsockname()[1])
    announce(**Proxies(*ports)._asdict())
    await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)


def print_nothing(line: str) -> None:
    """What pproxy calls with its log lines."""


if __name__ == "__main__":
    asyncio.run(main())
