"""robots.txt: pages that a host allows to be fetched, and the rate (RFC 9309), by protego.

===========================  ==================================================================
robots.txt of an origin      what it means
===========================  ==================================================================
200                          its rules hold; of a longer file those of the first 512 KiB
another 2xx, 3xx, 4xx        there are none: all is allowed (2.3.1.3)
5xx                          nothing is allowed (2.3.1.4)
no answer                    all is allowed: the pages tell their own errors
===========================  ==================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from ..engine.errors import ClosedError
from ..engine.links import Next
from ..engine.request import Request
from ..engine.response import Response
from ..engine.urls import origin_of

__all__ = ["MAX_DELAY", "Robots", "Rules"]

logger = logging.getLogger("webqq_tornado.engine")

#: Maximum seconds that a host may demand between two requests.
MAX_DELAY = 60.0
#: Bytes read: a crawler must read 500 KiB (RFC 9309, 2.5).
_LARGEST = 512 * 1024
#: Number of origins in the cache: a crawl of the web sees millions.
_KEPT = 10_000
#: Seconds for the file.
_TIMEOUT = 15.0


class Rules(Protocol):
    """Rules of a robots.txt, such as `protego.Protego`."""

    def can_fetch(self, url: str, user_agent: str) -> bool:
        """Return True if the page may be fetched."""


class _All:
    """Rules that allow everything, or nothing.

    Args:
        is_allowed: everything, or nothing.
    """

    def __init__(self, is_allowed: bool) -> None:
        self._is_allowed = is_allowed

    def can_fetch(self, url: str, user_agent: str) -> bool:
        """See `Rules`."""
        return self._is_allowed


_ALLOW, _DISALLOW = _All(True), _All(False)


class Robots:
    """The rules of each origin, fetched at the first request to it.

    Args:
        send: `HTTPStream.add_request`.
        agent: the crawler's User-Agent.
        on_delay: gets a host, and the seconds that it demands between two requests.

    Raises:
        ImportError: protego is not installed.
    """

    def __init__(
        self,
        send: Callable[[Next], Awaitable[object]],
        agent: str,
        on_delay: Callable[[str, float], object],
    ) -> None:
        try:
            from protego import Protego  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError(
                'robots.txt is read by protego: pip install "webqq_tornado[crawl]", or set '
                "obey_robots = False"
            ) from error
        self._parse = Protego.parse
        self._send = send
        self._agent = agent
        self._on_delay = on_delay
        self._rules: dict[tuple[str, str, int], asyncio.Future[Rules]] = {}

    def rules_of(self, request: Request) -> asyncio.Future[Rules]:
        """Return the rules for a request, to be awaited with a shield: others wait for them, too.

        Args:
            request: to any page.
        """
        origin = origin_of(request.url)
        rules = self._rules.get(origin)
        if rules is None:
            # In a context of its own: the first chain to ask does not delay the others.
            rules = contextvars.Context().run(asyncio.ensure_future, self._fetch(request))
            self._rules[origin] = rules
            if len(self._rules) > _KEPT:
                del self._rules[next(iter(self._rules))]
        return rules

    def known_rules_of(self, request: Request) -> Rules | None:
        """Return the rules for a request, if they are there already.

        Args:
            request: to any page.
        """
        rules = self._rules.get(origin_of(request.url))
        return rules.result() if rules is not None and rules.done() else None

    def forbids(self, request: Request) -> bool:
        """Return True if the rules are there, and forbid a page.

        Args:
            request: of the page.
        """
        rules = self.known_rules_of(request)
        return rules is not None and not rules.can_fetch(request.url, self._agent)

    async def allows(self, request: Request) -> bool:
        """Return True if a page may be fetched.

        Args:
            request: of the page.
        """
        rules = await asyncio.shield(self.rules_of(request))
        return rules.can_fetch(request.url, self._agent)

    async def _fetch(self, page: Request) -> Rules:
        scheme = page.url.partition(":")[0]
        url = f"{scheme}://{page.host}/robots.txt"
        rules: Rules = _ALLOW

        async def read(response: Response) -> None:
            nonlocal rules
            rules = self._judged(page.host, response, await _beginning(response))

        def failed(error: Exception) -> None:
            logger.info("%s: %s: its rules are taken to be none", url, error)

        request = Request(url, stream=True, request_timeout=_TIMEOUT)
        with contextlib.suppress(ClosedError):
            await self._send(Next(request, read, errback=failed))
        return rules

    def _judged(self, host: str, response: Response, text: str) -> Rules:
        if response.status >= 500:
            logger.warning(
                "robots.txt of %s answers %d: nothing of it is followed (RFC 9309, 2.3.1.4); "
                "obey_robots = False changes that",
                host,
                response.status,
            )
            return _DISALLOW
        if response.status != 200:
            return _ALLOW
        rules = self._parse(text)
        delay = rules.crawl_delay(self._agent) or 0.0
        rate = rules.request_rate(self._agent)
        if rate is not None and rate.requests:
            delay = max(delay, rate.seconds / rate.requests)
        if delay > 0:
            self._on_delay(host, min(delay, MAX_DELAY))
        return rules


async def _beginning(response: Response) -> str:
    if response.status != 200:
        return ""
    data = bytearray()
    async for piece in response.stream:
        data += piece
        if len(data) >= _LARGEST:
            break
    return data[:_LARGEST].decode("utf-8-sig", "replace")
