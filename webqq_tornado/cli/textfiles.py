"""Text files as arguments of commands, and standard input: whatever editor wrote them."""

from __future__ import annotations

import sys

import click

from ..files import FileError, decoded, read_text

__all__ = ["standard_input", "text_of"]


def text_of(_context: click.Context, _param: click.Parameter, value: str) -> str:
    """Callback of an argument that names a file, or is - for standard input: its text.

    Raises:
        click.BadParameter: it cannot be read, or is no text.
    """
    try:
        return standard_input() if value == "-" else read_text(value)
    except FileError as error:
        raise click.BadParameter(str(error)) from None


def standard_input() -> str:
    """All of standard input, as a file would be read.

    Raises:
        FileError: it is no text.
    """
    return decoded(sys.stdin.buffer.read(), "standard input")
