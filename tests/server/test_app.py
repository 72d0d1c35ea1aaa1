"""The server as a client of 2013 meets it, request by request."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from servers.town import Town, Visitor

from webqq_tornado.protocol import forms, hashes, webqq3
from webqq_tornado.protocol.codes import Status
from webqq_tornado.protocol.models import (
    Content,
    Face,
    Font,
    FriendMessage,
    GroupMessage,
    Kicked,
    Picture,
    Secret,
    UnknownPart,
)
from webqq_tornado.server import Storage, WebQQServer


async def test_check_gives_a_code_and_the_number_as_salt():
    async with Town() as town:
        reply = await town.visitor(town.ann).get("/check", uin=town.ann, appid=1003903, r=0.5)
        text = reply.body.decode()
    assert text.startswith("ptui_checkVC('0','!")
    assert text.endswith(r"'\x00\x00\x00\x00\x00\x00\x27\x11');")
    assert "ptvfsession" in reply.headers["Set-Cookie"]


async def test_login_answers_in_the_historical_words_and_sets_the_cookies():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        text = await visitor.login()
    assert text.startswith("ptuiCB('0','0','http://127.0.0.1:")
    assert text.endswith("','0','登录成功!', 'Ann');\r\n")
    assert visitor.cookies["uin"] == "o010001"
    assert len(visitor.cookies["ptwebqq"]) == 64
    assert {"skey", "superuin", "ptcz"} <= set(visitor.cookies)


async def test_the_link_of_a_login_redirects_and_sets_p_skey():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        url = webqq3.LOGIN.parse((await visitor.login()).encode()).url
        reply = await visitor.get(url.removeprefix(town.server.url))
    assert reply.code == 302
    assert "p_skey" in visitor.cookies


async def test_a_wrong_password_is_3():
    async with Town() as town:
        text = await town.visitor(town.ann).login("wrong")
    assert text.startswith("ptuiCB('3','0','','0','您输入的帐号或密码不正确")


async def test_an_unknown_account_is_3_too():
    async with Town() as town:
        assert (await town.visitor(999).login()).startswith("ptuiCB('3'")


async def test_a_verify_code_is_good_once():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        form = await visitor.proof()
        replies = [(await visitor.ask(webqq3.LOGIN, form)).body for _ in range(2)]
    assert replies[0].startswith(b"ptuiCB('0'")
    assert replies[1].startswith(b"ptuiCB('4'")


async def test_after_ten_wrong_passwords_even_the_right_one_has_to_wait():
    async with Town(captcha_after=99) as town:
        visitor = town.visitor(town.ann)
        for _ in range(10):
            assert (await visitor.login("wrong")).startswith("ptuiCB('3'")
        text = await visitor.login()
    assert text.startswith("ptuiCB('19','0','','0','您的帐号暂时无法登录")


async def test_friends_groups_and_members_carry_made_up_numbers():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        session = await visitor.enter()
        reply = await visitor.ask(webqq3.FRIENDS, forms.FriendsForm(session.vfwebqq))
        (bob,) = webqq3.FRIENDS.parse(reply.body).friends
        reply = await visitor.ask(webqq3.GROUPS, forms.GroupsForm(session.vfwebqq))
        (square,) = webqq3.GROUPS.parse(reply.body)
        form = forms.GroupInfoForm(square.code, session.vfwebqq)
        details = webqq3.GROUP_INFO.parse((await visitor.ask(webqq3.GROUP_INFO, form)).body)
        form = forms.TranslateForm(bob.uin, 1, session.vfwebqq)
        number = webqq3.TRANSLATE.parse((await visitor.ask(webqq3.TRANSLATE, form)).body).account
    assert (bob.nick, number) == ("Bob", town.bob)
    assert bob.uin != town.bob
    assert square.gid not in {square.code, town.square}
    assert [member.nick for member in details.members] == ["Ann", "Bob", "Eve"]
    assert details.members[1].uin == bob.uin


@pytest.mark.parametrize("kind", hashes.FriendListHash)
async def test_each_hash_of_the_friend_list_is_taken(kind):
    async with Town() as town:
        visitor = town.visitor(town.ann)
        session = await visitor.enter()
        given = hashes.friend_list_hash(kind, town.ann, visitor.cookies["ptwebqq"])
        form = forms.FriendsForm(session.vfwebqq, Secret(given))
        assert json.loads((await visitor.ask(webqq3.FRIENDS, form)).body)["retcode"] == 0


async def test_the_hash_of_early_2013_is_taken():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        session = await visitor.enter()
        given = hashes.digits_hash(town.ann, visitor.cookies["ptwebqq"])
        form = forms.FriendsForm(session.vfwebqq, Secret(given))
        assert json.loads((await visitor.ask(webqq3.FRIENDS, form)).body)["retcode"] == 0


async def test_a_wrong_hash_is_50():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        session = await visitor.enter()
        form = forms.FriendsForm(session.vfwebqq, Secret("0123"))
        assert json.loads((await visitor.ask(webqq3.FRIENDS, form)).body)["retcode"] == 50


async def _first_friend(visitor: Visitor) -> int:
    reply = await visitor.ask(webqq3.FRIENDS, forms.FriendsForm(visitor.session.vfwebqq))
    return webqq3.FRIENDS.parse(reply.body).friends[0].uin


async def _send(visitor: Visitor, to: int, text: str, msg_id: int = 0) -> bytes:
    content = Content.of(text)
    form = forms.SendForm(to, content, msg_id, 12345678, visitor.session.psessionid)
    return (await visitor.ask(webqq3.SEND_FRIEND, form)).body


async def test_a_poll_is_held_until_something_comes():
    async with Town() as town:
        ann, bob = town.visitor(town.ann), town.visitor(town.bob)
        await ann.enter()
        await bob.enter()
        held = asyncio.ensure_future(bob.poll())
        assert await _send(ann, await _first_friend(ann), "<hi> & bye") == (
            b'{"retcode":0,"result":"ok"}'
        )
        (message,) = webqq3.POLL.parse(await held).events
    assert isinstance(message, FriendMessage)
    assert message.content.text == "<hi> & bye"


async def test_with_nothing_new_a_poll_ends_with_102():
    async with Town(poll_timeout=0.05) as town:
        visitor = town.visitor(town.ann)
        await visitor.enter()
        assert json.loads(await visitor.poll())["retcode"] == 102


async def test_what_was_given_and_not_confirmed_is_given_to_the_next_session_again():
    async with Town(poll_timeout=0.05) as town:
        ann, bob = town.visitor(town.ann), town.visitor(town.bob)
        await ann.enter()
        await bob.enter()
        await _send(ann, await _first_friend(ann), "once")
        first = webqq3.POLL.parse(await bob.poll()).events
        again = town.visitor(town.bob)
        await again.enter()
        second = webqq3.POLL.parse(await again.poll()).events
        third = webqq3.POLL.parse(await again.poll()).events
    assert [message.content.text for message in (*first, *second)] == ["once", "once"]
    assert first[0].msg_id == second[0].msg_id
    assert third == ()


async def test_a_message_waits_for_who_is_offline_over_a_restart(tmp_path: Path):
    async with Town(tmp_path / "server.db") as town:
        ann = town.visitor(town.ann)
        await ann.enter()
        await _send(ann, await _first_friend(ann), "later")
        async with town.away():
            pass
        bob = town.visitor(town.bob)
        await bob.enter()
        (message,) = webqq3.POLL.parse(await bob.poll()).events
    assert message.content.text == "later"


@pytest.mark.parametrize(("msg_id", "messages"), [(7000001, 1), (91310001, 2)])
async def test_the_same_msg_id_again_is_the_same_message_where_ids_tell_them_apart(
    msg_id, messages
):
    async with Town(poll_timeout=0.05) as town:
        ann, bob = town.visitor(town.ann), town.visitor(town.bob)
        await ann.enter()
        await bob.enter()
        to = await _first_friend(ann)
        for _ in range(2):
            assert json.loads(await _send(ann, to, "once", msg_id))["retcode"] == 0
        events = webqq3.POLL.parse(await bob.poll()).events
    assert len(events) == messages


async def test_a_msg_id_that_other_words_had_tells_nothing_apart():
    async with Town(poll_timeout=0.05) as town:
        ann, bob = town.visitor(town.ann), town.visitor(town.bob)
        await ann.enter()
        await bob.enter()
        to = await _first_friend(ann)
        for text in ("ping", "pong", "pong"):
            await _send(ann, to, text, 7000001)
        events = webqq3.POLL.parse(await bob.poll()).events
    assert [event.content.text for event in events] == ["ping", "pong", "pong"]


async def test_a_group_message_reaches_the_others_only():
    async with Town(poll_timeout=0.05) as town:
        people = [town.visitor(number) for number in (town.ann, town.bob, town.eve)]
        for person in people:
            await person.enter()
        ann = people[0]
        reply = await ann.ask(webqq3.GROUPS, forms.GroupsForm(ann.session.vfwebqq))
        gid = webqq3.GROUPS.parse(reply.body)[0].gid
        form = forms.GroupSendForm(gid, Content.of("all"), 1, 12345678, ann.session.psessionid)
        await ann.ask(webqq3.SEND_GROUP, form)
        heard = [webqq3.POLL.parse(await person.poll()).events for person in people]
    texts = [[e.content.text for e in events if isinstance(e, GroupMessage)] for events in heard]
    assert texts == [[], ["all"], ["all"]]


async def test_a_second_login_kicks_the_first():
    async with Town() as town:
        first, second = town.visitor(town.ann), town.visitor(town.ann)
        await first.enter()
        held = asyncio.ensure_future(first.poll())
        await second.enter()
        (event,) = webqq3.POLL.parse(await held).events
        after = json.loads(await first.poll())
    assert isinstance(event, Kicked)
    assert after["retcode"] == 103


async def test_without_a_referer_the_answer_is_a_refusal():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        session = await visitor.enter()
        body = f'r={{"vfwebqq":"{session.vfwebqq}"}}'
        reply = await visitor.post("/api/get_user_friends2", body, referer="http://evil.example/")
    assert json.loads(reply.body)["retcode"] == 103


async def test_a_foreign_host_is_not_served():
    async with Town() as town:
        reply = await town.visitor(town.ann).ask(
            webqq3.CHECK, forms.CheckForm(town.ann), Host="evil.example"
        )
    assert reply.code == 403


@pytest.mark.parametrize("host", ["qq.com", "mail.qq.com", "d.web2.qq.com.evil.example"])
async def test_hosts_that_no_client_knew_are_not_served(host):
    async with Town() as town:
        reply = await town.visitor(town.ann).ask(webqq3.CHECK, forms.CheckForm(town.ann), Host=host)
    assert reply.code == 403
    assert json.loads(reply.body) == {"error": "Host not served here"}


async def test_what_stands_in_addresses_does_not_send():
    async with Town() as town:
        ann = town.visitor(town.ann)
        session = await ann.enter()
        to = await _first_friend(ann)
        del ann.cookies["ptwebqq"]
        for exchange, form in (
            (webqq3.SEND_FRIEND, forms.SendForm(to, Content.of("x"), psessionid=session.vfwebqq)),
            (webqq3.POLL, forms.PollForm(1, session.vfwebqq)),
            (webqq3.CHANGE_STATUS, forms.StatusForm(Status.AWAY, 1, session.vfwebqq)),
            (webqq3.ONLINE, forms.OnlineForm(1, session.vfwebqq, session.vfwebqq)),
        ):
            reply = await ann.ask(exchange, form)
            assert json.loads(reply.body)["retcode"] in {103, 100000, 100001}


@pytest.mark.parametrize("host", ["pinghot.qq.com", "127.0.0.1"])
async def test_a_path_that_nobody_has_is_404_and_says_nothing_of_us(host):
    async with Town() as town:
        form = forms.CheckForm(town.ann)
        nowhere = replace(webqq3.CHECK, path="/pingd")
        reply = await town.visitor(town.ann).ask(nowhere, form, Host=host)
    assert reply.code == 404
    assert "Server" not in reply.headers


async def test_historical_hosts_get_cookies_for_all_of_them():
    async with Town() as town:
        reply = await town.visitor(town.ann).ask(
            webqq3.CAPTCHA, forms.CaptchaForm(town.ann), Host="ssl.captcha.qq.com"
        )
    assert "; PATH=/; DOMAIN=qq.com;" in reply.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "body", ["", "r=", "r={", "r=[1]", 'r={"to":"x"}', "r=" + "[" * 5000, "r=%ff%fe", "x" * 100_000]
)
@pytest.mark.parametrize("exchange", [webqq3.SEND_FRIEND, webqq3.POLL, webqq3.LOGIN2])
async def test_garbage_is_refused_and_breaks_nothing(exchange, body):
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await visitor.enter()
        reply = await visitor.post(exchange.path, body)
    assert reply.code == 200
    assert json.loads(reply.body)["retcode"] != 0


async def test_a_status_that_is_none_changes_nothing():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        session = await visitor.enter()
        form = forms.StatusForm(Status.UNKNOWN, 12345678, session.psessionid)
        reply = await visitor.ask(webqq3.CHANGE_STATUS, form)
        assert json.loads(reply.body)["retcode"] == 1
        assert town.server.hub.status_of(town.ann) is Status.ONLINE


async def test_who_logs_in_with_a_status_that_is_none_is_online():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        await visitor.login()
        form = forms.Login2Form(1, Secret(visitor.cookies["ptwebqq"]), status=Status.UNKNOWN)
        assert (await visitor.result(webqq3.LOGIN2, form))["status"] == "online"


async def test_a_message_with_a_face_that_nobody_knows_arrives_by_way_of_the_disk():
    async with Town() as town:
        ann, bob = town.visitor(town.ann), town.visitor(town.bob)
        session = await ann.enter()
        (friend,) = (await ann.result(webqq3.FRIENDS, forms.FriendsForm(session.vfwebqq)))["info"]
        content = Content.of(Face(5000))
        form = forms.SendForm(friend["uin"], content, psessionid=session.psessionid)
        await ann.ask(webqq3.SEND_FRIEND, form)
        await bob.enter()
        assert [message.content for message in await bob.news(FriendMessage)] == [content]


@pytest.mark.parametrize(
    "content",
    [
        Content.of("a", font=Font(name="x" * 50_000)),
        Content.of("a", Picture("x" * 50_000)),
        Content.of("a", UnknownPart("a", f'["a","{"x" * 50_000}"]')),
        Content.of("x" * 5000),
    ],
    ids=["font", "picture", "unknown", "text"],
)
async def test_a_message_that_is_too_large_is_refused(content):
    async with Town() as town:
        ann = town.visitor(town.ann)
        session = await ann.enter()
        (friend,) = (await ann.result(webqq3.FRIENDS, forms.FriendsForm(session.vfwebqq)))["info"]
        form = forms.SendForm(friend["uin"], content, psessionid=session.psessionid)
        reply = await ann.ask(webqq3.SEND_FRIEND, form)
    assert json.loads(reply.body)["retcode"] == 1


async def test_no_answer_has_a_mark_by_which_it_could_be_called_unchanged():
    async with Town() as town:
        reply = await town.visitor(town.ann).get("/web2/get_msg_tip", t=1)
    assert "Etag" not in reply.headers


async def test_a_file_is_not_there_and_none_is_for_who_is_not_signed_in():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        session = await visitor.enter()
        for psessionid, retcode in ((session.psessionid, 4), (Secret("x"), 103)):
            form = forms.FileForm(10002, "a.txt", 1, psessionid=psessionid)
            reply = await visitor.ask(webqq3.FILE, form)
            assert json.loads(reply.body)["retcode"] == retcode


async def test_a_signature_outside_ascii_is_no_signature():
    async with Town() as town:
        ann = town.visitor(town.ann)
        session = await ann.enter()
        form = forms.SessionSendForm(1, Secret("é"), Content.of("x"), psessionid=session.psessionid)
        reply = await ann.ask(webqq3.SEND_SESSION, form)
    assert json.loads(reply.body)["retcode"] == 4


async def test_after_logout_the_session_is_unknown():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        session = await visitor.enter()
        await visitor.ask(webqq3.LOGOUT, forms.LogoutForm(12345678, session.psessionid))
        assert json.loads(await visitor.poll())["retcode"] == 103


def test_parts_of_the_server_are_found_by_their_old_names():
    server = WebQQServer(Storage(":memory:"))
    with pytest.warns(DeprecationWarning, match="use WebQQServer.hub instead"):
        assert server.channel is server.hub
    with pytest.warns(DeprecationWarning, match="use WebQQServer.authenticator instead"):
        assert server.gate is server.authenticator
    server.storage.close()
