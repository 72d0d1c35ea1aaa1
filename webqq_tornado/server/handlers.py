"""Base of all handlers: hosts, cookies, and the reply to an exchange."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, wraps
from http import HTTPStatus
from http.client import responses
from typing import TYPE_CHECKING, Any, TypeAlias, overload
from urllib.parse import urlsplit

from tornado.httputil import parse_body_arguments, parse_cookie
from tornado.web import HTTPError, RequestHandler

from ..protocol import webqq3, wire
from ..protocol.codes import LoginResult
from ..protocol.dialect import DIALECTS, Dialect
from ..protocol.errors import ProtocolError
from ..protocol.exchange import Call
from ..protocol.login import build_login, login_refusal
from .hosts import is_historical
from .hub import PollSession
from .throttle import Place

if TYPE_CHECKING:
    from .state import ServerState

__all__ = [
    "Answer",
    "ExchangeHandler",
    "Handler",
    "LargeBody",
    "Refusal",
    "UnknownHandler",
    "exchanges_of",
    "host_of",
    "in_session",
    "too_often",
]

logger = logging.getLogger("webqq_tornado.server")

#: Retcodes of refusals; their meanings are in `protocol.codes`.
NOT_LOGGED_IN = 103
SESSION_GONE = 100000
BAD_REQUEST = 1
UNKNOWN_CONTACT = 4

#: Seconds in which a client must read an answer, as with nginx (send_timeout).
WRITE_SECONDS = 60.0

#: Seconds after which a client may retry if the database could not be written.
RETRY_SECONDS = 1
_DATABASE_REMEDY = "free space on its disk, or end the program that locks it"


class Refusal(HTTPError):
    """A refused request, with the reason for its sender.

    The reason travels in the body: a reason phrase is ASCII at best (RFC 9112, 4), and HTTP/2
    has none.

    Args:
        status: of HTTP.
        why: reason in any script, sent completely.
        retry_after: seconds after which a retry may succeed (RFC 9110, 10.2.3); 0 if none will.

    Example:
        >>> Refusal(409, "小明 is a friend already").why
        '小明 is a friend already'
    """

    def __init__(self, status: int, why: str, retry_after: float = 0) -> None:
        super().__init__(status)
        self.why = why
        self.retry_after = retry_after


def too_often(wait: float) -> Refusal:
    """The refusal of an action over its quota.

    Args:
        wait: seconds until the action is allowed again.
    """
    return Refusal(429, f"Too often: try again in {math.ceil(wait)} s", wait)


class Handler(RequestHandler):
    """A request to one of our hosts."""

    server: ServerState

    def initialize(self, server: ServerState) -> None:
        """Called by Tornado with the route's arguments."""
        self.server = server

    def set_default_headers(self) -> None:
        """Hide the server's version; forbid caches and other origins."""
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        """Refuse unknown hosts: another page may have rebound its name to this server."""
        if not self.server.serves(self._host):
            raise Refusal(403, "Host not served here")

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        """Answer, and close the connection of a client that does not read it for a minute."""
        written = super().finish(chunk)
        if not written.done():
            loop = asyncio.get_running_loop()
            timer = loop.call_later(WRITE_SECONDS, self._give_up)
            written.add_done_callback(lambda _: timer.cancel())
        return written

    def _give_up(self) -> None:
        stream = getattr(self.request.connection, "stream", None)
        if stream is not None:
            stream.close()

    def compute_etag(self) -> None:
        """None: the historical server had no ETag, and 304 does not answer a poll."""

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Send 503 if only the disk or another program prevents the answer."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        is_for_now = isinstance(error, sqlite3.OperationalError)
        super().send_error(HTTPStatus.SERVICE_UNAVAILABLE if is_for_now else status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A short JSON text instead of a page."""
        if status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            self.set_header("Retry-After", str(RETRY_SECONDS))
        _, error, _ = kwargs.get("exc_info", (None, None, None))
        why = error.why if isinstance(error, Refusal) else responses.get(status_code, "Error")
        if isinstance(error, Refusal) and error.retry_after:
            self.set_header("Retry-After", str(math.ceil(error.retry_after)))
        self.finish({"error": why})

    def spend(self, quota: str, account: int = 0) -> None:
        """Count an action with a quota.

        Args:
            quota: its name in `quotas.QUOTAS`.
            account: QQ number; 0 without a sign-in.

        Raises:
            Refusal: 429, the quota is exhausted.
        """
        address = self.request.remote_ip or ""
        wait = self.server.quotas.take(quota, account=account, address=address)
        if wait:
            raise too_often(wait)

    def log_exception(self, *error: Any) -> None:
        """Log errors of this server; those of clients are answered only."""
        what = (self.request.method, self.request.path)
        if isinstance(error[1], sqlite3.Error):
            where = self.server.storage.path
            logger.error("%s %s failed: %s: %s; %s", *what, where, error[1], _DATABASE_REMEDY)
        elif not isinstance(error[1], HTTPError):
            logger.error("%s %s failed", *what, exc_info=error)

    def set_domain_cookie(self, name: str, value: str, domain: str = "qq.com") -> None:
        """A cookie for the historical hosts of a domain, or for the bare address.

        Args:
            name: of the cookie.
            value: of the cookie.
            domain: "qq.com" is taken in its place where a client would refuse it.
        """
        self._write_cookie(name, value, "", domain)

    def clear_domain_cookie(self, name: str, domain: str = "qq.com") -> None:
        """The end of a cookie set by `set_domain_cookie`."""
        self._write_cookie(name, "", "EXPIRES=Fri, 02-Jan-1970 00:00:00 GMT; ", domain)

    def _write_cookie(self, name: str, value: str, expires: str, domain: str) -> None:
        # Not by `set_cookie`: it puts an empty value, or one with an "@", in quotes, which were
        # never there, and which libcurl's clients keep (twqq 2014). The form, with a blank after
        # each semicolon, is that of captures from 2011 to 2018: floatinghotpot/qqbot 2017 splits
        # at the blank.
        where = self._cookie_domain(domain)
        site = f" DOMAIN={where};" if where else ""
        self.add_header("Set-Cookie", f"{name}={value}; {expires}PATH=/;{site}")

    def _cookie_domain(self, domain: str) -> str:
        if not self.is_historical:
            return ""
        return domain if f".{self._host}".endswith(f".{domain}") else "qq.com"

    @overload
    def get_cookie(self, name: str, default: str) -> str: ...

    @overload
    def get_cookie(self, name: str, default: None = None) -> str | None: ...

    def get_cookie(self, name: str, default: str | None = None) -> str | None:
        """A cookie of the request; of several with its name the first, as Tencent's servers did.

        xhan/qqbot 2015 appends old cookies of its author, with a qrsig, to its own.
        """
        return self._first_cookies.get(name, default)

    @cached_property
    def _first_cookies(self) -> dict[str, str]:
        cookies = self.request.headers.get("Cookie", "").split(";")
        return parse_cookie(";".join(reversed(cookies)))  # which takes the last one

    @property
    def place(self) -> Place:
        """Origin of the request: its address, and the device of the last login there."""
        return Place(self.request.remote_ip or "", self.get_cookie("ptcz", "") or "")

    def set_account_cookies(self, account: int, nick: str, ptwebqq: str, device: str) -> None:
        """The cookies of a login that was granted (webqq.md, A3 and B2; captures of 2015).

        Args:
            account: QQ number.
            nick: of the account.
            ptwebqq: proves the login.
            device: by which the client is known at its next login.
        """
        uin = f"o0{account}"
        for name, value in (
            ("skey", "@" + secrets.token_urlsafe(7)[:9]),
            ("uin", uin),
            ("pt2gguin", uin),
            ("ptisp", "ctc"),
            ("RK", secrets.token_urlsafe(8)[:10]),
            ("ptcz", device),
            (f"ptnick_{account}", nick.encode().hex()),
            # The last of its domain: the only one that twqq 2014 finds in its jar.
            ("ptwebqq", ptwebqq),
        ):
            self.set_domain_cookie(name, value)
        # qqbot 2017 fails when a name is there for two domains: each is set for one only.
        for name, value in (
            ("superuin", uin),
            ("superkey", secrets.token_urlsafe(32)),
            ("supertoken", str(secrets.randbelow(2**32))),
        ):
            self.set_domain_cookie(name, value, "ptlogin2.qq.com")

    def address_of(self, host: str, path: str, *, is_plain: bool = False) -> str:
        """The address of a historical host, or the bare address for a client that used it.

        Args:
            host: historical.
            path: with its query.
            is_plain: whether a historical host is led to by http, however the client came.
        """
        name = host if self.is_historical else self._host
        if ":" in name:
            name = f"[{name}]"
        scheme, port = self.request.protocol, self.port
        if is_plain and self.is_historical and scheme == "https":
            scheme, port = "http", self.server.port if port else None
        where = f"{name}:{port}" if port else name
        return f"{scheme}://{where}{path}"

    @property
    def netloc(self) -> str:
        """The host and port that the client named; "" if they are none."""
        name = f"[{self._host}]" if ":" in self._host else self._host
        named = f"{name}:{self.port}" if self.port else name
        return named if re.fullmatch(r"[\w.:\[\]-]*", named, re.ASCII) else ""

    @property
    def plain_address(self) -> str:
        """The server by http and without a name: where the client's connection has ended."""
        stream = getattr(self.request.connection, "stream", None)
        if stream is None or stream.socket is None:
            return self.server.url
        host = stream.socket.getsockname()[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server.port}"

    @property
    def is_historical(self) -> bool:
        """Return True if the client used a historical host name, not the bare address."""
        return is_historical(self._host)

    @property
    def _host(self) -> str:
        return host_of(f"//{self.request.host}")

    @property
    def port(self) -> int | None:
        """The port that the client named; None for the default one."""
        try:
            return urlsplit(f"//{self.request.host}").port
        except ValueError:
            return None


def host_of(url: str) -> str:
    """The host that a URL names; "" if it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class LargeBody(Handler):
    """A request that may have a larger body; decorate with `stream_request_body`.

    Attributes:
        largest: maximum bytes of the body.
        received: the body, complete when the method is called.
    """

    largest = 0

    def prepare(self) -> None:
        """Check the request before its body comes, and allow a large one."""
        super().prepare()
        self._pieces: list[bytes] = []
        self.check_before_body()
        self.request.connection.set_max_body_size(self.largest)  # type: ignore[union-attr]

    def check_before_body(self) -> None:
        """Refuse requests that may not have a large body: 401, 403."""

    def data_received(self, chunk: bytes) -> None:
        """Called by Tornado with each piece."""
        self._pieces.append(chunk)

    @property
    def received(self) -> bytes:
        """The body."""
        return b"".join(self._pieces)


class UnknownHandler(Handler):
    """An unknown path."""

    def prepare(self) -> None:
        """Refuse any method with 404."""
        super().prepare()
        raise HTTPError(404)


_FORM = "application/x-www-form-urlencoded"

#: Answer to one exchange: from the handler and the form to the body.
Answer: TypeAlias = Callable[["ExchangeHandler", Any], "str | Awaitable[str]"]


class ExchangeHandler(Handler):
    """Serves one exchange of the protocol."""

    def initialize(self, server: ServerState, **route: Any) -> None:
        """Called by Tornado with the route's arguments."""
        super().initialize(server)
        self.exchange: Call[Any] = route["exchange"]
        self.answer: Answer = route["answer"]

    async def get(self) -> None:
        """Answer a GET."""
        await self._serve()

    async def post(self) -> None:
        """Answer a POST."""
        await self._serve()

    async def _serve(self) -> None:
        is_either = self.exchange.host in _EITHER_METHOD
        if self.request.method != self.exchange.method and not is_either:
            raise HTTPError(405)
        # As the historical server had it: clients must not depend on the type.
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(await self._body())

    async def _body(self) -> str:
        if self.exchange.host in _REFERER_CHECKED and not self._has_referer():
            return wire.build_refusal(NOT_LOGGED_IN, "referer")
        try:
            form = self.exchange.read_form(self._arguments())
        except ProtocolError as error:
            logger.debug("%s", error)
            return _BAD_REQUESTS.get(self.exchange.host, wire.build_refusal(BAD_REQUEST, "request"))
        await self._keep_pace(form)
        answer = self.answer(self, form)
        return answer if isinstance(answer, str) else await answer

    async def _keep_pace(self, form: Any) -> None:
        """Delay a client over its quota: an old client takes a refusal for a lost session.

        Raises:
            Refusal: 429, too many of its requests wait already.
        """
        quota = _PACED.get(self.exchange.name)
        session = quota and self._session_of(form)
        if not quota or not session:
            return
        may, wait = self.server.quotas.reserve(
            quota,
            account=session.account,
            address=self.request.remote_ip or "",
            patience=_PATIENCE,
        )
        if not may:
            raise too_often(wait)
        if wait:
            await asyncio.sleep(wait)

    def _session_of(self, form: Any) -> PollSession | None:
        find = self.server.hub.find
        return find(getattr(form, "psessionid", "")) or find(
            getattr(form, "vfwebqq", ""), "vfwebqq"
        )

    def _arguments(self) -> Mapping[str, str]:
        values = dict(self.request.arguments)
        if not self.request.body_arguments:
            # Two clients for Node of 2017 called their forms text/plain, or nothing at all.
            parse_body_arguments(_FORM, self.request.body, values, {})
        return {name: texts[-1].decode("utf-8", "replace") for name, texts in values.items()}

    def _has_referer(self) -> bool:
        referer = host_of(self.request.headers.get("Referer", ""))
        return bool(referer) and self.server.serves(referer)


#: A host's response to a request that it cannot parse, where it is no JSON.
_BAD_REQUESTS = {"ssl": build_login(login_refusal(LoginResult.BAD_PARAMETER))}
#: Hosts that take a GET for a POST, and the reverse: Mojo-Webqq 2018 asked for the groups by a
#: GET with ``r``, a bot in Go of 2017 for its profile by a POST.
_EITHER_METHOD = ("s",)
#: Exchanges that may not come too often, and the quotas that they count for.
_PACED = {
    **dict.fromkeys(
        (
            webqq3.SEND_FRIEND.name,
            webqq3.SEND_GROUP.name,
            webqq3.SEND_DISCUSSION.name,
            webqq3.SEND_SESSION.name,
        ),
        "message",
    ),
    **dict.fromkeys(
        (webqq3.CHANGE_STATUS.name, webqq3.SET_LONG_NICK.name, webqq3.ACCEPT_FRIEND.name),
        "change",
    ),
}
#: Seconds that a request waits at most to keep its quota: clients wait for 10 s and more.
_PATIENCE = 8.0
#: Hosts that want to see where a request comes from (webqq.md, "Referer is checked").
_REFERER_CHECKED = ("d", "s")
#: By which secrets a host knows a session. vfwebqq stands in addresses, and so in logs: on the d
#: host, which sends and polls, it proves nothing (all clients had psessionid there).
_SECRETS = {"d": ("psessionid", "ptwebqq"), "s": ("vfwebqq", "psessionid", "ptwebqq")}


def in_session(answer: Callable[[ExchangeHandler, PollSession, Any], str]) -> Answer:
    """An answer for those whose secret, as their host takes it, is of an open session."""

    @wraps(answer)
    def with_session(handler: ExchangeHandler, form: Any) -> str:
        for kind in _SECRETS[handler.exchange.host]:
            is_cookie = kind == "ptwebqq"
            given = handler.get_cookie(kind) if is_cookie else getattr(form, kind, "")
            session = handler.server.hub.find(given, kind)
            if session is not None and session.kicked is None:
                return answer(handler, session, form)
        return wire.build_refusal(SESSION_GONE)

    return with_session


def exchanges_of(session: PollSession) -> Dialect:
    """The exchanges of a session's dialect, which write its responses."""
    return DIALECTS[session.dialect]
