"""Captchas after wrong passwords, as the clients of 2012 to 2018 met them."""

from __future__ import annotations

import re

import pytest
from servers.town import PASSWORD, Town, Visitor

from webqq_tornado.protocol import forms, hashes, webqq3
from webqq_tornado.server import authentication, throttle


async def _check(visitor: Visitor, **query: object) -> str:
    reply = await visitor.get("/check", uin=visitor.account, appid=1003903, r=0.5, **query)
    return reply.body.decode()


async def _picture(visitor: Visitor, **query: object) -> bytes:
    reply = await visitor.get("/getimage", aid=1003903, r=0.5, uin=visitor.account, **query)
    assert reply.headers["Content-Type"] == "image/jpeg"
    return reply.body


def _read(town: Town, visitor: Visitor) -> str:
    return town.server.authenticator.captchas.text(visitor.cookies["verifysession"])


async def _login(visitor: Visitor, code: str, password: str = PASSWORD) -> str:
    proof = hashes.password_hash(password, hashes.password_salt(visitor.account), code)
    form = forms.LoginForm(visitor.account, proof, code)
    return (await visitor.ask(webqq3.LOGIN, form)).body.decode()


async def _suspected(town: Town) -> Visitor:
    """Somebody whose account had too many wrong passwords."""
    visitor = town.visitor(town.ann)
    for _ in range(authentication.CAPTCHA_AFTER):
        assert (await visitor.login("wrong")).startswith("ptuiCB('3'")
    return visitor


async def test_after_three_wrong_passwords_check_asks_for_a_captcha():
    async with Town() as town:
        text = await _check(await _suspected(town))
    assert re.fullmatch(
        r"ptui_checkVC\('1','[\w-]{32}','\\x00\\x00\\x00\\x00\\x00\\x00\\x27\\x11'\);", text
    )


async def test_other_accounts_need_none():
    async with Town() as town:
        await _suspected(town)
        assert (await _check(town.visitor(town.bob))).startswith("ptui_checkVC('0','!")


async def test_the_captcha_is_a_jpeg_that_says_so():
    async with Town() as town:
        visitor = await _suspected(town)
        assert (await _picture(visitor)).startswith(b"\xff\xd8\xff")
        assert len(_read(town, visitor)) == 4


async def test_a_captcha_read_right_lets_in_in_either_case():
    async with Town() as town:
        visitor = await _suspected(town)
        await _picture(visitor)
        text = await _login(visitor, _read(town, visitor).lower())
    assert text.startswith("ptuiCB('0'")


async def test_after_a_right_password_no_captcha_is_needed():
    async with Town() as town:
        visitor = await _suspected(town)
        await _picture(visitor)
        await _login(visitor, _read(town, visitor))
        assert (await _check(visitor)).startswith("ptui_checkVC('0','!")


async def test_a_captcha_read_wrong_is_4_and_used_up():
    async with Town() as town:
        visitor = await _suspected(town)
        await _picture(visitor)
        right = _read(town, visitor)
        replies = [await _login(visitor, code) for code in ("ABCDE", right)]
    refusal = "ptuiCB('4','0','','0','您输入的验证码不正确，请重新输入。', '10001');\r\n"
    assert replies == [refusal] * 2


async def test_a_captcha_read_right_with_a_wrong_password_is_3():
    async with Town() as town:
        visitor = await _suspected(town)
        await _picture(visitor)
        text = await _login(visitor, _read(town, visitor), "wrong")
    assert text.startswith("ptuiCB('3'")


async def test_a_verify_code_given_out_before_is_no_way_round():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await _suspected(town)
        code, session = town.server.authenticator.new_code(town.ann, "127.0.0.1")
        visitor.cookies["ptvfsession"] = session
        assert (await _login(visitor, code)).startswith("ptuiCB('4'")


async def test_late_clients_name_the_captcha_in_the_query():
    async with Town() as town:
        visitor = await _suspected(town)
        await _picture(visitor, cap_cd="x")
        code, session = _read(town, visitor), visitor.cookies.pop("verifysession")
        p = hashes.password_hash(PASSWORD, hashes.password_salt(town.ann), code)
        reply = await visitor.get(
            "/login", u=town.ann, p=p, verifycode=code, pt_verifysession_v1=session
        )
    assert reply.body.startswith(b"ptuiCB('0'")


@pytest.mark.parametrize("late", [{"pt_tea": 1}, {"pt_vcode": 1}])
async def test_late_clients_get_five_values(late):
    async with Town() as town:
        visitor = town.visitor(town.ann)
        easy = re.findall("'(.*?)'", await _check(visitor, **late))
        session = visitor.cookies["ptvfsession"]
        await _suspected(town)
        hard = re.findall("'(.*?)'", await _check(visitor, **late))
    assert (easy[0], easy[3], easy[4]) == ("0", session, "0")
    assert (hard[0], hard[3], hard[4]) == ("1", "", "0")


async def test_early_clients_get_three_values_and_the_cookie():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        text = await _check(visitor, js_ver=10040, js_type=0, login_sig="x")
    assert len(re.findall("'(.*?)'", text)) == 3
    assert len(visitor.cookies["ptvfsession"]) == 96


async def test_wrong_passwords_are_forgotten_after_a_while(monkeypatch):
    monkeypatch.setattr(throttle, "FORGET_SECONDS", -1.0)
    async with Town() as town:
        assert (await _check(await _suspected(town))).startswith("ptui_checkVC('0','!")
