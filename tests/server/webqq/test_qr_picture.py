"""The picture of a QR code with its number."""

from __future__ import annotations

import io

import pytest
import zxingcpp
from PIL import Image

from webqq_tornado.server.webqq.qr_picture import qr_picture

URL = "http://127.0.0.1:8100/?qr=abcdefghijkl"


@pytest.mark.parametrize("scale", [1, 5, 16])
@pytest.mark.parametrize("number", ["10", "23", "45", "67", "89"])
def test_scanners_read_the_code_above_a_number(number: str, scale: int):
    picture = Image.open(io.BytesIO(qr_picture(URL, number, scale=scale)))
    (found,) = zxingcpp.read_barcodes(picture)
    assert found.text == URL


def test_each_number_looks_different_in_the_modules_below_the_code():
    seen = set()
    for number in range(10, 100):
        picture = Image.open(io.BytesIO(qr_picture(URL, str(number), scale=1))).convert("1")
        below = picture.crop((0, picture.height - 8, picture.width, picture.height))
        seen.add(below.tobytes())

    assert len(seen) == 90
