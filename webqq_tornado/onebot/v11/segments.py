"""Messages as arrays of segments, read leniently and written strictly.

A message comes as a CQ string, an array of segments, or one segment object; all three are taken
everywhere (OB api/README.md). Values are texts by the standard (OB message/array.md); in fact
numbers, booleans and objects occur (NC ``face.raw``, ``image.sub_type``), and null for what is
not given (NB): numbers and booleans are read as texts, null is left out, objects and lists stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from ...protocol import wire
from . import cqcode
from .values import as_text, object_of

__all__ = [
    "MOST_SEGMENTS",
    "Segment",
    "Segments",
    "TooManySegments",
    "build_array",
    "build_string",
    "parse_message",
    "text_of",
]

#: Segments of one message. QQ ends at about 5,000 bytes (GC issue 217); what is beyond this would
#: block everybody else while it is read.
MOST_SEGMENTS = 4096


class TooManySegments(ValueError):
    """A message has more than `MOST_SEGMENTS`."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a message.

    Args:
        type: ``text``, ``face``, ``image``, ``at`` ...
        data: its values by name: texts; objects and lists (the content of a ``node``) as JSON
            has them.

    Example:
        >>> Segment("at", {"qq": "10001"}).text("qq")
        '10001'
    """

    type: str
    data: Mapping[str, object] = field(default_factory=dict)

    def text(self, *names: str) -> str:
        """The first value, of several names, that is not empty, as a text.

        Args:
            names: to look under, in order.
        """
        found = (as_text(self.data.get(name)) for name in names)
        return next((value for value in found if value), "")


#: A message.
Segments: TypeAlias = tuple[Segment, ...]


def parse_message(raw: object, *, is_plain: bool = False, is_lenient: bool = False) -> Segments:
    """A message in any of its forms.

    Args:
        raw: a CQ string, an array, one segment, or None for an empty message; in an array
            texts are taken for text segments.
        is_plain: True for `auto_escape`: a string is plain text (OB api/public.md); no effect on
            arrays.
        is_lenient: True for what an implementation sends: what is no segment in an array is left
            out, so that it does not cost the rest of the message.

    Raises:
        TooManySegments: it has more than `MOST_SEGMENTS`.
        ValueError: it is none of them.

    Example:
        >>> [segment.type for segment in parse_message("hi [CQ:at,qq=10001]")]
        ['text', 'at']
    """
    if isinstance(raw, str):
        plain = Segment("text", {"text": wire.clean(raw)})
        if is_plain:
            return _joined([plain])
        _check_count(raw.count("[CQ:"))
        return _joined(Segment(*code) for code in cqcode.parse(raw))
    if isinstance(raw, Mapping):
        raw = [raw]
    if raw is None:
        return ()
    if not isinstance(raw, Sequence):
        raise ValueError("a message is a CQ string, an array of segments or one segment")
    _check_count(len(raw))
    return _joined(_parse_segments(raw, is_lenient=is_lenient))


def _check_count(count: int) -> None:
    if count > MOST_SEGMENTS:
        raise TooManySegments(f"a message has {MOST_SEGMENTS} segments at most, this has {count}")


def _parse_segments(raw: Iterable[object], *, is_lenient: bool) -> Iterator[Segment]:
    error: ValueError | None = None
    count = 0
    for item in raw:
        try:
            segment = _parse_segment(item)
        except ValueError as wrong:
            if not is_lenient:
                raise
            error = wrong
        else:
            count += 1
            yield segment
    if error is not None and not count:
        raise error


def _parse_segment(raw: object) -> Segment:
    if isinstance(raw, str):
        return Segment("text", {"text": wire.clean(raw)})
    values = object_of(raw, "a segment")
    kind, data = values.get("type"), values.get("data")
    if not isinstance(kind, str) or not kind:
        raise ValueError("a segment has no type")
    fields = {} if data is None else object_of(data, f"data of a segment {kind[:20]!r}")
    kept = {name: _value(value) for name, value in fields.items() if value is not None}
    return Segment(wire.clean(kind), kept)


def _value(raw: object) -> object:
    return raw if isinstance(raw, (dict, list)) else as_text(raw)


def _joined(segments: Iterable[Segment]) -> Segments:
    """Texts that touch as one, empty ones left out."""
    joined: list[Segment] = []
    for kind, group in groupby(segments, key=lambda segment: segment.type):
        if kind != "text":
            joined.extend(group)
        elif text := "".join(segment.text("text") for segment in group):
            joined.append(Segment("text", {"text": text}))
    return tuple(joined)


def build_array(segments: Iterable[Segment]) -> list[dict[str, object]]:
    """A message as an array: values are texts, what is empty is left out.

    NC of 2025-01 failed on an empty ``url`` (issue 688). Nodes keep their content as it is.

    Args:
        segments: of the message.
    """
    return [
        {
            "type": segment.type,
            "data": {k: v for k, v in segment.data.items() if v not in ("", None)},
        }
        for segment in segments
    ]


def build_string(segments: Iterable[Segment]) -> str:
    """A message as a CQ string; objects and lists in it as JSON.

    Args:
        segments: of the message.

    Example:
        >>> build_string(parse_message([{"type": "at", "data": {"qq": 10001}}, " a & b"]))
        '[CQ:at,qq=10001] a &amp; b'
    """
    return "".join(
        cqcode.escape(segment.text("text"))
        if segment.type == "text"
        else cqcode.build(segment.type, {name: as_text(v) for name, v in segment.data.items()})
        for segment in segments
    )


def text_of(segments: Iterable[Segment]) -> str:
    """The plain text of a message: its text segments.

    Args:
        segments: of the message.
    """
    return "".join(one.text("text") for one in segments if one.type == "text")
