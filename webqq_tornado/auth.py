"""Credentials that a session's requests carry, and how to get new ones.

>>> stream = HTTPStream(auth=BearerAuth(renew=log_in))
>>> ann = stream.session("ann", auth=BasicAuth("ann", password))

Where credentials are refused or missing they are renewed once, for all links that wait for it;
then these are sent. A link that is refused with new ones, too, gets its response as it is.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, NamedTuple

from .engine.errors import AuthError
from .engine.links import Link
from .engine.request import Request
from .engine.response import Response
from .engine.urls import normal_url, origin_of

__all__ = ["Auth", "BasicAuth", "BearerAuth", "DigestAuth", "LoginAuth"]

_UNAUTHORIZED = 401


class Auth:
    """Base of all: override what differs.

    Args:
        origin: only requests to this scheme, host and port, and below this path, carry the
            credentials, such as "https://api.example.org/v1/". By default it is scheme, host and
            port of the first request that could have had them: no link or redirect takes them
            elsewhere. Override `covers` for credentials of several hosts. Those of http and https
            are for the WebSockets (ws, wss) of the same place, too.

    Attributes:
        renew_timeout: seconds that `renew` and the chain that follows it may take, 120 by default;
            then all who wait get an `AuthError`. None: no limit.

    Raises:
        ValueError: the origin has no scheme or no host.

    Example:
        >>> class Signed(Auth):
        ...     def sign(self, request):
        ...         return request.replace(headers=[*request.header_pairs, ("X-Key", key)])
    """

    renew_timeout: float | None = 120.0

    def __init__(self, *, origin: str = "") -> None:
        try:
            self._origin = _Place.of(origin) if origin else None
        except ValueError as error:
            raise ValueError(
                f"origin is a URL with scheme and host, such as https://example.org/: {error}"
            ) from error
        self._asked = "", False  # the last address, and whether it is covered

    def covers(self, request: Request) -> bool:
        """Return True if the credentials are for this request: it is in their origin.

        Args:
            request: about to be sent; where no origin was given, the first one sets it.
        """
        if request.url != self._asked[0]:  # it is asked some times of each request
            place = _Place.of(request.url)
            if self._origin is None:
                self._origin = place._replace(path="")
            self._asked = request.url, place.is_in(self._origin)
        return self._asked[1]

    @property
    def needs_renewal(self) -> bool:
        """There are none to send with: `renew` is called before the first request goes."""
        return False

    def apply(self, request: Request) -> Request:
        """The request with credentials, if it is to have them.

        Args:
            request: about to be sent.
        """
        return self.sign(request) if self.covers(request) else request

    def sign(self, request: Request) -> Request:
        """The request with credentials.

        Args:
            request: to an address that may have them.
        """
        return request

    def is_refused(self, response: Response) -> bool:
        """Return True if the server refused the credentials: by default with status 401.

        Args:
            response: to a request that had them.
        """
        return response.status == _UNAUTHORIZED

    def renew(self) -> Link:
        """Get new ones: returns what a reader may return, and may be a coroutine function.

        Its chain ends when they are there. Requests that it makes are not held up for them.
        """
        raise AuthError("these credentials were refused, and there is no way to get new ones")

    def on_renewed(self, is_good: bool) -> None:
        """The chain of `renew` has ended.

        Args:
            is_good: without an error.
        """


class _Place(NamedTuple):
    """Origin of a URL: a prefix of its text alone would match URLs of other hosts, too."""

    origin: tuple[str, str, int]
    path: str

    @classmethod
    def of(cls, url: str) -> _Place:
        url = normal_url(url)
        if url.startswith("ws"):  # the address whose handshake opens it
            url = "http" + url.removeprefix("ws")
        path = re.split("[?#]", url.split("/", 3)[3], maxsplit=1)[0]
        return cls(origin_of(url), f"/{path}".rstrip("/"))

    def is_in(self, other: _Place) -> bool:
        is_below = f"{self.path}/".startswith(f"{other.path}/")
        return self.origin == other.origin and is_below and (not other.path or not self._climbs)

    @property
    def _climbs(self) -> bool:
        """There are servers that decode slashes before they look for dot segments."""
        return ".." in re.split(r"/|%2f|%5c", self.path.lower().replace("%2e", "."))


class _Password(Auth):
    """A name and a password, sent by libcurl."""

    _mode: str

    def __init__(self, username: str, password: str, *, origin: str = "") -> None:
        super().__init__(origin=origin)
        self._username = username
        self._password = password

    def sign(self, request: Request) -> Request:
        """See `Auth`."""
        if request.auth_username is not None:
            return request
        credentials = (self._mode, self._username, self._password)
        return request.signed_once(
            credentials,
            auth_mode=self._mode,
            auth_username=self._username,
            auth_password=self._password,
        )

    def is_refused(self, response: Response) -> bool:
        """There are no others."""
        return False


class BasicAuth(_Password):
    """HTTP's basic authentication (RFC 7617).

    Args:
        username: of the user.
        password: of the user.
        origin: see `Auth`.

    Example:
        >>> stream = HTTPStream(auth=BasicAuth("ann", password, origin="https://example.org/"))
    """

    _mode = "basic"


class DigestAuth(_Password):
    """HTTP's digest authentication (RFC 7616). Arguments as of `BasicAuth`.

    Example:
        >>> stream = HTTPStream(auth=DigestAuth("ann", password))
    """

    _mode = "digest"


class BearerAuth(Auth):
    """A token in the `Authorization` header (RFC 6750).

    Args:
        token: to begin with; by default `renew` is asked for one before the first request goes.
        renew: gets a new one: a function that returns the token, or a link whose reader sets
            `token`; may be a coroutine function.
        scheme: the word before the token.
        origin: see `Auth`.

    Attributes:
        token: the one that is sent; None: there is none.

    Example:
        >>> async def renew():
        ...     response = await stream.fetch(Request(f"{base}/token", body=secret))
        ...     return response.json()["access_token"]
        >>> stream = HTTPStream(auth=BearerAuth(renew=renew, origin=base))
    """

    def __init__(
        self,
        token: str | None = None,
        *,
        renew: Callable[[], Link | Awaitable[Link]] | None = None,
        scheme: str = "Bearer",
        origin: str = "",
    ) -> None:
        super().__init__(origin=origin)
        if token is None and renew is None:
            raise ValueError("BearerAuth needs a token, or a function that gets one")
        self.token = token
        self._renew = renew
        self._scheme = scheme

    @property
    def needs_renewal(self) -> bool:
        """See `Auth`."""
        return self.token is None

    def sign(self, request: Request) -> Request:
        """See `Auth`."""
        line = ("Authorization", f"{self._scheme} {self.token}")
        others = [pair for pair in request.header_pairs if pair[0].lower() != "authorization"]
        return request.signed_once(line, headers=[*others, line])

    def is_refused(self, response: Response) -> bool:
        """See `Auth`; nothing to be done without `renew`."""
        return self._renew is not None and super().is_refused(response)

    def renew(self) -> Link:
        """See `Auth`."""
        if self._renew is None:
            return super().renew()
        self.token = None
        if inspect.iscoroutinefunction(self._renew):
            return self._ask(self._renew)
        result = self._renew()
        if inspect.iscoroutine(result):
            result = _ClosedUnlessAwaited(result)
        return self._ask(lambda: result) if inspect.isawaitable(result) else self._keep(result)

    async def _ask(self, renew: Callable[[], Link | Awaitable[Link]]) -> Link:
        # A coroutine is made in here: it would stay unawaited if the chain ended before.
        result = renew()
        return self._keep(await result if inspect.isawaitable(result) else result)

    def _keep(self, result: Link) -> Link:
        if not isinstance(result, str):
            return result
        self.token = result
        return None


class _ClosedUnlessAwaited:
    """A coroutine of the user's, without a warning if the stream is closed before its turn."""

    def __init__(self, coroutine: Coroutine[Any, Any, Link]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, None, Link]:
        return self._coroutine.__await__()

    def __del__(self) -> None:
        self._coroutine.close()


class LoginAuth(Auth):
    """Cookies, from a login that is a chain of its own.

    It is run before the first request of the session goes, and again when a response or a reader
    (`raise LoggedOut`) says that the session is not logged in.

    Args:
        login: returns the first link of the login; may be a coroutine function.
        is_logged_in: the session's cookies are good already.
        is_refused: whether a response says that they are not; by default one of status 401.
        origin: see `Auth`.

    Example:
        >>> def login():
        ...     return stream.make_post_request(f"{base}/login", {"user": "ann"}), check
        >>> session = stream.session("ann", auth=LoginAuth(login))
    """

    def __init__(
        self,
        login: Callable[[], Link],
        *,
        is_logged_in: bool = False,
        is_refused: Callable[[Response], bool] | None = None,
        origin: str = "",
    ) -> None:
        super().__init__(origin=origin)
        self._login = login
        self._is_refused = is_refused
        self._needs_renewal = not is_logged_in

    @property
    def needs_renewal(self) -> bool:
        """See `Auth`."""
        return self._needs_renewal

    def is_refused(self, response: Response) -> bool:
        """See `Auth`."""
        return (self._is_refused or super().is_refused)(response)

    def renew(self) -> Link:
        """See `Auth`."""
        return self._login()

    def on_renewed(self, is_good: bool) -> None:
        """See `Auth`."""
        self._needs_renewal = not is_good
