"""The pictures that show that somebody reads: asked for after wrong passwords."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from captcha.image import ImageCaptcha

from .recent import Recent

__all__ = ["Captcha", "Captchas"]

#: Letters that can be told apart when they are bent.
_LETTERS = "ABCEFGHJKPRSTUXYZ"
_LENGTH = 4
#: Pixels, as the historical picture had them.
_WIDTH, _HEIGHT = 130, 53
#: Of which the letters fit in it.
_FONT_SIZES = (34, 38, 42)


class Captcha(NamedTuple):
    """A picture to be read.

    Args:
        session: cookie verifysession of who reads it.
        picture: a JPEG.
    """

    session: str
    picture: bytes


class Captchas:
    """The pictures that were given out lately; each can be answered once."""

    def __init__(self) -> None:
        self._texts: Recent[str] = Recent()
        self._maker = ImageCaptcha(width=_WIDTH, height=_HEIGHT, font_sizes=_FONT_SIZES)

    def new(self) -> Captcha:
        """A picture, and the cookie by which its answer is known."""
        text = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        session = secrets.token_hex(48)
        self._texts.put(session, text)
        return Captcha(session, self._maker.generate(text, format="jpeg").getvalue())

    def text(self, session: str) -> str:
        """What is to be read on the picture of a session; "" if there is none."""
        return self._texts.get(session) or ""

    def take(self, session: str) -> str:
        """The same, once: a guess uses the picture up."""
        return self._texts.take(session) or ""
