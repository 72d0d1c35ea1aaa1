"""One request as a value, whatever form it came in.

A `Request` says what to send and under which limits; it knows nothing of libcurl but what
`options` calls its settings, and nothing of the loop. `Request.of` takes what `add_request`
takes: an `urllib.request.Request` (as in 2013), a `tornado.httpclient.HTTPRequest`, a URL.
"""

from __future__ import annotations

import functools
import inspect
import os
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tornado.httpclient import HTTPRequest

from .body import (
    BodySource,
    Files,
    Multipart,
    Params,
    Source,
    body_of,
    checked_multipart,
    form_query,
    is_source,
    size_of,
    source_of,
    with_query,
)
from .framing import settle_headers
from .hints import REQUEST, hint_of
from .interop import from_tornado, from_urllib
from .secrets import safe_url
from .transport.download import Sink
from .urls import is_normal, normal_url
from .validation import (
    CHECKS,
    TOKEN,
    Headers,
    check_public_only,
    check_timeout,
    checked_headers,
    settled_headers,
)

__all__ = ["Headers", "Request"]

#: In `Request.compiled`: the request is nothing but a URL.
PLAIN = object()


class _Making(type):
    """Makes requests, and answers the argument names of other clients with ours."""

    if not TYPE_CHECKING:  # which would not see what `Request` takes

        def __call__(cls, *arguments, **options):
            request = cls.__new__(cls, *arguments, **options)
            # A dict of its own: else its sixty names are those that CPython makes room for in each
            # request of the process, and most (see `plain_request`) have four.
            object.__setattr__(request, "__dict__", {})
            try:
                request.__init__(*arguments, **options)
            except TypeError as error:
                # Only of names that there are not: a body that is open for text is a TypeError as
                # well.
                if "unexpected keyword" not in str(error):
                    raise
                known = _arguments()
                found = [f"{n}=: {hint_of(n, REQUEST, known)}" for n in options if n not in known]
                raise TypeError(f"Request has no {'; no '.join(found)}") from None
            return request


@functools.cache
def _arguments() -> tuple[str, ...]:
    # Not by `fields`, which leaves out those that are for making it alone, such as `json`.
    return tuple(inspect.signature(Request.__init__).parameters)[1:]


@dataclass(frozen=True, eq=False)
class Request(metaclass=_Making):
    """A request as a value: `dataclasses.replace` makes another.

    Options left at None take the stream's `defaults`, then the default named here.

    Args:
        url: absolute http or https URL; ws or wss for a WebSocket, whose messages the reader gets
            one by one, see `SocketMessage`. It is taken as a browser takes it (WHATWG): scheme and
            host in lower case, a host outside ASCII in its IDNA form, no default port, a path
            without dot segments; white space around it and line breaks in it are dropped, what
            cannot be in a URL is escaped, escapes stay as they are. User and password in it are
            sent as basic authentication and never shown; a fragment is kept and never sent.
        method: a token such as "GET", in capitals whatever it is given in; GET by default, POST
            when there is a body.
        headers: a mapping or pairs. A value with CR, LF or NUL is refused, blanks around it are
            dropped. `Content-Length` has to be the body's, which is counted anyway; of an iterable
            it is the `body_size`. `Proxy-Authorization` goes to the proxy alone, as in
            `proxy_headers`. `Cookie` goes in one line with the session's cookies, after them; a
            redirect that sets one of the same name takes it out.
        body: bytes, text (sent as UTF-8), or `Multipart`; or what is sent piece by piece: a path,
            an open binary file, an iterable of bytes (sync or async, also a generator), or a
            function that returns one of these each time the body is to be sent. A file is sent from
            where it stands when the request is made, however often that is. An iterator, or a file
            that cannot go back, can be sent once: another try of the link is an error.
        connect_timeout: seconds for name, connection and TLS; 20. 0: no limit.
        request_timeout: seconds in total, redirects included; 120, which outlasts a long poll
            of 60. 0: no limit, as for `sink` and `stream`.
        idle_timeout: seconds without a byte; 0, no limit; 60 for `sink` and `stream`.
        follow_redirects: True: 301, 302, 303, 307 and 308 with a `Location` are followed, and
            no others. 301 and 302 turn POST into GET, 303 turns all but HEAD into GET, 307 and
            308 keep method and body. Credentials and `Cookie` headers do not pass to another
            origin. Each redirect is a request of its own to limits, hooks and observers.
        max_redirects: 10.
        decompress_response: ask for and undo gzip, deflate and br; True. A coded body that is
            cut is an error, though it was framed as if it were whole. A coding that nobody knows
            ("utf-8") is left as it is.
        max_body_size: bytes, as sent and as decompressed; 100 MiB, no limit for `sink` and
            `stream`.
        validate_cert: verify the server's certificate and host name; True.
        ca_certs: path of a PEM file of CAs to trust, or of a folder of them (`openssl rehash`). By
            default what the environment names (`SSL_CERT_FILE`, `SSL_CERT_DIR`), else certifi's.
        client_cert: path of a PEM file to show to the server.
        client_key: path of its key, when not in the same file.
        client_key_password: of that key.
        proxy: URL: http, https, socks4, socks4a, socks5 or socks5h, with user and password if
            the proxy wants them: escaped, or as they are. "" forbids any. By default what the
            environment names (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`), but not for
            this machine: localhost, the names below it, and addresses of loopback.
        unix_socket: path of a unix socket to connect to instead of the URL's host.
        http_version: "1.0", "1.1", "2" (by ALPN, else 1.1), "2-prior-knowledge", "3". By
            default 2 for https and 1.1 for http.
        auth_username: for HTTP authentication.
        auth_password: for HTTP authentication.
        auth_mode: "basic" or "digest"; "basic".
        user_agent: "" sends none. By default this library's name and version.
        network_interface: name or address to send from; of a link-local IPv6 address it is the
            zone, which no URL has.
        expect_100_continue: wait for the server's word before sending the body, up to a second;
            False. Of a server that refuses to be asked (417) it is asked no second time.
        body_size: bytes in a body that comes from an iterable; else it is sent chunked.
        sink: where the body of the response goes, piece by piece, instead of into memory: a
            function of bytes, whose awaitable result makes the sender wait; an open binary file;
            or a path, where the file appears when it is whole (until then it ends in `.part`);
            what is there and is no file, but a device, is written to as it is.
            To files go bodies of success (2xx) only; an answer that never has one (to HEAD, or
            of status 204 or 205) leaves the file as it is, and a part (206) that nobody has asked
            for is an error.
        stream: call the reader when the headers are there; the body is in `Response.stream`.
        on_progress: a function of `Progress`, at most once a turn of the loop.
        on_header_line: a function of each header line as it comes, status lines and the empty
            ones at the end included.
        prepare_curl: a function of the `pycurl.Curl` handle, the last word on its options.
        max_header_size: bytes of all header lines; libcurl's own limit is 300 KiB.
        max_header_count: header lines, those of redirects included; libcurl's limit is 5,000.
        proxy_auth_mode: "basic" or "digest"; "basic".
        ip_version: 4 or 6, to use no other; by default both are tried.
        resume: with a path as `sink`: ask for what is not there yet of the file, if the server
            still has the same version of it, by a strong ETag or a Last-Modified of more than a
            minute before; else for all of it. The answer is read as it is sent, not decompressed.
            The response has status 206 then. Of GET only.
        local_port: number of the port to send from, or the first and the last of a range.
        happy_eyeballs_delay: seconds that IPv6 gets before IPv4 is tried as well; 0.2.
        resolve: own addresses: of `host` or `host:port` to `address` or `address:port`. The
            name in the URL remains what TLS verifies and the server receives.
        doh_url: https URL of a DNS-over-HTTPS resolver (RFC 8484) to ask instead of the system.
        no_proxy: hosts that need no proxy, as in the variable: names with their subdomains (maybe
            behind "." or "*."), addresses, networks, separated by commas or blanks; "*" for all.
            Names and addresses may have a port, and stand for that one alone then.
            By default the variable's.
        proxy_headers: for the proxy alone, not the server behind it.
        proxy_validate_cert: verify an https proxy's certificate; True.
        tls_min_version: "1.0" to "1.3"; "1.2".
        tls_max_version: "1.0" to "1.3".
        tls_ciphers: OpenSSL's list of ciphers up to TLS 1.2.
        tls13_ciphers: list of cipher suites of TLS 1.3.
        pinned_public_key: path of a PEM or DER file with the server's public key, or
            "sha256//" and its digest in base64, several separated by ";". Nothing is sent to a
            server with another one.
        aws_sigv4: sign for AWS, Signature Version 4: "aws:amz:REGION:SERVICE", or
            "aws:amz" to take these from the host. `auth_username` is the access key's id,
            `auth_password` the key.
        tcp_keepalive: seconds without a byte after which the system asks whether the other end is
            still there; 15. Without an answer the request fails after as many seconds more. It
            holds for the connection that the request opens. 0: it does not ask.
        stream_weight: of an HTTP/2 stream among those of its connection, 1 to 256.
        ping_interval: of a WebSocket: seconds between pings; 30. The link fails with a
            `TimeoutError` when nothing came within as many seconds after a ping, not even its
            answer. 0: no pings.
        subprotocols: of a WebSocket, tokens in the order of preference.
        public_only: connect to public addresses alone; False. For URLs that strangers name: this
            machine, its networks and what else is not public is refused with `AddressError`,
            however it is spelt, where a redirect leads to it, and whatever a name stands for at
            that moment (it is the address that is looked at when a socket is opened). No
            proxy is used, and no connection that was opened without this.
        params: names and values for the query of the URL, behind what it has: a list stands for
            several of one name, None for none. Text is a query that is encoded already.
        json: instead of `body`, a value to send as JSON.
        form: instead of `body`, the fields of a form, as `params`.
        files: instead of `body`, files of a multipart form by field name: bytes, a path, or a
            `FilePart`; pairs may have several of one name. The form's fields are `form`.
        timeout: another name of `request_timeout`.
        auth: user and password, another way to give `auth_username` and `auth_password`.

    `params` to `auth` are for making a request, and no attributes of it.

    A WebSocket takes the same arguments, as far as they are about its connection and its
    handshake: `connect_timeout` is for both together, `max_body_size` for each message,
    `decompress_response` for permessage-deflate; `request_timeout` and `idle_timeout` do not count.
    It cannot have `auth_mode="digest"`. Headers that belong to the handshake are refused.

    Raises:
        ValueError: a part is malformed; the message names which and what is taken.
        TypeError: the body is a file that is open for text.

    Example:
        >>> Request("http://example.org/", headers={"Accept": "text/plain"}).method
        'GET'
        >>> Request("http://example.org/", json={"name": "Ann"}, timeout=5).body
        b'{"name": "Ann"}'
    """

    url: str
    method: str = ""
    headers: Headers = ()
    body: bytes | str | Multipart | Source | None = field(default=None, repr=False)
    connect_timeout: float | None = None
    request_timeout: float | None = None
    idle_timeout: float | None = None
    follow_redirects: bool | None = None
    max_redirects: int | None = None
    decompress_response: bool | None = None
    max_body_size: int | None = None
    validate_cert: bool | None = None
    ca_certs: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    client_key_password: str | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    unix_socket: str | None = None
    http_version: str | None = None
    auth_username: str | None = field(default=None, repr=False)
    auth_password: str | None = field(default=None, repr=False)
    auth_mode: str | None = None
    user_agent: str | None = None
    network_interface: str | None = None
    expect_100_continue: bool | None = None
    body_size: int | None = None
    sink: Sink | None = field(default=None, repr=False)
    stream: bool = False
    on_progress: Callable[[Any], object] | None = field(default=None, repr=False)
    on_header_line: Callable[[str], object] | None = field(default=None, repr=False)
    prepare_curl: Callable[[Any], object] | None = field(default=None, repr=False)
    max_header_size: int | None = None
    max_header_count: int | None = None
    proxy_auth_mode: str | None = None
    ip_version: int | None = None
    resume: bool = False
    local_port: int | tuple[int, int] | None = None
    happy_eyeballs_delay: float | None = None
    resolve: Mapping[str, str] | None = None
    doh_url: str | None = None
    no_proxy: str | None = None
    proxy_headers: Headers | None = field(default=None, repr=False)
    proxy_validate_cert: bool | None = None
    tls_min_version: str | None = None
    tls_max_version: str | None = None
    tls_ciphers: str | None = None
    tls13_ciphers: str | None = None
    pinned_public_key: str | None = None
    aws_sigv4: str | None = None
    stream_weight: int | None = None
    tcp_keepalive: float | None = None
    ping_interval: float | None = None
    subprotocols: Sequence[str] = ()
    public_only: bool | None = None
    params: InitVar[Params | str | None] = None
    json: InitVar[object] = None
    form: InitVar[Params | str | bytes | None] = None
    files: InitVar[Files | None] = None
    timeout: InitVar[float | None] = None
    auth: InitVar[tuple[str, str] | None] = None
    #: Whether something of it goes through the caller's hands, see `transport.callbacks`.
    is_special: bool = field(default=False, init=False, repr=False)
    #: Of a WebSocket's handshake: where its bytes come from and go to, see `callbacks.Channel`.
    channel: Any = field(default=None, init=False, repr=False)
    #: Filled in by `options.compile_options`, which a repeated request then need not run again.
    compiled: Any = field(default=None, init=False, repr=False)
    #: Filled in by `redirects`: the URL of the link that has led to this one.
    asked_url: str = field(default="", init=False, repr=False)
    #: Filled in by `signed_once`: credentials, and the request with them.
    signed: Any = field(default=None, init=False, repr=False)
    #: Filled in by `defaults.RequestDefaults`: itself, and the request with what it adds.
    defaulted: Any = field(default=None, init=False, repr=False)

    def __post_init__(  # noqa: PLR0917 - dataclasses give them by position
        self,
        params: Params | str | None,
        json: object,
        form: Params | str | bytes | None,
        files: Files | None,
        timeout: float | None,
        auth: tuple[str, str] | None,
    ) -> None:
        given = self._keep_what_was_given()
        if timeout is not None or auth is not None:
            self._settle_other_names(given, timeout, auth)
        if params:
            given["url"] = with_query(_text_of(self.url), form_query(params))
        # Not by truth: `form={}` is an empty form, whose method is POST.
        if json is not None or form is not None or files is not None:
            self._settle_body(given, *body_of(json, form, files))
        if isinstance(self.sink, str):
            given["sink"] = Path(self.sink)
        self._settle(given)

    def _settle(self, given: dict[str, Any]) -> None:
        if not isinstance(self.url, str) or not is_normal(self.url):
            given["url"] = normal_url(self.url)
        # Before method and headers: what these may be depends on the body.
        if isinstance(self.body, str):
            given["body"] = self.body.encode()
        elif isinstance(self.body, (bytearray, memoryview)):
            given["body"] = bytes(self.body)
        elif self.body is not None and not isinstance(self.body, bytes):
            if isinstance(self.body, Multipart):
                given["body"] = checked_multipart(self.body)
            else:
                _check_source(self.body)
                given["body"] = source_of(self.body)
            given["is_special"] = True
        if not self.method:
            given["method"] = "GET" if self.body is None else "POST"
        elif not isinstance(self.method, str) or not TOKEN.fullmatch(self.method):
            raise ValueError(f"method {self.method!r} is not a token such as GET")
        elif not self.method.isupper():
            given["method"] = self.method.upper()
        if self.headers or self.proxy_headers is not None:
            self._settle_headers(given)
        # What was left out, or given as None, has no entry: see `_keep_what_was_given`.
        for name in given.keys() & CHECKS.keys():
            CHECKS[name](name, given[name])
        if not _PIPED.isdisjoint(given) or self.is_socket:
            given["is_special"] = True
        self._check_what_excludes_each_other()

    def _settle_other_names(
        self, given: dict[str, Any], timeout: float | None, auth: tuple[str, str] | None
    ) -> None:
        if timeout is not None:
            if self.request_timeout is not None:
                raise ValueError("timeout= and request_timeout= are the same: give one of them")
            check_timeout("timeout", timeout)  # by the name that the caller has used
            given["request_timeout"] = timeout
        if auth is not None:
            if self.auth_username is not None or self.auth_password is not None:
                raise ValueError("auth= is auth_username= and auth_password=: give it or these")
            given.update(credentials_of(auth))

    def _settle_body(self, given: dict[str, Any], body: bytes | Multipart, kind: str) -> None:
        if self.body is not None:
            raise ValueError("body= and one of json=, form=, files=: there can be one body")
        given["body"] = body
        headers = checked_headers(self.headers)
        # Without a kind it is a `Multipart`, whose type has a boundary that libcurl draws.
        if kind and not any(name.lower() == "content-type" for name, _ in headers):
            given["headers"] = (*headers, ("Content-Type", kind))

    def _settle_headers(self, given: dict[str, Any]) -> None:
        if self.proxy_headers is not None:
            given["proxy_headers"] = checked_headers(self.proxy_headers)
        if self.headers:
            given["headers"], is_ruled = settled_headers(self.headers)
            is_form = isinstance(self.body, Multipart)
            # Other headers frame nothing, and most requests have no more.
            if is_ruled or is_form:
                given.update(settle_headers(self, is_form=is_form, size_of=size_of))

    def _check_what_excludes_each_other(self) -> None:
        if self.method in ("HEAD", "CONNECT"):
            self._check_method()
        if self.is_special and self.is_socket and (self.method != "GET" or self.body is not None):
            raise ValueError(
                "a WebSocket begins with a GET without a body; chain.send sends its messages"
            )
        if self.resume and not isinstance(self.sink, os.PathLike):
            raise ValueError("resume=True is for a sink that is a path: there the rest goes")
        if self.public_only:
            check_public_only(lambda name: getattr(self, name))
        if self.ip_version == 4 and "[" in self.host:
            raise ValueError(f"ip_version is 4, and {self.host} is an address of version 6")

    def _check_method(self) -> None:
        if self.method == "CONNECT":
            raise ValueError("method CONNECT is for proxies: with proxy= it is sent by itself")
        if self.body is not None:  # libcurl would wait for the body of the answer, which has none
            raise ValueError("method HEAD has no body: leave it out, or send a GET or POST")

    def _keep_what_was_given(self) -> dict[str, Any]:
        """Leave the other arguments to the class, which has their defaults: most are others."""
        default = type(self).__dict__
        given = {
            name: value
            for name, value in self.__dict__.items()
            # The URL alone has no default on the class.
            if name == "url" or value is not default[name]
        }
        # Past `frozen`; the dict itself, so that what follows sees what is added to it.
        object.__setattr__(self, "__dict__", given)
        return given

    def __reduce__(self) -> tuple[object, ...]:
        # What was compiled is of use to one stream only.
        return _request_from, ({name: getattr(self, name) for name in _own_names()},)

    def __repr__(self) -> str:
        return f"<Request {self.method} {safe_url(self.url)}>"

    @property
    def header_pairs(self) -> tuple[tuple[str, str], ...]:
        """`headers` as pairs, whatever they were given as."""
        return self.headers  # type: ignore[return-value]  # __post_init__ made them so

    @property
    def is_socket(self) -> bool:
        """True for a WebSocket."""
        return self.url.startswith("ws")

    @property
    def is_piped(self) -> bool:
        """The body comes from a file or an iterator."""
        return self.body is not None and not isinstance(self.body, (bytes, Multipart))

    @property
    def is_replayable(self) -> bool:
        """True if it can be sent again: not if sending its body has used that up."""
        return not isinstance(self.body, BodySource) or self.body.is_replayable

    @property
    def is_streamed(self) -> bool:
        """The response's body is not held in memory."""
        return self.stream or self.sink is not None

    @property
    def hears_headers(self) -> bool:
        """Each header line is to be looked at when it comes."""
        limits = (self.max_header_size, self.max_header_count, self.on_header_line)
        is_told_early = self.stream or self.channel is not None
        return is_told_early or any(one is not None for one in limits)

    @functools.cached_property  # limits, breaker and outcome ask for it, each time it is sent
    def host(self) -> str:
        """The URL's host in normal form, with the port if it is not the scheme's own."""
        return self.url.split("/", 3)[2].rpartition("@")[2]

    def signed_once(self, credentials: object, **changes: Any) -> Request:
        """`replace` for credentials: what is sent again with the same ones is made once.

        It lasts as long as this request, and is neither shown nor pickled with it.

        Args:
            credentials: a value that says which they are.
            changes: arguments of `Request`.
        """
        if self.signed is None or self.signed[0] != credentials:
            object.__setattr__(self, "signed", (credentials, self.replace(**changes)))
        return self.signed[1]  # type: ignore[no-any-return]

    def replace(self, **changes: Any) -> Request:
        """The same request with other arguments, as `dataclasses.replace`.

        Args:
            changes: arguments of `Request`.
        """
        # Not what has `init=False`: what was compiled, signed or filled in is of the old one.
        return replace(self, **changes)

    @classmethod
    def of(cls, request: object) -> Request:
        """The request that was meant.

        Args:
            request: a `Request`, a URL, an `urllib.request.Request` or a
                `tornado.httpclient.HTTPRequest`.

        Raises:
            ValueError: it is none of these, or malformed.
        """
        if isinstance(request, Request):
            return request
        if isinstance(request, str):
            url = request if is_normal(request) else normal_url(request)
            return plain_request(url) or cls(url)
        if isinstance(request, urllib.request.Request):
            return cls(**from_urllib(request))
        if isinstance(request, HTTPRequest):
            return cls(**from_tornado(request))
        raise ValueError(
            f"not a request: {_shown(request)} of type {type(request).__name__}; give a URL, a "
            "Request, an urllib.request.Request or a tornado.httpclient.HTTPRequest"
        )


def plain_request(url: str) -> Request | None:
    """The request of a URL and nothing else, which most links are.

    A new one each time: a crawl knows by it whether a reader asks for its own page once more.

    Args:
        url: of any form.

    Returns:
        None unless it is that of a page, as WHATWG serialises it.
    """
    # A WebSocket is special, and has checks of its own.
    if not is_normal(url) or url[0] == "w":
        return None
    plain, put = object.__new__(Request), object.__setattr__
    put(plain, "url", url)
    put(plain, "method", "GET")
    put(plain, "compiled", PLAIN)
    put(plain, "is_special", False)  # where it is found sooner than on the class
    return plain


def credentials_of(auth: object) -> dict[str, str]:
    """Return user and password as arguments of `Request`.

    Args:
        auth: a pair of texts.

    Raises:
        ValueError: it is none.
    """
    parts = auth if isinstance(auth, tuple) else ()
    if len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        # Of a pair its types: a password is not to be shown.
        kinds = f"({', '.join(type(part).__name__ for part in parts)})"
        raise ValueError(
            f"auth is (user, password), two texts, not {kinds if parts else type(auth).__name__}; "
            "credentials of webqq_tornado.auth are given to the stream or a session"
        )
    return dict(zip(("auth_username", "auth_password"), parts, strict=True))


def _text_of(url: object) -> str:
    if not isinstance(url, str):
        raise ValueError(f"a URL is text, not {type(url).__name__}")
    return url


def _check_source(body: object) -> None:
    if not is_source(body) or isinstance(body, Mapping):
        raise ValueError(
            f"a body is bytes, text, a path, a file, an iterable of bytes or a Multipart, not "
            f"{type(body).__name__}; json= and form= take values"
        )


def _shown(value: object) -> str:
    # Anything larger may hold a URL with a password.
    return repr(value) if value is None or isinstance(value, (bool, int, float)) else "something"


def _own_names() -> tuple[str, ...]:
    return tuple(f.name for f in fields(Request) if f.init)


def _request_from(values: dict[str, Any]) -> Request:
    return Request(**values)


def option_names() -> tuple[str, ...]:
    """The names that a stream's `defaults` may use: all but what makes this one request."""
    return tuple(name for name in _own_names() if name not in _OWN)


#: Arguments that take the answer through the caller's hands, see `transport.callbacks`.
_PIPED = frozenset(
    {
        "sink",
        "stream",
        "on_progress",
        "on_header_line",
        "prepare_curl",
        "max_header_size",
        "max_header_count",
    }
)
#: Arguments that make it this one request, or go through its caller's hands.
_OWN = _PIPED | {"url", "method", "headers", "body", "body_size", "resume", "subprotocols"}
