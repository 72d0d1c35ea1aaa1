r"""How the servers of the two dialects wrote their answers: JSON, and the text of messages.

=====================  ==============================  ================================
..                     WebQQ 3 (2012 to 2014)          SmartQQ (2015 to 2018)
=====================  ==============================  ================================
what is not ASCII      ``\uXXXX``                      UTF-8
text of a message      as it was typed                 ``<`` and ``>`` as ``\u0026lt;``
                                                       and ``\u0026gt;``
behind a picture, and  one space                       nothing
the last text
fields of a message    with msg_id2, seq, info_seq,    without, and msg_type is 0
                       reply_ip
events of poll2        fields in their own order       fields by the alphabet
a refused poll         ``{"retcode":103,"errmsg":""}`` ``{"errmsg":"error!!!",
                                                       "retcode":103}``
=====================  ==============================  ================================

Names (nicks, marks, cards, groups, categories, signatures) are as they are in both.

Sources: the recorded answers of 2013 to 2018, and clients that cannot do with anything else.
Mojo-Webqq 2018 dies at a name with ``\uXXXX``; qqbot 2017 and SmartQQBot 2016 compare texts
whole; SmartQQBot replaces ``\u0026lt;`` in the JSON text and no other escape; pual_bot 2013
looks for ``>>>``; x1ah/QQRobot 2017 for "error" in a refusal. A face without a space behind it:
an answer to poll2 of January 2017.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from . import wire

__all__ = ["SMARTQQ_FORMAT", "WEBQQ3_FORMAT", "WireFormat"]

_TAGS = {"<": r"\u0026lt;", ">": r"\u0026gt;"}
_TAG = re.compile("[<>]")
# A backslash before it is itself escaped when there are two: those pairs are passed over.
_WRITTEN_TAG = re.compile(r"(\\\\)|\\u0026(lt|gt);")


def _tag(found: re.Match[str]) -> str:
    return found[1] or {"lt": "<", "gt": ">"}[found[2]]


class WireFormat(NamedTuple):
    r"""How one dialect writes.

    Args:
        is_ascii: Whether what is not ASCII is written as ``\uXXXX``.
        adds_spaces: Whether a space stands behind each picture and the last text of a message.
        escapes_tags: Whether ``<`` and ``>`` of messages are escaped.
        is_brief: Whether messages have no number but msg_id.
        is_sorted: Whether the fields of events are written by the alphabet.
        refusal: The errmsg of a poll that is refused.

    Example:
        >>> print(WEBQQ3_FORMAT.dump("你"), SMARTQQ_FORMAT.dump("你"))
        "\u4f60" "你"
    """

    is_ascii: bool
    adds_spaces: bool
    escapes_tags: bool
    is_brief: bool
    is_sorted: bool
    refusal: str

    def dump(self, value: object) -> str:
        """A value as JSON."""
        return wire.dump(value, is_ascii=self.is_ascii)

    def dump_events(self, value: object) -> str:
        r"""An answer to poll2 as JSON.

        Example:
            >>> print(SMARTQQ_FORMAT.dump_events(["1 < 2 & 3"]))
            ["1 \u0026lt; 2 & 3"]
        """
        text = wire.dump(value, is_ascii=self.is_ascii, is_sorted=self.is_sorted)
        # JSON has these two in its texts alone.
        return _TAG.sub(lambda found: _TAGS[found[0]], text) if self.escapes_tags else text

    def plain_events(self, text: str) -> str:
        r"""The JSON of an answer to poll2, without the escapes that `dump_events` puts there.

        They differ from typed text: a typed ampersand is written as
        it is.

        Example:
            >>> print(SMARTQQ_FORMAT.plain_events(r'["1 \u0026lt; 2 &lt; 3"]'))
            ["1 < 2 &lt; 3"]
        """
        return _WRITTEN_TAG.sub(_tag, text) if self.escapes_tags else text


WEBQQ3_FORMAT = WireFormat(
    is_ascii=True,
    adds_spaces=True,
    escapes_tags=False,
    is_brief=False,
    is_sorted=False,
    refusal="",
)
SMARTQQ_FORMAT = WireFormat(
    is_ascii=False,
    adds_spaces=False,
    escapes_tags=True,
    is_brief=True,
    is_sorted=True,
    refusal="error!!!",
)
