"""Guessing passwords, and keeping owners out by it; verify codes of several at once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from servers.town import PASSWORD, Town

from webqq_tornado.protocol import hashes
from webqq_tornado.protocol.codes import LoginResult
from webqq_tornado.server import Storage, throttle
from webqq_tornado.server.authentication import Authenticator, Proof
from webqq_tornado.server.throttle import Place, Throttle, network_of

RIGHT, WRONG = hashes.password_digest(PASSWORD), bytes(16)
HOME, AWAY = Place("192.0.2.1"), Place("198.51.100.7")


@pytest.fixture
def storage() -> Iterator[Storage]:
    storage = Storage(":memory:")
    storage.accounts.create("Ann", PASSWORD, 10001)
    yield storage
    storage.close()


@pytest.fixture
def authenticator(storage: Storage) -> Authenticator:
    return Authenticator(storage)


def _guess(authenticator: Authenticator, place: Place, times: int = 1, number: int = 10001) -> int:
    """How many of some wrong passwords were looked at."""
    outcomes = [authenticator.by_password(number, place, WRONG) for _ in range(times)]
    return outcomes.count(LoginResult.WRONG_PASSWORD)


def _is_let_in(authenticator: Authenticator, place: Place) -> bool:
    outcome = authenticator.by_password(10001, place, RIGHT)
    return not isinstance(outcome, LoginResult)


def test_ten_guesses_from_an_address_are_looked_at_and_then_they_wait(authenticator):
    assert _guess(authenticator, AWAY, 20) == 10
    assert 0 < authenticator.wait(10001, AWAY) <= 1


def test_guesses_from_ever_other_addresses_are_no_way_round(authenticator):
    assert sum(_guess(authenticator, Place(f"198.51.100.{n}"), 5) for n in range(200)) == 13


def test_made_up_accounts_push_no_lock_out_of_a_table(authenticator, monkeypatch):
    monkeypatch.setattr(throttle, "_MOST_NETWORKS", 100)
    _guess(authenticator, AWAY, 20)
    for n in range(500):
        _guess(authenticator, Place(f"10.0.{n // 250}.{n % 250}"), number=10**9 + n)
    assert _guess(authenticator, AWAY) == 0
    assert len(authenticator._throttle._networks) <= 100


def test_who_guesses_for_all_accounts_waits_too(storage, authenticator):
    numbers = [storage.accounts.create(f"P{n}", "password").number for n in range(150)]
    assert sum(_guess(authenticator, AWAY, number=number) for number in numbers) == 100


def test_a_stranger_keeps_no_owner_out_where_they_were_before(authenticator):
    authenticator.know(10001, HOME)
    _guess(authenticator, AWAY, 50)
    assert _is_let_in(authenticator, HOME)
    assert not authenticator.needs_captcha(10001, HOME)
    assert authenticator.needs_captcha(10001, Place("203.0.113.1"))


def test_a_stranger_at_one_address_keeps_no_owner_out_of_a_new_one(authenticator):
    _guess(authenticator, AWAY, 50)
    assert _is_let_in(authenticator, HOME)


def test_a_stranger_at_the_owners_own_address_does_not_lock_their_browser(authenticator):
    device = authenticator.know(10001, HOME)
    _guess(authenticator, HOME, 50)
    assert not _is_let_in(authenticator, HOME)
    assert _is_let_in(authenticator, HOME._replace(device=device))


def test_a_device_that_was_made_up_or_is_of_another_account_is_none(storage, authenticator):
    storage.accounts.create("Eve", PASSWORD, 10002)
    of_eve = authenticator.know(10002, Place("203.0.113.9"))
    guesses = [Place("198.51.100.7", device) for device in (of_eve, "x", "y", "z")]
    assert sum(_guess(authenticator, place, 10) for place in guesses) == 10


def test_a_device_stays_known_to_all_its_accounts_under_its_new_name(storage, authenticator):
    storage.accounts.create("Eve", PASSWORD, 10002)
    device = authenticator.know(10001, HOME)
    renamed = authenticator.know(10002, Place("203.0.113.9", device))
    assert storage.sessions.is_known_place(10001, f"device:{renamed}")
    assert not storage.sessions.is_known_place(10001, f"device:{device}")


def test_a_right_password_frees_its_own_place_and_no_others(authenticator):
    _guess(authenticator, HOME, 3)
    _guess(authenticator, AWAY, 8)
    assert _is_let_in(authenticator, HOME)
    authenticator.know(10001, HOME)
    assert _guess(authenticator, HOME, 20) == 10
    assert _guess(authenticator, AWAY, 20) <= 2


def test_known_places_outlive_a_restart(storage):
    Authenticator(storage).know(10001, HOME)
    again = Authenticator(storage)
    _guess(again, AWAY, 20)
    assert _is_let_in(again, HOME)


def test_of_ipv6_a_network_counts_as_one_address(authenticator):
    assert sum(_guess(authenticator, Place(f"2001:db8::{n:x}"), 5) for n in range(1, 9)) == 10


@pytest.mark.parametrize(
    ("address", "network"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("fe80::1%eth0", "fe80::/64"), ("", ""), ("@", "@")],
)
def test_what_counts_as_one_address(address, network):
    assert network_of(address) == network


def test_failures_that_are_over_are_forgotten(monkeypatch):
    counted = Throttle()
    counted.failed(10001, "a", "")
    monkeypatch.setattr(throttle, "FORGET_SECONDS", -1.0)
    monkeypatch.setattr(throttle, "_SWEEP_SECONDS", 0.0)
    counted._sweep(counted._swept + 1)
    assert not any((counted._rows, counted._others, counted._networks))


# -- verify codes ---------------------------------------------------------------------------------


def _prove(authenticator: Authenticator, place: Place, code: str, *sessions: str) -> object:
    p = hashes.password_hash(PASSWORD, hashes.password_salt(10001), code)
    return authenticator.by_hash(10001, place, Proof(code, p, sessions))


def test_a_code_is_good_once_by_its_cookie_or_else_from_its_address(authenticator):
    (one, session), (other, _) = (authenticator.new_code(10001, HOME.address) for _ in range(2))
    assert not isinstance(_prove(authenticator, AWAY, one, session), LoginResult)
    assert not isinstance(_prove(authenticator, HOME, other), LoginResult)
    for place, code in ((HOME, one), (AWAY, one), (HOME, other)):
        assert _prove(authenticator, place, code, session) is LoginResult.WRONG_CAPTCHA


def test_a_code_of_another_account_or_cookie_is_none(storage, authenticator):
    storage.accounts.create("Eve", PASSWORD, 10002)
    code, session = authenticator.new_code(10002, HOME.address)
    mine, _ = authenticator.new_code(10001, AWAY.address)
    for given in (code, mine):
        assert _prove(authenticator, HOME, given, session, "x") is LoginResult.WRONG_CAPTCHA


def test_nobody_uses_up_a_code_of_others_or_pushes_it_out(authenticator):
    code, session = authenticator.new_code(10001, HOME.address)
    without_cookie, _ = authenticator.new_code(10001, HOME.address)
    others = {authenticator.new_code(10001, AWAY.address)[0] for _ in range(6000)}
    if code not in others:  # there are 46,656 codes: at times one is drawn twice
        assert _prove(authenticator, AWAY, code) is LoginResult.WRONG_CAPTCHA
    assert not isinstance(_prove(authenticator, HOME, code, session), LoginResult)
    assert not isinstance(_prove(authenticator, HOME, without_cookie), LoginResult)


def test_the_cookie_keeps_a_code_also_from_a_flood_of_the_same_address(authenticator):
    code, session = authenticator.new_code(10001, HOME.address)
    for _ in range(6000):
        authenticator.new_code(10001, HOME.address)
    assert not isinstance(_prove(authenticator, HOME, code, session), LoginResult)


def test_a_code_is_not_good_for_ever(authenticator, monkeypatch):
    code, session = authenticator.new_code(10001, HOME.address)
    monkeypatch.setattr("webqq_tornado.server.authentication.CODE_SECONDS", -1.0)
    assert _prove(authenticator, HOME, code, session) is LoginResult.WRONG_CAPTCHA


def test_two_pictures_with_one_cookie_can_both_be_read(authenticator):
    first = authenticator.captchas.new("192.0.2.1")
    read = authenticator.captchas.text(first.session)
    assert authenticator.captchas.new("192.0.2.1", first.session).session == first.session
    assert authenticator.captchas.takes(first.session, read.lower()) == read
    assert authenticator.captchas.takes(first.session, read) == ""


def test_nobody_pushes_out_the_pictures_of_others(authenticator):
    mine = authenticator.captchas.new("192.0.2.1")
    read = authenticator.captchas.text(mine.session)
    for _ in range(20):
        authenticator.captchas.new("198.51.100.7")
    assert authenticator.captchas.takes(mine.session, read) == read


# -- by the network --------------------------------------------------------------------------


async def test_the_page_says_how_long_to_wait():
    async with Town() as town:
        ann = town.visitor(town.ann)
        body = json.dumps({"account": town.ann, "password": "wrong"})
        kind = {"Content-Type": "application/json"}
        replies = [await ann._fetch("/page/signin", body, kind) for _ in range(11)]
    assert [reply.code for reply in replies] == [403] * 10 + [429]
    assert replies[-1].headers["Retry-After"] == "1"
    assert json.loads(replies[-1].body)["error"] == "Too many wrong passwords: try again in 1 s"


async def test_wrong_passwords_are_logged_with_where_they_came_from(caplog):
    caplog.set_level("INFO", "webqq_tornado.server")
    async with Town() as town:
        await town.visitor(town.ann).login("wrong")
    assert f"wrong password for {town.ann} from 127.0.0.1" in caplog.text


async def test_a_new_login_of_a_client_ends_its_former_ticket():
    async with Town() as town:
        ann = town.visitor(town.ann)
        await ann.login()
        former = ann.cookies["ptwebqq"]
        await ann.login()
        assert town.server.authenticator.ticket(former) is None
        assert town.server.authenticator.ticket(ann.cookies["ptwebqq"]) is not None
