"""Sources of a password: a file, the environment, the terminal."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..files import FileError, read_text

__all__ = ["first_line", "known_password", "read_password"]


def read_password(account: int, path: Path | None, given: str | None) -> str:
    """The password from the options, else from a prompt.

    Raises:
        click.ClickException: the file cannot be read, or there is no terminal.
    """
    known = known_password(path, given)
    if known is not None:
        return known
    password: str = click.prompt(f"Password of {account}", hide_input=True, err=True)
    return password


def known_password(path: Path | None, given: str | None) -> str | None:
    """The password from the options; None if the user must be asked.

    Raises:
        click.ClickException: the file cannot be read, or there is no terminal.
    """
    if given:
        return given
    if path is not None:
        return first_line(path, "password")
    if not os.isatty(0):
        raise click.ClickException(
            "no password: set WEBQQ_PASSWORD, give --password-file, or start it on a terminal"
        )
    return None


def first_line(path: Path, what: str) -> str:
    """The secret in the first line of a file.

    Args:
        path: of the file.
        what: name of the secret, for the error.

    Raises:
        click.ClickException: the file cannot be read, or its first line is empty.
    """
    try:
        secret = read_text(path, f"{what} file").partition("\n")[0].strip("\r")
    except FileError as error:
        raise click.ClickException(str(error)) from None
    if not secret:
        raise click.ClickException(f"{what} file {path}: its first line is empty")
    return secret
