"""The picture of a QR code, with its two-digit number below, for comparison on the page.

The digits are drawn in the code's own modules, so that programs that show a code in a terminal,
module by module, show them too. The number is also in the PNG's text chunk "Number".
"""

from __future__ import annotations

import io

import segno
from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["qr_picture"]

#: Light modules around the code, and around the number.
_BORDER = 3
#: Modules of the digits, 3 wide and 5 high, a row each; a dark one is "#".
_DIGITS = {
    "0": "### #.# #.# #.# ###",
    "1": ".#. ##. .#. .#. ###",
    "2": "### ..# ### #.. ###",
    "3": "### ..# ### ..# ###",
    "4": "#.# #.# ### ..# ..#",
    "5": "### #.. ### ..# ###",
    "6": "### #.. ### #.# ###",
    "7": "### ..# .#. .#. .#.",
    "8": "### #.# ### #.# ###",
    "9": "### #.# ### ..# ###",
}


def qr_picture(text: str, number: str, *, level: str = "M", scale: int = 5) -> bytes:
    r"""Draw a QR code as a PNG.

    Args:
        text: content of the code.
        number: digits below it.
        level: of error correction: L, M, Q or H.
        scale: pixels of a module.

    Example:
        >>> qr_picture("http://127.0.0.1:8100/?qr=abc", "47")[:4]
        b'\x89PNG'
    """
    code = [list(map(bool, row)) for row in segno.make_qr(text, error=level).matrix]
    width = len(code) + 2 * _BORDER
    blank = [[False] * width] * _BORDER
    rows = [*blank, *(_centred(row, width) for row in code), *blank]
    rows += [*(_centred(row, width) for row in _number_rows(number)), *blank]
    picture = Image.new("1", (width, len(rows)))
    picture.putdata([not is_dark for row in rows for is_dark in row])
    sized = picture.resize((width * scale, len(rows) * scale), Image.Resampling.NEAREST)
    known = PngInfo()
    known.add_text("Number", number)
    file = io.BytesIO()
    sized.save(file, "PNG", pnginfo=known)
    return file.getvalue()


def _centred(row: list[bool], width: int) -> list[bool]:
    left = (width - len(row)) // 2
    return [False] * left + row + [False] * (width - len(row) - left)


def _number_rows(number: str) -> list[list[bool]]:
    digits = [_DIGITS[digit].split() for digit in number]
    return [[module == "#" for module in ".".join(row)] for row in zip(*digits, strict=True)]
