"""Mentions in a text: "@name" by whole names, in any script.

A name ends before a space, a comma and the like, not inside a longer name: "@Bot-x", "@Bot2" and
"@Ботик" mention neither Bot nor Бот. In scripts without spaces the next word may follow at once
("@小冰你好"), as may Chinese after a Latin name and vice versa. If another member of the
conversation has a longer name that also matches, that one is mentioned: "@Bot Two, hello" does not
mention Bot in a conversation with Bot Two.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["is_mentioned", "said_to"]

#: Prefixes of a command; the second is how a Chinese keyboard writes it.
_MARKS = ("!", "！")
#: Prefixes of a name: ASCII, full width, small. Not after a letter: that is a mail address.
_AT = r"(?<![A-Za-z0-9._%+-])[@＠﹫]"
#: Characters allowed between "@name" and the text.
_BETWEEN = re.compile(r"[,:;!?.，：；！？、。…]*[\s,:;，：；、]*")
#: Scripts without spaces between words: Han, kana, bopomofo, Thai, Lao, Burmese, Khmer.
_UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3"
)
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
#: End of a name. A point or an apostrophe ends one only at the end of a word.
_END = rf"""\Z|[\s@＠﹫,:;!?，：；！？、。…\[)\]}}"”»」』】》]|[.'’](?!\w)|[{_UNSPACED}]"""


def said_to(names: Iterable[str], text: str, others: Iterable[str] = ()) -> str | None:
    """The words after "!" or "@name" at the start of a text; None if it is not addressed.

    Args:
        names: of the bot, in any case; empty ones are ignored.
        text: of the message.
        others: names of the other members of the conversation.

    Example:
        >>> said_to(["Bob"], "@bob, ping"), said_to(["Bob"], "@Bobby ping")
        ('ping', None)
    """
    text = text.strip()
    if text[:1] in _MARKS:
        return text[1:].strip()
    text = _composed(text)
    found = _pattern(tuple(names)).match(text)
    if found is None or _is_of_another(found, others):
        return None
    between = _BETWEEN.match(text, found.end())
    return text[between.end() if between else found.end() :].strip()


def is_mentioned(names: Iterable[str], text: str, others: Iterable[str] = ()) -> bool:
    """Return True if a text has "@name" anywhere.

    Args:
        names: as for `said_to`.
        text: of the message.
        others: as for `said_to`.

    Example:
        >>> is_mentioned(["Bot"], "ask @Bot."), is_mentioned(["Bot"], "ask @Bot-x.")
        (True, False)
    """
    others = tuple(others)
    found = _pattern(tuple(names)).finditer(_composed(text))
    return any(not _is_of_another(one, others) for one in found)


def _is_of_another(found: re.Match[str], others: Iterable[str]) -> bool:
    """Return True if a longer name of another member matches at that place."""
    mentioned = _compared(found[0][1:])
    longer = tuple(other for other in others if _compared(other).startswith(mentioned))
    theirs = _pattern(longer).match(found.string, found.start()) if longer else None
    return theirs is not None and theirs.end() > found.end()


@functools.lru_cache(maxsize=1024)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern of "@name", the longest of several names; matches nothing without names."""
    known = sorted({_composed(name).strip() for name in names} - {""}, key=len, reverse=True)
    called = "|".join(_called(name) for name in known) or "(?!)"
    return re.compile(f"{_AT}(?:{called})", re.IGNORECASE)


def _called(name: str) -> str:
    """A pattern of a name, with any white space for its own, and of its end."""
    words = r"\s+".join(map(re.escape, name.split()))
    # After a script without spaces a letter of any other begins the next word.
    end = rf"{_END}|[^\W\d_]" if _IS_UNSPACED.match(name[-1]) else _END
    return f"{words}(?={end})"


def _compared(name: str) -> str:
    return " ".join(_composed(name).split()).casefold()


def _composed(text: str) -> str:
    """The text with composed accents (NFC): keyboards differ in that, eyes do not."""
    return unicodedata.normalize("NFC", text)
