"""What a login asks the person at the terminal: to scan a code, to read a captcha."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click
from prompt_toolkit import PromptSession

from .console import Screen
from .pictures import captcha_text, qr_text

__all__ = ["Asking"]

#: Columns of a captcha at most.
_CAPTCHA_WIDTH = 78


class Asking:
    """Shows a login's pictures, and asks what is on them.

    Args:
        screen: where.
        folder: where they are saved, for who can not see them there.
    """

    def __init__(self, screen: Screen, folder: Path) -> None:
        self._screen = screen
        self._folder = folder
        self._codes = 0

    def qr(self, picture: bytes) -> None:
        """Show a QR code; again with a new one when it has expired."""
        path = self._saved("login.png", picture)
        self._codes += 1
        if self._codes > 1:
            self._screen.say("The code has expired; this is a new one.", style="yellow")
        if self._screen.is_terminal:
            self._screen.console.print(qr_text(picture))
        self._screen.say(
            "Scan it and confirm. It is saved as",
            f"  {path}",
            "Without a camera: sign in on the server's page and press the QR button, or run",
            "  python -m webqq_tornado confirm --account N",
        )

    async def captcha(self, picture: bytes) -> str:
        """What the person reads on a captcha.

        Raises:
            click.ClickException: there is nobody to ask.
        """
        path = self._saved("captcha.jpg", picture)
        if not (self._screen.is_terminal and os.isatty(0)):
            raise click.ClickException(
                f"the server wants a captcha (saved as {path}): log in on a terminal once"
            )
        width = min(_CAPTCHA_WIDTH, self._screen.console.width)
        self._screen.console.print(captcha_text(picture, width))
        session: PromptSession[str] = PromptSession()
        try:
            return await session.prompt_async(f"Characters on the picture (also {path}): ")
        except (EOFError, KeyboardInterrupt):
            raise asyncio.CancelledError from None

    def _saved(self, name: str, picture: bytes) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / name
        path.write_bytes(picture)
        return path
