"""Captchas, required after wrong passwords."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from captcha.image import ImageCaptcha

from .cache import BoundedCacheByOwner

__all__ = ["Captcha", "Captchas"]

#: Letters that stay distinguishable when bent.
_LETTERS = "ABCEFGHJKPRSTUXYZ"
_LENGTH = 4
#: Maximum number of open pictures of one cookie.
_AT_ONCE = 4
#: Pixels, as the historical picture had them.
_WIDTH, _HEIGHT = 130, 53
#: Of which the letters fit in it.
_FONT_SIZES = (34, 38, 42)


class Captcha(NamedTuple):
    """A picture with its answer.

    Args:
        session: cookie verifysession of its reader.
        picture: a JPEG.
    """

    session: str
    picture: bytes


class Captchas:
    """Pictures issued lately.

    Several can be open with one cookie, so that a second window does not invalidate the first. A
    guess uses up all pictures of its cookie.
    """

    def __init__(self) -> None:
        self._texts: BoundedCacheByOwner[tuple[str, ...]] = BoundedCacheByOwner()
        self._maker = ImageCaptcha(width=_WIDTH, height=_HEIGHT, font_sizes=_FONT_SIZES)

    def new(self, address: str = "", session: str = "") -> Captcha:
        """A picture, and the cookie by which its answer is known.

        Args:
            address: of the client: who asks for too many pictures loses its own.
            session: cookie that it has already; it is kept while an answer to it is open.
        """
        text = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        open_texts = self._texts.get(session) or ()
        session = session if open_texts else secrets.token_hex(48)
        self._texts.put(session, (*open_texts, text)[-_AT_ONCE:], owner=address)
        return Captcha(session, self._maker.generate(text, format="jpeg").getvalue())

    def text(self, session: str) -> str:
        """Text of a session's latest picture; "" if there is none."""
        return (self._texts.get(session) or ("",))[-1]

    def takes(self, session: str, guess: str) -> str:
        """The text of the picture if the guess is right, else ""; a guess uses the pictures up."""
        given_out = self._texts.take(session) or ()
        return guess.upper() if guess.upper() in given_out else ""
