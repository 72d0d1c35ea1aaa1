"""Signing in by QR code, as the clients of 2015 to 2018 did it."""

from __future__ import annotations

import io
import json
import re
from http.cookies import SimpleCookie

import pytest
import zxingcpp
from PIL import Image
from servers.town import PASSWORD, Town, Visitor
from waiting import put_ahead

from webqq_tornado.protocol import forms, smartqq
from webqq_tornado.protocol.codes import QRState
from webqq_tornado.protocol.hashes import hash33
from webqq_tornado.protocol.models import Secret
from webqq_tornado.server import Storage


async def _code(visitor: Visitor) -> bytes:
    return (await visitor.ask(smartqq.QR_CODE, forms.QRCodeForm())).body


async def _state(visitor: Visitor, token: int | None = None) -> str:
    token = hash33(visitor.cookies["qrsig"]) if token is None else token
    return (await visitor.ask(smartqq.QR_STATE, forms.QRStateForm(token))).body.decode()


def _id(town: Town) -> str:
    return town.server.qr.all_waiting()[0].id


async def _let_in(town: Town, visitor: Visitor) -> str:
    """All the way to check_sig; its address."""
    await _code(visitor)
    town.server.qr.confirm(_id(town), visitor.account)
    return re.search(r"'(http[^']*)'", await _state(visitor))[1]


async def test_a_code_is_a_picture_and_a_cookie():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        reply = await visitor.ask(smartqq.QR_CODE, forms.QRCodeForm())
        assert reply.headers["Content-Type"] == "image/png"
        assert reply.body.startswith(b"\x89PNG")
        assert len(visitor.cookies["qrsig"]) == 64


async def test_a_code_says_how_far_it_is_in_the_historical_words():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        assert re.fullmatch(
            r"ptuiCB\('66','0','','0','二维码未失效。\(\d{10}\)', ''\);\r\n", await _state(visitor)
        )
        town.server.qr.scan(_id(town), town.ann)
        assert "'67','0','','0','二维码认证中。(" in await _state(visitor)


async def test_a_code_that_has_expired_says_so():
    async with Town(qr_timeout=0.0) as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        assert "ptuiCB('65','0','','0','二维码已失效。(" in await _state(visitor)


async def test_a_code_that_was_refused_has_expired():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        assert town.server.qr.refuse(_id(town), town.ann)
        assert (await _state(visitor)).startswith("ptuiCB('65'")
        assert not town.server.qr.all_waiting()


async def test_a_token_that_is_not_of_the_cookie_is_forbidden():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        town.server.qr.confirm(_id(town), town.ann)
        reply = await visitor.ask(smartqq.QR_STATE, forms.QRStateForm(1))
    assert reply.code == 403
    assert b"<center>Tencent Login Server</center>" in reply.body


async def test_clients_of_before_2017_send_no_token():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        reply = await visitor.get("/ptqrlogin", aid=501004106, action="0-0-157510")
    assert reply.body.startswith(b"ptuiCB('66'")


async def test_a_cookie_that_was_never_given_out_has_expired():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        visitor.cookies["qrsig"] = "hJ9GvNx*oIvLjP5I5dQ19KPa3zwxNI"
        assert (await _state(visitor)).startswith("ptuiCB('65'")


@pytest.mark.parametrize(("scale", "pixels"), [("5", 5), ("8", 8), ("99", 5), ("x", 5)])
async def test_a_picture_is_as_large_as_the_client_asked(scale, pixels):
    async with Town() as town:
        reply = await town.visitor(town.ann).get("/ptqrshow", s=scale, l="L")
    picture = Image.open(io.BytesIO(reply.body))
    (found,) = zxingcpp.read_barcodes(picture)
    assert picture.width % pixels == 0
    assert found.text.startswith(f"{town.server.url}/?qr=")


async def test_who_came_by_a_historical_host_gets_a_code_for_our_own_address():
    async with Town() as town:
        reply = await town.visitor(town.ann).ask(
            smartqq.QR_CODE, forms.QRCodeForm(), Host="ssl.ptlogin2.qq.com"
        )
        (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(reply.body)))
    assert found.text.startswith(f"{town.server.url}/?qr=")
    assert "; PATH=/; DOMAIN=ptlogin2.qq.com;" in reply.headers["Set-Cookie"]


async def test_a_login_leads_to_the_address_that_the_client_asked_for():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        town.server.qr.confirm(_id(town), town.ann)
        token, u1 = hash33(visitor.cookies["qrsig"]), "http://w.qq.com/proxy.html?a=1"
        reply = await visitor.get("/ptqrlogin", ptqrtoken=token, u1=u1)
        url = re.search(r"'(http[^']*)'", reply.body.decode())[1]
        reply = await visitor.get(url.removeprefix(town.server.url))
    assert reply.headers["Location"] == f"{town.server.url}/proxy.html?a=1"


async def test_signing_out_ends_the_cookies():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _let_in(town, visitor)
        await visitor.ask(smartqq.SIGN_OUT, forms.SignOutForm())
    assert not visitor.cookies["ptwebqq"].strip('"')


async def test_a_signed_in_client_is_told_where_to_go_on_without_a_code():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        before = await visitor.get("/pt4_auth", daid=164, appid=501004106)
        await _let_in(town, visitor)
        after = await visitor.get("/pt4_auth", daid=164, appid=501004106)
    assert before.body == b"ptui_auth_CB('1','');"
    assert after.body.startswith(f"ptui_auth_CB('0','{town.server.url}/check_sig?".encode())


async def test_a_confirmed_code_sets_the_cookies_of_the_account_and_leads_to_check_sig():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        url = await _let_in(town, visitor)
        assert url.startswith(f"{town.server.url}/check_sig?")
        assert visitor.cookies["uin"] == visitor.cookies["superuin"] == "o010001"
        assert {"ptwebqq", "skey", "RK", "ptcz", "ptisp"} <= set(visitor.cookies)


async def test_no_cookie_is_in_quotes_and_ptwebqq_is_the_last_of_its_domain():
    """libcurl's clients keep quotes; twqq 2014 finds the last one of a domain only."""
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        town.server.qr.confirm(_id(town), town.ann)
        form = forms.QRStateForm(hash33(visitor.cookies["qrsig"]))
        reply = await visitor.ask(smartqq.QR_STATE, form, Host="ssl.ptlogin2.qq.com")
        lines = reply.headers.get_list("Set-Cookie")
        assert not any('"' in line for line in lines)
        assert any(re.fullmatch(r"skey=@[\w-]{9}; PATH=/; DOMAIN=qq.com;", line) for line in lines)
        assert [line for line in lines if "DOMAIN=qq.com" in line][-1].startswith("ptwebqq=")


async def test_a_confirmed_code_lets_in_once():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _let_in(town, visitor)
        assert (await _state(visitor)).startswith("ptuiCB('65'")


async def test_a_client_that_missed_that_it_was_let_in_is_told_again_until_it_goes_on():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        before = dict(visitor.cookies)
        town.server.qr.confirm(_id(town), town.ann)
        tickets = []
        for _ in range(2):
            visitor.cookies = dict(before)
            assert (await _state(visitor)).startswith("ptuiCB('0'")
            tickets.append(visitor.cookies["ptwebqq"])
        assert tickets[0] == tickets[1]
        form = forms.Login2Form(1, Secret(tickets[0]))
        await visitor.ask(smartqq.LOGIN2, form)
        visitor.cookies = dict(before)
        assert (await _state(visitor)).startswith("ptuiCB('65'")


async def test_nobody_is_told_again_after_a_while():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _code(visitor)
        before = dict(visitor.cookies)
        town.server.qr.confirm(_id(town), town.ann)
        await _state(visitor)
        visitor.cookies = before
        put_ahead(31)
        assert (await _state(visitor)).startswith("ptuiCB('65'")


async def test_check_sig_sets_its_cookies_and_redirects_to_where_the_login_was_for():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        url = await _let_in(town, visitor)
        reply = await visitor.get(url.removeprefix(town.server.url))
        assert reply.code == 302
        assert reply.headers["Location"] == (
            f"{town.server.url}/proxy.html?login2qq=1&webqq_type=10"
        )
        set_now = SimpleCookie()
        for line in reply.headers.get_list("Set-Cookie"):
            set_now.load(line)
        assert {"p_skey", "p_uin", "pt4_token", "ptwebqq"} <= set(set_now)
        assert set_now["p_uin"].value == "o010001"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://evil.example/",
        "//evil.example",
        "javascript:0",
        "http://mail.qq.com/",
        "http://127.0.0.1:22/",
        "http://127.0.0.1/",
        "http://w.qq.com:22/",
        "http://w.qq.com@evil.example/",
        "http://evil.example\\@w.qq.com/",
        "http:w.qq.com",
        "http://w.qq.com\r\nX: y",
    ],
)
async def test_check_sig_leads_nowhere_else(elsewhere):
    async with Town() as town:
        reply = await town.visitor(town.ann).get("/check_sig", s_url=elsewhere)
        assert reply.headers["Location"].startswith(f"{town.server.url}/loginproxy.html?")


async def test_getvfwebqq_login2_and_contacts_follow():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _let_in(town, visitor)
        ptwebqq = Secret(visitor.cookies["ptwebqq"])
        reply = await visitor.ask(smartqq.VFWEBQQ, forms.VfwebqqForm(ptwebqq, 53999199))
        vfwebqq = smartqq.VFWEBQQ.parse(reply.body)
        reply = await visitor.ask(smartqq.LOGIN2, forms.Login2Form(53999199, ptwebqq))
        session = smartqq.LOGIN2.parse(reply.body)
        assert session.uin == town.ann
        reply = await visitor.ask(smartqq.FRIENDS, forms.FriendsForm(vfwebqq))
        assert [friend.nick for friend in smartqq.FRIENDS.parse(reply.body).friends] == ["Bob"]


async def test_a_poll_brings_one_event_at_a_time():
    """qqbot 2017 looks at the first one only."""
    async with Town() as town:
        ann, bob = town.visitor(town.ann), town.client(town.bob)[0]
        await bob.login()
        await _let_in(town, ann)
        form = forms.Login2Form(1, Secret(ann.cookies["ptwebqq"]))
        session = smartqq.LOGIN2.parse((await ann.ask(smartqq.LOGIN2, form)).body)
        for text in ("one", "two"):
            await bob.send(bob.find("Ann"), text)
        poll = forms.PollForm(1, session.psessionid)
        for text in ("one", "two"):
            (event,) = smartqq.POLL.parse((await ann.ask(smartqq.POLL, poll)).body).events
            assert event.content.text == text


async def test_who_is_not_signed_in_gets_no_vfwebqq():
    async with Town() as town:
        reply = await town.visitor(town.ann).ask(smartqq.VFWEBQQ, forms.VfwebqqForm(Secret("x")))
        assert reply.body == b'{"retcode":103,"errmsg":""}'


async def test_the_cookies_are_good_after_a_restart_of_the_server(tmp_path):
    async with Town(tmp_path / "server.db") as town:
        visitor = town.visitor(town.ann)
        await _let_in(town, visitor)
        async with town.away():
            pass
        visitor.server = town.server
        ptwebqq = Secret(visitor.cookies["ptwebqq"])
        reply = await visitor.ask(smartqq.LOGIN2, forms.Login2Form(1, ptwebqq))
        assert smartqq.LOGIN2.parse(reply.body).uin == town.ann


async def test_who_signs_out_has_no_use_of_the_cookies_any_more():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _let_in(town, visitor)
        ptwebqq = Secret(visitor.cookies["ptwebqq"])
        await visitor.ask(smartqq.SIGN_OUT, forms.SignOutForm())
        reply = await visitor.ask(smartqq.LOGIN2, forms.Login2Form(1, ptwebqq))
        assert b'"retcode":103' in reply.body


def test_no_cookie_is_kept_as_it_is(tmp_path):
    storage = Storage(tmp_path / "server.db")
    storage.accounts.create("Ann", PASSWORD)
    storage.sessions.add_ticket("geheim" * 5, storage.sessions.ticket("none") or (10001, "smartqq"))
    storage.close()
    assert b"geheim" not in (tmp_path / "server.db").read_bytes()


# -- who confirms it ----------------------------------------------------------------------------


async def _sign_in(visitor: Visitor) -> None:
    body = f'{{"account":{visitor.account},"password":"{PASSWORD}"}}'
    await visitor._fetch("/page/signin", body, {"Content-Type": "application/json"})


async def _decide(visitor: Visitor, identifier: str, confirm: str) -> int:
    body = f'{{"id":"{identifier}","confirm":{confirm}}}'
    return (await visitor._fetch("/page/qr", body, {"Content-Type": "application/json"})).code


async def test_the_page_lists_who_waits_and_lets_them_in():
    async with Town() as town:
        phone, visitor = town.visitor(town.bob), town.visitor(town.bob)
        await _sign_in(phone)
        await _code(visitor)
        reply = await phone.get("/page/qr")
        (client,) = json.loads(reply.body)["waiting"]
        assert (client["id"], client["address"], client["scanned"]) == (
            _id(town),
            "127.0.0.1",
            False,
        )
        assert 140 < client["seconds_left"] <= 150
        assert await _decide(phone, _id(town), "true") == 204
        assert "'登录成功！', 'Bob');" in await _state(visitor)


async def test_a_code_that_is_looked_at_counts_as_scanned():
    async with Town() as town:
        phone, visitor = town.visitor(town.bob), town.visitor(town.bob)
        await _sign_in(phone)
        await _code(visitor)
        assert (await phone.get("/page/qr", id=_id(town))).code == 200
        (code,) = town.server.qr.all_waiting()
        assert code.state is QRState.SCANNED


def _elsewhere(town: Town, identifier: str) -> None:
    """The code is shown by a program at another address."""
    code = town.server.qr.waiting(identifier)
    assert code
    town.server.qr._by_id.put(identifier, code._replace(address="192.0.2.1"), "")


async def test_a_code_of_another_address_is_neither_listed_nor_decided_unscanned():
    async with Town() as town:
        eve, visitor = town.visitor(town.eve), town.visitor(town.bob)
        await _sign_in(eve)
        await _code(visitor)
        identifier = _id(town)
        _elsewhere(town, identifier)
        assert json.loads((await eve.get("/page/qr")).body) == {"waiting": []}
        for confirm in ("true", "false"):
            assert await _decide(eve, identifier, confirm) == 404
        assert (await _state(visitor)).startswith("ptuiCB('66'")


async def test_a_code_of_another_address_is_decided_by_the_browser_that_scanned_it():
    async with Town() as town:
        phone, other, visitor = (town.visitor(town.bob) for _ in range(3))
        await _sign_in(phone)
        await _sign_in(other)
        await _code(visitor)
        identifier = _id(town)
        _elsewhere(town, identifier)
        assert (await phone.get("/page/qr", id=identifier)).code == 200
        assert len(json.loads((await phone.get("/page/qr")).body)["waiting"]) == 1
        assert await _decide(other, identifier, "true") == 404
        assert await _decide(phone, identifier, "true") == 204


async def test_the_number_on_the_page_is_the_one_below_the_picture():
    async with Town() as town:
        phone, visitor = town.visitor(town.bob), town.visitor(town.bob)
        await _sign_in(phone)
        picture = Image.open(io.BytesIO(await _code(visitor)))
        (client,) = json.loads((await phone.get("/page/qr")).body)["waiting"]
    assert re.fullmatch("[1-9][0-9]", client["number"])
    assert picture.text["Number"] == client["number"]


async def test_codes_of_one_address_have_numbers_of_their_own():
    async with Town() as town:
        numbers = [town.server.qr.new("127.0.0.1").number for _ in range(90)]
        assert len(set(numbers)) == 90
        assert town.server.qr.new("127.0.0.1").number in numbers
        assert town.server.qr.new("192.0.2.1").number


async def test_who_asks_for_many_codes_loses_their_own_and_nobody_elses():
    async with Town() as town:
        code, *others = [town.server.qr.new(f"192.0.2.{n}") for n in range(3)]
        flood = [town.server.qr.new("198.51.100.7") for _ in range(300)]
        kept = {each.id for each in town.server.qr.all_waiting()}
    assert {code.id, *(each.id for each in others)} < kept
    assert len(kept) == 203
    assert flood[0].id not in kept


async def test_the_answer_to_login2_is_in_the_order_of_its_dialect():
    async with Town() as town:
        ptwebqq = town.server.authenticator.new_ticket(town.ann, "smartqq")
        form = forms.Login2Form(53999199, ptwebqq)
        reply = await town.visitor(town.ann).ask(smartqq.LOGIN2, form)
    names = list(json.loads(reply.body)["result"])
    assert names == sorted(names)


async def test_nobody_confirms_without_being_signed_in():
    async with Town() as town:
        visitor = town.visitor(town.bob)
        await _code(visitor)
        assert await _decide(visitor, _id(town), "true") == 401


@pytest.mark.parametrize("confirm", ["true", "false"])
async def test_a_code_that_nobody_shows_cannot_be_decided(confirm):
    async with Town() as town:
        phone = town.visitor(town.bob)
        await _sign_in(phone)
        assert await _decide(phone, "unknown", confirm) == 404
