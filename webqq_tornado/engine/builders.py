"""Links by method: `stream.get` and its kin; and requests by the names of 2013."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any

from .body import FilePart, Params, form_query, with_query
from .hints import RESPONSE
from .links import (
    Link,
    Next,
    RelativeRequest,
    RequestLike,
    is_absolute,
    keep,
    refuse_lost_data,
)
from .request import Headers, Request
from .response import Response
from .session import Session

__all__ = ["Call", "RequestMaker"]


class Call(Next):
    """A link that `HTTPStream.get` and its kin return: for a reader to return, or to be awaited.

    Awaiting it returns the `Response`, as `HTTPStream.fetch`. It may be made a task, too.

    Example:
        >>> response = await stream.get("http://example.org/")
        >>> def read(response):
        ...     return stream.get("/next", read, delay=5)
    """

    _fetch: Callable[[Next], Coroutine[Any, Any, Response]]
    _coroutine: Coroutine[Any, Any, Response] | None

    @classmethod
    def of(cls, link: Next, fetch: Callable[[Next], Coroutine[Any, Any, Response]]) -> Call:
        """Return a link with what awaits it.

        Args:
            link: all that it says.
            fetch: as `HTTPStream.fetch`.
        """
        call = cls(*link)
        call._fetch, call._coroutine = fetch, None
        return call

    # As coroutines: of two that are equal `asyncio.gather` would send one. By identity they differ.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def _replace(self, **changes: Any) -> Call:
        # The one of a NamedTuple copies fields alone: the copy could not be awaited.
        return Call.of(Next(*self)._replace(**changes), self._fetch)

    if not TYPE_CHECKING:  # which says so by itself

        def __getattr__(self, name: str) -> object:
            if name in RESPONSE:
                raise AttributeError(
                    f"a link has no {name}: await it, and of its response {RESPONSE[name]}"
                )
            if name in dir(Response):
                raise AttributeError(f"a link has no {name}: await it, and its response has")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        async def __aenter__(self) -> object:
            raise TypeError(
                "response = await stream.get(url) has the whole body; one that comes piece by "
                "piece: async with stream.open(url) as response"
            )

        async def __aexit__(self, *error: object) -> None:
            """Never reached."""

    def __await__(self) -> Generator[Any, None, Response]:
        # Anew each time: unlike a coroutine, a link may be awaited twice.
        return self._fetch(self).__await__()

    # `asyncio.iscoroutine` asks collections.abc.Coroutine, which any class with these methods is.
    # As a coroutine it can be given to `asyncio.create_task` and `TaskGroup.create_task`.

    def _started(self) -> Coroutine[Any, Any, Response]:
        # At the first step: a link that a reader returns has none, which nobody would await.
        self._coroutine = self._coroutine or self._fetch(self)
        return self._coroutine

    def send(self, value: Any) -> Any:
        """See `collections.abc.Coroutine`.

        Args:
            value: a link or response to continue with.
        """
        return self._started().send(value)

    def throw(self, *error: Any) -> Any:
        """See `collections.abc.Coroutine`.

        Args:
            error: to raise where it waits.
        """
        return self._started().throw(*error)

    def close(self) -> None:
        """See `collections.abc.Coroutine`."""
        if self._coroutine is not None:
            self._coroutine.close()


class RequestMaker:
    """The part of `HTTPStream` that makes links and requests."""

    def fetch(self, request: RequestLike | Next) -> Coroutine[Any, Any, Response]:
        """See `HTTPStream.fetch`.

        Args:
            request: as there.
        """
        raise NotImplementedError

    def request(
        self,
        method: str,
        url: str,
        readback: Callable[..., Link] | None = None,
        *,
        delay: float = 0,
        errback: Callable[..., Link] | None = None,
        session: Session | None = None,
        name: str | None = None,
        priority: int | None = None,
        data: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Call:
        """Return a link: a reader or `begin` returns it, or a caller awaits it for the response.

        Args:
            method: such as "GET".
            url: absolute; or relative to the response that its reader returns it for, else to the
                `base_url`.
            readback: the reader, as of `Next`. Not called if the link is awaited.
            delay: seconds, as of `Next`, and so are the others.
            errback: as of `Next`.
            session: as of `Next`.
            name: as of `Next`.
            priority: as of `Next`.
            data: keyword arguments of the reader, as of `Next`. Fields of a form are `form=`.
            options: arguments of `Request`: `params`, `headers`, `json`, `form`, `timeout` ...

        Raises:
            ValueError: the URL or an option is malformed.
            TypeError: `Request` has no such argument.

        Example:
            >>> response = await stream.request("PURGE", "http://example.org/page")
        """
        refuse_lost_data(data, readback, errback)
        if method == "GET" and not options:
            request: RequestLike = url  # the short way of most links
        elif isinstance(url, str) and not is_absolute(url):
            # Relative to what is known only when a reader returns it, or a caller awaits it.
            request = RelativeRequest.of(url, method=method, **options)
        else:
            request = Request(url, method, **options)
        # Not None, for which the body is dropped: the caller who awaits the link wants it.
        reader = keep if readback is None else readback
        link = Next(request, reader, delay, errback, session, name, priority, data)
        return Call.of(link, self.fetch)

    def get(self, url: str, readback: Callable[..., Link] | None = None, **options: Any) -> Call:
        """Return a link with a GET request, see `request`.

        Args:
            url: absolute or relative.
            readback: as of `Next`.
            options: as of `request`.

        Example:
            >>> response = await stream.get("http://example.org/", params={"page": 2})
        """
        return self.request("GET", url, readback, **options)

    def post(self, url: str, readback: Callable[..., Link] | None = None, **options: Any) -> Call:
        """Return a link with a POST request, see `request`.

        Args:
            url: absolute or relative.
            readback: as of `Next`.
            options: as of `request`.

        Example:
            >>> response = await stream.post("http://example.org/", json={"name": "Ann"})
        """
        return self.request("POST", url, readback, **options)

    def put(self, url: str, readback: Callable[..., Link] | None = None, **options: Any) -> Call:
        """Return a link with a PUT request, see `request`.

        Args:
            url: absolute or relative.
            readback: as of `Next`.
            options: as of `request`.

        Example:
            >>> response = await stream.put("http://example.org/1", json={"name": "Ann"})
        """
        return self.request("PUT", url, readback, **options)

    def patch(self, url: str, readback: Callable[..., Link] | None = None, **options: Any) -> Call:
        """Return a link with a PATCH request, see `request`.

        Args:
            url: absolute or relative.
            readback: as of `Next`.
            options: as of `request`.

        Example:
            >>> response = await stream.patch("http://example.org/1", json={"name": "Ann"})
        """
        return self.request("PATCH", url, readback, **options)

    def delete(self, url: str, readback: Callable[..., Link] | None = None, **options: Any) -> Call:
        """Return a link with a DELETE request, see `request`.

        Args:
            url: absolute or relative.
            readback: as of `Next`.
            options: as of `request`.

        Example:
            >>> response = await stream.delete("http://example.org/1")
        """
        return self.request("DELETE", url, readback, **options)

    def head(self, url: str, readback: Callable[..., Link] | None = None, **options: Any) -> Call:
        """Return a link with a HEAD request, see `request`.

        Args:
            url: absolute or relative.
            readback: as of `Next`.
            options: as of `request`.

        Example:
            >>> response = await stream.head("http://example.org/")
        """
        return self.request("HEAD", url, readback, **options)

    def options(
        self, url: str, readback: Callable[..., Link] | None = None, **options: Any
    ) -> Call:
        """Return a link with an OPTIONS request, see `request`.

        Args:
            url: absolute or relative.
            readback: as of `Next`.
            options: as of `request`.

        Example:
            >>> response = await stream.options("http://example.org/")
        """
        return self.request("OPTIONS", url, readback, **options)

    def make_get_url(self, url: str, params: Params | str | None = None) -> str:
        """The URL with the parameters in its query, after those it has, before its fragment.

        Args:
            url: absolute.
            params: names and values; a list stands for several of one name, None for none.

        Raises:
            ValueError: the URL is no text.
        """
        if not isinstance(url, str):
            raise ValueError(f"a URL is text, not {type(url).__name__}")
        return with_query(url, form_query(params) if params else "")

    def make_get_request(
        self, url: str, params: Params | str | None = None, **options: Any
    ) -> Request:
        """A GET request.

        Args:
            url: absolute.
            params: for the query.
            options: further arguments of `Request`.
        """
        return Request(self.make_get_url(url, params), **options)

    def make_post_request(
        self,
        url: str,
        params: Params | str | bytes = b"",
        *,
        json: object = None,
        files: Mapping[str, FilePart | bytes | os.PathLike[str]] | None = None,
        headers: Headers = (),
        **options: Any,
    ) -> Request:
        """A POST request.

        Args:
            url: absolute.
            params: form fields, where a list stands for several of one name and None for none; or
                a body as bytes or text.
            json: instead of params, a value to send as JSON.
            files: by field name: bytes, a path, or a `FilePart`; makes it multipart/form-data,
                with `params` as its fields. A file by path is read when it is sent.
            headers: as of `Request`; one may change the content type.
            options: further arguments of `Request`.

        Raises:
            ValueError: json goes with neither params nor files, nor NaN and infinities with JSON;
                files not with a bytes body.
            TypeError: json has no JSON form.

        Example:
            >>> stream.make_post_request(url, {"name": "a"}, files={"picture": Path("a.png")})
        """
        return Request(url, "POST", headers, json=json, form=params, files=files, **options)
