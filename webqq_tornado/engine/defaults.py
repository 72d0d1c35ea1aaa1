"""Settings that all requests of a stream or a session have in common: base URL, headers, params."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .body import Params, form_fields, form_query, with_query
from .request import Request, credentials_of
from .secrets import is_secret_name
from .urls import normal_url, origin_of, query_names
from .validation import Headers, check_timeout, checked_headers

__all__ = ["RequestDefaults", "request_defaults", "with_defaults"]


@dataclass(frozen=True)
class RequestDefaults:
    """Arguments of `Request` for requests that do not give them; headers and params one by one.

    With a `base_url` its origin alone gets params, credentials and headers that are secret by
    their name, such as `Authorization`: a link to another host takes none of them there.

    Args:
        base_url: what relative URLs are relative to; "" for none.
        headers: pairs.
        params: pairs, for the query.
        options: other arguments by name, such as `request_timeout`.
    """

    base_url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str | bytes], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def applied(self, request: Request) -> Request:
        """Return the request with what it does not say itself. Applied twice it changes nothing.

        Args:
            request: of a link; a repeated one costs nothing.
        """
        # By identity: polls send one request again and again, and a session has one of these.
        if request.defaulted is not None and request.defaulted[0] is self:
            return request.defaulted[1]  # type: ignore[no-any-return]
        is_home = not self.base_url or origin_of(request.url) == origin_of(self.base_url)
        changes = {
            name: value
            for name, value in self.options.items()
            if getattr(request, name) is None and (is_home or name not in _CREDENTIALS)
        }
        changes |= self._headers_for(request, is_home) | self._params_for(request, is_home)
        whole = request.replace(**changes) if changes else request
        # On both: a reader that sends `response.request` again has what was made.
        for one in (request, whole):
            object.__setattr__(one, "defaulted", (self, whole, request))
        return whole

    def _headers_for(self, request: Request, is_home: bool) -> dict[str, Any]:
        # Names of headers have no case (RFC 9110, 5.1); those of a query have.
        own = {name.lower() for name, _ in request.header_pairs}
        added = [
            pair
            for pair in self.headers
            if pair[0].lower() not in own and (is_home or not is_secret_name(pair[0]))
        ]
        return {"headers": (*request.header_pairs, *added)} if added else {}

    def _params_for(self, request: Request, is_home: bool) -> dict[str, Any]:
        if not self.params or not is_home:
            return {}
        own = query_names(request.url)
        added = [pair for pair in self.params if pair[0] not in own]
        return {"url": with_query(request.url, form_query(added))} if added else {}

    def over(self, other: RequestDefaults) -> RequestDefaults:
        """Return both in one; where both say something, this one counts.

        Args:
            other: what counts where this says nothing.
        """
        own_headers = {name.lower() for name, _ in self.headers}
        own_params = {name for name, _ in self.params}
        return RequestDefaults(
            self.base_url or other.base_url,
            (*self.headers, *(p for p in other.headers if p[0].lower() not in own_headers)),
            (*self.params, *(p for p in other.params if p[0] not in own_params)),
            {**other.options, **self.options},
        )

    def for_session(self, has_credentials: bool) -> RequestDefaults:
        """Return what a session takes over from its stream: user and password are its own.

        Args:
            has_credentials: the session has some, so that an `Authorization` header is its own.
        """
        options = {name: value for name, value in self.options.items() if name not in _CREDENTIALS}
        if not has_credentials:
            return replace(self, options=options)
        headers = tuple(pair for pair in self.headers if pair[0].lower() != "authorization")
        return replace(self, headers=headers, options=options)


def with_defaults(request: Request, defaults: RequestDefaults | None) -> Request:
    """Return the request with the defaults of the session that it is sent in, and of no other.

    Args:
        request: of a link; `response.request` has those of the session that it was sent in.
        defaults: of the session; None for none.
    """
    known = request.defaulted
    if known is not None and known[0] is not defaults:
        request = known[2]
    return request if defaults is None else defaults.applied(request)


def request_defaults(
    base_url: str | None = None,
    headers: Headers = (),
    params: Params | str | None = None,
    timeout: float | None = None,
    credentials: tuple[str, str] | None = None,
) -> RequestDefaults | None:
    """Check what was given, and return it as a value; None if that is nothing.

    Args:
        base_url: absolute; a slash is added to its path, so that "users" is below it.
        headers: as of `Request`.
        params: as of `Request`.
        timeout: seconds for each request in total.
        credentials: user and password.

    Raises:
        ValueError: one of them is malformed; names it.
    """
    options: dict[str, Any] = {}
    if timeout is not None:
        # By the name that the caller has used.
        check_timeout("timeout", timeout)
        options["request_timeout"] = timeout
    if credentials is not None:
        options |= credentials_of(credentials)
    given = RequestDefaults(
        "" if base_url is None else _folder(base_url),
        checked_headers(headers),
        _named(params or ()),
        options,
    )
    # Nothing given is no defaults: requests then skip `applied`.
    return given if given != RequestDefaults() else None


def _named(params: Params | str) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (name if isinstance(name, str) else name.decode(), value)
        for name, value in form_fields(params)
    )


def _folder(base_url: str) -> str:
    try:
        url = normal_url(base_url)
    except ValueError as error:
        raise ValueError(f"base_url: {error}") from error
    # The fragment first: a question mark in there begins no query (RFC 3986, 3.5).
    path, _, query = url.partition("#")[0].partition("?")
    if query:
        raise ValueError("base_url has a query: give that as params=, for all requests")
    # Without the slash a relative URL takes the place of the last segment (RFC 3986, 5.2.3).
    return path if path.endswith("/") else f"{path}/"


_CREDENTIALS = frozenset({"auth_username", "auth_password"})
