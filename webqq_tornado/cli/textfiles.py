"""Text files and standard input as arguments, in the encoding of any editor."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..files import FileError, decoded, read_text, reason

__all__ = ["read_bytes_of", "read_file_text", "standard_input", "text_of"]


def text_of(_context: click.Context, _param: click.Parameter, value: str) -> str:
    """Callback of an argument: the text of a file, or of standard input for -.

    Raises:
        click.BadParameter: it cannot be read, or is not text.
    """
    try:
        return standard_input() if value == "-" else read_text(value)
    except FileError as error:
        raise click.BadParameter(str(error)) from None


def read_bytes_of(path: str) -> bytes:
    """Return the bytes of a file, or of standard input for -.

    Raises:
        click.UsageError: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"file {path}: {reason(error)}") from None


def standard_input() -> str:
    """The text of standard input, decoded as a file.

    Raises:
        FileError: it is not text.
    """
    return decoded(sys.stdin.buffer.read(), "standard input")


def read_file_text(path: str) -> str:
    """Return the text of a file, or of standard input for -, as it is.

    Raises:
        click.UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        return read_bytes_of(path).decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"file {path}: it is not text in UTF-8") from None
