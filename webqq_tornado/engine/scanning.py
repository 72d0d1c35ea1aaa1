r"""Named values in text of any kind, and the exact place where each stands.

Queries, forms, JSON, JSONP, JavaScript, HTML, multipart bodies and header lines are all read for
one purpose: to find values by their names, so that a few of them can be replaced and every other
byte stays as it is. Nothing is parsed into objects and written again: that would round numbers,
merge keys and lose spaces. Text within text (JSON in a form field, a URL in JSON) is decoded
together with the position of each of its characters, and what is found there is a span of the
outermost text.

The functions yield spans and ask a predicate which values are meant. They know no name of their
own, never raise on malformed text, and take time that is linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

__all__ = ["How", "Span", "is_form", "multipart_spans", "pair_spans", "text_spans", "url_spans"]


class How(Enum):
    """Kind of the place at which a value stands."""

    PAIR = auto()  # of a query, a form, or a part of a multipart body
    TEXT = auto()  # in quotes, or up to the end of its word or line
    NUMBER = auto()  # of JSON: what replaces it must be a number
    NAME = auto()  # the value is not known yet: may it be meant?
    TEXT_WITHIN = auto()  # the value is a text: may a name or value that is meant be in it?
    CONTAINER = auto()  # a JSON object: are the values in it meant?
    INSIDE = auto()  # in such an object, under a name of its own


class Span(NamedTuple):
    """A value from `start` to `end`."""

    start: int
    end: int
    is_number: bool = False


#: Whether the value under a name is meant: name and value are decoded.
Chosen: TypeAlias = Callable[[str, str, How], bool]

#: Layers of text within text.
_MAX_DEPTH = 8
_NAME = r"[\w$.\[\]-]{1,80}"
_JSON_START = re.compile(r'(?:\A|[\s{\[(=:,])"|[\[{(]\s*[\[{]')
# No alternative overlaps another, and the closing quote may be missing: so it never backtracks.
_JSON_TOKEN = re.compile(
    r'"(?P<string>(?:[^"\\]+|\\.)*)(?:"|\\?\Z)(?P<colon>\s{0,80}:)?'
    r"|(?P<open>[{\[])|(?P<close>[}\]])|(?P<number>-?\d[\w.+-]*)",
    re.DOTALL,
)
_ASSIGNED = re.compile(rf"(?<![\w$.\[\]-])({_NAME})(\\{{0,4}}[\"'`]?)(\s{{0,8}}(?:=>?|:)\s{{0,8}})")
_QUOTED = re.compile(
    r"(?:[\w.]{1,40}\(\s{0,8})?"
    r"(?:\"((?:[^\"\\\r\n]|\\.)*)|'((?:[^'\\\r\n]|\\.)*)|`((?:[^`\\]|\\.)*))"
)
_BARE = re.compile(rf"(?:(?![;,]{_NAME}=)[^\s&\"'`<>\\(){{}}])+")
_LINE = re.compile(
    rf"^({_NAME})[ \t]*[:=][ \t]*(?=[^\s\"'{{\[(])([^\r\n]*[^\s,;{{(])[ \t]*\r?$", re.MULTILINE
)
_ELEMENT = re.compile(r"<([\w:.-]{1,80})(?:\s[^<>]{0,1000})?>([^<>]{1,4000})</")
_TAG = re.compile(r"<(?:input|meta|param|button|option)\b([^<>]{1,4000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w:-]{1,80})\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_PATH_PARAMETER = re.compile(r";([^;=/]+)=([^;/]*)")
_USERINFO = re.compile(r"(?:(?<=:)|\A)//([^\s/?#\"'<>\\@]{1,1000})@")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*")
_CREDENTIALS = re.compile(r"\b(?:bearer|basic)\s{1,4}([\w.~+/-]{8,}=*)", re.IGNORECASE)
_FORM = re.compile(r"[^\s=&;,:/?#<>\"'{}\[\]()]{1,200}(?:\[[^\s=&\[\]]*\])*=[^\s\"'<>]*")
_URL = re.compile(r"(?:[A-Za-z][\w+.-]*:)?//[^\s\"'<>]*|[^\s\"'<>=&?#]*[?#][^\s\"'<>]*")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})|\+")
_PERCENT_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORTH_A_LOOK = re.compile(r"[=:%{\[]|eyJ")
_PART_NAME = re.compile(r"""\bname\*?=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))""", re.IGNORECASE)


def text_spans(text: str, chosen: Chosen, depth: int = 0) -> Iterator[Span]:
    """The values in text of an unknown kind.

    Args:
        text: a body, a header's value, or what was decoded from one.
        chosen: which values are meant.
        depth: how many layers it was decoded from.
    """
    # Most values are words: one look, and none of the patterns runs.
    if depth > _MAX_DEPTH or not _WORTH_A_LOOK.search(text):
        return
    if not chosen("", text, How.TEXT_WITHIN):
        return
    if is_form(text):
        yield from pair_spans(text, chosen, depth)
    elif _URL.fullmatch(text):
        yield from url_spans(text, chosen, depth)
    else:
        start = _JSON_START.search(text)
        if start:
            yield from _json_spans(text, start.start(), chosen, depth)
        if _PERCENT_ESCAPE.search(text):
            decoded, places = _decoded(text, _PERCENT_ESCAPE, _unquoted)
            yield from _moved(text_spans(decoded, chosen, depth + 1), places, 0)
        yield from _assigned_spans(text, chosen)
        yield from _named_spans(text, chosen, is_outermost=not depth)
        yield from _shaped_spans(text)


def is_form(text: str) -> bool:
    """Return True if a text consists of pairs of name and value, as in a query or form."""
    return _FORM.fullmatch(text) is not None


def pair_spans(text: str, chosen: Chosen, depth: int = 0) -> Iterator[Span]:
    """The values in a query or form.

    Args:
        text: as it is sent.
        chosen: which values are meant.
        depth: how many layers it was decoded from.
    """
    # Split and not parsed: what is empty or comes twice keeps its place.
    start = 0
    for pair in text.split("&"):
        name, equals, value = pair.partition("=")
        at = start + len(name) + 1 if equals else start
        said = value if equals else pair
        decoded, places = _decoded(said, _PERCENT, _unquoted)
        if equals and chosen(_decoded(name, _PERCENT, _unquoted)[0], decoded, How.PAIR):
            yield Span(at, at + len(value))
        else:
            yield from _moved(text_spans(decoded, chosen, depth + 1), places, at)
        start += len(pair) + 1


def url_spans(url: str, chosen: Chosen, depth: int = 0) -> Iterator[Span]:
    """The values in a URL: its credentials, path parameters, query and fragment.

    Args:
        url: absolute or relative.
        chosen: which values are meant.
        depth: how many layers it was decoded from.
    """
    before, _, fragment = url.partition("#")
    path, _, query = before.partition("?")
    for found in _PATH_PARAMETER.finditer(path):
        if chosen(found[1], found[2], How.PAIR):
            yield Span(*found.span(2))
    yield from _shaped_spans(path)
    if query:
        yield from _shifted(pair_spans(query, chosen, depth), len(path) + 1)
    if fragment:
        inner = pair_spans if is_form(fragment) else text_spans
        yield from _shifted(inner(fragment, chosen, depth + 1), len(before) + 1)


def multipart_spans(text: str, boundary: str, chosen: Chosen) -> Iterator[Span]:
    """The values in a multipart body.

    Args:
        text: of the body.
        boundary: as its Content-Type says; "" takes that of its first line.
        chosen: which values are meant.
    """
    for part in parts_of(text, boundary):
        content = text[part.start : part.end]
        if chosen(part.name, content, How.PAIR):
            yield Span(part.start, part.end)
        else:
            yield from _shifted(text_spans(content, chosen, 1), part.start)


class Part(NamedTuple):
    """One part of a multipart body: its name, its headers, and where its content stands."""

    name: str
    head: str
    start: int
    end: int


def parts_of(text: str, boundary: str) -> Iterator[Part]:
    """The parts of a multipart body (RFC 2046, 5.1.1).

    Args:
        text: of the body.
        boundary: as its Content-Type says; "" takes that of its first line.
    """
    delimiter = f"--{boundary}" if boundary else text.lstrip().partition("\n")[0].strip()
    if not delimiter.startswith("--"):
        return
    end = text.find(delimiter)
    while end >= 0:
        start = end + len(delimiter)
        end = text.find(f"\n{delimiter}", start)
        break_at = re.compile(r"\r?\n\r?\n").search(text, start, len(text) if end < 0 else end)
        if break_at:
            head, content = text[start : break_at.start()], break_at.end()
            found = _PART_NAME.search(head)
            # The line break before a delimiter is a part of that (RFC 2046, 5.1.1).
            stop = len(text) if end < 0 else max(content, end - (text[end - 1] == "\r"))
            yield Part((found[1] or found[2] or "") if found else "", head, content, stop)
        end += end >= 0


# -- JSON, and what looks like it ---------------------------------------------------------------


def _json_spans(text: str, start: int, chosen: Chosen, depth: int) -> Iterator[Span]:
    """The values in the JSON that begins somewhere in a text; also several documents, or half."""
    outer: list[tuple[str, bool]] = []
    name, is_inside = "", False
    for token in _JSON_TOKEN.finditer(text, start):
        kind = token.lastgroup
        # The name stays until the next: it is that of all values in an array.
        if kind == "colon":
            name = _decoded(token["string"], _ESCAPE, _unescaped)[0]
        elif kind == "open":
            outer.append((name, is_inside))
            is_inside = is_inside or (token[0] == "{" and chosen(name, "", How.CONTAINER))
        elif kind == "close":
            # Text may begin in the middle of a document, and have one bracket too many.
            name, is_inside = outer.pop() if outer else ("", False)
        elif is_inside or chosen(name, "", How.NAME):
            how = How.INSIDE if is_inside else How.TEXT
            yield from _value_spans(token, name, how, chosen, depth)
        elif kind == "string" and _WORTH_A_LOOK.search(text, *token.span("string")):
            yield from _value_spans(token, "", How.TEXT, chosen, depth)


def _value_spans(
    token: re.Match[str], name: str, how: How, chosen: Chosen, depth: int
) -> Iterator[Span]:
    """A string or number of JSON, or what is in the string."""
    if token["number"]:
        if chosen(name, token["number"], How.NUMBER):
            yield Span(*token.span("number"), is_number=True)
        return
    value, places = _decoded(token["string"], _ESCAPE, _unescaped)
    if chosen(name, value, how):
        yield Span(*token.span("string"))
    else:
        yield from _moved(text_spans(value, chosen, depth + 1), places, token.start("string"))


# -- text that has no grammar -------------------------------------------------------------------


def _assigned_spans(text: str, chosen: Chosen) -> Iterator[Span]:
    """``name=value``, ``name: "value"``, ``name=call('value')``."""
    end = 0
    while found := _ASSIGNED.search(text, end):
        end = found.end()
        name, quote, sign = found.groups()
        if not chosen(name, "", How.NAME):
            continue
        value = _QUOTED.match(text, end)
        if not (value and value.lastindex) and sign == "=" and not quote:
            value = _BARE.match(text, end)
        if value:
            end = value.end()  # what was looked at is not looked at again: `a=a=a=a=...`
            span = value.span(value.lastindex or 0)
            # What is called is a function, and no value.
            if text[end : end + 1] != "(" and chosen(name, text[slice(*span)], How.TEXT):
                yield Span(*span)


def _named_spans(text: str, chosen: Chosen, *, is_outermost: bool) -> Iterator[Span]:
    """``Name: value`` that is a line, ``<name>value</name>``, ``<input name=... value=...>``."""
    for pattern in (_LINE, _ELEMENT) if is_outermost else (_ELEMENT,):
        for found in pattern.finditer(text):
            if chosen(found[1], found[2], How.TEXT):
                yield Span(*found.span(2))
    for tag in _TAG.finditer(text):
        given = {one[1].lower(): one for one in _ATTRIBUTE.finditer(text, *tag.span(1))}
        names = [_said(given[key]) for key in ("name", "property", "id") if key in given]
        for key in ("value", "content"):
            if key in given and any(chosen(one, _said(given[key]), How.TEXT) for one in names):
                yield Span(*given[key].span(given[key].lastindex or 0))


def _said(attribute: re.Match[str]) -> str:
    return attribute[attribute.lastindex or 0]


def _shaped_spans(text: str) -> Iterator[Span]:
    """Spans that are secrets by their form, whatever their name."""
    for pattern in (_USERINFO, _CREDENTIALS):
        for found in pattern.finditer(text):
            if pattern is _USERINFO or re.search(r"\d|=\Z", found[1]):  # else it is a word
                yield Span(*found.span(1))
    for found in _JWT.finditer(text):
        yield Span(*found.span())


# -- text within text ---------------------------------------------------------------------------


def _decoded(
    raw: str, pattern: re.Pattern[str], decode: Callable[[re.Match[str]], str]
) -> tuple[str, Sequence[int]]:
    """The text that is meant, and where in `raw` each of its characters begins."""
    if not pattern.search(raw):
        return raw, range(len(raw) + 1)
    pieces: list[str] = []
    places: list[int] = []
    end = 0
    for found in pattern.finditer(raw):
        # `decode` returns one character: so each has one place, and one more place is the end.
        pieces += (raw[end : found.start()], decode(found))
        places += range(end, found.start() + 1)
        end = found.end()
    places += range(end, len(raw) + 1)
    return "".join((*pieces, raw[end:])), places


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2])


def _unquoted(found: re.Match[str]) -> str:
    # A byte is a character: what it means in which encoding is of no matter to names.
    return chr(int(found[1], 16)) if found[1] else " "


def _moved(spans: Iterator[Span], places: Sequence[int], start: int) -> Iterator[Span]:
    for one in spans:
        yield Span(places[one.start] + start, places[one.end] + start, one.is_number)


def _shifted(spans: Iterator[Span], start: int) -> Iterator[Span]:
    for one in spans:
        yield Span(one.start + start, one.end + start, one.is_number)
