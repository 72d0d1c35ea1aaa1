"""Repetitions that have no number are known by what the last answer held."""

from __future__ import annotations

from webqq_tornado.client.poll import Received
from webqq_tornado.protocol.models import Content, FriendMessage, Typing

FIRST = FriendMessage(1, Content.of("a"), msg_id=7)
SECOND = FriendMessage(1, Content.of("b"), msg_id=8)
ANSWER = (Typing(1, 2), FIRST)


def taken_in(received: Received, *events: object) -> tuple[object, ...]:
    fresh = received.new_of(events)
    received.note(fresh)
    return fresh


def test_the_last_number_is_that_of_the_last_message():
    received = Received()
    assert received.last_id == 0
    taken_in(received, SECOND, FIRST, Typing(1, 2))
    assert received.last_id == 8


def test_events_of_an_answer_that_is_given_again_are_no_news():
    received = Received()
    taken_in(received, *ANSWER)
    received.expect_repeat()
    assert taken_in(received, *ANSWER, Typing(3, 4), SECOND) == (FIRST, Typing(3, 4), SECOND)


def test_what_comes_twice_without_that_the_session_was_taken_up_is_news():
    received = Received()
    taken_in(received, *ANSWER)
    assert taken_in(received, *ANSWER) == ANSWER


def test_other_events_are_news_also_after_the_session_was_taken_up():
    received = Received()
    taken_in(received, *ANSWER)
    received.expect_repeat()
    assert taken_in(received, Typing(5, 6), SECOND) == (Typing(5, 6), SECOND)
    assert taken_in(received, *ANSWER) == ANSWER


def test_an_answer_that_was_not_taken_in_is_news_when_it_comes_again():
    received = Received()
    received.new_of(ANSWER)
    received.expect_repeat()
    assert taken_in(received, *ANSWER) == ANSWER


def test_answers_that_are_the_same_word_by_word_are_counted():
    received = Received()
    counts = []
    for answer in (ANSWER, ANSWER, ANSWER, (FIRST,), (FIRST,), (SECOND,)):
        taken_in(received, *answer)
        counts.append(received.repeats)
    assert counts == [0, 1, 2, 0, 1, 0]
