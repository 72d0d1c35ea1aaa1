"""CQ codes: ``[CQ:type,key=value,…]`` in a text (OB message/string.md).

In text ``&``, ``[`` and ``]`` are escaped, in values ``,`` as well; ``&amp;`` is unescaped last.
The name ends at the first ``,`` or ``]``; parameters are split at ``,``, each at its first ``=``.
Values may hold line ends and ``=``. Blanks count, but for those before a key, and a trailing
comma is taken (NB message.py). An unfinished code is text (GC drops what follows).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from ...protocol import wire

__all__ = ["Code", "build", "escape", "parse", "unescape"]

#: Type and data of one part of a text; plain text has the type ``text``.
Code: TypeAlias = tuple[str, dict[str, object]]

_CODE = re.compile(r"\[CQ:([^\[\],&]+)((?:,[^\[\],]*)*)\]")
_ESCAPES = {"&#91;": "[", "&#93;": "]", "&#44;": ",", "&amp;": "&"}
_ESCAPED = re.compile("|".join(map(re.escape, _ESCAPES)))
_TO_ESCAPE = re.compile(r"[&\[\]]")
_TO_ESCAPE_IN_VALUE = re.compile(r"[&\[\],]")
_WRITTEN = {character: escape for escape, character in _ESCAPES.items()}


def escape(text: str, *, is_value: bool = False) -> str:
    """A text with its special characters escaped.

    Args:
        text: plain.
        is_value: whether it is the value of a parameter, where a comma is special, too.

    Example:
        >>> escape("[a] & b"), escape("a,b", is_value=True)
        ('&#91;a&#93; &amp; b', 'a&#44;b')
    """
    special = _TO_ESCAPE_IN_VALUE if is_value else _TO_ESCAPE
    return special.sub(lambda found: _WRITTEN[found[0]], text)


def unescape(text: str) -> str:
    """The reverse of `escape`.

    Args:
        text: escaped; one pass, so that ``&amp;#91;`` is ``&#91;``.
    """
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)


def build(kind: str, data: Mapping[str, str]) -> str:
    """One CQ code.

    Args:
        kind: its type.
        data: values by name.

    Example:
        >>> build("image", {"file": "a,b.png"})
        '[CQ:image,file=a&#44;b.png]'
    """
    values = "".join(f",{name}={escape(value, is_value=True)}" for name, value in data.items())
    return f"[CQ:{kind}{values}]"


def parse(text: str) -> list[Code]:
    """The parts of a CQ string; texts may be empty.

    Args:
        text: with CQ codes.

    Example:
        >>> parse("hi [CQ:face,id=14]")
        [('text', {'text': 'hi '}), ('face', {'id': '14'}), ('text', {'text': ''})]
    """
    text = wire.clean(text)
    parts: list[Code] = []
    at = 0
    for found in _CODE.finditer(text):
        parts.append(_text(text[at : found.start()]))
        parts.append((found[1].strip(), _values(found[2])))
        at = found.end()
    return [*parts, _text(text[at:])]


def _text(text: str) -> Code:
    return "text", {"text": unescape(text)}


def _values(text: str) -> dict[str, object]:
    pairs = (pair.partition("=") for pair in text.split(",") if pair.strip())
    return {name.strip(): unescape(value) for name, _, value in pairs}
