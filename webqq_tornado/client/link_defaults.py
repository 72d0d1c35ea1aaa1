"""Defaults of all links of an account: a timeout and an error callback."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable

from ..engine.links import Errback, Link, Next
from ..engine.request import Request
from ..engine.response import Response

__all__ = ["KEEPALIVE", "REQUEST_TIMEOUT", "prepared"]

#: Seconds for ordinary requests (qqbot 2017, Mojo-Webqq 2018).
REQUEST_TIMEOUT = 30.0
#: Seconds after which the system asks whether the server is still there. A poll whose connection is
#: dead fails within 8 s then: an outage of 10 s is over before TCP's own pauses are (12.8 s).
KEEPALIVE = 5.0


def prepared(link: Next, errback: Errback | None, timeout: float = REQUEST_TIMEOUT) -> Next:
    """The link, and all that follow it, with the usual timeout and errback.

    Args:
        link: the first of them.
        errback: for those that have none, and for what theirs raises.
        timeout: seconds, for the requests that have none.
    """
    request = Request.of(link.request)
    seconds = timeout if request.request_timeout is None else request.request_timeout
    request = request.replace(request_timeout=seconds, tcp_keepalive=KEEPALIVE)
    readback = link.readback

    def read(response: Response) -> Link:
        result = readback(response) if readback else None
        if inspect.isawaitable(result):
            return _later(result, errback, timeout)
        return _next(result, errback, timeout)

    def fail(error: Exception) -> Link:
        if link.errback:
            try:
                return _next(link.errback(error), errback, timeout)
            except Exception as raised:
                error = raised  # what it does not know how to handle, the account's may
        if errback is None:
            raise error
        return _next(errback(error), errback, timeout)

    return link._replace(request=request, readback=read, errback=fail)


async def _later(link: Awaitable[Link], errback: Errback | None, timeout: float) -> Link:
    return _next(await link, errback, timeout)


def _next(link: Link, errback: Errback | None, timeout: float) -> Link:
    if isinstance(link, tuple):
        return prepared(link if isinstance(link, Next) else Next(*link), errback, timeout)
    return link
