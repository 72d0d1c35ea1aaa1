from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from webqq_tornado.protocol.hashes import (
    FriendListHash,
    bkn,
    digits_hash,
    friend_list_hash,
    hash33,
    password_digest,
    password_hash,
    password_salt,
)

VECTORS = json.loads(Path(__file__).with_name("webqq_vectors.json").read_text("utf-8"))
HASHES = VECTORS["friend_list_hash"]


@pytest.mark.parametrize("kind", FriendListHash)
def test_friend_list_hashes_are_those_of_the_clients(kind: FriendListHash) -> None:
    assert HASHES[kind.value]
    for uin, ptwebqq, expected in HASHES[kind.value]:
        assert friend_list_hash(kind, uin, ptwebqq) == expected, (uin, ptwebqq)


def test_every_kind_of_vector_has_a_hash() -> None:
    assert set(HASHES) == {kind.value for kind in FriendListHash}


@pytest.mark.parametrize("kind", FriendListHash)
def test_a_friend_list_hash_of_nothing_is_still_a_text(kind: FriendListHash) -> None:
    assert friend_list_hash(kind, 0, "")


@pytest.mark.parametrize(("account", "expected"), [(1685359365, "A6FAF7A5"), (99999, "CE9B9ECF")])
def test_the_hash_of_digits_is_that_of_pual_bot(account: int, expected: str) -> None:
    ptwebqq = "8aa97c1ddbe4ef5a2e1c44d8d4c2b1a3f0e9d8c7b6a5948372615f4e3d2c1b0a"
    assert digits_hash(account, ptwebqq) == expected


def test_the_hash_of_digits_has_zeros_past_the_end() -> None:
    assert digits_hash(3, "abcd") == f"{0xFFFFFFFF ^ 0x64000061:08X}"
    assert digits_hash(1, "") == "FFFFFFFF"


@pytest.mark.parametrize("vector", VECTORS["password_md5"], ids=lambda vector: str(vector["uin"]))
def test_password_hashes_are_those_of_the_clients(vector: dict[str, str]) -> None:
    salt = bytes.fromhex(vector["salt_bytes_hex"])
    assert password_hash(vector["password"], salt, vector["verifycode"]) == vector["p"]


@pytest.mark.parametrize("vector", VECTORS["password_md5"], ids=lambda vector: str(vector["uin"]))
def test_the_salt_is_the_number_in_eight_bytes(vector: dict[str, int]) -> None:
    assert password_salt(vector["uin"]).hex() == vector["salt_bytes_hex"]


@pytest.mark.parametrize("password", ["p\u00e4ssw\u00f6rd", "Vi\u1ec7t Nam", "\ud55c\uae00"])
def test_a_password_is_the_same_on_keyboards_that_write_accents_apart(password: str) -> None:
    apart = unicodedata.normalize("NFD", password)
    assert apart != password
    assert password_digest(apart) == password_digest(password)


def test_the_verify_code_counts_in_upper_case() -> None:
    assert password_hash("x", b"12345678", "abcd") == password_hash("x", b"12345678", "ABCD")


def test_a_password_hash_is_not_shown() -> None:
    assert repr(password_hash("x", b"12345678", "abcd")) == "Secret('***')"


@pytest.mark.parametrize(("text", "expected"), VECTORS["hash33_ptqrtoken"])
def test_hash33_is_that_of_the_clients(text: str, expected: int) -> None:
    assert hash33(text) == expected


@pytest.mark.parametrize(("text", "expected"), VECTORS["bkn_g_tk"])
def test_bkn_is_that_of_the_clients(text: str, expected: int) -> None:
    assert bkn(text) == expected
