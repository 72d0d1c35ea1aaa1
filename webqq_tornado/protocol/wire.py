r"""The grammar of what goes over the wire: JSONP calls, JSON replies, XML escapes.

Texts in, values out; what the values mean is known one level up (`fields`, `contacts`,
`messages`). Whatever is wrong raises `ValueError` (a deep nesting: `RecursionError`) here, and
becomes a `ProtocolError` at one door, `webqq_tornado.protocol.exchange`.

The JSONP grammar, as ptlogin2 wrote it and clients of 2013 `eval`ed it::

    call     = name "(" [ literal { "," literal } ] ")" [ ";" ]
    literal  = string | number | "null" | "true" | "false"
    string   = "'" { character | escape } "'"  |  '"' { character | escape } '"'
    escape   = "\" ( "x" hex hex | "u" hex hex hex hex | any other character )
"""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import NamedTuple, NoReturn, TypeAlias

__all__ = [
    "MAX_DEPTH",
    "Call",
    "Envelope",
    "Literal",
    "build_call",
    "build_refusal",
    "clean",
    "decode",
    "dump",
    "dump_for_people",
    "escape",
    "excerpt",
    "load",
    "parse_call",
    "parse_envelope",
    "quote",
]

Literal: TypeAlias = "str | int | float | bool | None"

MAX_DIGITS = 19
"""The longest number that we read: 64 bits."""
MAX_DEPTH = 32
"""Lists and objects in each other that a server reads; clients sent three."""


class Call(NamedTuple):
    """One JSONP call.

    Args:
        name: Name of the function.
        arguments: Its arguments.
    """

    name: str
    arguments: tuple[Literal, ...]


class Envelope(NamedTuple):
    """The envelope around the result of every JSON reply.

    Args:
        retcode: 0 for ok; ``retcode``, or in late SmartQQ ``errCode`` or ``ec``.
        result: ``result``, or None.
        text: ``errmsg`` or ``msg``, or empty.
        p: The new ptwebqq of retcode 116, or empty.
    """

    retcode: int
    result: object = None
    text: str = ""
    p: str = ""


# --- texts ------------------------------------------------------------------------------------


def decode(body: bytes) -> str:
    """A reply's text.

    Always UTF-8, whatever the header says. Nicks were cut at a byte length now and then, so a
    broken character becomes U+FFFD and does not cost the whole reply.
    """
    return body.decode("utf-8-sig", "replace")


def clean(text: str) -> str:
    r"""The text with each lone surrogate replaced by U+FFFD, pairs joined: safe to encode.

    Example:
        >>> clean("a\ud800b")
        'a\ufffdb'
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


# Long runs are tokens (a psessionid has 300 characters, a ptwebqq 64, a skey 10 after an "@").
_TOKEN = re.compile(r"[0-9A-Za-z_*~%@-]{16,}|@[0-9A-Za-z]{9}")
_NAMED = re.compile(
    r"""(?i)(psessionid|[pv]fwebqq|ptwebqq|ptvfsession|skey|sig|"p"|token|pass\w*|hash)"""
    r"""(["']?\s*[:=]\s*["']?)[^"'&,;\s})]+"""
)
# The address that a login leads to: every value in it may be a signature.
_QUERY = re.compile(r"""([?&]\w{1,40}=)[^&"'\s]+""")


def excerpt(text: str, limit: int = 80) -> str:
    """The beginning of a text for an error message, tokens as stars, on one line.

    Args:
        text: What came.
        limit: Length in characters.

    Example:
        >>> excerpt('{"retcode":0,"result":{"psessionid":"8f0d"')
        '{"retcode":0,"result":{"psessionid":"***"'
    """
    # Cut generously before masking: a token must not be cut to something that looks harmless.
    named = _NAMED.sub(r"\1\2***", clean(text[: limit * 20]))
    masked = _TOKEN.sub("***", _QUERY.sub(r"\1***", named))
    line = " ".join(masked.split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= limit else line[:limit] + "..."


_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", " ": "&nbsp;"}
)


def escape(text: str) -> str:
    """A name as the lists of qun.qq.com wrote it; the other hosts wrote names as they are.

    Example:
        >>> escape("<3 & more")
        '&lt;3&nbsp;&amp;&nbsp;more'
    """
    return text.translate(_ESCAPES)


# --- JSON -------------------------------------------------------------------------------------


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1:
        raise ValueError("number too long")
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # could be read, but not be written again
        raise ValueError("number too large")
    return number


# Not strict: there were clients that put their JSON together by hand, with line ends as they are
# in the text of a message (zeruniverse/QQRobot 2017).
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_int=_bounded_int,
    parse_float=_finite_float,
    strict=False,
)


def load(text: str, depth: int | None = None) -> object:
    """The value of a JSON text.

    Args:
        text: What came.
        depth: Lists and objects in each other at most. What Python could just read, it could not
            write again from a deeper place, so what a server reads has a bound.

    Raises:
        ValueError: Not JSON, NaN or Infinity, a number of more than 64 bits or above a float's,
            nested deeper than `depth`.
        RecursionError: Nested deeper than Python reads.
    """
    if depth is not None and text.count("[") + text.count("{") > depth and _depth(text) > depth:
        raise ValueError("nested too deeply")
    return _DECODER.decode(text)


# A text that does not end is one token, too: else each of its quotes would be tried anew.
_TOKENS = re.compile(r'"(?:[^"\\]|\\[\s\S])*(?:"|\Z|\\\Z)|[\[{]|[\]}]')


def _depth(text: str) -> int:
    """How many lists and objects are open at once at most."""
    marks = (found[0] for found in _TOKENS.findall(text) if found[0] != '"')
    steps = (1 if mark in "[{" else -1 for mark in marks)
    return max(itertools.accumulate(steps), default=0)


# `json.dumps` would make one for each value, which takes longer than to write a message.
_ENCODERS = {
    (is_ascii, is_sorted): json.JSONEncoder(
        ensure_ascii=is_ascii, sort_keys=is_sorted, separators=(",", ":")
    )
    for is_ascii in (False, True)
    for is_sorted in (False, True)
}


def dump(value: object, *, is_ascii: bool = True, is_sorted: bool = False) -> str:
    r"""A value as compact JSON.

    Args:
        value: Of what JSON has.
        is_ascii: Whether what is not ASCII is written as ``\uXXXX``.
        is_sorted: Whether the fields of objects are written by the alphabet.
    """
    text = _ENCODERS[is_ascii, is_sorted].encode(value)
    return clean(text)  # a part that was kept as it came may have half a character


def dump_for_people(value: object) -> str:
    r"""A value as one line of JSON with letters of all scripts as they are.

    What does nothing good to a terminal (control characters, also U+009B, which begins an escape
    sequence; marks that turn the direction of writing) is escaped: a reader of the JSON has the
    same text.

    Example:
        >>> print(dump_for_people(["微笑", "\x9b31m"]))
        ["微笑", "\u009b31m"]
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else json.dumps(character)[1:-1] for character in text
    )


def parse_envelope(text: str) -> Envelope:
    """Parse the envelope of a JSON reply.

    Raises:
        ValueError: Not JSON, not an object, no retcode.
        RecursionError: Nested deeper than Python reads.
    """
    reply = load(text)
    if not isinstance(reply, dict):
        raise ValueError("an object was expected")
    codes = (reply[key] for key in ("retcode", "errCode", "ec") if key in reply)
    code = next(codes, None)
    if isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,9}", code):
        code = int(code)
    if type(code) is not int:
        raise ValueError("retcode is missing or not a number")
    texts = (reply[key] for key in ("errmsg", "msg") if isinstance(reply.get(key), str))
    p = reply.get("p")
    return Envelope(
        code, reply.get("result"), clean(next(texts, "")), clean(p) if isinstance(p, str) else ""
    )


def build_refusal(retcode: int, text: str = "") -> str:
    """The answer of a server that says no.

    Example:
        >>> build_refusal(100000)
        '{"retcode":100000,"errmsg":""}'
    """
    return dump({"retcode": retcode, "errmsg": text})


# --- JSONP ------------------------------------------------------------------------------------

_OPEN = re.compile(r"\s*([A-Za-z_$][\w$]{0,63}(?:\.[A-Za-z_$][\w$]{0,63}){0,3})\s*\(\s*", re.ASCII)
# Two runs of white space never meet: a megabyte of it would be tried at every place.
_CLOSE = re.compile(r"\s*\)\s*(?:;\s*)?\Z")
_COMMA = re.compile(r"\s*,\s*")
_STRING = re.compile(r"""'((?:[^'\\\r\n]|\\[\s\S])*)'|"((?:[^"\\\r\n]|\\[\s\S])*)\"""")
_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,3})?(?![\w.])", re.ASCII)
_WORD = re.compile(r"(?:null|true|false)(?!\w)")
_WORDS: dict[str, Literal] = {"null": None, "true": True, "false": False}
_JS_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|\r\n|[\s\S])")
# A backslash before a line end continues the string; before anything else not here it is dropped.
_JS_CHARACTERS = {
    **dict.fromkeys(("\n", "\r", "\r\n", "\u2028", "\u2029"), ""),
    **{"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"},
}


def _js_character(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) > 1 and code[0] in "xu":
        return chr(int(code[1:], 16))
    if code in "xu":
        raise ValueError(f"\\{code} without its digits in a string")
    return _JS_CHARACTERS.get(code, code)


def _string(found: re.Match[str]) -> str:
    inner = found[1] if found[1] is not None else found[2]
    return clean(_JS_ESCAPE.sub(_js_character, inner))


def _number(found: re.Match[str]) -> int | float:
    return float(found[0]) if found[1] or found[2] else int(found[0])


def _word(found: re.Match[str]) -> Literal:
    return _WORDS[found[0]]


_LITERALS = ((_STRING, _string), (_NUMBER, _number), (_WORD, _word))


def _literal(text: str, at: int) -> tuple[Literal, int]:
    for pattern, value_of in _LITERALS:
        found = pattern.match(text, at)
        if found:
            return value_of(found), found.end()
    raise ValueError(f"a string, number or null was expected at character {at}")


def parse_call(text: str) -> Call:
    r"""The JSONP call that a text is.

    Raises:
        ValueError: It is not one call with literals and nothing else.

    Example:
        >>> parse_call(r"ptui_checkVC('0','!PTH','\x00\x05');")
        Call(name='ptui_checkVC', arguments=('0', '!PTH', '\x00\x05'))
    """
    opened = _OPEN.match(text)
    if not opened:
        raise ValueError("a call was expected")
    at = opened.end()
    arguments: list[Literal] = []
    while not _CLOSE.match(text, at):
        if arguments:
            comma = _COMMA.match(text, at)
            if not comma:
                raise ValueError(f"a comma or the end of the call was expected at character {at}")
            at = comma.end()
        value, at = _literal(text, at)
        arguments.append(value)
    return Call(opened[1], tuple(arguments))


_TO_QUOTE = re.compile("[\x00-\x1f'\\\\\x7f-\x9f\u2028\u2029]")


def _js_escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in "'\\":
        return "\\" + character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def quote(text: str) -> str:
    r"""A text as a single-quoted JavaScript string.

    Example:
        >>> quote("it's")
        "'it\\'s'"
    """
    return f"'{_TO_QUOTE.sub(_js_escape, clean(text))}'"


def build_call(name: str, *arguments: str) -> str:
    """A JSONP call as ptlogin2 wrote it.

    Args:
        name: Name of the function.
        arguments: JavaScript literals, in the source's form (see `quote`).

    Example:
        >>> build_call("ptui_checkVC", quote("0"), quote("!PTH"))
        "ptui_checkVC('0','!PTH');"
    """
    return f"{name}({','.join(arguments)});"
