"""Discussions and temporary sessions, as clients of either dialect have them."""

from __future__ import annotations

import json

import pytest
from servers.town import Town, Visitor

from webqq_tornado.protocol import forms, smartqq, webqq3
from webqq_tornado.protocol.models import Content, DiscussionMessage, SessionMessage


async def entered(town: Town, account: int, dialect: str = "webqq3") -> Visitor:
    visitor = town.visitor(account)
    await (visitor.enter() if dialect == "webqq3" else visitor.enter_smart())
    return visitor


def lunch(town: Town) -> int:
    """A discussion of all three."""
    return town.server.storage.rooms.create_discussion(
        "Lunch", town.ann, [town.bob, town.eve]
    ).number


async def first_did(visitor: Visitor) -> int:
    session = visitor.session
    form = forms.DiscussionsForm(1, session.psessionid, session.vfwebqq)
    (discussion,) = (await visitor.result(webqq3.DISCUSSIONS, form))["dnamelist"]
    assert discussion["name"] == "Lunch"
    return int(discussion["did"])


@pytest.mark.parametrize("dialect", ["webqq3", "smartqq"])
async def test_a_discussion_is_listed_with_its_members(dialect: str):
    async with Town() as town:
        lunch(town)
        ann = await entered(town, town.ann, dialect)
        did = await first_did(ann)
        form = forms.DiscussionInfoForm(did, ann.session.vfwebqq, 1, ann.session.psessionid)
        result = await ann.result(webqq3.DISCUSSION_INFO, form)
    assert result["info"]["did"] == did
    assert result["info"]["discu_name"] == "Lunch"
    assert result["info"]["discu_owner"] == town.ann
    assert [one["ruin"] for one in result["info"]["mem_list"]] == [town.ann, town.bob, town.eve]
    assert [one["nick"] for one in result["mem_info"]] == ["Ann", "Bob", "Eve"]
    assert [one["uin"] for one in result["mem_status"]] == [town.ann]
    assert result["mem_status"][0]["status"] == "online"


async def test_a_message_to_a_discussion_reaches_the_others():
    async with Town(poll_timeout=0.05) as town:
        lunch(town)
        ann, bob = await entered(town, town.ann), await entered(town, town.bob, "smartqq")
        form = forms.DiscussionSendForm(
            await first_did(ann), Content.of("soup?"), 1, 1, ann.session.psessionid
        )
        reply = (await ann.ask(webqq3.SEND_DISCUSSION, form)).body
        (message,) = await bob.news(DiscussionMessage)
        did = await first_did(bob)
    assert reply == b'{"retcode":0,"result":"ok"}'
    assert (message.did, message.content.text) == (did, "soup?")


async def test_a_discussion_that_one_is_not_in_is_unknown():
    async with Town() as town:
        town.server.storage.rooms.create_discussion("Lunch", town.ann, [town.bob])
        ann, eve = await entered(town, town.ann), await entered(town, town.eve)
        did = await first_did(ann)
        for asked in (did, eve.session.uin):
            form = forms.DiscussionInfoForm(asked, eve.session.vfwebqq, 1, eve.session.psessionid)
            reply = await eve.ask(webqq3.DISCUSSION_INFO, form)
            assert json.loads(reply.body)["retcode"] == 4


async def signed(visitor: Visitor, origin: int, to: int, service_type: int) -> forms.SignatureForm:
    form = forms.SignatureForm(origin, to, service_type, 1, visitor.session.psessionid)
    return webqq3.SIGNATURE.parse((await visitor.ask(webqq3.SIGNATURE, form)).body)


async def whisper(visitor: Visitor, origin: int, to: int, text: str, service_type: int) -> bytes:
    signature = await signed(visitor, origin, to, service_type)
    form = forms.SessionSendForm(
        to, signature, Content.of(text), service_type, 7, 1, visitor.session.psessionid
    )
    return (await visitor.ask(webqq3.SEND_SESSION, form)).body


async def test_a_temporary_session_goes_both_ways():
    async with Town(poll_timeout=0.05) as town:
        number = lunch(town)
        ann, eve = await entered(town, town.ann), await entered(town, town.eve, "smartqq")
        to = town.server.hub.find(ann.session.psessionid).uin_of(town.eve)
        await whisper(ann, await first_did(ann), to, "psst", 1)
        (heard,) = await eve.news(SessionMessage)
        reply = await whisper(eve, heard.origin, heard.sender, "what?", heard.service_type)
        (answer,) = await ann.news(SessionMessage)
        stored = town.server.storage.messages.strangers(town.ann)
    assert (heard.service_type, heard.account, heard.recipient) == (1, town.ann, town.eve)
    assert (answer.content.text, answer.account) == ("what?", town.eve)
    assert reply == b'{"errCode":0,"msg":"send ok"}'
    assert stored == [(town.eve, number)]


async def test_a_signature_is_for_one_person():
    async with Town() as town:
        lunch(town)
        ann = await entered(town, town.ann)
        session = town.server.hub.find(ann.session.psessionid)
        signature = await signed(ann, await first_did(ann), session.uin_of(town.eve), 1)
        form = forms.SessionSendForm(
            session.uin_of(town.bob), signature, Content.of("x"), 1, 7, 1, ann.session.psessionid
        )
        assert json.loads((await ann.ask(webqq3.SEND_SESSION, form)).body)["retcode"] == 4


async def test_without_a_room_in_common_there_is_no_signature():
    async with Town() as town:
        far = town.server.storage.accounts.create("Far", "x").number
        ann = await entered(town, town.ann)
        to = town.server.hub.find(ann.session.psessionid).uin_of(far)
        form = forms.SignatureForm(833193360, to, 0, 1, ann.session.psessionid)
        assert json.loads((await ann.ask(webqq3.SIGNATURE, form)).body)["retcode"] == 4


async def test_twqqs_constant_group_will_do_where_there_is_a_room_in_common():
    async with Town() as town:
        ann = await entered(town, town.ann)
        to = town.server.hub.find(ann.session.psessionid).uin_of(town.eve)
        assert await signed(ann, 833193360, to, 0)


async def test_the_sent_message_of_smartqq_is_answered_in_its_words():
    async with Town() as town:
        ann = await entered(town, town.ann, "smartqq")
        to = town.server.hub.find(ann.session.psessionid).uin_of(town.bob)
        form = forms.SendForm(to, Content.of("hi"), 1, 1, ann.session.psessionid)
        reply = await ann.ask(smartqq.SEND_FRIEND, form)
    assert reply.body == b'{"errCode":0,"msg":"send ok"}'
    assert reply.headers["Content-Type"].startswith("text/plain")
