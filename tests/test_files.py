"""Files of any editor, and files that are replaced in one step."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from webqq_tornado.files import (
    FileError,
    decoded,
    read_json,
    read_text,
    replace_bytes,
    replaced_file,
)

TEXT = "密码 café\nsecond line\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_what_editors_write_is_read(tmp_path: Path, encoding: str, ending: str):
    path = tmp_path / "file.txt"
    path.write_bytes(TEXT.replace("\n", ending).encode(encoding))
    assert read_text(path) == TEXT


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf_16_is_read_with_its_mark_and_without(order: str):
    data = "secret\r\n".encode(f"utf-16-{order}")
    assert decoded(data, "it") == "secret\n"
    assert decoded("\ufeff".encode(f"utf-16-{order}") + data, "it") == "secret\n"


@pytest.mark.parametrize(
    ("text", "encoding", "named"),
    [
        ("first\n密码是什么", "gbk", "GBK"),
        ("first\n旧版的客户端", "gbk", "GBK"),
        ("first\ncafé au lait", "latin-1", "WINDOWS-1252"),
        ("first\nZürich, Köln", "cp1252", "WINDOWS-1252"),
    ],
)
def test_code_pages_are_named_with_their_line_and_the_remedy(text, encoding, named):
    with pytest.raises(FileError, match=rf"^it: line 2 is not UTF-8.* {named}: save .* as UTF-8"):
        decoded(text.encode(encoding), "it")


def test_where_the_locale_has_another_encoding_it_is_read(monkeypatch):
    monkeypatch.setattr("locale.getpreferredencoding", lambda _=True: "GBK")
    assert decoded("密码".encode("gbk"), "it") == "密码"
    assert decoded("密码".encode(), "it") == "密码"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary"),
        (b"SQLite format 3\x00\x10\x00", "binary"),
        (b"\xff\xfeh", "cut short"),
        (b"\xff\xfe\x00\xd8", "cut short"),
    ],
)
def test_what_is_no_text_is_named(data: bytes, why: str):
    with pytest.raises(FileError, match=why):
        decoded(data, "it")


def test_what_is_no_file_is_named(tmp_path: Path):
    for path, why in (
        (tmp_path, "a folder"),
        (tmp_path / "none", "no such file"),
        (tmp_path / ("n" * 300), "too long"),
        (tmp_path / "nul\0", "null"),
        ("/dev/zero", "larger than"),
    ):
        with pytest.raises(FileError, match=f"settings .*{why}"):
            read_text(path, "settings")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("\n", "empty"),
        ('{"a": ', "no JSON"),
        ("[" * 100_000, "deeply"),
        ("9" * 10_000, "no JSON"),
    ],
)
def test_json_that_is_damaged_is_named(tmp_path: Path, text: str, why: str):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(FileError, match=rf"file .*file\.json: .*{why}"):
        read_json(path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    with pytest.raises(TypeError), replaced_file(path) as file:
        file.writelines(["half", 1])
    assert path.read_text() == "old"
    with replaced_file(path) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_bytes_are_replaced_whole_and_with_their_permissions(tmp_path: Path):
    path, link = tmp_path / "server.pem", tmp_path / "link"
    link.symlink_to(path)
    replace_bytes(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    replace_bytes(link, b"two", 0o644)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o644)
    assert link.is_symlink()
    with pytest.raises(TypeError):
        replace_bytes(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"two"
    assert {each.name for each in tmp_path.iterdir()} == {"link", "server.pem"}


def test_of_two_programs_that_replace_a_file_at_once_each_writes_it_whole(tmp_path: Path):
    path = tmp_path / "file"
    with replaced_file(path) as first:
        first.write("first")
        with replaced_file(path) as second:
            second.write("second")
        first.write(" to the end")
        assert path.read_text() == "second"
    assert path.read_text() == "first to the end"


def test_what_a_killed_program_left_is_removed_later(tmp_path: Path):
    old, fresh = tmp_path / ".file.old.new", tmp_path / ".file.fresh.new"
    for draft in (old, fresh):
        draft.write_text("half")
    os.utime(old, (0, 0))
    with replaced_file(tmp_path / "file"):
        pass
    assert {each.name for each in tmp_path.iterdir()} == {"file", ".file.fresh.new"}
