"""Faces as users type them: names in brackets."""

from __future__ import annotations

import re

from ..protocol.faces import FACES
from ..protocol.models import Content, Face

__all__ = ["with_faces"]

_NUMBERS = {name: number for number, name in FACES.items()}
_BRACKETS = re.compile(r"\[([^\[\]\s]{1,12})\]")


def with_faces(text: str) -> Content:
    """A text as content, with a face for each name of one in brackets.

    Example:
        >>> with_faces("good [微笑]").parts
        ('good ', Face(id=14))
    """
    parts: list[str | Face] = []
    at = 0
    for found in _BRACKETS.finditer(text):
        if found[1] in _NUMBERS:
            parts += [text[at : found.start()], Face(_NUMBERS[found[1]])]
            at = found.end()
    return Content.of(*(part for part in (*parts, text[at:]) if part))
