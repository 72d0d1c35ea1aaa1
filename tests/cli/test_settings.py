"""The TOML file of settings: as any editor writes it, and whatever is wrong in it."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from webqq_tornado.cli.settings import SETTINGS, read_config

#: A value of each of TOML's types, and a text with a character that no argument can have.
VALUES = ("5", "true", "1.5", "nan", "[[1]]", "{a = 1}", "1979-05-27", '"a\\u0000b"', "[]")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_of_notepad_is_read(tmp_path: Path, encoding: str):
    path = tmp_path / "webqq.toml"
    path.write_bytes('address = "密码"\r\nport = 5\r\n'.encode(encoding))
    assert read_config(path) == {"address": "密码", "port": 5}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"port = " + b"9" * 5000, "not TOML"),
        ('address = "密码本"'.encode("gbk"), "GBK"),
        (b"\x7fELF\x00", "binary"),
        (b"port =", "not TOML"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, why: str):
    path = tmp_path / "webqq.toml"
    path.write_bytes(content)
    with pytest.raises(click.ClickException, match=f"webqq.toml.*{why}"):
        read_config(path)


def test_what_is_no_file_is_named(tmp_path: Path):
    for path, why in ((tmp_path, "a folder"), (tmp_path / "none", "no such file")):
        with pytest.raises(click.ClickException, match=why):
            read_config(path)


@pytest.mark.parametrize("key", [*SETTINGS, "accounts"])
def test_a_value_of_another_type_is_named(tmp_path: Path, key: str):
    path = tmp_path / "webqq.toml"
    refused = 0
    for value in VALUES:
        path.write_text(f"{key} = {value}\n")
        try:
            read_config(path)
        except click.ClickException as error:
            refused += 1
            assert key in error.message  # noqa: PT017 - some are right for some keys
    assert refused >= len(VALUES) - 2


@pytest.mark.parametrize("key", ["account", "password", "password_file", "qr", "plugin", "server"])
def test_a_value_of_another_type_in_a_table_is_named(tmp_path: Path, key: str):
    path = tmp_path / "webqq.toml"
    path.write_text(f"[[accounts]]\n{key} = 1979-05-27\n")
    with pytest.raises(click.ClickException, match=rf"accounts\]\]: {key} is to be"):
        read_config(path)


def test_a_password_of_another_type_is_not_shown(tmp_path: Path):
    path = tmp_path / "webqq.toml"
    path.write_text("password = 87654321\n")
    with pytest.raises(click.ClickException, match="password is to be a text") as caught:
        read_config(path)
    assert "8765" not in str(caught.value)
