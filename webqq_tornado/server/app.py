"""`WebQQServer`: a server that speaks WebQQ 3, with a page in the browser.

It answers the historical hosts (`d.web2.qq.com` and its siblings, by the Host header) and its
own address alike: no path of one host is a path of another. Nothing here knows the engine: a
client of any make may talk to it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from tornado.web import Application

from ..protocol import smartqq, webqq3
from ..protocol.exchange import Call
from .authentication import CAPTCHA_AFTER
from .deadlines import TimedHTTPServer
from .handlers import Answer, ExchangeHandler, Handler, UnknownHandler
from .onebot.routes import account_routes, port_routes
from .onebot.service import OneBot, OneBotState
from .qrcodes import QR_SECONDS
from .quotas import QUOTAS, Quota
from .sockets import listening_sockets
from .storage import Storage
from .tls import Certificates, server_context
from .web import api, files, friends, live, qr, rooms, search
from .web import onebot as onebot_page
from .webqq import contacts, login_pages, messages, pictures, profiles, qr_login, qun, signin

__all__ = ["PortTaken", "WebQQServer"]

logger = logging.getLogger("webqq_tornado.server")

#: Bytes of a request's body at most.
MAX_BODY = 256 * 1024
#: Bytes of a request's head at most: browsers and clients send less than 4 KiB.
MAX_HEAD = 16 * 1024
#: Bytes that are read at once. Tornado clears a buffer of this size for each read, two a request;
#: its own 64 KiB would be a fifteenth of all that a message costs. Twice the head at most: of one
#: that is too long nothing is left unread then, which would make the close a reset.
READ_SIZE = 2 * MAX_HEAD
#: Seconds in which a body has to arrive: 256 KiB pass through a modem line of 140 kbit/s.
BODY_SECONDS = 15.0
#: Seconds for which a connection may wait for its next request, or send the head of one.
IDLE_SECONDS = 90.0

#: Seconds a poll2 is held: a little less than a minute, which is when twqq 2014 hangs up.
POLL_SECONDS = 58.0


class PortTaken(OSError):
    """The port is in use, or not permitted."""


class WebQQServer(OneBotState):
    """A WebQQ-compatible server on the running loop.

    Args:
        storage: its memory; closed with it.
        poll_timeout: seconds a poll2 is held when there is nothing new.
        session_timeout: seconds without a poll after which an account counts as offline.
        hosts: names to serve besides loopback's, the address listened on, and the historical
            ones.
        captcha_after: wrong passwords in a row after which a login by password needs a captcha.
        qr_timeout: seconds for which a QR code is good.
        needs_online: whether poll2 says 103 until get_online_buddies2 was called.
        body_timeout: seconds in which the body of a request has to arrive.
        idle_timeout: seconds for which a connection may be open without a complete head of a
            request. Neither ends a poll that is held, or a WebSocket.
        quotas: how often an account or an address may do what; those of `quotas.QUOTAS` that
            are not given stay.

    Example:
        >>> server = WebQQServer(Storage("server.db"))
        >>> port = server.listen(0)
        >>> print(server.url)
    """

    def __init__(
        self,
        storage: Storage,
        *,
        poll_timeout: float = POLL_SECONDS,
        session_timeout: float = 180.0,
        hosts: Iterable[str] = (),
        captcha_after: int = CAPTCHA_AFTER,
        qr_timeout: float = QR_SECONDS,
        needs_online: bool = False,
        body_timeout: float = BODY_SECONDS,
        idle_timeout: float = IDLE_SECONDS,
        quotas: Mapping[str, Quota] | None = None,
    ) -> None:
        super().__init__(
            storage,
            poll_timeout=poll_timeout,
            session_timeout=session_timeout,
            hosts=hosts,
            captcha_after=captcha_after,
            qr_timeout=qr_timeout,
            needs_online=needs_online,
            quotas={**QUOTAS, **(quotas or {})},
        )
        self.onebot: OneBot = OneBot(self, self._listen_for)
        self._application = _application(self)
        self._timeouts = {"body_timeout": body_timeout, "idle_connection_timeout": idle_timeout}
        self._http = self._http_server()
        self._https: TimedHTTPServer | None = None
        self._address = "127.0.0.1"

    def __repr__(self) -> str:
        return f"<WebQQServer {self.url or 'not listening'}>"

    def sign_out_everywhere(self, account: int, but: str = "") -> None:
        """See `ServerState.sign_out_everywhere`; programs of OneBot are among them.

        Args:
            account: QQ number.
            but: the token of a browser that stays signed in.
        """
        super().sign_out_everywhere(account, but)
        self.onebot.sign_out(account)

    # -- listening --------------------------------------------------------------------------

    def listen(self, port: int = 8100, address: str = "127.0.0.1") -> int:
        """Serve on a port of one address.

        Args:
            port: 0 takes a free one.
            address: nothing else is bound.

        Returns:
            The port.

        Raises:
            PortTaken: names the port and what to do.
        """
        try:
            sockets = listening_sockets(port, address)
        except OSError as error:
            raise _port_error(error, port, address) from error
        is_first = not self.port
        if is_first:
            self.hub.resume()
        self._http.add_sockets(sockets)
        self.port = port = sockets[0].getsockname()[1]
        self.add_host(address)
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{port}"
        self.hub.pictures_at = f"{host}:{port}"
        self._note_address(address)
        logger.info("serving on %s", self.url)
        if is_first:
            self.onebot.resume()
        return int(port)

    def listen_tls(self, port: int, files: Certificates, address: str = "127.0.0.1") -> int:
        """Serve https as well, beside `listen`.

        Args:
            port: 0 takes a free one.
            files: see `webqq_tornado.server.tls.certificates`.
            address: nothing else is bound.

        Returns:
            The port.

        Raises:
            PortTaken: names the port and what to do.
            CertificateError: the files cannot be used.
        """
        https = self._http_server(ssl_options=server_context(files))
        try:
            sockets = listening_sockets(port, address)
        except OSError as error:
            raise _port_error(error, port, address, "--tls-port") from error
        https.add_sockets(sockets)
        self._https = https
        self.add_host(address)
        self._note_address(address)
        self.tls_port = port = sockets[0].getsockname()[1]
        logger.info("serving https on %s port %d", address, port)
        return int(port)

    def _note_address(self, address: str) -> None:
        self._address = address
        self.is_local = self.is_local and address in _LOOPBACK

    def _listen_for(self, port: int, number: int) -> Callable[[], None]:
        """A port of its own for an account that applications drive."""
        try:
            sockets = listening_sockets(port, self._address)
        except OSError as error:
            raise _port_error(error, port, self._address, "port") from error
        http = self._http_server(application=_port_application(self, number))
        http.add_sockets(sockets)
        return http.stop

    def _http_server(
        self, application: Application | None = None, **options: Any
    ) -> TimedHTTPServer:
        return TimedHTTPServer(
            application or self._application,
            chunk_size=READ_SIZE,
            max_header_size=MAX_HEAD,
            max_body_size=MAX_BODY,
            max_buffer_size=4 * MAX_BODY,
            **self._timeouts,
            **options,
        )

    def listen_on_free_port(
        self, first: int = 8100, tries: int = 20, address: str = "127.0.0.1"
    ) -> int:
        """Serve on a port, or on the next one that is free.

        Args:
            first: port that is tried first.
            tries: ports, one after the other.
            address: IP address to listen on.

        Returns:
            The port.

        Raises:
            PortTaken: none of them is.
        """
        return _first_free(lambda port: self.listen(port, address), first, tries)

    def listen_tls_on_free_port(
        self, first: int, files: Certificates, tries: int = 20, address: str = "127.0.0.1"
    ) -> int:
        """`listen_tls` on a port, or on the next one that is free.

        Args:
            first: port that is tried first.
            files: certificates, see `certificates`.
            tries: ports, one after the other.
            address: IP address to listen on.

        Returns:
            The port.

        Raises:
            PortTaken: none of them is.
            CertificateError: the files cannot be used.
        """
        return _first_free(lambda port: self.listen_tls(port, files, address), first, tries)

    async def close(self) -> None:
        """Stop listening, let the polls go with nothing new, close pages and storage."""
        servers = [server for server in (self._http, self._https) if server is not None]
        for server in servers:
            server.stop()
        await self.onebot.close()
        self.hub.close()
        for page in tuple(self.pages):
            page.close(1001, "the server stops")
        await asyncio.sleep(0)  # the polls that were let go write their answers
        for server in servers:
            await server.close_all_connections()
        self.storage.close()


#: Addresses that nobody reaches from elsewhere.
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _port_application(server: WebQQServer, number: int) -> Application:
    """The paths of the standard, for one account."""
    return Application(
        port_routes(server, number),
        default_handler_class=UnknownHandler,
        default_handler_args={"server": server},
        log_function=_log_request,
        websocket_ping_interval=live.PING_SECONDS,
    )


def _application(server: WebQQServer) -> Application:
    return Application(
        [*_protocol_routes(server), *_page_routes(server), *account_routes(server)],
        default_handler_class=UnknownHandler,
        default_handler_args={"server": server},
        log_function=_log_request,
        websocket_ping_interval=live.PING_SECONDS,
        websocket_max_message_size=live.MAX_RECEIVED,
    )


_Route: TypeAlias = tuple[str, type[Handler], dict[str, Any]]

_ANSWERS: dict[object, Answer] = {
    **login_pages.ANSWERS,
    **signin.ANSWERS,
    **qr_login.ANSWERS,
    **contacts.ANSWERS,
    **profiles.ANSWERS,
    **messages.ANSWERS,
}


def _protocol_routes(server: WebQQServer) -> list[_Route]:
    """Routes of what clients of WebQQ ask."""
    routes: list[_Route] = []
    exchange: Call[Any]
    # Where both dialects have a path, the table of WebQQ 3 reads the requests of either.
    exchanges = {one.path: one for one in (*smartqq.EXCHANGES, *webqq3.EXCHANGES)}
    # Tornado tries one route after the other: polls and messages, which are most of all requests,
    # come first.
    for exchange in sorted(exchanges.values(), key=lambda one: one.name not in messages.ANSWERS):
        if exchange.name in _ANSWERS:
            kind = messages.PollHandler if exchange is webqq3.POLL else ExchangeHandler
            route = {"server": server, "exchange": exchange, "answer": _ANSWERS[exchange.name]}
            routes.append((exchange.path, kind, route))
    routes.extend((path, handler, {"server": server}) for path, handler in _WAY_IN)
    late = {"exchange": webqq3.LOGIN_PAGE, "answer": _ANSWERS[webqq3.LOGIN_PAGE.name]}
    routes.append((r"/cgi-bin/xlogin", ExchangeHandler, {"server": server, **late}))
    for path, reply in qun.ROUTES:
        routes.append((path, qun.QunHandler, {"server": server, "reply": reply}))
    return routes


def _page_routes(server: WebQQServer) -> list[_Route]:
    """Routes of what the page asks, and of files and pictures."""
    pages = (
        *api.ROUTES,
        *files.ROUTES,
        *onebot_page.ROUTES,
        *pictures.ROUTES,
        *friends.ROUTES,
        *rooms.ROUTES,
        *search.ROUTES,
        *live.ROUTES,
        *qr.ROUTES,
    )
    return [(path, handler, {"server": server}) for path, handler in pages]


#: Pages that browsers load while signing in, besides the exchanges of the protocol.
_WAY_IN: tuple[tuple[str, type[Handler]], ...] = (
    (r"/check_sig", signin.CheckSigHandler),
    (r"/pt4_auth", signin.Pt4AuthHandler),
    (r"/(?:login|cf)?proxy\.html", login_pages.LoginProxyHandler),
    (r"/login\.html", login_pages.LoginFrameHandler),
    (r"/cgi-bin/ver|/ptui_ver\.js", login_pages.VersionHandler),
)


def _log_request(handler: object) -> None:
    request = handler.request  # type: ignore[attr-defined]
    # The path only: queries carry secrets.
    logger.debug("%s %s %d", request.method, request.path, handler.get_status())  # type: ignore[attr-defined]


def _first_free(listen: Callable[[int], int], first: int, tries: int) -> int:
    for port in range(first, first + tries - 1):
        try:
            return listen(port)
        except PortTaken:
            continue
    return listen(first + tries - 1)


def _port_error(error: OSError, port: int, address: str, option: str = "--port") -> PortTaken:
    why = {
        errno.EADDRINUSE: f"it is taken; give {option} another one, or 0 for a free one",
        errno.EACCES: f"it is not allowed; give {option} one above 1023, or see `serve --help` on "
        "ports 80 and 443",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }.get(error.errno or 0, error.strerror or str(error))
    return PortTaken(error.errno, f"cannot listen on {address} port {port}: {why}")
