"""The text of a body, in the encodings of the web.

A charset's label means what WHATWG's Encoding standard has made of it, which is what browsers do:
gb2312 is GBK, iso-8859-1 is windows-1252, and utf-7 is nothing. `webencodings` knows the labels,
Python's codecs do the work. Where these differ from the standard's indexes is in the tables here,
which were found by decoding every byte and every pair of bytes with Chromium's `TextDecoder`, too.
(What remains: some hundred rare characters of HKSCS in big5, and shift_jis's private ones.)

All of it takes time in proportion to the bytes, which is not true of all of Python's codecs.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import webencodings  # type: ignore[import-untyped]  # it has no annotations

__all__ = ["charset_of", "decode"]

#: A parameter of a media type; of one in quotes the end may be missing.
_PARAMETER = re.compile(r';\s*([^\s;="]*)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;,]*)))?')
_QUOTES = " \t\"'"
#: One of several values in a header: commas in quotes do not end it.
_VALUE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.?)*"?)+')

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))
_REPLACEMENT = "\ufffd"
#: Errors of one text that are looked at one by one: 0.5 us each.
_MAX_ERRORS = 10_000
_NO_CHANGES: Mapping[str, str] = MappingProxyType({})


class _Pairs(NamedTuple):
    """An encoding most of whose characters are pairs of bytes.

    Args:
        codec: Python's.
        spare: returns the pairs that the codec has not, "" for none.
        changes: what the standard has in the place of characters of the first.
        singles: bytes that the codec takes for errors, and what they are.
        no_lead: bytes with which no pair begins.
    """

    codec: str
    spare: Callable[[bytes], str] = lambda pair: ""
    changes: Mapping[str, str] = _NO_CHANGES
    singles: Mapping[int, str] = MappingProxyType({})
    no_lead: frozenset[int] = frozenset({0x80, 0xFF})


def _changes(before: str, after: str) -> dict[str, str]:
    return dict(zip(before, after, strict=True))


@functools.cache  # there are 65,536 pairs
def _big5_addition(pair: bytes) -> str:
    return _one_of(pair, "cp950")


@functools.cache
def _nec_addition(pair: bytes) -> str:
    """Decode an extension of JIS X 0208 by NEC or IBM; only Python's shift_jis codec has it."""
    if len(pair) < 2 or min(pair) < 0xA1:
        return ""
    row, cell = pair[0] - 0xA1, pair[1] - 0xA1
    lead = row // 2 + (0x81 if row < 62 else 0xC1)
    trail = cell + 0x9F if row % 2 else cell + (0x40 if cell < 63 else 0x41)
    return _one_of(bytes((lead, trail)), "cp932")


def _one_of(pair: bytes, codec: str) -> str:
    try:
        character = pair.decode(codec)
    except UnicodeDecodeError:
        return ""
    return character if len(character) == 1 else ""  # not two of one byte each


_GB18030 = _Pairs(
    "gb18030",
    changes=_changes(  # Python's is the edition of 2000, the standard's that of 2022
        "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796\ue7c7"
        "\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
        "\u3000\ufe10\ufe12\ufe11\ufe13\ufe14\ufe15\ufe16\ufe17\ufe18\ufe19\u1e3f"
        "\u9fb4\u9fb5\u9fb6\u9fb7\u9fb8\u9fb9\u9fba\u9fbb",
    ),
    singles={0x80: "\u20ac"},
)
_PAIRS = {
    "gbk": _GB18030,
    "gb18030": _GB18030,
    "big5": _Pairs(
        "big5hkscs",
        _big5_addition,
        changes=_changes(
            "\u2022\uff64\u203e\u223c\u2641\u2609\uff0f\uff3c\xa5\xa2\xa3",
            "\u2027\ufe51\xaf\uff5e\u2295\u2299\u2215\ufe68\uffe5\uffe0\uffe1",
        ),
    ),
    "euc-jp": _Pairs(
        "euc_jp",
        _nec_addition,
        changes=_changes("\u301c\u2016\u2212\xa2\xa3\xac", "\uff5e\u2225\uff0d\uffe0\uffe1\uffe2"),
        no_lead=frozenset({*range(0x80, 0x8E), *range(0x90, 0xA1), 0xFF}),
    ),
    "euc-kr": _Pairs("cp949"),
    "shift_jis": _Pairs("cp932", changes=_changes("\uf8f0\uf8f1\uf8f2\uf8f3", _REPLACEMENT * 4)),
}
#: Python's codecs of single bytes, where the name is another one.
_SINGLES = {
    "iso-8859-8-i": "iso8859-8",
    "macintosh": "mac-roman",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac-cyrillic",
}
_SINGLE_CHANGES = {
    "koi8-u": {0xAE: "\u045e", 0xBE: "\u040e"},
    "windows-1255": {0xCA: "\u05ba"},
}
#: Four bytes of gb18030, and what begins so and goes on otherwise: there the first one is wrong.
_FOUR = re.compile(rb"(?:[\x81-\xfe][0-9]){2}")
_NO_FOUR = re.compile(rb"[\x81-\xfe][0-9][^\x81-\xfe]")
_ESCAPE = re.compile(rb"\x1b(\([BJI]|\$[@B])")


def charset_of(content_types: Iterable[str]) -> str:
    """The charset that a response declares, "" if none.

    Args:
        content_types: the values of its Content-Type headers. The last type counts, with the
            charset that it has, or that the same type had before (Fetch, 2.2.3).

    Example:
        >>> charset_of(['text/html; charset="GB2312"'])
        'gb2312'
    """
    found = essence = ""
    for value in _VALUE.findall(",".join(content_types)):
        kind = value.partition(";")[0].strip().lower()
        if kind == "*/*" or (essence and "/" not in kind):
            continue
        charset = _charset_in(value)
        if charset or kind != essence:
            found, essence = charset, kind
    return found


def _charset_in(value: str) -> str:
    for name, quoted, token in _PARAMETER.findall(value):
        if name.lower() == "charset" and (charset := (quoted or token).strip(_QUOTES)):
            return str(charset.lower())
    return ""


def decode(body: bytes, charset: str = "") -> str:
    r"""The text of a body. Invalid bytes become U+FFFD, nothing is an error.

    A byte order mark counts more than the charset, and an unknown charset is UTF-8.

    Args:
        body: all of it.
        charset: a label of WHATWG's Encoding standard, in any case.

    Example:
        >>> decode(b"\x80 5", "iso-8859-1")
        '€ 5'
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    encoding = webencodings.lookup(charset) if charset.isascii() else None
    name = "utf-8" if encoding is None else encoding.name
    if name in {"utf-8", "utf-16le", "utf-16be"}:
        return body.decode(name, "replace")
    if name == "replacement":  # ways to smuggle markup, the standard says
        return _REPLACEMENT if body else ""
    if name == "iso-2022-jp":
        return _decode_escaped(body)
    if name in _PAIRS:
        return _decode_pairs(body, _PAIRS[name])
    return codecs.charmap_decode(body, "replace", _table(name))[0]


@functools.cache
def _table(name: str) -> str:
    """The characters of an encoding of single bytes."""
    if name == "x-user-defined":
        return "".join(chr(byte if byte < 0x80 else byte + 0xF700) for byte in range(256))
    codec = _SINGLES.get(name, name)
    characters = list(bytes(range(256)).decode(codec, "replace"))
    if name.startswith("windows-"):  # what Microsoft left out are controls of Latin-1
        for byte in range(0x80, 0xA0):
            characters[byte] = characters[byte].replace(_REPLACEMENT, chr(byte))
    for byte, character in _SINGLE_CHANGES.get(name, {}).items():
        characters[byte] = character
    return "".join(characters)


# -- pairs ----------------------------------------------------------------------------------------


def _decode_pairs(body: bytes, pairs: _Pairs) -> str:
    return _changed(body.decode(pairs.codec, f"{_HANDLERS}{pairs.codec}"), pairs.changes)


def _changed(text: str, changes: Mapping[str, str]) -> str:
    if changes and _pattern_of("".join(changes)).search(text):
        for before, after in changes.items():  # all in C, which str.translate is not
            text = text.replace(before, after)
    return text


@functools.cache
def _pattern_of(characters: str) -> re.Pattern[str]:
    return re.compile(f"[{re.escape(characters)}]")


#: Names of Python's registry of error handlers begin so.
_HANDLERS = "webqq_tornado-"


def _on_error(pairs: _Pairs, error: UnicodeError) -> tuple[str, int]:
    """Handle an invalid pair as the standard asks, as an error handler of `codecs`.

    Python's own replaces one byte and continues with the second one of the pair: all that follows,
    up to the next ASCII, is then read one byte off.
    """
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - nothing is encoded with it
    data, start = error.object, error.start
    single = pairs.singles.get(data[start])
    if single is not None:
        return single, start + 1
    if error.reason.startswith("incomplete") and not _NO_FOUR.match(data, start):
        return _REPLACEMENT, len(data)
    character = pairs.spare(data[start : start + 2])
    if character:
        return character, start + 2
    # The codecs of pairs make one error object for a text.
    count = error.__dict__["count"] = error.__dict__.get("count", 0) + 1
    if count > _MAX_ERRORS:  # that is no text
        return data[start:].decode(pairs.codec, "replace"), len(data)
    if pairs is _GB18030 and (four := _FOUR.match(data, start)):  # that stand for no character
        return _REPLACEMENT, four.end()
    # Never the second byte if it is ASCII: that may be the end of a quotation, or of a tag.
    is_pair = data[start] not in pairs.no_lead and data[start + 1] > 0x7F
    return _REPLACEMENT, start + (2 if is_pair else 1)


for _pairs in _PAIRS.values():
    codecs.register_error(f"{_HANDLERS}{_pairs.codec}", functools.partial(_on_error, _pairs))


# -- escapes --------------------------------------------------------------------------------------


def _decode_escaped(body: bytes) -> str:
    """ISO-2022-JP: seven bits, and an escape where the alphabet changes."""
    first, *rest = _ESCAPE.split(body)
    parts = [_decode_segment(b"(B", first)]
    for number in range(0, len(rest), 2):
        alphabet, segment = rest[number], rest[number + 1]
        is_last = number + 2 == len(rest)
        # Two escapes in a row are an error: nothing is to hide between them.
        parts.append(_decode_segment(alphabet, segment) if segment or is_last else _REPLACEMENT)
    return _changed("".join(parts), _PAIRS["euc-jp"].changes)


def _decode_segment(alphabet: bytes, segment: bytes) -> str:
    table = _ALPHABETS.get(alphabet)
    if table is None:
        return segment.translate(_EIGHT_BITS).decode("euc_jp", f"{_HANDLERS}euc_jp")
    return codecs.charmap_decode(segment, "replace", table)[0]


def _alphabet(changes: Mapping[int, str]) -> str:
    no_text = dict.fromkeys((0x0E, 0x0F, 0x1B, *range(0x80, 0x100)), _REPLACEMENT)
    return "".join({**no_text, **changes}.get(byte, chr(byte)) for byte in range(0x100))


_ALPHABETS = {
    b"(B": _alphabet({}),
    b"(J": _alphabet({0x5C: "\xa5", 0x7E: "\u203e"}),
    b"(I": "".join(
        chr(byte + 0xFF61 - 0x21) if 0x21 <= byte < 0x60 else _REPLACEMENT for byte in range(0x100)
    ),
}
_EIGHT_BITS = bytes(byte | 0x80 if 0x21 <= byte <= 0x7E else 0x80 for byte in range(0x100))
