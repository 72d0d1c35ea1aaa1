from __future__ import annotations

import dataclasses
import pickle

import pytest

from webqq_tornado.client import Endpoints
from webqq_tornado.protocol import forms, models
from webqq_tornado.protocol.codes import ACCEPTED, RETCODES, Action, LoginResult, Status, action_of
from webqq_tornado.protocol.errors import ProtocolError, RefusedError
from webqq_tornado.protocol.models import Secret

VALUES = [
    value
    for module in (models, forms)
    for value in map(vars(module).get, module.__all__)
    if dataclasses.is_dataclass(value)
]


@pytest.mark.parametrize("model", VALUES, ids=lambda model: model.__name__)
def test_every_value_is_frozen_and_has_slots(model: type) -> None:
    assert model.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(model)


def test_a_secret_is_a_text_that_is_not_shown() -> None:
    session = models.Session(1, Secret("abcdef"), Secret("ghijkl"))
    assert "abcdef" not in repr(session)
    assert "ghijkl" not in f"{session}"
    assert session.psessionid == "abcdef"


@pytest.mark.parametrize(
    ("friend", "name"),
    [(models.Friend(1, "nick", "mark"), "mark"), (models.Friend(1, "nick"), "nick")],
)
def test_a_friend_is_called_by_the_mark_first(friend: models.Friend, name: str) -> None:
    assert friend.name == name


def test_a_member_is_called_by_the_card_first() -> None:
    assert models.Member(1, "nick", "card").name == "card"


# --- codes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retcode", "action"),
    [
        (0, Action.GO_ON),
        (6, Action.ASK_AGAIN),
        (50, Action.RECOMPUTE_HASH),
        (100, Action.LOG_IN_AGAIN),
        (102, Action.ASK_AGAIN),
        (103, Action.CHECK_ONLINE),
        (116, Action.NEW_PTWEBQQ),
        (121, Action.RELINK),
        (100001, Action.LOG_IN_AGAIN),
        (424242, Action.COUNT),
    ],
)
def test_a_retcode_says_what_to_do(retcode: int, action: Action) -> None:
    assert action_of(retcode) is action


def test_every_code_that_means_delivered_is_known() -> None:
    assert set(RETCODES) >= ACCEPTED


@pytest.mark.parametrize("status", Status)
def test_a_status_has_a_word_and_a_number(status: Status) -> None:
    assert Status.of_word(status.value) is status
    assert Status.of_code(status.code) is status


def test_an_unheard_status_is_unknown() -> None:
    assert Status.of_word("dancing") is Status.UNKNOWN
    assert Status.of_code(99) is Status.UNKNOWN


def test_an_unheard_login_code_is_a_refusal() -> None:
    assert LoginResult.of_code(24) is LoginResult.REFUSED


# --- errors and endpoints ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ProtocolError("poll2", "no JSON", "<html>"), RefusedError("login2", 103, "x")]
)
def test_errors_can_be_pickled(error: ProtocolError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_an_error_says_where_what_and_how_it_began() -> None:
    assert str(ProtocolError("poll2", "no JSON", "<html>")) == "poll2: no JSON: <html>"


def test_a_bare_address_serves_for_every_host() -> None:
    endpoints = Endpoints.at("http://[::1]:8100/")
    assert set(dataclasses.astuple(endpoints)) == {"http://[::1]:8100"}
