"""Pictures as they stand on a terminal."""

from __future__ import annotations

import contextlib
import io
import zlib

import pytest
import segno
import zxingcpp
from captcha.image import ImageCaptcha
from PIL import Image

from webqq_tornado.cli.pictures import captcha_text, qr_modules, qr_number, qr_text
from webqq_tornado.server.webqq.qr_picture import qr_picture

TEXT = "http://127.0.0.1:8100/?qr=AbCdEfGhIjKl"


def _png(scale: int, border: int, text: str = TEXT) -> bytes:
    picture = io.BytesIO()
    segno.make_qr(text, error="m").save(picture, kind="png", scale=scale, border=border)
    return picture.getvalue()


def _photo(shown: str) -> Image.Image:
    """What a phone sees of the half blocks."""
    rows = []
    for line in shown.split("\n"):
        rows.append([character in "▀█" for character in line])
        rows.append([character in "▄█" for character in line])
    image = Image.new("L", (len(rows[0]), len(rows)), 255)
    for y, row in enumerate(rows):
        for x, is_dark in enumerate(row):
            image.putpixel((x, y), 0 if is_dark else 255)
    return image.resize((image.width * 8, image.height * 8), Image.Resampling.NEAREST)


@pytest.mark.parametrize("scale", [3, 5, 8])
@pytest.mark.parametrize("text", [TEXT, "x", "https://example.org/" + "y" * 300])
def test_a_qr_code_can_be_read_off_the_terminal(scale, text):
    (found,) = zxingcpp.read_barcodes(_photo(qr_text(_png(scale, 4, text)).plain))
    assert found.text == text


@pytest.mark.parametrize("border", [0, 1, 4])
def test_its_margin_does_not_matter(border):
    assert qr_modules(_png(5, border)) == qr_modules(_png(5, 2))


def test_a_number_below_it_is_told_and_does_not_matter():
    picture = qr_picture(TEXT, "47", scale=5)
    assert qr_number(picture) == "47"
    assert qr_number(_png(5, 4)) == ""
    (found,) = zxingcpp.read_barcodes(_photo(qr_text(picture).plain))
    assert found.text == TEXT


def test_it_is_dark_on_light_whatever_the_terminal_has():
    (span,) = {str(span.style) for span in qr_text(_png(5, 4)).spans}
    assert span == "#000000 on #ffffff"


def test_it_fits_a_small_terminal():
    assert max(map(len, qr_text(_png(5, 4)).plain.split("\n"))) <= 60


@pytest.mark.parametrize("picture", [b"", b"\x89PNG but not really", b"GIF89a"])
def test_what_is_no_picture_says_so(picture):
    for show in (qr_text, captcha_text):
        with pytest.raises(ValueError, match="picture"):
            show(picture)


@pytest.mark.parametrize("shade", [0, 255])
def test_a_picture_without_a_code_says_so(shade):
    picture = io.BytesIO()
    Image.new("L", (100, 100), shade).save(picture, "png")
    with pytest.raises(ValueError, match="picture"):
        qr_text(picture.getvalue())


@pytest.mark.parametrize("width", [20, 64, 78])
def test_a_captcha_is_as_wide_as_there_is_room(width):
    picture = ImageCaptcha(width=130, height=53).generate("ABCD", format="jpeg").getvalue()
    lines = captcha_text(picture, width).plain.rstrip("\n").split("\n")
    assert {len(line) for line in lines} == {width}
    assert len(lines) == pytest.approx(width * 53 / 130 / 2, abs=1)


def _picture(size: tuple[int, int], kind: str = "PNG", mode: str = "RGB") -> bytes:
    picture = io.BytesIO()
    Image.new(mode, size, 1).save(picture, kind)
    return picture.getvalue()


@pytest.mark.parametrize("size", [(1, 1000), (1, 70), (3001, 1), (1, 3001), (3001, 3001)])
def test_a_picture_that_would_fill_the_terminal_or_the_memory_is_not_decoded(size):
    with pytest.raises(ValueError, match=r"lines high|pixels"):
        captcha_text(_picture(size), 78)


def test_a_picture_of_a_billion_pixels_is_not_decoded():
    bomb = bytearray(_picture((1, 1), mode="1"))
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    for show in (qr_text, captcha_text):
        with pytest.raises(ValueError, match="not a picture"):
            show(bytes(bomb))


@pytest.mark.parametrize("kind", ["EPS", "BMP", "TIFF", "PPM", "ICO", "WEBP"])
def test_no_other_format_is_opened(kind):
    with pytest.raises(ValueError, match="not a picture"):
        captcha_text(_picture((130, 53), kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_captcha_of_each_format_is_shown(kind):
    assert len(captcha_text(_picture((130, 53), kind, "L"), 78).plain.splitlines()) == 16


def test_a_picture_that_is_too_long_is_not_decoded():
    with pytest.raises(ValueError, match="1024 KiB"):
        captcha_text(_picture((130, 53)) + bytes(2**20))


@pytest.mark.parametrize("cut", range(20, 400, 20))
def test_a_damaged_picture_is_no_picture(cut):
    whole = _png(5, 4)
    for damaged in (whole[:cut], whole[:cut] + b"\xff" * 9 + whole[cut + 9 :]):
        with contextlib.suppress(ValueError):
            qr_text(damaged)


def test_a_picture_that_begins_with_light_is_no_qr_code():
    image = Image.new("L", (50, 50), 255)
    image.putpixel((10, 0), 0)
    image.putpixel((0, 10), 0)
    picture = io.BytesIO()
    image.save(picture, "PNG")
    with pytest.raises(ValueError, match="not a QR code"):
        qr_text(picture.getvalue())
