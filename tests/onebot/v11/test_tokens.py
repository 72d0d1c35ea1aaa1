from __future__ import annotations

import pytest

from webqq_tornado.onebot.v11.tokens import (
    Role,
    Upgrade,
    Verdict,
    check_token,
    has_signature,
    signature,
    token_in,
    upgrade_headers,
)


@pytest.mark.parametrize(
    ("header", "query", "token"),
    [
        ("Bearer a", "", "a"),
        ("token a", "b", "a"),
        ("Bearer ", "b", "b"),
        ("a", "", "a"),
        ("", "", ""),
        ("bearer", "b", "b"),
    ],
)
def test_a_token_is_found(header: str, query: str, token: str):
    assert token_in(header, query) == token


@pytest.mark.parametrize(
    ("wanted", "given", "verdict"),
    [
        ("a", "a", Verdict.OK),
        ("a", "", Verdict.MISSING),
        ("a", "b", Verdict.WRONG),
        ("", "undefined", Verdict.OK),
        ("ä", "\udcff", Verdict.WRONG),
    ],
)
def test_a_token_is_looked_at(wanted: str, given: str, verdict: Verdict):
    assert check_token(wanted, given) is verdict


def test_a_signature_is_looked_at():
    # RFC 2202, case 2.
    right = "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    body = b"what do ya want for nothing?"
    assert signature("Jefe", body) == right
    assert has_signature("Jefe", body, right.upper()) is Verdict.OK
    assert has_signature("Jefe", body, "") is Verdict.MISSING
    assert has_signature("Jefe", body + b" ", right) is Verdict.WRONG
    assert has_signature("", body, "") is Verdict.OK


def test_an_upgrade_is_read_whatever_the_case():
    upgrade = Upgrade(10001, Role.API)
    headers = upgrade_headers(upgrade, "t")
    assert headers["Authorization"] == "Bearer t"
    assert Upgrade.parse(headers["X-Self-ID"], "Api") == upgrade
    assert Upgrade.parse("10001", "").role is Role.UNIVERSAL


@pytest.mark.parametrize(("self_id", "role"), [("x", "API"), ("", "API"), ("1", "x")])
def test_an_upgrade_without_sense_is_refused(self_id: str, role: str):
    with pytest.raises(ValueError, match="X-"):
        Upgrade.parse(self_id, role)
