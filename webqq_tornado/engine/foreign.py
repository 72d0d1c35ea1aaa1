"""Other libraries' requests, as arguments of ours."""

from __future__ import annotations

import urllib.request
from typing import Any
from urllib.parse import quote

from tornado.httpclient import HTTPRequest

__all__ = ["from_tornado", "from_urllib"]


def from_urllib(request: urllib.request.Request) -> dict[str, Any]:
    """Arguments of `Request` for an `urllib.request.Request`."""
    data = request.data
    if data is not None and not isinstance(data, bytes):
        data = _all_of(data)
    # urllib itself makes up this type for a body when it sends.
    headers = dict(request.header_items())
    if data is not None and not request.has_header("Content-type"):
        headers["Content-type"] = "application/x-www-form-urlencoded"
    timeout = getattr(request, "timeout", None)
    # set_proxy() put the proxy where the host was.
    is_proxied = request.has_proxy() or getattr(request, "_tunnel_host", None)
    return {
        "url": request.full_url.partition("#")[0],
        "method": request.get_method(),
        "headers": headers,
        "body": data,
        "request_timeout": timeout if isinstance(timeout, (int, float)) else None,
        "proxy": f"http://{request.host}" if is_proxied else None,
    }


def _all_of(data: Any) -> bytes:
    """Urllib's other kinds of body: a file, an iterable of bytes, a buffer."""
    if hasattr(data, "read"):
        data = data.read()
        return data.encode() if isinstance(data, str) else bytes(data)
    return bytes(data) if isinstance(data, (bytearray, memoryview)) else b"".join(data)


#: Arguments that mean the same in a `tornado.httpclient.HTTPRequest`.
_SHARED_WITH_TORNADO = (
    "connect_timeout",
    "request_timeout",
    "follow_redirects",
    "max_redirects",
    "decompress_response",
    "validate_cert",
    "ca_certs",
    "client_cert",
    "client_key",
    "auth_username",
    "auth_password",
    "auth_mode",
    "user_agent",
    "network_interface",
    "expect_100_continue",
)


_NOT_FROM_TORNADO = (
    "body_producer",
    "header_callback",
    "prepare_curl_callback",
    "ssl_options",
    "streaming_callback",
)


def from_tornado(request: HTTPRequest) -> dict[str, Any]:
    """Arguments of `Request` for a `tornado.httpclient.HTTPRequest`.

    Raises:
        ValueError: it has callbacks, which in a chain are other things.
    """
    # Left out by the caller, an argument is None here: HTTPRequest fills in its own defaults
    # only when an AsyncHTTPClient fetches it. Ours apply then.
    refused = [name for name in _NOT_FROM_TORNADO if getattr(request, name, None) is not None]
    if refused:
        raise ValueError(f"{', '.join(refused)} of an HTTPRequest is not supported in a chain")
    settings: dict[str, Any] = {name: getattr(request, name, None) for name in _SHARED_WITH_TORNADO}
    if getattr(request, "proxy_host", None):
        settings["proxy"] = _tornado_proxy(request)
    return dict(
        url=request.url,
        method=request.method,
        headers=list(request.headers.get_all()),
        body=request.body,
        **settings,
    )


def _tornado_proxy(request: HTTPRequest) -> str:
    user, password = request.proxy_username or "", request.proxy_password or ""
    userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"http://{userinfo}{request.proxy_host}:{request.proxy_port}"
