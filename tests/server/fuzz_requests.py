"""Requests to the server with anything in any field: as strategies, and as bytes on the wire."""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import quote_from_bytes, urlencode

from hypothesis import strategies as st
from servers.town import PASSWORD

from webqq_tornado.protocol import smartqq, webqq3
from webqq_tornado.protocol.endpoints import REFERER_D, REFERER_S
from webqq_tornado.protocol.exchange import Call
from webqq_tornado.server.web.schema import OPERATIONS, Operation
from webqq_tornado.server.webqq import qun


class Secrets(NamedTuple):
    """What opens the doors, for requests that go further than these."""

    token: str
    psessionid: str
    vfwebqq: str
    ptwebqq: str
    skey: str
    bkn: str
    qrsig: str
    to: str
    gid: str
    gcode: str
    did: str


class Sent(NamedTuple):
    """A request, with names of secrets where these are to be.

    Args:
        method: of HTTP.
        path: of the address.
        query: fields of the address, as bytes.
        body: of a form (fields, and those of "r"), of JSON, or as it is.
        headers: beside those that every request has.
    """

    method: str
    path: str
    query: dict[str, object]
    body: object
    headers: dict[str, str]


# -- values ---------------------------------------------------------------------------------------

_EDGES = [2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**18, 10**19, 10**30, -(2**63), -(2**64)]
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, *_EDGES]),
    st.integers(),
    st.sampled_from([10001, 10002, 10003, 20001, 20002]),
)
_ODD = [
    "",
    "\0",
    "a\0b",
    "\ud800",
    "\udfff\ud800",
    "\u202e",
    "\r\n\r\nX: y",
    "%00",
    "%",
    "٣",
    "null",
]
TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(_ODD),
    st.sampled_from([25, 201, 721, 4097, 9000]).map(lambda size: "x" * size),
    st.sampled_from([24, 241, 1000]).map(lambda size: "微" * size),
    NUMBERS.map(str),
    st.sampled_from(
        ["friend:10002", "group:20001", "discussion:20002", "session:10003", "friend:"]
    ),
    st.sampled_from(["online", "hidden", "male", PASSWORD, "http://127.0.0.1/x", "//evil/"]),
)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.floats(),
    TEXTS,
)
_PARTS = st.one_of(
    TEXTS,
    st.tuples(st.sampled_from(["face", "font", "offpic", "cface", "x"]), PLAIN).map(list),
    st.just(["font", {"name": "x", "size": "10", "style": [0, 0, 0], "color": "000000"}]),
    PLAIN,
)
CONTENTS = st.lists(_PARTS, max_size=6)
VALUES = st.one_of(
    PLAIN,
    CONTENTS,
    st.recursive(
        PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    st.integers(1, 5000).map(lambda depth: "@" * depth),  # see `_dumped`
)


def _dumped(value: object) -> str:
    """JSON also of what is no JSON, and nested to the depth that "@@@" stands for."""
    if isinstance(value, str) and value and not value.strip("@"):
        return "[" * len(value) + "]" * len(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)}:{_dumped(one)}" for name, one in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dumped, value)) + "]"
    return json.dumps(value)


_HEADER_NAMES = (
    *("Content-Type", "Content-Encoding", "Cookie", "Origin", "Accept-Encoding", "User-Agent"),
    *("Transfer-Encoding", "Expect", "Range", "If-None-Match", "X-Forwarded-For", "Upgrade"),
)
_HEADERS = st.dictionaries(
    st.sampled_from(_HEADER_NAMES),
    st.one_of(
        st.sampled_from(
            (
                *("gzip", "text/plain", "application/json; charset=utf-16", "multipart/form-data"),
                *("multipart/form-data; boundary=x", "websocket", "bytes=0-1", "null", "chunked"),
                *("application/x-www-form-urlencoded; charset=gbk", "100-continue", "é", ""),
                *('a="b; c', "o010001"),
            )
        ),
        st.text(
            st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"),
            max_size=30,
        ),
    ),
    max_size=2,
)


# -- requests -------------------------------------------------------------------------------------


def _fitting(name: str) -> st.SearchStrategy[object]:
    """Mostly what a field is for, so that requests get past the first look."""
    known: dict[str, st.SearchStrategy[object]] = {
        "conversation": st.sampled_from(["friend:10002", "group:20001", "session:10003"]),
        "content": CONTENTS,
        "account": st.sampled_from([10001, 10002, 10003]),
        "members": st.lists(st.sampled_from([10001, 10002, 10003]), max_size=4),
        "password": st.just(PASSWORD),
        "nick": st.text(min_size=1, max_size=24),
        **{name: st.just(f"${name}") for name in Secrets._fields},
    }
    return known.get(name, VALUES)


def _fields(names: list[str]) -> st.SearchStrategy[dict[str, object]]:
    each = {name: st.one_of(_fitting(name), _fitting(name), VALUES) for name in names}
    return st.fixed_dictionaries({}, optional=each) | st.fixed_dictionaries(each)


def _page(operation: Operation) -> st.SearchStrategy[Sent]:
    fields = _fields([parameter.name for parameter in operation.parameters])
    if operation.method == "GET":
        return st.builds(Sent, st.just("GET"), st.just(operation.path), fields, st.none(), _HEADERS)
    body = st.one_of(fields, fields, VALUES, st.binary(max_size=60))
    json_type = _HEADERS.map(lambda headers: {"Content-Type": "application/json", **headers})
    return st.builds(Sent, st.just("POST"), st.just(operation.path), st.just({}), body, json_type)


class Form(NamedTuple):
    """The body of a form.

    Args:
        r: fields of the JSON in it; None: it has none.
        plain: fields beside that.
    """

    r: object
    plain: dict[str, object]


def _exchange(exchange: Call) -> st.SearchStrategy[Sent]:
    form = exchange.form
    plain = _fields([field.name for field in form._plain.fields])
    inner = (
        _fields([field.name for field in form._inner.fields]) if form._inner.fields else st.none()
    )
    referer = REFERER_S if exchange.host == "s" else REFERER_D
    headers = _HEADERS.map(
        lambda headers: {
            "Referer": referer,
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": "ptwebqq=$ptwebqq; skey=$skey; qrsig=$qrsig; verifysession=x",
            **headers,
        }
    )
    as_query = st.builds(Sent, st.just("GET"), st.just(exchange.path), plain, st.none(), headers)
    forms = st.builds(Form, st.one_of(inner, inner, VALUES), plain)
    as_form = st.builds(
        Sent,
        st.just("POST"),
        st.just(exchange.path),
        st.just({}),
        forms | st.binary(max_size=60),
        headers,
    )
    if exchange.host == "s":
        return as_query | as_form
    return as_query if exchange.method == "GET" else as_form


def _qun(path: str) -> st.SearchStrategy[Sent]:
    plain = _fields(["bkn", "gc"])
    cookies = {"Cookie": "ptwebqq=$ptwebqq; skey=$skey"}
    return st.builds(
        Sent,
        st.just("POST"),
        st.just(path),
        st.just({}),
        st.builds(Form, st.none(), plain),
        st.just(cookies),
    )


_OTHERS = ["/", "/signin", "/page/live", "/page/static/page.js", "/page/static/..", "/check_sig"]
_OTHERS += [
    "/pt4_auth",
    "/proxy.html",
    "/login.html",
    "/cgi-bin/ver",
    "/cgi-bin/xlogin",
    "/nothing",
]
_ANY = st.builds(
    Sent,
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"]),
    st.sampled_from(
        [*_OTHERS, "/check", "/login", "/channel/poll2", "/page/state", "/page/messages"]
    ),
    _fields(["u1", "s_url", "token", "style", "mibao_css", "daid", "appid", "l", "s", "id"]),
    st.none() | st.binary(max_size=60),
    _HEADERS,
)
_EXCHANGES = {one.path: one for one in (*smartqq.EXCHANGES, *webqq3.EXCHANGES)}
REQUESTS: st.SearchStrategy[Sent] = st.one_of(
    st.sampled_from(OPERATIONS).flatmap(_page),
    st.sampled_from(list(_EXCHANGES.values())).flatmap(_exchange),
    st.sampled_from([path for path, _ in qun.ROUTES]).flatmap(_qun),
    _ANY,
)


# -- bytes ----------------------------------------------------------------------------------------


def wire_bytes(sent: Sent, secrets: Secrets, port: int) -> bytes:
    """The request as it goes over the wire."""
    query = _encoded(sent.query, secrets)
    body = _body(sent.body, secrets)
    headers = {"Host": f"127.0.0.1:{port}", "Authorization": "Bearer $token", **sent.headers}
    lines = [f"{name}: {_filled(value, secrets)}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    address = f"{sent.path}?{query}" if query else sent.path
    head = "\r\n".join([f"{sent.method} {address} HTTP/1.1", *lines, "Connection: close"])
    return f"{head}\r\n\r\n".encode("latin-1", "replace") + (body or b"")


def _filled(text: str, secrets: Secrets) -> str:
    for name, value in secrets._asdict().items():
        text = text.replace(f"${name}", value)
    return text


def _body(body: object, secrets: Secrets) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if not isinstance(body, Form):
        return _filled(_dumped(body), secrets).encode("utf-8", "surrogatepass")
    fields = dict(body.plain)
    if body.r is not None:
        fields["r"] = _dumped(_with_texts(body.r))
    return _encoded(fields, secrets).encode()


def _with_texts(r: object) -> object:
    """Clients sent the content as a JSON text in JSON."""
    if isinstance(r, dict) and isinstance(r.get("content"), list):
        return {**r, "content": _dumped(r["content"])}
    return r


def _encoded(fields: dict[str, object], secrets: Secrets) -> str:
    def text(value: object) -> bytes:
        shown = value if isinstance(value, str) else _dumped(value)
        return _filled(shown, secrets).encode("utf-8", "surrogatepass")

    return urlencode(
        {name: text(value) for name, value in fields.items()},
        quote_via=lambda value, *_: quote_from_bytes(
            value if isinstance(value, bytes) else value.encode()
        ),
    )
