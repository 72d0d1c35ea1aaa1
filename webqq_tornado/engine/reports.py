"""Log lines about chains: what has failed, where, and what came of each link."""

from __future__ import annotations

import logging

from .chain import Chain
from .errors import LinkError, StreamError
from .hints import hint_on
from .links import described
from .request import Request
from .response import Response
from .secrets import safe_url
from .tracebacks import cut_callers, first_line

__all__ = ["log_error", "log_link", "logs_links", "place_of"]

logger = logging.getLogger("webqq_tornado.engine")


def log_error(chain: Chain, error: BaseException) -> None:
    """Log an error of the chain's, unless it goes to the caller who awaits that.

    Args:
        chain: whose.
        error: that ended it, or a source of its links.
    """
    # Again: what a source raises as it is closed passes no `fail_link`.
    cut_callers(error)
    if chain._is_quiet:
        return
    # What the engine raises says it all; what a reader raised needs its traceback, and that
    # names neither the page nor, in a callback, the reader.
    is_ours = isinstance(error, StreamError)
    where = "" if is_ours and not isinstance(error, LinkError) else place_of(chain, error)
    # Not `str`, which names chain and step once more.
    message = error.message if isinstance(error, StreamError) else f"{error!r}{hint_on(error)}"
    trace = None if is_ours else error
    logger.error(
        "chain %s failed at step %d: %s%s",
        chain.name,
        chain.steps,
        where,
        message,
        exc_info=trace,
    )


def logs_links() -> bool:
    """Return True if `log_link` has readers; asked once, since links are many."""
    return logger.isEnabledFor(logging.DEBUG)


def log_link(chain: Chain, result: Response | Exception) -> None:
    """Log what came of a link.

    Args:
        chain: whose.
        result: of the link.
    """
    request: Request = chain._request
    if isinstance(result, Response):
        what = f"{result.status}, {len(result.body)} bytes in {1000 * result.request_time:.0f} ms"
    else:
        what = result.message if isinstance(result, StreamError) else repr(result)
    logger.debug("%s, step %d: %r: %s", chain.name, chain.steps, request, what)


def place_of(chain: Chain, error: BaseException) -> str:
    """Return the response that was read when something failed, its reader, and who raised that.

    Args:
        chain: whose.
        error: that was raised.
    """
    request: Request | None = chain._request
    if request is None:  # of `begin`
        raised_by = _raised_by(error, "").removeprefix(", ")
        return f"{raised_by}: " if raised_by else ""
    response, reader = chain.response, chain._readback
    # Redirects may have led to another address than the request's.
    url = request.url if response is None else response.url
    status = "" if response is None else f", status {response.status}"
    read_by = "" if reader is None else f", read by {described(reader)}"
    return f"{request.method} {safe_url(url)}{status}{read_by}{_raised_by(error, read_by)}: "


def _raised_by(error: BaseException, read_by: str) -> str:
    """The function of the user's that has raised it, if that is not the reader named already."""
    found = first_line(error)
    if found is None or f"({found[0].co_filename}:{found[0].co_firstlineno})" in read_by:
        return ""
    return f", raised in {found[0].co_name} ({found[0].co_filename}:{found[1]})"
