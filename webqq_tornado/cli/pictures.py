"""Pictures on a terminal: QR codes to scan, captchas to read."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

__all__ = ["captcha_text", "check_picture", "qr_modules", "qr_number", "qr_text"]

#: Light modules around a QR code; the standard wants four, most scanners accept two.
_MARGIN = 2
#: Dark on light with any colours of the terminal: not all scanners read inverted codes.
_CODE = Style(color=Color.from_rgb(0, 0, 0), bgcolor=Color.from_rgb(255, 255, 255))
#: Accepted formats: some of Pillow's others start programs (EPS: Ghostscript).
_FORMATS = ("PNG", "JPEG", "GIF")
#: Maximum bytes of a picture, and pixels of a side: the largest QR code, at 16 pixels a module.
_MOST_BYTES, _MOST_PIXELS = 1024 * 1024, 3000
#: Maximum lines on a terminal: a captcha has a third of that.
_MOST_LINES = 60
#: Modules of a finder pattern's outer line, at the top left corner.
_FINDER = 7


def check_picture(picture: bytes) -> None:
    """Check that bytes are a picture that can be shown, before they are saved or opened.

    Raises:
        ValueError: they are not a picture, or it is too large.
    """
    _opened(picture)


def qr_modules(picture: bytes) -> list[list[bool]]:
    """The modules of a QR code, True for dark ones.

    Args:
        picture: a PNG of the upright code alone, as the servers sent it.

    Raises:
        ValueError: it is not such a picture.
    """
    image = _opened(picture).convert("L").point(lambda shade: 255 if shade < 128 else 0)
    box = image.getbbox()
    if box is None:
        raise ValueError("the picture is empty")
    left, top, right, bottom = box
    run = 0
    while left + run < right and image.getpixel((left + run, top)):
        run += 1
    size = run / _FINDER
    count = round((right - left) / size) if run else 0
    if not 21 <= count <= 177 or round((bottom - top) / size) < count:
        raise ValueError("the picture is not a QR code")
    centres = [int((number + 0.5) * size) for number in range(count)]
    return [[bool(image.getpixel((left + x, top + y))) for x in centres] for y in centres]


def qr_number(picture: bytes) -> str:
    """The two digits that identify a code of our server; "" without digits.

    Raises:
        ValueError: it is not a picture.
    """
    number = str(_opened(picture).info.get("Number", ""))
    return number if re.fullmatch("[0-9]{2}", number) else ""


def qr_text(picture: bytes) -> Text:
    """A QR code in half blocks, as small as scanners can read.

    Raises:
        ValueError: the picture is not a QR code.
    """
    modules = qr_modules(picture)
    width = len(modules) + 2 * _MARGIN
    empty = [False] * width
    rows = [empty] * _MARGIN
    rows += [[False] * _MARGIN + row + [False] * _MARGIN for row in modules]
    rows += [empty] * (_MARGIN + (len(rows) + _MARGIN) % 2)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return Text("\n").join(Text(_half_blocks(*pair), style=_CODE) for pair in pairs)


def _half_blocks(upper: Sequence[bool], lower: Sequence[bool]) -> str:
    return "".join(" ▄▀█"[2 * above + below] for above, below in zip(upper, lower, strict=True))


def captcha_text(picture: bytes, width: int = 64) -> Text:
    """The picture of a captcha, two pixels in each character.

    Args:
        picture: a PNG, JPEG or GIF.
        width: in characters.

    Raises:
        ValueError: it is not a picture, or it is too large or too tall.
    """
    opened = _opened(picture)
    height = max(2, round(opened.height * width / opened.width / 2) * 2)
    if height > 2 * _MOST_LINES:
        raise ValueError(f"the picture would be {height // 2} lines high")
    image = opened.convert("RGB").resize((width, height))
    text = Text()
    for y in range(0, height, 2):
        for x in range(width):
            above, below = (_color(image.getpixel((x, y + down))) for down in (0, 1))
            text.append("▀", Style(color=above, bgcolor=below))
        text.append("\n")
    return text


def _color(pixel: Any) -> Color:
    return Color.from_rgb(*pixel)


def _opened(picture: bytes) -> Image.Image:
    if len(picture) > _MOST_BYTES:
        raise ValueError(f"the picture has more than {_MOST_BYTES // 1024} KiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # bounded below
            image = Image.open(io.BytesIO(picture), formats=_FORMATS)
        if not 0 < image.width <= _MOST_PIXELS or not 0 < image.height <= _MOST_PIXELS:
            size = f"{image.width} x {image.height}"
            raise _TooLarge(f"the picture has {size} pixels, and not {_MOST_PIXELS} a side at most")
        image.load()
    except _TooLarge:
        raise
    except Exception:  # Pillow raises any exception for a damaged file
        raise ValueError("that is not a picture: give a PNG, JPEG or GIF") from None
    return image


class _TooLarge(ValueError):
    """The picture is too large to decode."""
