"""What a fuzz example is made of: hypothesis draws these values, `fuzz_play` does what they say.

In URLs and answers `{PORT}` is the server's and `{ID}` the link's.
"""

from __future__ import annotations

import gzip
import zlib
from typing import Any, NamedTuple

from hypothesis import strategies as st
from servers.fuzz import Answer, End, right
from servers.misbehaving import ANSWERS

#: A link's reader, by what it is.
HOWS = ("sync", "async", "generator", "async_generator", "none")
#: What a reader or errback does, and returns.
STEPS = (
    *("none", "next", "next", "later", "again", "list", "gather", "generator", "async_generator"),
    *("awaitable", "garbage", "raise", "cancel_self", "cancel_any", "pause_any", "close"),
    *("close_session", "add", "fetch", "open", "drain", "await_self", "nested", "endless"),
)
AUTHS = ("token", "raises", "nonsense", "fetch", "link", "hangs", "basic", "login", "digest")
EVENTS = ("cancel", "pause", "pause_all", "resume", "close", "close_session", "add", "stats")
MODES = ("plain", "stream", "sink", "sink_later", "sink_raises", "file", "path", "keep")
READINGS = ("all", "some", "none", "save", "lines", "twice")
BODIES = (
    *("none", "none", "empty", "bytes", "text", "large", "list", "generator", "generator_raises"),
    *("async", "async_raises", "function", "function_raises", "function_none", "file", "closed"),
    *("text_file", "missing", "folder", "pipe", "multipart", "numbers", "short_reads"),
)
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "get", "BREW", "CONNECT", "")


class Step(NamedTuple):
    """What a reader does."""

    what: str
    number: int


class Event(NamedTuple):
    """What happens besides, when the loop has turned so often."""

    turns: int
    what: str
    number: int


class LinkPlan(NamedTuple):
    """One link."""

    url: str
    method: str
    headers: list[tuple[str, str]]
    body: str
    mode: str
    reading: str
    form: str
    how: str
    errback: str
    settings: dict[str, Any]
    answers: list[Answer]
    session: str
    delay: float
    is_timed: bool


class Plan(NamedTuple):
    """One example."""

    options: dict[str, Any]
    is_proxied: bool
    links: list[LinkPlan]
    steps: list[Step]
    events: list[Event]
    chains: int


# -- URLs -------------------------------------------------------------------------------------

#: These lead to this machine, or nowhere; no name is looked up elsewhere.
_HOSTS = st.sampled_from(
    [
        *("127.0.0.1:{PORT}", "localhost:{PORT}", "127.1:{PORT}", "0x7f.1:{PORT}"),
        *("LOCALHOST:{PORT}", "[::1]:{PORT}", "[::ffff:127.0.0.1]:{PORT}", "127.0.0.1:1"),
        *("127.0.0.1:0", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:{PORT}x", "[oops", "[::1"),
        *("[]", "", ":{PORT}", "a b", "..", "%", "１２７.0.0.1:{PORT}", "2130706433:{PORT}"),
        *("%31%32%37.0.0.1:{PORT}", "127.0.0.1.:{PORT}", "127.0.0.256", "\0", "\ud800"),
        *("127.0.0.1\\@x", "0177.0.0.1:{PORT}", "127.0.0.1:{PORT}\n", "[::1%25lo]:{PORT}"),
    ]
)
_TEXT = st.text(max_size=8)
_ODD = st.text(st.characters(), max_size=8)
#: Like WHATWG's Fetch we leave it to servers what they think of other control characters.
_ODD_VALUES = st.text(st.characters(exclude_categories=["Cc"]) | st.sampled_from("\0\r\n\t"))
_PARTS = (
    _TEXT | _ODD | st.sampled_from(["..", "%zz", "%2e%2e", "{x}", "\r\nX: y", "\t", "a" * 9000])
)
_SCHEMES = st.sampled_from(
    ["http"] * 8 + ["HTTP", "https", "ws", "wss", "ftp", "file", "", "http:"]
)
_USERS = st.sampled_from([""] * 6 + ["u@", "u:p@", ":@", "@", "ü:ü@", "a@b@", "%:%@", "u:p\0@"])
GOOD_URL = "http://127.0.0.1:{PORT}/{ID}/"


def _url(scheme: str, user: str, host: str, path: str, query: str, fragment: str) -> str:
    return f"{scheme}://{user}{host}/{{ID}}/{path}{query}{fragment}"


_local_urls = st.builds(
    _url,
    _SCHEMES,
    _USERS,
    _HOSTS,
    _PARTS,
    st.just("") | _PARTS.map("?{}".format),
    st.just("") | _PARTS.map("#{}".format),
)
_any_urls = (
    st.text(max_size=30)
    | st.text(st.characters(), max_size=30)
    | st.builds(
        _url, _SCHEMES, _USERS, st.text(st.characters(), min_size=1, max_size=20), _PARTS,
        st.just(""), st.just(""),
    )
)  # fmt: skip


def urls(is_proxied: bool) -> st.SearchStrategy[str]:
    """Mostly good ones. Behind a proxy no name is looked up: there they may be anything."""
    odd = _any_urls | _local_urls if is_proxied else _local_urls
    return st.one_of(*[st.just(GOOD_URL)] * 5, odd)


# -- requests ---------------------------------------------------------------------------------

_TOKENS = st.sampled_from(
    [
        *("X-A", "x-a", "Accept", "Cookie", "Authorization", "User-Agent", "Range", "Content-Type"),
        *("Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "TE", "Upgrade"),
        *("Content-Encoding", "Accept-Encoding", "Proxy-Authorization", "", " ", "a b", "X:", "\0"),
    ]
)
_VALUES = st.sampled_from(
    ["", "1", "a", "close", "chunked", "100-continue", "0", "99", "-1", "ü", "日本", "a\r\nX: y"]
)
headers = st.one_of(
    *[st.just([])] * 4, st.lists(st.tuples(_TOKENS | _TEXT, _VALUES | _ODD_VALUES), max_size=3)
)
_SETTINGS: dict[str, list[Any]] = {
    "follow_redirects": [False],
    "max_redirects": [0, 1, 3],
    "decompress_response": [False],
    "max_body_size": [0, 1, 10],
    "max_header_size": [10, 1000],
    "max_header_count": [0, 3],
    "expect_100_continue": [True],
    "http_version": ["1.0", "1.1"],
    "auth_mode": ["digest", "basic"],
    "user_agent": ["", "a\u00fc"],
    "idle_timeout": [0.1, 5],
    "connect_timeout": [0.2, 0],
    "body_size": [0, 3, 10],
    "on_header_line": ["fine", "raises", "cancels"],
    "on_progress": ["fine", "raises", "cancels"],
    "prepare_curl": ["fine", "raises", "cancels"],
    "resume": [True],
}
settings_of_links = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in _SETTINGS.items()}
).map(dict)
few_settings = st.one_of(*[st.just({})] * 3, settings_of_links)


# -- answers ----------------------------------------------------------------------------------

_STATUSES = st.sampled_from(
    [b"200 OK"] * 4
    + [b"201 Made", b"206 Part", b"400 No", b"401 Who", b"403 No", b"404 No", b"407 Who"]
    + [b"408 Late", b"417 No", b"421 No", b"425 Early", b"429 Many", b"500 Oops", b"503 Later"]
    + [b"511 X", b"599 X", b"600 X", b"999 X", b"200", b"200 \xff\xfe"]
)
_BODIES = st.sampled_from(
    [b"", b"ok", b"x" * 70_000, b'{"a": [1]}', b"data: 1\n\n" * 3, b"\xff\xfe\0", b"[" * 3000]
)
_LINES = st.sampled_from(
    [
        *(b"Content-Type: text/plain", b"Content-Type: application/json", b"Content-Type: \xff"),
        *(b"Content-Type: text/event-stream", b"Content-Type: text/html; charset=nonsense"),
        *(b"Retry-After: 0", b"Retry-After: -1", b"Retry-After: Mon, 99 Jan", b"Link: <a>; rel"),
        *(b"Set-Cookie: a=b", b"Set-Cookie: =", b"Set-Cookie: a=b; Domain=x", b"X: " + b"y" * 5000),
        *(b"Connection: close", b"Content-Encoding: nonsense", b"Content-Disposition: x; =\xff"),
        *(b"Content-Range: bytes 0-1/2", b"ETag: a", b"Location: /{ID}/not", b"Date: never"),
        *(b"WWW-Authenticate: Basic", b"WWW-Authenticate: Digest realm=a, nonce=b, qop=auth"),
        *(b'WWW-Authenticate: Digest realm="a", nonce="b", stale=true', b"WWW-Authenticate: \xff"),
        *(b"Proxy-Authenticate: Basic realm=x", b"Alt-Svc: h2=:1", b"Trailer: X", b"Upgrade: h2c"),
    ]
)
_some_lines = st.lists(_LINES, max_size=3).map(tuple)


def _right(status: bytes, body: bytes, lines: tuple[bytes, ...]) -> bytes:
    return right(body, status, *lines)


def _chunked(body: bytes, sizes: list[int], trailer: bytes) -> bytes:
    chunks, start = [], 0
    for size in sizes:
        if chunk := body[start : start + size]:
            chunks.append(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        start += size
    head = b"HTTP/1.1 200 OK\r\nX-Answer-To: {ID}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


def _coded(coding: bytes, body: bytes, is_cut: bool) -> bytes:
    coded = {b"gzip": gzip.compress, b"deflate": zlib.compress}.get(coding, bytes)(body)
    coded = coded[: len(coded) // 2] if is_cut else coded
    return right(coded, b"200 OK", b"Content-Encoding: " + coding)


right_answers = (
    st.builds(_right, _STATUSES, _BODIES, _some_lines)
    | st.builds(
        _chunked,
        _BODIES,
        st.lists(st.integers(1, 40_000), max_size=3),
        st.sampled_from([b"", b"X: y\r\n", b"X-Answer-To: nobody\r\n"]),
    )
    | st.builds(
        _coded,
        st.sampled_from([b"gzip", b"deflate", b"br", b"zstd", b"utf-8", b"gzip, gzip"]),
        _BODIES,
        st.booleans(),
    )
)
_LOCATIONS = (
    *(b"/{ID}/next", b"next", b"", b"#f", b"?q", b"//127.0.0.1:{PORT}/{ID}/", b"..", b"/{ID}/\xff"),
    *(b"http://127.0.0.1:{PORT}/{ID}/x", b"http://localhost:{PORT}/{ID}/x", b"http:/{ID}/"),
    *(b"HTTP://127.1:{PORT}/{ID}/", b"http://[oops/", b"http://", b"http://127.0.0.1:1/{ID}/"),
    *(b"http://127.0.0.1:99999/", b"file:///etc/passwd", b"javascript:1", b"http://a b/", b"\0"),
    *(b"ws://127.0.0.1:{PORT}/{ID}/", b"https://127.0.0.1:{PORT}/{ID}/", "/{ID}/ü".encode()),
    *(b"http://u:p@127.0.0.1:{PORT}/{ID}/", b"/{ID}/next\r\nLocation: /{ID}/other", b"data:,x"),
    *(b"/" * 9000, b"http:", b"\xff"),
)


def _redirect(status: int, location: bytes, body: bytes) -> bytes:
    return right(body, b"%d X" % status, b"Location: " + location)


redirects = st.builds(
    _redirect,
    st.sampled_from([300, 301, 302, 303, 304, 305, 307, 308, 308, 307]),
    st.sampled_from(_LOCATIONS),
    st.sampled_from([b"", b"", b"gone", b"x" * 70_000]),
)
#: Small ones; those that redirect are of another server's paths.
_WRONG = sorted(
    text for name, text in ANSWERS.items() if len(text) < 20_000 and "redirect" not in name
)
_FREE = st.sampled_from(_WRONG) | st.binary(max_size=40)
_INTERIM = st.sampled_from(
    [
        *(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n" * 2),
        *(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", b"HTTP/1.1 199 X\r\n\r\n"),
    ]
)
STRAY = right(b"stray", b"200 OK", b"X-Stray: 1")
_ENDS = st.sampled_from([End.KEEP, End.KEEP, End.CLOSE, End.RESET, End.HALF])
_PIECES = st.sampled_from([0, 0, 0, 1, 7])


def _mangled(data: bytes, at: int, length: int, new: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + new + data[at + length :]


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """What one request gets."""
    kind = draw(st.integers(0, 9))
    piece, is_early = draw(_PIECES), draw(st.integers(0, 4)) == 4
    if kind <= 1:
        late = draw(st.sampled_from([b"", b"", STRAY, STRAY[:30], b"\0", b"\r\n"]))
        data = draw(right_answers)
        return Answer(data, draw(_ENDS), piece, is_early, is_right=True, late=late)
    if kind <= 3:
        return Answer(draw(redirects), draw(_ENDS), piece, is_early, is_right=True)
    if kind == 4:
        data = draw(_INTERIM) + draw(right_answers)
        return Answer(data, draw(_ENDS), piece, is_early)
    if kind == 5:
        # At once: of what comes later nobody can tell whose answer it is.
        data = draw(right_answers) + draw(st.sampled_from([STRAY, STRAY * 2, b"\r\n", b"x"]))
        return Answer(data, draw(_ENDS), 0, is_early)
    if kind == 6:
        return Answer(draw(_FREE), draw(_ENDS), piece, is_early)
    data = draw(right_answers | redirects | _FREE)
    if kind == 7 and b"Location" not in data:  # to no host that has to be looked up
        at, length = draw(st.integers(0, 200)), draw(st.integers(0, 5))
        return Answer(_mangled(data, at, length, draw(st.binary(max_size=4))), draw(_ENDS), piece)
    data = data[: draw(st.integers(0, min(len(data), 400)))]
    end = st.sampled_from([End.CLOSE, End.RESET, End.HALF, End.STALL])
    return Answer(data, draw(end), piece, is_early)


# -- all of it --------------------------------------------------------------------------------


def links(is_proxied: bool) -> st.SearchStrategy[LinkPlan]:
    """One of them."""
    return st.builds(
        LinkPlan,
        url=urls(is_proxied),
        method=st.sampled_from(("GET", "POST") * 4 + METHODS),
        headers=headers,
        body=st.sampled_from(("none",) * 10 + BODIES),
        mode=st.sampled_from(("plain",) * 6 + MODES),
        reading=st.sampled_from(READINGS),
        form=st.sampled_from(["own"] * 4 + ["text", "urllib", "tornado", "raw"]),
        how=st.sampled_from(HOWS),
        errback=st.sampled_from(("",) * 4 + HOWS[:4]),
        settings=few_settings,
        answers=st.lists(answers(), max_size=3),
        session=st.sampled_from(["", "", "", "a", "b"]),
        delay=st.sampled_from([0, 0, 0, 0.002]),
        is_timed=st.integers(0, 5).map(bool),
    )


_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "max_clients": st.sampled_from([1, 2, 3]),
        "per_host": st.sampled_from([1, 2]),
        "per_session": st.just(1),
        "rate_per_host": st.just(500.0),
        "retry": st.sampled_from(["short", "wild", "raises"]),
        "breaker": st.sampled_from(["short", "raises"]),
        "auth": st.sampled_from(AUTHS),
        "on_request": st.sampled_from(["fine", "raises", "nonsense", "cancels"]),
        "on_response": st.sampled_from(["fine", "raises", "cancels"]),
        "on_error": st.sampled_from(["raises", "step"]),
        "observer": st.sampled_from(["fine", "raises", "cancels"]),
    },
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """One example."""
    is_proxied = draw(st.integers(0, 3)) == 3
    numbers = st.integers(0, 20)
    return Plan(
        options=draw(st.just({}) | _OPTIONS),
        is_proxied=is_proxied,
        links=draw(st.lists(links(is_proxied), min_size=1, max_size=5)),
        steps=draw(st.lists(st.builds(Step, st.sampled_from(STEPS), numbers), max_size=10)),
        events=draw(
            st.lists(
                st.builds(Event, st.integers(0, 30), st.sampled_from(EVENTS), numbers), max_size=3
            )
        ),
        chains=draw(st.integers(1, 4)),
    )
