"""Prompts of a login: a QR code to scan, a captcha to read, a password.

Pictures and the prompt are imported at the first question: most logins ask nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ..client.login import LoginError
from .console import Screen

__all__ = ["LoginPrompt", "ask"]

#: Maximum columns of a captcha.
_CAPTCHA_WIDTH = 78


class LoginPrompt:
    """Shows the pictures of a login, and asks for captchas and passwords.

    It uses standard error: standard output may be the input of another program.

    Args:
        folder: of saved pictures, for users who cannot see them on the terminal.
        account: QQ number; 0 until the login says it.
        opens: whether pictures are opened in a viewer, too.
        turn: held during a question; shared by all prompts on the terminal.
    """

    def __init__(
        self, folder: Path, account: int, *, opens: bool = False, turn: asyncio.Lock | None = None
    ) -> None:
        self._screen = Screen(is_error=True)
        self._folder = folder
        self._account = account
        self._opens = opens
        self._turn = turn or asyncio.Lock()
        self._codes = self._captchas = 0

    def qr(self, picture: bytes) -> None:
        """Show a QR code; again with a new one when it has expired.

        Raises:
            LoginError: the server has not sent a QR code.
        """
        from .pictures import check_picture, qr_number, qr_text  # noqa: PLC0415 - see the top

        try:
            check_picture(picture)
            shown = qr_text(picture) if self._screen.is_terminal else None
        except ValueError as error:
            raise LoginError(f"the server's QR code cannot be shown: {error}") from None
        path = self._saved("login", "png", picture)
        self._codes += 1
        if self._codes > 1:
            self._screen.say("The code has expired; this is a new one.", style="yellow")
        if shown is not None:
            self._screen.picture(shown)
        number = qr_number(picture)
        if number:
            self._screen.say(
                f"Its number is {number}: the same is to be seen where you confirm it."
            )
        self._screen.say(
            f"Scan it and confirm{self._whose()}. It is saved as",
            f"  {path}",
            "Without a camera: sign in on the server's page and press the QR button, or run",
            f"  python -m webqq_tornado confirm --account {self._account or 'N'}",
        )

    async def captcha(self, picture: bytes) -> str:
        """Show a captcha and return the text that the user reads on it.

        Raises:
            LoginError: there is no terminal, the user did not answer, or it is not a picture.
        """
        from .pictures import captcha_text  # noqa: PLC0415 - see the top

        width = min(_CAPTCHA_WIDTH, self._screen.console.width)
        try:
            shown = captcha_text(picture, width)
        except ValueError as error:
            raise LoginError(f"the server's captcha cannot be shown: {error}") from None
        path = self._saved("captcha", "jpg", picture)
        if not self._screen.is_attended:
            raise LoginError(
                f"the server wants a captcha (saved as {path}): log in on a terminal once"
            )
        async with self._turn:
            self._captchas += 1
            if self._captchas > 1:
                self._screen.say("That was not it; here is another one.", style="yellow")
            self._screen.picture(shown)
            self._screen.say(f"It is saved as {path}", style="dim")
            try:
                return await ask("Characters on the picture: ")
            except click.Abort:
                raise LoginError("the captcha was not answered") from None

    async def password(self) -> str:
        """Ask for the account's password.

        Raises:
            click.Abort: Ctrl-C or Ctrl-D was pressed.
        """
        async with self._turn:
            return await ask(f"Password of {self._account}: ", is_password=True)

    def _whose(self) -> str:
        return f" as {self._account}" if self._account else ""

    def _saved(self, name: str, ending: str, picture: bytes) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{name}{f'-{self._account}' if self._account else ''}.{ending}"
        path.write_bytes(picture)
        path.chmod(0o600)
        if self._opens:
            click.launch(str(path))
        return path


async def ask(question: str, *, is_password: bool = False) -> str:
    """Ask a question at the terminal, also where standard output is a pipe.

    Raises:
        click.Abort: Ctrl-C or Ctrl-D was pressed.
    """
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - see the top
    from prompt_toolkit.application import create_app_session_from_tty  # noqa: PLC0415

    with create_app_session_from_tty():
        session: PromptSession[str] = PromptSession(is_password=is_password)
        try:
            return await session.prompt_async(question)
        except (EOFError, KeyboardInterrupt):
            raise click.Abort from None
