"""A request's settings as libcurl options: a table, and the few that need a rule.

`compile_options` makes one dict of option to value; `transport` sets only what differs from
what its easy handle already has. Nothing here touches a handle.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import pycurl

from ..addresses import no_proxy_of
from ..body import Multipart
from ..request import Request
from ..urls import normal_host, normal_url, origin_of
from ..validation import check_public_only
from .inflating import ACCEPTED
from .trust import Trust, trust_of

__all__ = [
    "AT_MOST_ONCE",
    "BODY_LIMIT",
    "DEFAULTS",
    "EXPECTS",
    "FOLLOWS",
    "IDEMPOTENT",
    "INFLATES",
    "LIBCURL",
    "PUBLIC_ONLY",
    "Compiled",
    "Compiler",
    "Options",
    "compile_options",
    "has_protocol",
    "without_credentials",
]

#: Seconds without a byte after which a body that is not held in memory is given up: it has no
#: limit in total.
STREAM_IDLE_TIMEOUT = 60.0

#: libcurl and what it is built with, with their versions, for messages.
LIBCURL = str(pycurl.version)
#: libcurl's option numbers and their values.
Options = dict[int, Any]

#: Options that libcurl does not have, see `lane.Transfer`: bytes of a body; whether libcurl may not
#: repeat the request by itself (1), and what it says is heard where TLS may agree on HTTP/2 (2), or
#: always (3), as HTTP/2 and 3 need; whether a redirect is followed, so that its body is nobody's;
#: whether only public addresses may be connected to; whether the body is to be inflated; whether a
#: header line has the body wait.
BODY_LIMIT, AT_MOST_ONCE, FOLLOWS, PUBLIC_ONLY, INFLATES, EXPECTS = -1, -2, -3, -4, -5, -6

#: What holds where neither the request nor the stream says otherwise; see `Request`.
DEFAULTS: Mapping[str, Any] = {
    "connect_timeout": 20.0,
    "request_timeout": 120.0,
    "idle_timeout": 0.0,
    "tcp_keepalive": 15.0,
    "follow_redirects": True,
    "max_redirects": 10,
    "decompress_response": True,
    "max_body_size": 100 * 2**20,
    "validate_cert": True,
    "ca_certs": None,
    "auth_mode": "basic",
    "user_agent": "webqq_tornado",
    "expect_100_continue": False,
}

_HTTP_VERSIONS = {
    "1.0": pycurl.CURL_HTTP_VERSION_1_0,
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    "2": pycurl.CURL_HTTP_VERSION_2TLS,
    "2-prior-knowledge": pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
    "3": pycurl.CURL_HTTP_VERSION_3,
}
_TLS_MIN = {
    "1.0": pycurl.SSLVERSION_TLSv1_0,
    "1.1": pycurl.SSLVERSION_TLSv1_1,
    "1.2": pycurl.SSLVERSION_TLSv1_2,
    "1.3": pycurl.SSLVERSION_TLSv1_3,
}
_TLS_MAX = {
    "1.0": pycurl.SSLVERSION_MAX_TLSv1_0,
    "1.1": pycurl.SSLVERSION_MAX_TLSv1_1,
    "1.2": pycurl.SSLVERSION_MAX_TLSv1_2,
    "1.3": pycurl.SSLVERSION_MAX_TLSv1_3,
}
#: CURLOPT_HAPPY_EYEBALLS_TIMEOUT_MS and CURLOPT_STREAM_WEIGHT, which pycurl has no names for.
_HAPPY_EYEBALLS_TIMEOUT_MS, _STREAM_WEIGHT = 271, 239
#: CURLOPT_TCP_KEEPCNT, since libcurl 8.9; before that the system's number holds (Linux: 9).
_TCP_KEEPCNT = 326
_HAS_TCP_KEEPCNT = pycurl.version_info()[2] >= 0x080900
#: What is for one origin alone.
_CREDENTIALS = frozenset({pycurl.USERNAME, pycurl.PASSWORD, pycurl.HTTPAUTH, pycurl.AWS_SIGV4})
#: Of a WebSocket: bytes as they are, both ways, once the proxy and the server have let us in.
_SOCKET: Options = {
    # pycurl has no name for ws and wss alone; redirects are not followed, and the URL is one.
    pycurl.PROTOCOLS: pycurl.PROTO_ALL,
    pycurl.WS_OPTIONS: pycurl.WS_RAW_MODE | pycurl.WS_NOAUTOPONG,
    # 64 KiB by default, for as long as the socket is open: 16 is the least.
    pycurl.UPLOAD_BUFFERSIZE: 16 * 1024,
}
_AUTH_MODES = {"basic": pycurl.HTTPAUTH_BASIC, "digest": pycurl.HTTPAUTH_DIGEST}
_IP_VERSIONS = {4: pycurl.IPRESOLVE_V4, 6: pycurl.IPRESOLVE_V6}

#: CURL_VERSION_HTTP3, by its number: older pycurl has no name for it.
_HAS_HTTP_3 = bool(pycurl.version_info()[4] & 1 << 25)


class _Rule(NamedTuple):
    """A setting that is one option: which, and how its value is written."""

    option: int
    convert: Callable[[Any], Any]


def _milliseconds(seconds: float) -> int:
    # 0 means "no limit" to libcurl too (but 300 s for connecting: see _connect_timeout).
    return max(1, round(seconds * 1000)) if seconds else 0


def _connect_timeout(seconds: float) -> int:
    return _milliseconds(seconds) or 2**31 - 1


def _text(value: str) -> bytes:
    return value.encode()  # pycurl takes text only in ASCII


def _connections(addresses: Mapping[str, str]) -> list[bytes]:
    # Not CURLOPT_RESOLVE: what it says goes into a cache that all transfers of a multi share.
    return [_connection(*one).encode() for one in addresses.items()]


def _connection(host: str, address: str) -> str:
    """CURLOPT_CONNECT_TO's HOST:PORT:HOST:PORT, from and to; empty is any, and the same."""
    name, port = _split_port(normal_host(host))
    target, target_port = _split_port(address)
    return f"{name}:{port}:{target}:{target_port}"


#: What has a meaning in a URL, in a user's name or password as well; escapes stay.
_PLAIN_IN_USERINFO = "%:!$&'()*+,;=[]\\"


def _proxy(url: str) -> bytes:
    """A proxy's URL with its user escaped, and a host in ASCII: libcurl (of PyPI) has no IDNA."""
    if "@" in url or not url.isascii():
        found = _SCHEME.match(url)
        start = found.end() if found else 0
        userinfo, at, host = url[start:].rpartition("@")
        host = host if host.isascii() else normal_host(host)
        url = f"{url[:start]}{quote(userinfo, safe=_PLAIN_IN_USERINFO)}{at}{host}"
    return _text(url)


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _no_proxy(hosts: str) -> bytes:
    if _IN_ANOTHER_FORM.search(hosts):
        names = list(map(_listed_host, _names(hosts)))
        hosts = "*" if "*" in names else ",".join(names)
    return _text(hosts)


def _names(hosts: str) -> list[str]:
    return [name for name in re.split(r"[,\s]+", hosts) if name]


#: Of a list of hosts. An IPv6 address has brackets where a port follows.
_WITH_PORT = re.compile(r"([^:\[\]]+|\[[^\]]*\]):([0-9]{1,5})")


def _lists_ports(hosts: str) -> bool:
    return any(map(_WITH_PORT.fullmatch, _names(hosts)))


def _for_port(hosts: str, url: str) -> str:
    """A list of hosts as it is for a URL: without those of other ports.

    To libcurl a port belongs to the name, so that no host has it.
    """
    if not _lists_ports(hosts):
        return hosts
    port = str(origin_of(url)[2])
    found = [(name, _WITH_PORT.fullmatch(name)) for name in _names(hosts)]
    return ",".join(one[1] if one else name for name, one in found if not one or one[2] == port)


#: What libcurl does not take in a list of hosts, and other clients do.
_IN_ANOTHER_FORM = re.compile(r"[*\[\s]|[^\x00-\x7F]")


def _listed_host(name: str) -> str:
    if name.startswith("*."):
        name = name[1:]
    elif name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    try:
        return name if name.isascii() else normal_host(name.lstrip("."))
    except ValueError:  # the variable is of the whole system: what is wrong in it stops no request
        return name


def _split_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and not host.endswith("]") else (host, "")


def _known(table: Mapping[Any, int], what: str) -> Callable[[Any], int]:
    def convert(name: Any) -> int:
        if name not in table:
            raise ValueError(f"{what} {name!r} is not one of {', '.join(map(str, table))}")
        return table[name]

    return convert


_RULES: Mapping[str, _Rule] = {
    "connect_timeout": _Rule(pycurl.CONNECTTIMEOUT_MS, _connect_timeout),
    "request_timeout": _Rule(pycurl.TIMEOUT_MS, _milliseconds),
    "follow_redirects": _Rule(FOLLOWS, bool),
    "max_body_size": _Rule(BODY_LIMIT, int),
    "client_cert": _Rule(pycurl.SSLCERT, os.fsencode),
    "client_key": _Rule(pycurl.SSLKEY, os.fsencode),
    "client_key_password": _Rule(pycurl.KEYPASSWD, _text),
    "proxy": _Rule(pycurl.PROXY, _proxy),
    "unix_socket": _Rule(pycurl.UNIX_SOCKET_PATH, os.fsencode),
    "http_version": _Rule(pycurl.HTTP_VERSION, _known(_HTTP_VERSIONS, "http_version")),
    "auth_username": _Rule(pycurl.USERNAME, _text),
    "auth_password": _Rule(pycurl.PASSWORD, _text),
    "network_interface": _Rule(pycurl.INTERFACE, _text),
    "proxy_auth_mode": _Rule(pycurl.PROXYAUTH, _known(_AUTH_MODES, "proxy_auth_mode")),
    "ip_version": _Rule(pycurl.IPRESOLVE, _known(_IP_VERSIONS, "ip_version")),
    "user_agent": _Rule(pycurl.USERAGENT, _text),
    "happy_eyeballs_delay": _Rule(_HAPPY_EYEBALLS_TIMEOUT_MS, _milliseconds),
    "resolve": _Rule(pycurl.CONNECT_TO, _connections),
    "doh_url": _Rule(pycurl.DOH_URL, lambda url: _text(normal_url(url))),
    "tls_ciphers": _Rule(pycurl.SSL_CIPHER_LIST, _text),
    "tls13_ciphers": _Rule(pycurl.TLS13_CIPHERS, _text),
    "pinned_public_key": _Rule(pycurl.PINNEDPUBLICKEY, os.fsencode),
    "aws_sigv4": _Rule(pycurl.AWS_SIGV4, _text),
    "stream_weight": _Rule(_STREAM_WEIGHT, int),
}


def has_protocol(scheme: str, since: int = 0) -> bool:
    """Return True if libcurl was built with a protocol.

    Args:
        scheme: of its URLs, such as "wss".
        since: version from which on its form is the one that is needed, as 0xXXYYZZ.
    """
    info = pycurl.version_info()
    return scheme in info[8] and info[2] >= since


def compile_options(request: Request, defaults: Mapping[str, Any]) -> Options:
    """The options of a request, without its URL.

    Args:
        request: whose settings come first.
        defaults: by the same names, for what the request leaves at None.

    Raises:
        ValueError: a setting has a value outside its table.
    """

    def setting(name: str) -> Any:
        value = getattr(request, name)
        return defaults.get(name) if value is None else value

    options: Options = {}
    for name, rule in _RULES.items():
        value = setting(name)
        if value is not None:
            options[rule.option] = rule.convert(value)
    if setting("auth_username") is not None and setting("aws_sigv4") is None:
        options[pycurl.HTTPAUTH] = _known(_AUTH_MODES, "auth_mode")(setting("auth_mode"))
    options.update(_multiplexing(setting("http_version")))
    if setting("decompress_response") and not request.resume:
        # Asked for by libcurl, and undone by us: see `inflating`.
        options |= {pycurl.ENCODING: ACCEPTED, pycurl.HTTP_CONTENT_DECODING: 0, INFLATES: True}
    options.update(_trust(setting("validate_cert"), trust_of(setting("ca_certs"))))
    no_proxy = setting("no_proxy")
    if setting("public_only"):
        check_public_only(setting)
        options[PUBLIC_ONLY] = 1
        no_proxy = "*"  # also of those that the environment names
    elif setting("proxy") is None:
        no_proxy = no_proxy_of(no_proxy, setting("resolve"), os.environ)
    if no_proxy is not None:
        options[pycurl.NOPROXY] = _no_proxy(_for_port(no_proxy, request.url))
    options.update(_keepalive(setting("tcp_keepalive")))
    options.update(_tls_versions(setting("tls_min_version"), setting("tls_max_version")))
    options.update(_for_the_proxy(setting("proxy_validate_cert"), setting("proxy_headers")))
    if setting("local_port") is not None:
        options.update(_local_ports(setting("local_port")))
    if request.is_streamed:
        # Limits for what is held in memory: they count only if the request itself has them.
        if request.request_timeout is None:
            options[pycurl.TIMEOUT_MS] = 0
        if request.max_body_size is None:
            options[BODY_LIMIT] = 0
    if request.channel is not None:
        options.update(_SOCKET)
    options.update(_method_and_body(request))
    options.update(_repetition(request, setting))
    options.update(_headers(request, bool(setting("expect_100_continue"))))
    return options


def without_credentials(options: Options) -> Options:
    """Options without credentials, for another origin.

    Args:
        options: of a request, maybe with those of the defaults.
    """
    return {key: value for key, value in options.items() if key not in _CREDENTIALS}


class Compiled(NamedTuple):
    """The compiled form of a request, ready to be sent.

    Args:
        compiler: that has made it.
        options: for libcurl.
        idle_timeout: seconds without a byte.
        is_socket: it opens a WebSocket; there are no options then.
    """

    compiler: Compiler
    options: Options
    idle_timeout: float
    is_socket: bool


class Compiler:
    """`compile_options` under the same defaults each time, faster where there is little to say.

    Args:
        defaults: as of `compile_options`.

    Attributes:
        plain: options of a request that is nothing but a URL.
        idle_timeout: seconds without a byte, by default.
        looks_at_ports: URLs of different ports have different options.
    """

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults
        self.idle_timeout: float = defaults["idle_timeout"]
        self.plain = compile_options(Request("http://localhost"), defaults)
        self._base = {key: value for key, value in self.plain.items() if key != pycurl.HTTPGET}
        self._expects = bool(defaults.get("expect_100_continue"))
        listed = no_proxy_of(defaults.get("no_proxy"), None, os.environ)
        self.looks_at_ports = _lists_ports(f"{listed},{defaults.get('no_proxy') or ''}")

    def compiled(self, request: Request, *, opens_sockets: bool) -> Compiled:
        """Compile a request for good.

        Kept on the request, so that one sent again is neither compiled nor compared again. Another
        compiler, whose defaults may differ, makes it anew.

        Args:
            request: about to be sent.
            opens_sockets: a WebSocket's request is for another who opens it.
        """
        is_socket = opens_sockets and request.is_socket
        options = self.plain if is_socket else self(request)
        if options == self.plain:
            options = self.plain  # which is compared by identity first
        idle = request.idle_timeout
        if idle is None:
            idle = STREAM_IDLE_TIMEOUT if request.is_streamed else self.idle_timeout
        compiled = Compiled(self, options, idle, is_socket)
        object.__setattr__(request, "compiled", compiled)
        return compiled

    def __call__(self, request: Request) -> Options:
        """See `compile_options`."""
        if self.looks_at_ports or not _SAID_BY_NEARLY_ALL.issuperset(vars(request)):
            return compile_options(request, self._defaults)
        options = {
            **self._base,
            **_method_and_body(request),
            **_repetition(request, self._defaults.get),
            **_headers(request, self._expects),
        }
        return options


_SAID_BY_NEARLY_ALL = frozenset(
    {"url", "method", "headers", "body", "is_special", "compiled", "host"}
)


def _multiplexing(version: str | None) -> Options:
    if version == "3" and not _HAS_HTTP_3:
        raise ValueError('http_version "3": this libcurl has no HTTP/3; take "2", or another build')
    # Wait for a connection that can take one more stream rather than open another.
    return {pycurl.PIPEWAIT: 1} if version in _MULTIPLEXED else {}


_MULTIPLEXED = frozenset({"2", "2-prior-knowledge", "3"})


def _keepalive(seconds: float) -> Options:
    """TCP keepalive: the other end is asked for by three probes, and is gone if it answers none."""
    if not seconds:
        return {pycurl.TCP_KEEPALIVE: 0}
    idle = math.ceil(seconds)
    options: Options = {
        pycurl.TCP_KEEPALIVE: 1,
        pycurl.TCP_KEEPIDLE: idle,
        pycurl.TCP_KEEPINTVL: max(1, idle // 3),
    }
    return {**options, _TCP_KEEPCNT: 3} if _HAS_TCP_KEEPCNT else options


def _for_the_proxy(validates: bool | None, headers: Any) -> Options:
    options: Options = {}
    if validates is not None:
        options[pycurl.PROXY_SSL_VERIFYPEER] = int(validates)
        options[pycurl.PROXY_SSL_VERIFYHOST] = 2 * int(validates)
    if headers:
        options[pycurl.HEADEROPT] = pycurl.HEADER_SEPARATE
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        options[pycurl.PROXYHEADER] = [_header_line(*pair) for pair in pairs]
    return options


def _tls_versions(lowest: str | None, highest: str | None) -> Options:
    if lowest is None and highest is None:
        return {}
    if lowest and highest and lowest > highest:
        raise ValueError(f"tls_min_version {lowest} is above tls_max_version {highest}")
    low = _TLS_MIN[lowest] if lowest else pycurl.SSLVERSION_DEFAULT
    return {pycurl.SSLVERSION: low | (_TLS_MAX[highest] if highest else 0)}


def _local_ports(ports: int | tuple[int, int]) -> Options:
    first, last = ports if isinstance(ports, tuple) else (ports, ports)
    return {pycurl.LOCALPORT: first, pycurl.LOCALPORTRANGE: last - first + 1}


def _trust(validate: bool, trust: Trust) -> Options:
    options: Options = {pycurl.SSL_VERIFYPEER: int(validate)}
    options[pycurl.SSL_VERIFYHOST] = 2 * int(validate)
    # The proxy's own certificate, if it is an https proxy, is verified by the same CAs.
    if trust.file is not None:
        options[pycurl.CAINFO] = options[pycurl.PROXY_CAINFO] = os.fsencode(trust.file)
    if trust.folder is not None:
        options[pycurl.CAPATH] = options[pycurl.PROXY_CAPATH] = os.fsencode(trust.folder)
    return options


def _method_and_body(request: Request) -> Options:
    method, body = request.method, request.body
    if isinstance(body, Multipart) or request.is_piped:  # the body itself is set by `callbacks`
        return {} if method == "POST" else {pycurl.CUSTOMREQUEST: method}
    if body is None and method in _BODILESS:
        return dict(_BODILESS[method])
    if body is None and method not in _ENCLOSING:
        return {pycurl.HTTPGET: 1, pycurl.CUSTOMREQUEST: method}
    options: Options = {pycurl.POST: 1, pycurl.POSTFIELDS: body or b""}
    if method == "POST":
        return options
    return {**options, pycurl.CUSTOMREQUEST: method}


#: Methods that may be sent again without asking: twice is as good as once (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


def _repetition(request: Request, setting: Callable[[str], Any]) -> Options:
    """Options that keep libcurl from repeating a request that is not idempotent."""
    if request.method in IDEMPOTENT:
        return {}
    version = setting("http_version")
    is_over_tls = request.url.startswith("https:") or (setting("proxy") or "").startswith("https:")
    is_multiplexing = version in ("2-prior-knowledge", "3")
    options = {AT_MOST_ONCE: 3 if is_multiplexing else 2 if is_over_tls else 1}
    if setting("unix_socket") is not None and version != "2-prior-knowledge":
        # Their connections have no names to know a dead one by, and cost next to nothing.
        options |= {pycurl.FRESH_CONNECT: 1, pycurl.FORBID_REUSE: 1}
    return options


#: Methods with a body, as a rule: where there is none its length is said to be 0 (RFC 9110, 8.6).
_ENCLOSING = frozenset({"POST", "PUT", "PATCH"})
_BODILESS: Mapping[str, Options] = {
    "GET": {pycurl.HTTPGET: 1},
    # Whatever length is announced, none of it comes.
    "HEAD": {pycurl.NOBODY: 1, pycurl.MAXFILESIZE_LARGE: 0},
}


def _headers(request: Request, expect: bool) -> Options:
    """The header lines that the caller asked for, and those that libcurl must not make up."""
    options: Options = {}
    pairs = request.header_pairs
    names = {name.lower() for name, _ in pairs}
    if "cookie" in names:
        # Not as a line: the session's own would be a second one (RFC 6265, 5.4).
        options.update(_cookies([value for name, value in pairs if name.lower() == "cookie"]))
        pairs = tuple(pair for pair in pairs if pair[0].lower() != "cookie")
    lines = [_header_line(name, value) for name, value in pairs]
    if request.body is not None or request.method in _ENCLOSING:
        if "expect" not in names:
            # Without a body there is nothing to wait with (RFC 9110, 10.1.1).
            lines.append(b"Expect: 100-continue" if expect and request.body else b"Expect:")
        if not isinstance(request.body, Multipart) and "content-type" not in names:
            lines.append(b"Content-Type:")  # nobody said that it is a form
    if lines:
        options[pycurl.HTTPHEADER] = lines
        if (expect or "expect" in names) and any(map(_announces, lines)):
            options[EXPECTS] = 1
    return options


def _announces(line: bytes) -> bool:
    name, _, value = line.lower().partition(b":")
    return name == b"expect" and b"100-continue" in value


def _cookies(values: list[str]) -> Options:
    text = "; ".join(filter(None, (value.strip(" \t;") for value in values)))
    return {pycurl.COOKIE: _encoded(text)} if text else {}


def _header_line(name: str, value: str) -> bytes:
    # "Name;" makes libcurl send a header with no value; "Name:" would remove it.
    return _encoded(f"{name}: {value}" if value.strip() else f"{name};")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
