"""The well-behaved web server, on all kinds of doors; `python -m servers.web FOLDER` runs it.

Nothing in it waits for time to pass. Where a test needs an order of events it uses a *place*:

- `/hold/KEY` answers when somebody asks for `/release/KEY`;
- `/arrived/KEY` answers when somebody is held there; `/left/KEY` when one who was held has gone.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import trustme
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.web import Application, RequestHandler

from servers.processes import announce, wait_for_the_end

#: `b"hello world"` as the reference encoder writes it.
BROTLI = b"\x0b\x05\x80hello world\x03"


class Web(NamedTuple):
    """Where the doors are; addresses have no slash at the end."""

    http: str
    other: str  # the same server as another origin
    https: str  # for "localhost" and 127.0.0.1, trusted by `ca`
    wrong_host: str  # trusted by `ca`, but for another name
    stranger: str  # signed by a CA that nobody knows
    mutual: str  # wants a client certificate
    unix: str  # the path of a socket
    ca: str  # a PEM file
    certificate: str  # the server's, with its key
    client: str  # a client's, with its key


class Place:
    """Where requests are held."""

    def __init__(self) -> None:
        self.held = 0  # so many have come
        self.here: set[RequestHandler] = set()
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()
        self.left = asyncio.Event()


places: defaultdict[str, Place] = defaultdict(Place)


class Echo(RequestHandler):
    """Says what it got. `peer` is the port of the connection: a name for it."""

    SUPPORTED_METHODS = (*RequestHandler.SUPPORTED_METHODS, "PURGE")  # type: ignore[assignment]

    def prepare(self) -> None:
        request = self.request
        address = request.connection.context.address  # type: ignore[union-attr]
        self.set_header("X-Method", request.method or "")
        self.finish(
            {
                "method": request.method,
                "uri": request.uri,
                "headers": list(request.headers.get_all()),
                "body": request.body.decode("latin-1"),
                "peer": address[1] if isinstance(address, tuple) and address else 0,
                "protocol": request.protocol,
            }
        )


class Form(RequestHandler):
    """Says which fields and files it got."""

    def post(self) -> None:
        fields = [
            [name, value.decode()]
            for name, values in self.request.body_arguments.items()
            for value in values
        ]
        files = [
            [name, file.filename, file.content_type, file.body.decode("latin-1")]
            for name, several in self.request.files.items()
            for file in several
        ]
        self.finish({"fields": fields, "files": files, "headers": dict(self.request.headers)})


class Redirect(RequestHandler):
    """`?to=URL&status=302`."""

    def prepare(self) -> None:
        self.set_status(int(self.get_query_argument("status", "302")))
        self.set_header("Location", self.get_query_argument("to"))
        self.finish()


class Hops(RequestHandler):
    """`/hops/N`: N redirects, then an answer."""

    def get(self, left: str) -> None:
        if int(left):
            self.redirect(f"/hops/{int(left) - 1}")
        else:
            self.finish("arrived")


class Status(RequestHandler):
    """`/status/N`."""

    def prepare(self) -> None:
        self.set_status(int(self.path_args[0]), "As Asked")
        if self.get_status() not in (204, 304):
            self.write("body")
        self.finish()


class SetCookie(RequestHandler):
    """`?line=...`, given back as Set-Cookie."""

    def get(self) -> None:
        for line in self.get_query_arguments("line"):
            self.add_header("Set-Cookie", line)
        self.finish("set")


class Encoded(RequestHandler):
    """`/encoded/gzip`, `/encoded/br`, `/encoded/corrupt`: a body that is not what it looks like."""

    def get(self, how: str) -> None:
        bodies = {
            "gzip": gzip.compress(b"hello world"),
            "br": BROTLI,
            "corrupt": gzip.compress(b"hello world" * 9)[:-12] + b"#" * 12,
        }
        self.set_header("Content-Encoding", "gzip" if how == "corrupt" else how)
        self.set_header("X-Asked", self.request.headers.get("Accept-Encoding", ""))
        self.finish(bodies[how])


class Bytes(RequestHandler):
    """`/bytes/N`: so many. `?chunked` without saying how many."""

    async def get(self, size: str) -> None:
        left, block = int(size), b"0123456789abcdef" * 4096
        if self.get_query_argument("chunked", None) is None:
            self.set_header("Content-Length", size)
        while left:
            self.write(block[:left])
            left -= min(left, len(block))
            await self.flush()


class Hold(RequestHandler):
    """See above. `?after=N`: N bytes of the body come before."""

    async def get(self, key: str) -> None:
        self.place = place = places[key]
        first = int(self.get_query_argument("after", "0"))
        if first:
            self.set_header("Content-Length", str(first + len(b"released")))
            self.write(b"." * first)
            await self.flush()
        place.held += 1
        place.here.add(self)
        place.left.clear()  # that was another test's
        place.arrived.set()
        await place.released.wait()
        self.finish("released")

    def on_connection_close(self) -> None:
        self.place.here.discard(self)
        if not self.place.here:
            self.place.arrived.clear()
        self.place.left.set()


class Arrived(RequestHandler):
    """See above."""

    async def get(self, key: str) -> None:
        await places[key].arrived.wait()
        self.finish(str(places[key].held))


class Release(RequestHandler):
    """See above."""

    async def get(self, key: str) -> None:
        places.pop(key, Place()).released.set()


class Left(RequestHandler):
    """See above."""

    async def get(self, key: str) -> None:
        await places[key].left.wait()


class Close(RequestHandler):
    """Answers, and closes the connection."""

    def get(self) -> None:
        self.set_header("Connection", "close")
        self.finish("closing")


class Basic(RequestHandler):
    """Wants a user and a password, which it repeats."""

    def get(self) -> None:
        given = self.request.headers.get("Authorization")
        if given is None:
            self.set_status(401)
            self.set_header("WWW-Authenticate", 'Basic realm="tests"')
        self.finish(given or "")


def make_app() -> Application:
    """The routes."""
    routes = [
        (r"/echo.*", Echo),
        (r"/form", Form),
        (r"/redirect", Redirect),
        (r"/hops/(\d+)", Hops),
        (r"/status/(\d+)", Status),
        (r"/set-cookie", SetCookie),
        (r"/encoded/(\w+)", Encoded),
        (r"/bytes/(\d+)", Bytes),
        (r"/hold/(.+)", Hold),
        (r"/arrived/(.+)", Arrived),
        (r"/release/(.+)", Release),
        (r"/left/(.+)", Left),
        (r"/close", Close),
        (r"/basic", Basic),
        (r"/", Echo),
    ]
    return Application(routes, log_function=lambda handler: None)


def _listen(app: Application, scheme: str, context: ssl.SSLContext | None = None) -> str:
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    HTTPServer(app, ssl_options=context).add_sockets(sockets)
    return f"{scheme}://127.0.0.1:{sockets[0].getsockname()[1]}"


def _context(ca: trustme.CA, *names: str, clients: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


async def main(folder: Path) -> None:
    """Open all doors, say where they are, and serve until standard input ends."""
    logging.disable()
    app, ca, stranger = make_app(), trustme.CA(), trustme.CA()
    here = ("localhost", "127.0.0.1")
    files = {name: str(folder / f"{name}.pem") for name in ("ca", "client", "certificate")}
    ca.cert_pem.write_to_path(files["ca"])
    ca.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(
        files["client"]
    )
    ca.issue_cert(*here).private_key_and_cert_chain_pem.write_to_path(files["certificate"])
    unix = str(folder / "web.sock")
    HTTPServer(app).add_socket(bind_unix_socket(unix))
    web = Web(
        http=_listen(app, "http"),
        other=_listen(app, "http"),
        https=_listen(app, "https", _context(ca, *here)),
        wrong_host=_listen(app, "https", _context(ca, "elsewhere.example")),
        stranger=_listen(app, "https", _context(stranger, *here)),
        mutual=_listen(app, "https", _context(ca, *here, clients=ca)),
        unix=unix,
        **files,
    )
    announce(**web._asdict())
    await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
