"""Options that all commands about HTTP share: headers, credentials, CA, proxy, time, retries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from tenacity import stop_after_attempt

from ..auth import Auth, BasicAuth, BearerAuth
from ..engine.request import Request
from ..engine.secrets import is_secret_name
from ..engine.urls import origin_of
from ..files import FileError, read_text
from ..retry import Retry
from .param_types import SOME_SECONDS, TEXT

if TYPE_CHECKING:
    from ..cache import HTTPCache

__all__ = ["HTTPOptions", "http_options", "take_http_options"]

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NAMES = ("headers", "bearer", "basic", "ca", "proxy", "timeout", "retries", "cache")


class HTTPOptions(NamedTuple):
    """Options that apply to every request.

    Args:
        headers: by name.
        credentials: for the named hosts.
        ca: file or folder of CAs to trust.
        proxy: URL; "" for none.
        timeout: seconds for a request.
        retries: tries after the first.
        cache: of responses; closed with the command.
    """

    headers: tuple[tuple[str, str], ...] = ()
    credentials: Auth | None = None
    ca: Path | None = None
    proxy: str | None = None
    timeout: float | None = None
    retries: int | None = None
    cache: HTTPCache | None = None

    def stream_arguments(self, urls: Sequence[str] = ()) -> dict[str, Any]:
        """Arguments of `HTTPStream`.

        Args:
            urls: whose hosts may get secrets; without any, the host of the first request.
        """
        found: dict[str, Any] = {}
        if self.headers or self.credentials:
            found["auth"] = _GivenAuth(self.headers, self.credentials, urls)
        if self.retries is not None:
            stop = stop_after_attempt(self.retries + 1)
            found["retry"] = Retry(stop=stop) if self.retries else None
        if self.cache is not None:
            found["cache"] = self.cache
        found["defaults"] = self._defaults
        return found

    @property
    def _defaults(self) -> dict[str, Any]:
        defaults = {
            "ca_certs": None if self.ca is None else str(self.ca),
            "proxy": self.proxy,
            "request_timeout": self.timeout,
            "connect_timeout": self.timeout,
        }
        return {name: value for name, value in defaults.items() if value is not None}

    def check(self) -> None:
        """Refuse values that no request can have.

        Raises:
            click.UsageError: a value is wrong.
        """
        try:
            Request("http://localhost/", **self._defaults)
        except ValueError as error:
            raise click.UsageError(str(error)) from None


class _GivenAuth(Auth):
    """Headers and credentials of the command line.

    Args:
        headers: sent with every request, as by curl, unless their names mean secrets.
        credentials: sent, like secret headers, to the named hosts only, wherever links lead.
        urls: name the hosts; without any, the host of the first request.
    """

    def __init__(
        self, headers: Sequence[tuple[str, str]], credentials: Auth | None, urls: Sequence[str]
    ) -> None:
        super().__init__()
        self._secret = [pair for pair in headers if is_secret_name(pair[0])]
        self._plain = [pair for pair in headers if pair not in self._secret]
        self._credentials = credentials
        self._origins = {origin_of(url) for url in urls}

    def covers(self, request: Request) -> bool:
        """See `Auth`: a part of it is for every request."""
        return True

    def sign(self, request: Request) -> Request:
        """See `Auth`."""
        origin = origin_of(request.url)
        self._origins = self._origins or {origin}
        is_named = origin in self._origins
        added = [*self._plain, *(self._secret if is_named else ())]
        if added:
            names = {name.lower() for name, _ in added}
            kept = [pair for pair in request.header_pairs if pair[0].lower() not in names]
            request = request.replace(headers=[*kept, *added])
        return self._credentials.sign(request) if self._credentials and is_named else request

    def is_refused(self, response: object) -> bool:
        """Return False: there are no other credentials."""
        return False


def http_options(timeout: float | None = None) -> Callable[[F], F]:
    """A decorator that adds the options to a command.

    Args:
        timeout: default of --timeout, in seconds.
    """

    def decorate(command: F) -> F:
        for option in reversed(_options(timeout)):
            command = option(command)
        return command

    return decorate


def _options(timeout: float | None) -> tuple[Callable[[F], F], ...]:
    return (
        click.option(
            "-H", "--header", "headers", type=TEXT, multiple=True, metavar="NAME:VALUE",
            callback=_headers,
            help="Header of each request; @FILE has one a line. Secret ones go to the hosts that"
            " are named here, or are asked first.",
        ),
        click.option(
            "--bearer-file", "bearer", type=_FILE, metavar="FILE", callback=_bearer,
            help="File whose first line is a bearer token for these hosts.",
        ),
        click.option(
            "--basic-file", "basic", type=_FILE, metavar="FILE", callback=_basic,
            help="File whose first line is USER:PASSWORD for these hosts.",
        ),
        click.option(
            "--ca", type=click.Path(exists=True, path_type=Path), metavar="FILE",
            help="PEM file, or folder, of the CAs to trust.",
        ),
        click.option("--proxy", type=TEXT, metavar="URL", help='Proxy for all; "" for none.'),
        click.option(
            "--timeout", type=SOME_SECONDS, default=timeout, show_default=timeout is not None,
            metavar="SECONDS", help="Seconds that a request may take.",
        ),
        click.option(
            "--retries", type=click.IntRange(0, 1000), metavar="N",
            help="Tries after the first one that fails.",
        ),
        click.option(
            "--cache", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
            help="Keep responses in FILE, and answer from it as RFC 9111 allows.",
        ),
    )  # fmt: skip


def take_http_options(choices: dict[str, Any]) -> HTTPOptions:
    """Remove the HTTP options from `choices` and return them.

    Raises:
        click.UsageError: two kinds of credentials.
    """
    headers, bearer, basic, ca, proxy, timeout, retries, cache = (
        choices.pop(name) for name in _NAMES
    )
    if bearer and basic:
        raise click.UsageError("give --bearer-file or --basic-file, not both")
    found = HTTPOptions(headers, bearer or basic, ca, proxy, timeout, retries)
    found.check()
    return found if cache is None else found._replace(cache=_opened(cache))


def _opened(path: Path) -> HTTPCache:
    try:
        from ..cache import CacheError, HTTPCache  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise click.ClickException(str(error)) from None
    try:
        cache = HTTPCache(path)
    except CacheError as error:
        raise click.ClickException(str(error)) from None
    click.get_current_context().call_on_close(cache.close)
    return cache


def _headers(
    _context: click.Context, _param: click.Parameter, values: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    lines: list[str] = []
    for value in values:
        lines += _text(value[1:]).split("\n") if value.startswith("@") else [value]
    pairs = [_header(line) for line in lines if line.strip()]
    try:
        return Request("http://localhost/", headers=pairs).header_pairs
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        # Without the line: it may be a secret.
        raise click.BadParameter("give NAME:VALUE, such as 'Accept: text/plain', or @FILE")
    return name.strip(), value.strip()


def _bearer(
    _context: click.Context, _param: click.Parameter, path: Path | None
) -> BearerAuth | None:
    if path is None:
        return None
    token = _first_line(path)
    try:
        Request("http://localhost/", headers={"Authorization": f"Bearer {token}"})
    except ValueError:
        token = ""
    if not token or any(character.isspace() for character in token):
        raise click.BadParameter(f"the first line of {path} is no token")
    return BearerAuth(token)


def _basic(_context: click.Context, _param: click.Parameter, path: Path | None) -> BasicAuth | None:
    if path is None:
        return None
    user, colon, password = _first_line(path).partition(":")
    if not colon:
        raise click.BadParameter(f"the first line of {path} is not USER:PASSWORD")
    return BasicAuth(user, password)


def _first_line(path: Path) -> str:
    return _text(path).partition("\n")[0].strip()


def _text(path: str | Path) -> str:
    try:
        return read_text(path)
    except FileError as error:
        raise click.BadParameter(str(error)) from None
