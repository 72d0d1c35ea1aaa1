"""Names that other clients have for what is called otherwise here, answered with ours."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

__all__ = [
    "ATTRIBUTES",
    "REQUEST",
    "RESPONSE",
    "SESSION",
    "STREAM",
    "answer_attributes",
    "answering",
    "hint_of",
    "hint_on",
]

_F = TypeVar("_F", bound=Callable[..., Any])

_CERTIFICATES = "it is validate_cert=, and ca_certs= for a file of CAs"
_FIELDS = "form= sends fields, json= JSON, body= bytes or text"
_COOKIES = "they are a session's: stream.cookiejar.set, or a Cookie header"
_OF_STREAM = "it is of the stream: HTTPStream({}=...)"
_ACCOUNT = "it is auth=(user, password)"
_BEARER = "HTTPStream(auth=BearerAuth(...)) sends it, or a header Authorization"
_READ_TIMEOUT = "it is idle_timeout=, and timeout= for all of the request"
_PROXY_PARTS = "proxy= is one URL, with user and password in it"
_HOOKS = "override on_request and on_response of a flow"
_READER = "a link has the reader: stream.get(url, reader), response.follow(url, reader)"
_DATA = "data= of a link goes to its reader"
_OF_LINK = "a link has it: stream.get(url, reader, {}=...)"

#: Arguments of requests of httpx, aiohttp, requests, Scrapy and Tornado.
REQUEST = {
    "data": _FIELDS,
    "payload": _FIELDS,
    "form_data": _FIELDS,
    "content": "it is body=",
    "query": "it is params=",
    "verify": _CERTIFICATES,
    "ssl": _CERTIFICATES,
    "verify_ssl": _CERTIFICATES,
    "ssl_context": _CERTIFICATES,
    "ssl_options": _CERTIFICATES,
    "fingerprint": "it is pinned_public_key=",
    "server_hostname": "resolve= connects to another address, with the name in the URL",
    "cert": "it is client_cert=, and client_key=",
    "cookies": _COOKIES,
    "cookie_jar": _COOKIES,
    "proxies": "it is proxy=, one URL",
    "proxy_url": "it is proxy=",
    "proxy_auth": _PROXY_PARTS,
    "proxy_host": _PROXY_PARTS,
    "proxy_port": _PROXY_PARTS,
    "proxy_username": _PROXY_PARTS,
    "proxy_password": _PROXY_PARTS,
    "trust_env": "proxy='' uses no proxy of the environment",
    "allow_redirects": "it is follow_redirects=",
    "max_redirect": "it is max_redirects=",
    "total_timeout": "it is timeout=",
    "read_timeout": _READ_TIMEOUT,
    "sock_read": _READ_TIMEOUT,
    "sock_connect": "it is connect_timeout=",
    "conn_timeout": "it is connect_timeout=",
    "body_producer": "body= takes an iterator, a file or a function",
    "chunked": "body= takes an iterator, which is sent in chunks",
    "compress": "send body=gzip.compress(data), and the header Content-Encoding",
    "auto_decompress": "it is decompress_response=",
    "use_gzip": "it is decompress_response=",
    "encoding": "text is sent as UTF-8: body= takes bytes of another one",
    "default_encoding": "response.text goes by the charset that is declared, else UTF-8",
    "json_serialize": "body= takes the text that another encoder makes",
    "streaming_callback": "it is sink=",
    "header_callback": "it is on_header_line=",
    "prepare_curl_callback": "it is prepare_curl=",
    "max_line_size": "it is max_header_size=",
    "max_field_size": "it is max_header_size=",
    "skip_auto_headers": "user_agent='' sends none",
    "source_address": "it is network_interface=, and local_port=",
    "local_address": "it is network_interface=, and local_port=",
    "callback": _READER,
    "readback": _READER,
    "errback": _OF_LINK.format("errback"),
    "session": _OF_LINK.format("session"),
    "priority": _OF_LINK.format("priority"),
    "delay": _OF_LINK.format("delay"),
    "cb_kwargs": _DATA,
    "meta": _DATA,
    "dont_filter": "a Crawl asks its key(): None may come again",
    "http2": "it is http_version=",
    "version": "it is http_version=",
    "user": _ACCOUNT,
    "username": _ACCOUNT,
    "password": _ACCOUNT,
    "token": _BEARER,
    "bearer": _BEARER,
    "raise_for_status": "response.raise_for_status() does so",
    "raise_error": "response.raise_for_status() does so",
    "extensions": "each is an argument of its own",
    "retry": "it is of the stream: HTTPStream(retry=Retry()), of webqq_tornado.retry",
    "retries": "it is of the stream: HTTPStream(retry=Retry()), of webqq_tornado.retry",
    "base_url": _OF_STREAM.format("base_url"),
    "limits": _OF_STREAM.format("limits"),
    "connector": _OF_STREAM.format("max_clients"),
    "transport": "HTTPStream(replay=...) answers without a network",
    "event_hooks": _HOOKS,
    "hooks": _HOOKS,
    "middlewares": _HOOKS,
}
_VERIFY = "it is defaults={'validate_cert': False}, and 'ca_certs' for a file of CAs"
#: Arguments of the clients and sessions of httpx, aiohttp, requests and Tornado.
STREAM = {
    "verify": _VERIFY,
    "ssl": _VERIFY,
    "verify_ssl": _VERIFY,
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
    "app": "replay= answers without a network",
    "user_agent": "it is headers={'User-Agent': ...}",
    "default_headers": "it is headers=",
    "base": "it is base_url=",
}
#: Attributes of the clients and sessions of httpx, aiohttp and requests, and of Scrapy's spiders.
ATTRIBUTES = {
    **dict.fromkeys(
        ("headers", "params", "auth", "timeout", "base_url"),
        "it is given when it is made, HTTPStream(...), or to a session",
    ),
    "cookies": "they are in .cookiejar",
    "cookie_jar": "it is .cookiejar",
    "mount": "proxy= and the like are a request's; replay= answers without a network",
    "send": ".fetch(request) sends it",
    "build_request": "it is Request(url, method, ...)",
    "prepare_request": "it is Request(url, method, ...)",
    "stream": "it is .open(url), for a body piece by piece",
    "aclose": "it is .close(), or leaving its block: async with HTTPStream() as stream",
    "ws_connect": "add_request('ws://...', reader) opens a WebSocket",
    "verify": "it is HTTPStream(defaults={'validate_cert': False})",
    "proxies": "it is HTTPStream(defaults={'proxy': URL})",
    "hooks": "override on_request and on_response",
    "event_hooks": "override on_request and on_response",
    "gather": "a reader returns Gather([link, link], reader); asyncio.gather takes stream.get(url)",
    "start_requests": "it is begin",
    "settings": "they are arguments of HTTPStream",
    "logger": "it is logging.getLogger(...)",
}
#: Attributes of the sessions of requests and aiohttp.
SESSION = {
    **{
        method: f"a request names its session: stream.{method}(url, session=session)"
        for method in ("get", "post", "put", "patch", "delete", "head", "options", "request")
    },
    **dict.fromkeys(
        ("headers", "params", "timeout"), "it is given by stream.session(name, ...), also later"
    ),
    "cookies": "they are in .cookiejar",
    "cookie_jar": "it is .cookiejar",
    "mount": "proxy= and the like are a request's; replay= answers without a network",
    "proxies": "proxy= is a request's",
    "verify": "validate_cert= is a request's",
    "send": "stream.fetch(request, session=session) sends it",
    "aclose": "it is .close()",
}
_NO_BODY_LEFT = "the body is there already: it is .body, .text, .json()"
_PIECES = "give the request stream=True, and iterate .stream"
_LINES = "iterate the response, or response.stream with stream=True"
_STATUS = "look at .status, and .ok"
_URL = "urllib.parse.urlsplit(response.url) has it"
#: Attributes of responses of requests, httpx, aiohttp and Scrapy.
RESPONSE = {
    "status_code": "it is .status",
    "content": "it is .body",
    "raw": "it is .body; or give the request stream=True, and read .stream",
    "body_as_unicode": "it is .text",
    "encoding": ".text is decoded by it; its name is in .headers",
    "charset": ".text is decoded by it; its name is in .headers",
    "apparent_encoding": ".text is decoded by the one that is declared; .body has the bytes",
    "content_type": "it is .headers['Content-Type']",
    "content_length": "it is len(response.body), or .headers['Content-Length']",
    "cookies": "they are in stream.cookiejar, or in the cookiejar of the session",
    "elapsed": "it is .request_time, in seconds",
    "is_success": "it is .ok",
    "is_error": "it is not .ok",
    "is_client_error": _STATUS,
    "is_server_error": _STATUS,
    "is_redirect": "those that were followed are in .history; else look at .status",
    "iter_content": _PIECES,
    "iter_lines": _LINES,
    "iter_bytes": _PIECES,
    "iter_text": _PIECES,
    "iter_raw": _PIECES,
    "aiter_bytes": _PIECES,
    "aiter_text": _PIECES,
    "aiter_raw": _PIECES,
    "aiter_lines": _LINES,
    "aread": "the body is there already: it is .body",
    "aclose": _NO_BODY_LEFT,
    "release": _NO_BODY_LEFT,
    "next": "`.follow(href, reader)` makes the next link",
    "urljoin": "`.follow(href, reader)` joins; urllib.parse.urljoin(response.url, href)",
    "follow_all": "it is [response.follow(url, reader) for url in response.links()]",
    "meta": "data= of a link goes to its reader as keyword arguments",
    "cb_kwargs": "data= of a link goes to its reader as keyword arguments",
    "jmespath": "it is jmespath.search(query, response.json())",
    "real_url": "it is .url",
    "host": _URL,
    "method": "it is .request.method",
    "request_info": "it is .request",
    "http_version": "it is .version",
    "error": "a response has none; .raise_for_status() raises one where the status is 400 or more",
    "rethrow": "it is .raise_for_status()",
    "reason_phrase": "it is .reason",
}
#: How much alike two names are, from 0 to 1, of which one is suggested for the other.
_ALIKE = 0.75
_UNKNOWN = re.compile(r"got an unexpected keyword argument '(\w+)'")


class _Hint:
    """Another client's name for what has a different one here: there is no such attribute.

    Not by `__getattr__`: Python looks up each attribute of a class that has one at half the speed.
    """

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text

    def __get__(self, instance: object, owner: type) -> object:
        raise AttributeError(
            f"{owner.__name__!r} object has no attribute {self._name!r}: {self._text}"
        )

    def __repr__(self) -> str:
        return f"<not here: {self._text}>"


def answer_attributes(kind: type, hints: Mapping[str, str]) -> None:
    """Let a class answer attributes that it has not.

    Args:
        kind: the class.
        hints: what there is instead, by name of the attribute.
    """
    for name, text in hints.items():
        setattr(kind, name, _Hint(name, text))


def hint_of(name: str, hints: Mapping[str, str], known: Iterable[str]) -> str:
    """Return what there is in the place of an argument that there is not.

    Args:
        name: of the argument.
        hints: by the name that other clients have.
        known: names of arguments that there are.

    Example:
        >>> hint_of("header", {}, ["headers", "body"])
        'is it headers=?'
    """
    if name in hints:
        return hints[name]
    return _alike(name, known) or "see help(Request)"


def _alike(name: str, known: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(name, known, 1, _ALIKE)
    return f"is it {found[0]}=?" if found else None


def hint_on(error: BaseException) -> str:
    """Return what a reader's error means, where it took text for an object of another client.

    Args:
        error: that users' code raised.

    Returns:
        "" of any other error.
    """
    if isinstance(error, AttributeError) and isinstance(error.obj, str) and error.name in _OF_URLS:
        return f": response.url is text; {_URL}"
    if not isinstance(error, TypeError):
        return ""
    if str(error) == "'str' object is not callable":
        return ": response.text and response.url are text, and no methods"
    if re.search(r"can't be (used in 'await' expression|awaited)$", str(error)):
        return ": response.json(), .text and .read() are there at once, without await"
    return ""


#: Attributes of httpx', aiohttp's and requests' URLs.
_OF_URLS = frozenset(
    {"fragment", "host", "hostname", "netloc", "params", "path", "port", "query", "scheme"}
)


def answering(
    called: str,
    hints: Mapping[str, str],
    options: Callable[[], Iterable[str]],
) -> Callable[[_F], _F]:
    """Return a decorator of a function: an argument that it does not know is answered.

    Args:
        called: the function, in messages.
        hints: by the name of the argument.
        options: returns the names that `defaults=` has.
    """

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def answered(*arguments: Any, **given: Any) -> Any:
            try:
                return function(*arguments, **given)
            except TypeError as error:
                found = _UNKNOWN.search(str(error))
                name = found[1] if found else ""
                if name not in given:
                    raise
                hint = hints.get(name) or _of_requests(name, options())
                if hint is None:
                    hint = _alike(name, inspect.signature(function).parameters)
                if hint is None:
                    raise
                raise TypeError(f"{called} has no {name}=: {hint}") from None

        return cast("_F", answered)

    return decorate


def _of_requests(name: str, options: Iterable[str]) -> str | None:
    if name in options:
        return f"it is of requests: defaults={{{name!r}: ...}} of HTTPStream"
    if name in _OF_ONE:
        return f"it is of one request: stream.post(url, {name}=...)"
    return f"of a request {REQUEST[name]}" if name in REQUEST else None


#: Arguments of `Request` that no two have in common.
_OF_ONE = ("body", "json", "form", "files", "method", "sink", "stream")
