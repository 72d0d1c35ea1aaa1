"""Mentions in a text: "@name" by whole names, in any script.

A name ends where a space, a comma and the like follow, not where another name goes on: "@Bot-x",
"@Bot2" and "@Ботик" mention neither Bot nor Бот. In scripts that are written without spaces the
next word may follow at once ("@小冰你好"), and so may Chinese behind a Latin name and the other
way round. Where somebody else in the conversation has a longer name that the text has as well,
that one is meant: "@Bot Two, hello" does not mention Bot among people of whom one is Bot Two.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["is_mentioned", "said_to"]

#: In front of what is said to a bot; the second is how a Chinese keyboard writes it.
_MARKS = ("!", "！")
#: In front of a name: ASCII, full width, small. Not behind a letter: that is a mail address.
_AT = r"(?<![A-Za-z0-9._%+-])[@＠﹫]"
#: May stand between "@name" and what is said.
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
        names: that may be meant, in any case; empty ones are ignored.
        text: of the message.
        others: what the others in the conversation are called.

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
    """Return True if the text has a longer name at that place, which belongs to another member."""
    mentioned = _compared(found[0][1:])
    longer = tuple(other for other in others if _compared(other).startswith(mentioned))
    theirs = _pattern(longer).match(found.string, found.start()) if longer else None
    return theirs is not None and theirs.end() > found.end()


@functools.lru_cache(maxsize=1024)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds "@name", the longest of several; nothing if there are none."""
    known = sorted({_composed(name).strip() for name in names} - {""}, key=len, reverse=True)
    called = "|".join(_called(name) for name in known) or "(?!)"
    return re.compile(f"{_AT}(?:{called})", re.IGNORECASE)


def _called(name: str) -> str:
    """The name, with any white space for its own, and what must follow it."""
    words = r"\s+".join(map(re.escape, name.split()))
    # Behind a script without spaces a letter of any other begins the next word.
    end = rf"{_END}|[^\W\d_]" if _IS_UNSPACED.match(name[-1]) else _END
    return f"{words}(?={end})"


def _compared(name: str) -> str:
    return " ".join(_composed(name).split()).casefold()


def _composed(text: str) -> str:
    """The text with letters and accents in one: keyboards differ in that, eyes do not."""
    return unicodedata.normalize("NFC", text)
