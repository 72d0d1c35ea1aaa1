"""Rates: how often somebody may, as a function of the time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webqq_tornado.bot import Rate
from webqq_tornado.bot.ratelimit import UserRateLimiter


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/min", (5, 60)),
        ("1/10s", (1, 10)),
        (" 3 / 2 h ", (3, 7200)),
        ("100/d", (100, 86400)),
        ("1/0.5s", (1, 0.5)),
        (Rate(7, 3), (7, 3)),
    ],
)
def test_a_rate_is_read(text, rate):
    assert Rate.of(text) == Rate(*rate)


@pytest.mark.parametrize("text", ["5", "5/minute", "/min", "0/min", "1/0s", "-1/s"])
def test_what_is_no_rate_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="rate="):
        Rate.of(text)


def test_each_user_has_a_rate_of_their_own():
    limiter = UserRateLimiter(Rate(1, 10))
    assert limiter.admit("Ann", 0).is_allowed
    assert limiter.admit("Bob", 1).is_allowed
    assert not limiter.admit("Ann", 1).is_allowed


def test_a_refusal_says_how_long_to_wait():
    limiter = UserRateLimiter(Rate(2, 10))
    limiter.admit("Ann", 0)
    limiter.admit("Ann", 4)
    assert limiter.admit("Ann", 7).wait == 3


def test_a_user_is_told_once_in_a_period_and_what_is_refused_does_not_count():
    limiter = UserRateLimiter(Rate(1, 10))
    decisions = [limiter.admit("Ann", now) for now in (0, 1, 2, 9, 10, 11, 12)]
    assert [decision.is_allowed for decision in decisions] == [1, 0, 0, 0, 1, 0, 0]
    assert [decision.is_first for decision in decisions] == [0, 1, 0, 0, 0, 1, 0]


def test_who_is_quiet_for_long_is_forgotten():
    limiter = UserRateLimiter(Rate(1, 10))
    for number in range(5000):
        limiter.admit(number, number)
    assert len(limiter) <= 1000


@given(
    st.integers(1, 5),
    st.lists(st.floats(0, 5, allow_nan=False), max_size=60),
)
def test_no_stretch_of_a_period_has_more_than_the_count(count: int, pauses: list[float]):
    limiter, now, allowed, told = UserRateLimiter(Rate(count, 7.0)), 0.0, [], []
    for pause in pauses:
        now += pause
        decision = limiter.admit("Ann", now)
        if decision.is_allowed:
            allowed.append(now)
        elif decision.is_first:
            told.append(now)
    assert all(late - early >= 7.0 for early, late in zip(allowed, allowed[count:], strict=False))
    assert all(late - early >= 7.0 for early, late in pairwise(told))
