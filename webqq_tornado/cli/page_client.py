"""Client of the page's API for commands, signed in by password."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click

from ..engine.errors import StreamError
from ..engine.response import Response
from ..engine.stream import HTTPStream
from .console import printable
from .errors import unreachable
from .targets import AccountTarget

__all__ = ["PageClient", "signed_in"]

#: Seconds for an answer.
_TIMEOUT = 30.0


class PageClient:
    """An account signed in as on the page.

    Args:
        stream: carries the requests.
        who: account and server.

    Attributes:
        url: of the server.
        me: account and nick; empty before `sign_in`.
    """

    def __init__(self, stream: HTTPStream, who: AccountTarget) -> None:
        self.url = who.url
        self.me: dict[str, Any] = {}
        self._stream = stream
        self._who = who
        self._headers: dict[str, str] = {}

    async def sign_in(self, password: str) -> None:
        """Sign in, for the requests that follow.

        Raises:
            click.ClickException: the server cannot be reached, or it refuses the password.
        """
        body = {"account": self._who.account, "password": password}
        answer = await self.ask("/page/signin", body)
        if not isinstance(answer.get("self"), dict):
            raise _no_server(self.url)
        self._headers["Authorization"] = f"Bearer {answer.get('token', '')}"
        self.me = dict(answer["self"])

    async def ask(self, path: str, body: object = None, delay: float = 0.0) -> dict[str, Any]:
        """Send a request; return its answer, which may be empty.

        Args:
            path: of the page's API.
            body: of a POST, as JSON; None sends a GET.
            delay: seconds before the request.

        Raises:
            click.ClickException: the server cannot be reached, or it refuses.
        """
        address, headers = self.url + path, self._headers
        request = (
            self._stream.make_get_request(address, headers=headers)
            if body is None
            else self._stream.make_post_request(address, json=body, headers=headers)
        )
        try:
            response = await self._stream.fetch(request, delay=delay, timeout=_TIMEOUT + delay)
        except StreamError as error:
            raise click.ClickException(unreachable(self.url, self._who.place, error)) from None
        return _read(response, self.url)


@asynccontextmanager
async def signed_in(who: AccountTarget, password: str) -> AsyncIterator[PageClient]:
    """The account on the page's API; the block ends with a sign-out.

    Args:
        who: account and server.
        password: its password.

    Raises:
        click.ClickException: the server cannot be reached, or it refuses the password.
    """
    stream = HTTPStream()
    page = PageClient(stream, who)
    try:
        await page.sign_in(password)
        try:
            yield page
        finally:
            await page.ask("/page/signout", {})
    finally:
        stream.close()


def _read(response: Response, url: str) -> dict[str, Any]:
    if response.status == 204:
        return {}
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        raise _no_server(url) from None
    if response.status != 200:
        why = answer.get("error") if isinstance(answer, dict) else None
        raise click.ClickException(f"{url} says: {printable(str(why or response.status))}")
    return answer if isinstance(answer, dict) else {}


def _no_server(url: str) -> click.ClickException:
    return click.ClickException(f"{url} is not a webqq_tornado server: give --server its address")
