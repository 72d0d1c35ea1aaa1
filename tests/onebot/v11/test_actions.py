from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onebot.v11.values import quickly
from webqq_tornado.onebot.v11.actions import (
    ACTIONS,
    NO_ECHO,
    ActionError,
    Answer,
    Call,
    Mode,
    Retcode,
    build_answer,
    build_call,
    call_of,
    failure,
    parse_answer,
    parse_call,
)
from webqq_tornado.onebot.v11.segments import parse_message
from webqq_tornado.onebot.v11.values import dump, load

ECHOES = st.one_of(st.none(), st.integers(), st.text(st.characters(exclude_categories=["Cs"])))


@quickly
@given(st.sampled_from(sorted(ACTIONS)), st.sampled_from(Mode), ECHOES)
def test_a_call_is_read_with_its_suffix_and_echo(name: str, mode: Mode, echo: object):
    call = parse_call(build_call(name + mode.value, {"user_id": 1}, echo))
    assert call == Call(name, {"user_id": 1}, echo, mode)


@pytest.mark.parametrize("echo", [{"seq": 5}, 0, "", None, [1], 1.5])
def test_an_echo_of_any_type_goes_back(echo: object):
    call = parse_call(build_call("get_status", {}, echo))
    answer = parse_answer(load(dump(build_answer(Answer(echo=call.echo)))))
    assert answer.echo == echo


def test_no_echo_is_none_given():
    assert parse_call('{"action":"get_status"}').echo is NO_ECHO
    assert "echo" not in build_answer(Answer())


def test_parameters_are_converted_and_the_unknown_passed_over():
    raw = {"group_id": "20001", "user_id": 2.0, "enable": "no", "self_id": 1, "card": None}
    assert Call("set_group_admin", raw).parameters() == {
        "group_id": 20001, "user_id": 2, "enable": False
    }  # fmt: skip


def test_a_parameter_by_another_name_is_found():
    assert Call("get_forward_msg", {"message_id": 5}).parameters() == {"id": "5"}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_message_may_be_a_json_text_in_a_query(indent: int | None):
    message = json.dumps([{"type": "face", "data": {"id": 1}}], indent=indent)
    raw = {"group_id": "1", "message": message}
    message = Call("send_group_msg", raw).parameters()["message"]
    assert message == parse_message("[CQ:face,id=1]")


def test_a_text_that_looks_like_json_and_is_none_is_a_text():
    message = Call("send_group_msg", {"group_id": 1, "message": "{hi"}).parameters()["message"]
    assert message == parse_message("{hi")


def test_auto_escape_is_heeded():
    raw = {"user_id": 1, "message": "[CQ:face,id=1]", "auto_escape": "true"}
    message = Call("send_private_msg", raw).parameters()["message"]
    assert message == parse_message("[CQ:face,id=1]", is_plain=True)


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("get_group_info", {}, Retcode.BAD_REQUEST),
        ("get_group_info", {"group_id": "x"}, Retcode.BAD_REQUEST),
        ("send_group_msg", {"group_id": 1, "message": 5}, Retcode.BAD_REQUEST),
        ("set_group_admin", {"group_id": 1, "user_id": 2, "enable": "?"}, Retcode.BAD_REQUEST),
        ("no_such", {}, Retcode.NO_ACTION),
    ],
)
def test_a_wrong_call_has_its_code(name: str, raw: dict[str, object], code: int):
    with pytest.raises(ActionError) as caught:
        Call(name, raw).parameters()
    assert failure(caught.value, 1) == Answer("failed", code, None, caught.value.message, 1)


@pytest.mark.parametrize("text", ["", "[]", "5", "{}", '{"action":1}', "{" * 100_000, b"\xff"])
def test_a_frame_that_is_no_call_is_a_bad_request(text: str):
    with pytest.raises(ActionError) as caught:
        parse_call(text)
    assert caught.value.retcode == Retcode.BAD_REQUEST


def test_params_that_are_no_object_are_a_bad_request():
    with pytest.raises(ActionError, match="params"):
        call_of("get_status", [1])


@pytest.mark.parametrize(
    ("raw", "is_ok"),
    [
        ({"status": "ok", "retcode": 0}, True),
        ({"status": "async", "retcode": 1}, True),
        ({"status": "failed", "retcode": 1}, False),  # Lagrange
        ({"retcode": 0}, True),
        ({"retcode": "1400", "msg": "no"}, False),
    ],
)
def test_the_status_counts_before_the_retcode(raw: dict[str, object], is_ok: bool):
    assert parse_answer(raw).is_ok is is_ok


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ({"status": "failed", "retcode": 1403, "echo": None}, "is_token_refused"),
        ({"status": "failed", "retcode": 404}, "is_unknown_action"),
        ({"status": "failed", "retcode": 200, "message": "不支持的Api x"}, "is_unknown_action"),
        ({"status": "failed", "retcode": 1200, "wording": "Error: Timeout: send"},
         "is_outcome_unknown"),
    ],
)  # fmt: skip
def test_a_failure_says_of_what_kind_it_is(raw: dict[str, object], what: str):
    kinds = ("is_token_refused", "is_unknown_action", "is_outcome_unknown")
    answer = parse_answer(raw)
    assert [each for each in kinds if getattr(answer, each)] == [what]


def test_what_is_no_answer_is_refused():
    with pytest.raises(ValueError, match="status"):
        parse_answer({"a": 1})


def test_an_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ActionError("no", 5)))
    assert (error.message, error.retcode) == ("no", 5)
