"""Bodies and headers for people: JSON with a line for each value, in the terminal's colours."""

from __future__ import annotations

from rich.syntax import Syntax
from rich.text import Text

from ..engine.response import Response
from .console import printable
from .exact_json import dump_exact, load_exact

__all__ = ["body_text", "coloured", "lexer_of"]

#: Characters of a body that are coloured: pygments takes a second for some millions.
_COLOURED = 500_000
#: pygments' names by what is in a media type.
_LEXERS = {
    "json": "json", "xml": "xml", "html": "html", "javascript": "javascript", "css": "css",
    "yaml": "yaml", "form-urlencoded": "text",
}  # fmt: skip


def body_text(response: Response, *, is_formatted: bool) -> str:
    """Return a body as text.

    Args:
        response: whose.
        is_formatted: JSON gets a line for each value; numbers stay as they came, and so do keys
            that come twice.
    """
    if b"\0" in response.body:
        return f"({len(response.body)} bytes that are no text; use a pipe, or -o FILE)"
    text = response.text
    return (_formatted(text) if is_formatted else None) or text


def _formatted(text: str) -> str | None:
    try:
        return dump_exact(load_exact(text.removeprefix("\ufeff")), indent=2)
    except ValueError:
        return None


def lexer_of(content_type: str) -> str:
    """Return pygments' name of what a media type says; "text" if it has none.

    Args:
        content_type: such as "application/problem+json; charset=utf-8".
    """
    kind = content_type.partition(";")[0].lower()
    return next((lexer for part, lexer in _LEXERS.items() if part in kind), "text")


def coloured(text: str, lexer: str) -> Text:
    """Return a text in the terminal's own colours.

    Args:
        text: of a body, or of headers ("http").
        lexer: pygments' name of its language.
    """
    text = printable(text)
    if lexer == "text" or len(text) > _COLOURED:
        return Text(text)
    found = Syntax("", lexer, theme="ansi_dark", background_color="default").highlight(text)
    found.rstrip()
    return found
