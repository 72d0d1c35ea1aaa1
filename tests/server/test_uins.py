"""The made-up numbers of a session."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webqq_tornado.server.uins import Uins

SEEDS = st.binary(min_size=16, max_size=16)
NUMBERS = st.integers(1, 2**40)
KINDS = st.sampled_from(["person", "group", "code", "discussion"])


@given(SEEDS, NUMBERS, NUMBERS, KINDS)
def test_what_is_made_up_can_be_found_again(seed: bytes, account: int, number: int, kind: str):
    uins = Uins(seed, account)
    assert uins.meant_by(uins.of(kind, number), kind) == number


@given(SEEDS, NUMBERS)
def test_ones_own_uin_is_ones_number(seed: bytes, account: int):
    assert Uins(seed, account).of("person", account) == account


@given(SEEDS, NUMBERS)
def test_nobody_else_gets_it(seed: bytes, account: int):
    uins = Uins(seed, account)
    # Who the permutation leads to our own number.
    other = uins.meant_by(uins.of("group", account), "group")
    assert other == account
    people = [uins.of("person", number) for number in range(10001, 10301) if number != account]
    assert account not in people
    assert len(set(people)) == len(people)


def test_sessions_and_kinds_differ():
    one, other = Uins(bytes(16), 1), Uins(b"x" * 16, 1)
    assert one.of("person", 10002) != other.of("person", 10002)
    assert one.of("group", 20001) != one.of("code", 20001)
