"""Names that other clients have for what is called otherwise here, answered with ours."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container, Mapping
from typing import Any, TypeVar, cast

__all__ = ["STREAM", "answering"]

_F = TypeVar("_F", bound=Callable[..., None])

#: Arguments of the clients and sessions of httpx, aiohttp, requests and Tornado.
STREAM = {
    "verify": "it is defaults={'validate_cert': False}, and 'ca_certs' for a file of CAs",
    "ssl": "it is defaults={'validate_cert': False}, and 'ca_certs' for a file of CAs",
    "cert": "it is defaults={'client_cert': PATH}",
    "cookies": "stream.cookiejar.set(name, value, domain=...) sets one",
    "cookie_jar": "it is stream.cookiejar",
    "http2": "https speaks it by itself; defaults={'http_version': ...} chooses another one",
    "proxies": "it is defaults={'proxy': URL}, for all",
    "mounts": "a request has a proxy of its own: proxy=",
    "trust_env": "defaults={'proxy': ''} uses no proxy of the environment",
    "allow_redirects": "it is defaults={'follow_redirects': False}",
    "event_hooks": "override on_request and on_response",
    "transport": "replay= answers without a network",
    "connector": "it is max_clients=, and limits=Limits(per_host=...)",
    "limit": "it is max_clients=",
    "max_connections": "it is max_clients=",
    "concurrency": "it is max_clients=",
    "limit_per_host": "it is limits=Limits(per_host=...)",
    "retries": "it is retry=Retry(), of webqq_tornado.retry",
    "raise_for_status": "response.raise_for_status() does so",
    "loop": "it is ioloop=, a Tornado IOLoop; by default that which runs",
}
_UNKNOWN = re.compile(r"got an unexpected keyword argument '(\w+)'")


def answering(
    hints: Mapping[str, str], options: Callable[[], Container[str]]
) -> Callable[[_F], _F]:
    """Return a decorator of `__init__`: what it does not know is answered.

    Args:
        hints: by the name of the argument.
        options: gives the names that `defaults=` has.
    """

    def decorate(init: _F) -> _F:
        @functools.wraps(init)
        def answered(self: object, *arguments: Any, **given: Any) -> None:
            try:
                init(self, *arguments, **given)
            except TypeError as error:
                found = _UNKNOWN.search(str(error))
                name = found[1] if found else ""
                if name not in given:
                    raise
                hint = hints.get(name)
                if hint is None and name in options():
                    hint = f"it is of requests: defaults={{{name!r}: ...}}"
                if hint is None:
                    raise
                raise TypeError(f"HTTPStream has no {name}=: {hint}") from None

        return cast("_F", answered)

    return decorate
