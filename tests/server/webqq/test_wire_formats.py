"""Each dialect's answers as its own server wrote them, at every endpoint."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode

import pytest
from servers.town import Town, Visitor

from webqq_tornado.protocol import forms, smartqq, webqq3
from webqq_tornado.protocol.hashes import bkn, hash33
from webqq_tornado.protocol.models import Content, Face, FriendMessage, GroupMessage, Secret
from webqq_tornado.server import certificates
from webqq_tornado.server.storage import Conversation

NAME = '安妮 <b>&"it\'s" &lt; 😀'
DIALECTS = ["webqq3", "smartqq"]
dialects = pytest.mark.parametrize("dialect", DIALECTS)


async def entered(town: Town, dialect: str) -> Visitor:
    """Ann, among people and groups that are all called `NAME`."""
    storage = town.server.storage
    for account in (town.ann, town.bob, town.eve):
        storage.accounts.change_profile(account, {"nick": NAME, "lnick": NAME, "city": NAME})
    storage.rooms.set_card(town.square, town.bob, NAME)
    storage.friends.set_mark(town.ann, town.bob, NAME)
    storage.friends.add_heading(town.ann, NAME)
    storage.rooms.rename(town.square, NAME)
    visitor = town.visitor(town.ann)
    await (visitor.enter() if dialect == "webqq3" else visitor.enter_smart())
    return visitor


def say(town: Town, *parts: object, kind: str = "friend") -> None:
    to = Conversation(kind, town.ann if kind == "friend" else town.square)
    town.server.hub.send(town.bob, to, Content.of(*parts))


def as_written(dialect: str, text: str) -> bytes:
    return json.dumps(text, ensure_ascii=dialect == "webqq3").encode()


@dialects
async def test_names_are_written_as_they_are_by_every_endpoint(dialect: str) -> None:
    async with Town() as town:
        ann = await entered(town, dialect)
        discussion = town.server.storage.rooms.create_discussion(
            NAME, town.ann, [town.bob, town.eve]
        )
        session = town.server.hub.find(ann.session.psessionid)
        assert session
        own, uin = ann.exchanges, session.uin_of(town.bob)
        vfwebqq = ann.session.vfwebqq
        did = session.did_of(discussion.number)
        asked = [
            (own.friends, forms.FriendsForm(vfwebqq)),
            (own.groups, forms.GroupsForm(vfwebqq)),
            (own.group_info, forms.GroupInfoForm(session.code_of(town.square), vfwebqq)),
            (own.discussions, forms.DiscussionsForm(1, ann.session.psessionid, vfwebqq)),
            (own.discussion_info, forms.DiscussionInfoForm(did, vfwebqq)),
            (own.self_info, forms.SelfInfoForm()),
            (own.friend_info, forms.FriendInfoForm(uin, vfwebqq)),
            (own.long_nick, forms.LongNickForm(uin, vfwebqq)),
        ]
        for exchange, form in asked:
            body = (await ann.ask(exchange, form)).body
            assert as_written(dialect, NAME) in body, (exchange.name, body)
            assert b"&amp;" not in body
            assert body.isascii() == (dialect == "webqq3")


async def test_mojo_webqq_reads_names_and_messages_byte_by_byte() -> None:
    """It dies at a character above U+00FF, which an escape of JSON would give it."""
    async with Town() as town:
        ann = await entered(town, "smartqq")
        session = town.server.hub.find(ann.session.psessionid)
        assert session
        code, vfwebqq = session.code_of(town.square), ann.session.vfwebqq
        own = ann.exchanges
        bodies = [(await ann.ask(own.friends, forms.FriendsForm(vfwebqq))).body]
        bodies.append((await ann.ask(own.group_info, forms.GroupInfoForm(code, vfwebqq))).body)
        say(town, NAME)
        while b"content" not in bodies[-1]:
            bodies.append(await ann.poll())
    for body in bodies:
        json.dumps(json.loads(body.decode("latin-1")), ensure_ascii=False).encode("latin-1")


async def test_smartqqbot_undoes_the_escapes_that_it_knows() -> None:
    async with Town() as town:
        ann = await entered(town, "smartqq")
        say(town, NAME)
        body = b"{}"
        while b"content" not in body:
            body = await ann.poll()
    text = body.decode().replace(r"\u0026lt;", "<").replace(r"\u0026gt;", ">")
    assert json.loads(text)["result"][0]["value"]["content"][1:] == [NAME]


@dialects
@pytest.mark.parametrize("kind", ["friend", "group"])
async def test_a_text_is_written_as_the_dialect_has_it(dialect: str, kind: str) -> None:
    async with Town() as town:
        ann = await entered(town, dialect)
        say(town, '你好 <b> & it\'s "x"', kind=kind)
        body = b"{}"
        while b"content" not in body:  # a friend came online, first
            body = await ann.poll()
    if dialect == "webqq3":
        assert rb'"\u4f60\u597d <b> & it' + b'\'s \\"x\\" "]' in body
    else:
        assert '"你好 \\u0026lt;b\\u0026gt; & it\'s \\"x\\""]'.encode() in body


@pytest.mark.parametrize(
    ("dialect", "told"), [("webqq3", [["face", 14], " "]), ("smartqq", [["face", 14]])]
)
async def test_a_space_stands_behind_a_face_in_webqq3_alone(
    dialect: str, told: list[object]
) -> None:
    async with Town() as town:
        ann = await entered(town, dialect)
        say(town, Face(14))
        body = b"{}"
        while b"content" not in body:
            body = await ann.poll()
    (event,) = json.loads(body)["result"]
    assert event["value"]["content"][1:] == told


async def test_smartqq_says_the_gid_of_a_group_twice_and_no_other_number() -> None:
    async with Town() as town:
        ann = await entered(town, "smartqq")
        say(town, "hi", kind="group")
        (message,) = await ann.news(GroupMessage)
        body = (
            await ann.ask(smartqq.GROUP_INFO, forms.GroupInfoForm(message.gid, ann.session.vfwebqq))
        ).body
    assert message.code == message.gid
    assert (message.msg_id2, message.seq, message.info_seq) == (0, 0, 0)
    assert json.loads(body)["retcode"] == 6


async def test_webqq3_says_the_code_of_a_group_and_its_numbers() -> None:
    async with Town() as town:
        ann = await entered(town, "webqq3")
        say(town, "hi", kind="group")
        (message,) = await ann.news(GroupMessage)
        session = town.server.hub.find(ann.session.psessionid)
    assert session
    assert (message.code, message.info_seq) == (session.code_of(town.square), town.square)
    assert message.seq
    assert message.msg_id2


@pytest.mark.parametrize("text", ["<", "&lt;", r"\u0026lt;", " a ", "a&nbsp;b", "'\"&amp;"])
@dialects
async def test_what_was_typed_reaches_our_own_client(dialect: str, text: str) -> None:
    async with Town() as town:
        ann = await entered(town, dialect)
        say(town, text)
        (message,) = await ann.news(FriendMessage)
    assert message.content.text == text


# -- lists of qun.qq.com ------------------------------------------------------------------------


async def test_names_are_escaped_in_the_lists_of_groups_alone() -> None:
    async with Town() as town:
        ann = await entered(town, "smartqq")
        ann.cookies["skey"] = "@abc"
        reply = await ann.post("/cgi-bin/qun_mgr/get_friend_list", f"bkn={bkn('@abc')}")
    escaped = "安妮&nbsp;&lt;b&gt;&amp;&quot;it&#39;s&quot;&nbsp;&amp;lt;&nbsp;😀"
    assert f'"name":"{escaped}"'.encode() in reply.body


# -- the way in ---------------------------------------------------------------------------------


async def test_every_cookie_of_the_way_in_and_out_has_a_blank_after_each_semicolon() -> None:
    async with Town() as town:
        ann = town.visitor(town.ann)
        host = {"Host": "ssl.ptlogin2.qq.com"}
        replies = [await ann.ask(smartqq.LOGIN_PAGE, forms.LoginPageForm(), **host)]
        replies.append(await ann.ask(smartqq.QR_CODE, forms.QRCodeForm(), **host))
        (code,) = town.server.qr.all_waiting()
        town.server.qr.confirm(code.id, town.ann)
        token = hash33(ann.cookies["qrsig"])
        replies.append(await ann.ask(smartqq.QR_STATE, forms.QRStateForm(token), **host))
        replies.append(await ann.ask(smartqq.SIGN_OUT, forms.SignOutForm(), **host))
    lines = [line for reply in replies for line in reply.headers.get_list("Set-Cookie")]
    assert len(lines) > 15
    for line in lines:
        assert "; PATH=/; DOMAIN=" in line
        assert all(part.startswith(" ") for part in line.rstrip(";").split(";")[1:]), line


async def test_check_sig_begins_with_http_also_for_who_came_by_https(tmp_path) -> None:
    files = certificates(tmp_path)
    async with Town() as town:
        port = town.server.listen_tls(0, files)
        for named in ("", f":{port}"):
            ann = town.visitor(town.ann)
            await ann.ask(smartqq.QR_CODE, forms.QRCodeForm())
            town.server.qr.confirm(town.server.qr.all_waiting()[0].id, town.ann)
            form = forms.QRStateForm(hash33(ann.cookies["qrsig"]))
            path = smartqq.QR_STATE.request(ann.exchanges.endpoints, form).full_url
            host = "ssl.ptlogin2.qq.com"
            request = town.stream.make_get_request(
                path.replace(host, f"{host}:{port}"),
                headers={"Cookie": f"qrsig={ann.cookies['qrsig']}", "Host": host + named},
                resolve={f"{host}:{port}": f"127.0.0.1:{port}"},
                ca_certs=str(files.authority),
            )
            reply = smartqq.QR_STATE.parse((await town.stream.fetch(request)).body)
            its_port = f":{town.port}" if named else ""
            assert reply.url.startswith(f"http://ptlogin4.web2.qq.com{its_port}/check_sig?")


async def test_check_sig_stands_for_its_login_once() -> None:
    async with Town() as town:
        ann = town.visitor(town.ann)
        await ann.ask(smartqq.QR_CODE, forms.QRCodeForm())
        town.server.qr.confirm(town.server.qr.all_waiting()[0].id, town.ann)
        reply = await ann.ask(smartqq.QR_STATE, forms.QRStateForm(hash33(ann.cookies["qrsig"])))
        path = smartqq.QR_STATE.parse(reply.body).url.removeprefix(town.server.url)
        replies = [await town.visitor(town.eve).get(path) for _ in range(2)]
        told = [reply.headers.get_list("Set-Cookie")[-1] for reply in replies]
    assert told == [f"ptwebqq={ann.cookies['ptwebqq']}; PATH=/;", "ptwebqq=; PATH=/;"]


# -- messages that clients put together by hand -------------------------------------------------


async def sent(visitor: Visitor, text: str, msg_id: int, agent: str = "") -> bytes:
    """As zeruniverse/QQRobot 2017 writes it: a line end in the text stays a line end."""
    session = visitor.server.hub.find(visitor.session.psessionid)
    assert session
    (friend,) = visitor.server.storage.friends.numbers(visitor.account)
    content = f'["{text}",["font",{{"name":"Arial","size":"10","style":[0,0,0],"color":"000000"}}]]'
    r = {
        "to": session.uin_of(friend),
        "face": 594,
        "content": content,
        "clientid": 53999199,
        "msg_id": msg_id,
        "psessionid": visitor.session.psessionid,
    }
    form = urlencode({"r": json.dumps(r)})
    return (await visitor.post("/channel/send_buddy_msg2", form, agent=agent)).body


async def test_a_line_end_within_the_text_of_a_message_is_one() -> None:
    async with Town() as town:
        ann, bob = await entered(town, "smartqq"), town.visitor(town.bob)
        await bob.enter()
        assert json.loads(await sent(ann, "one\n\ttwo", 7)) == {"errCode": 0, "msg": "send ok"}
        (message,) = await bob.news(FriendMessage)
    assert message.content.text == "one\n\ttwo"


async def test_the_same_words_twice_arrive_twice_from_who_gives_all_one_number() -> None:
    """x1ah/QQRobot 2017."""
    async with Town() as town:
        ann, bob = await entered(town, "smartqq"), town.visitor(town.bob)
        await bob.enter()
        for _ in range(2):
            await sent(ann, "test", 34220099)
        heard = await bob.news(FriendMessage)
    assert [message.content.text for message in heard] == ["test", "test"]


async def test_smartqq_in_java_finds_a_retcode_in_the_answer_to_a_message() -> None:
    agent = (
        "Mozilla/5.0 (Windows NT 6.3; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/45.0.2454.101 Safari/537.36"
    )
    async with Town() as town:
        ann = await entered(town, "smartqq")
        answer = json.loads(await sent(ann, "hi", 1, agent))
    assert answer == {"errCode": 0, "msg": "send ok", "retcode": 0}


# -- a poll that has nothing to tell -------------------------------------------------------------


@pytest.mark.parametrize("psessionid", ["", "0" * 128])
async def test_a_poll_of_no_session_is_not_refused_at_once(psessionid: str) -> None:
    async with Town() as town:
        ann = town.visitor(town.ann)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        reply = await ann.ask(smartqq.POLL, forms.PollForm(53999199, Secret(psessionid)))
    assert reply.body == b'{"errmsg":"error!!!","retcode":103}'
    assert loop.time() - begun >= 0.9


async def test_webqq3_has_no_words_for_a_poll_of_no_session() -> None:
    async with Town() as town:
        reply = await town.visitor(town.ann).ask(webqq3.POLL, forms.PollForm(1, Secret("gone")))
    assert reply.body == b'{"retcode":103,"errmsg":""}'


async def test_smartqqbot_is_told_that_its_login_has_expired_when_it_is_kicked() -> None:
    """It looks for a from_uin in every event, and polls for ever after any other retcode."""
    agent = (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_3) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/47.0.2526.111 Safari/537.36"
    )
    async with Town() as town:
        ann, other = await entered(town, "smartqq"), town.visitor(town.ann)
        await other.enter()
        form = forms.PollForm(53999199, ann.session.psessionid)
        told = [await ann.ask(smartqq.POLL, form, **{"User-Agent": agent}) for _ in range(2)]
    assert [json.loads(reply.body)["retcode"] for reply in told] == [100012, 100012]


async def test_two_clients_in_one_session_do_not_drive_each_other_round() -> None:
    async with Town(poll_timeout=60.0) as town:
        ann = await entered(town, "webqq3")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        first = asyncio.ensure_future(ann.poll())
        second = asyncio.ensure_future(ann.poll())
        await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        assert loop.time() - begun >= 0.9
        say(town, "bye")
        await asyncio.wait({first, second})


async def test_a_server_that_stops_lets_refused_polls_go() -> None:
    async with Town() as town:
        hub, loop = town.server.hub, asyncio.get_running_loop()
        pause = asyncio.ensure_future(hub.pause_until(loop.time() + 600))
        hub.close()
        await asyncio.wait_for(pause, 60)
