"""Headings, marks, masks, profiles, requests and news of contacts, as a client gets them."""

from __future__ import annotations

import json

import pytest
from servers.town import Town, Visitor

from webqq_tornado.protocol import forms, webqq3
from webqq_tornado.protocol.codes import Mask, Status
from webqq_tornado.protocol.models import (
    Content,
    FriendListChange,
    GroupMessage,
    GroupSystemMessage,
    StatusChange,
    SystemMessage,
    Typing,
)


async def entered(town: Town, account: int) -> Visitor:
    visitor = town.visitor(account)
    await visitor.enter()
    return visitor


async def test_the_friend_list_has_headings_marks_portraits_and_vips():
    async with Town() as town:
        storage = town.server.storage
        heading = storage.friends.add_heading(town.ann, "A & B")
        storage.friends.set_category(town.ann, town.bob, heading.number)
        storage.friends.set_mark(town.ann, town.bob, "Bobby")
        storage.accounts.change_profile(town.bob, {"face": 555})
        storage.accounts.set_vip_level(town.bob, 3)
        ann = await entered(town, town.ann)
        result = await ann.result(webqq3.FRIENDS, forms.FriendsForm(ann.session.vfwebqq))
    (friend,) = result["friends"]
    uin = friend["uin"]
    assert friend == {"uin": uin, "categories": heading.number, "flag": 0}
    assert result["categories"] == [{"index": 1, "sort": 1, "name": "A & B"}]
    assert result["marknames"] == [{"uin": uin, "markname": "Bobby", "type": 0}]
    assert result["info"] == [{"uin": uin, "nick": "Bob", "face": 555, "flag": 0}]
    assert result["vipinfo"] == [{"u": uin, "is_vip": 1, "vip_level": 3}]


async def test_the_group_list_has_marks_and_masks():
    async with Town() as town:
        storage = town.server.storage
        storage.rooms.set_mark(town.square, town.ann, "Plaza")
        storage.rooms.set_mask(town.square, town.ann, Mask.SILENT)
        ann = await entered(town, town.ann)
        result = await ann.result(webqq3.GROUPS, forms.GroupsForm(ann.session.vfwebqq))
    gid = result["gnamelist"][0]["gid"]
    assert result["gmarklist"] == [{"uin": gid, "markname": "Plaza"}]
    assert result["gmasklist"] == [{"gid": gid, "mask": 1}]


async def test_a_blocked_group_is_not_delivered():
    async with Town(poll_timeout=0.05) as town:
        town.server.storage.rooms.set_mask(town.square, town.bob, Mask.BLOCKED)
        ann, bob, eve = [await entered(town, n) for n in (town.ann, town.bob, town.eve)]
        gid = town.server.hub.find(ann.session.psessionid).gid_of(town.square)
        form = forms.GroupSendForm(gid, Content.of("all"), 1, 1, ann.session.psessionid)
        await ann.ask(webqq3.SEND_GROUP, form)
        await eve.news(GroupMessage)
        events = webqq3.POLL.parse(await bob.poll()).events
    assert not [event for event in events if isinstance(event, GroupMessage)]


async def test_cards_administrators_and_places_of_members():
    async with Town() as town:
        storage = town.server.storage
        storage.rooms.set_card(town.square, town.bob, "<B>")
        storage.rooms.set_admin(town.square, town.bob, True)
        storage.accounts.change_profile(town.bob, {"city": "青岛", "gender": "male"})
        ann = await entered(town, town.ann)
        groups = await ann.result(webqq3.GROUPS, forms.GroupsForm(ann.session.vfwebqq))
        form = forms.GroupInfoForm(groups["gnamelist"][0]["code"], ann.session.vfwebqq)
        result = await ann.result(webqq3.GROUP_INFO, form)
    uin = result["ginfo"]["members"][1]["muin"]
    assert [member["mflag"] for member in result["ginfo"]["members"]] == [0, 1, 0]
    assert result["cards"] == [{"muin": uin, "card": "<B>"}]
    assert result["minfo"][1] == {
        "uin": uin,
        "nick": "Bob",
        "province": "",
        "gender": "male",
        "country": "",
        "city": "青岛",
    }
    assert result["stats"] == [{"uin": town.ann, "client_type": 41, "stat": 10}]


async def test_all_of_a_profile_is_told():
    async with Town() as town:
        told = {
            "birthday": [1989, 1, 30],
            "gender": "female",
            "homepage": "http://example.org/?a&b",
            "mobile": "158",
            "blood": 2,
            "allow": 1,
        }
        town.server.storage.accounts.change_profile(town.bob, told)
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        mine = await bob.result(webqq3.SELF_INFO, forms.SelfInfoForm())
        uin = town.server.hub.find(ann.session.psessionid).uin_of(town.bob)
        theirs = await ann.result(webqq3.FRIEND_INFO, forms.FriendInfoForm(uin))
    assert mine["birthday"] == {"year": 1989, "month": 1, "day": 30}
    assert (mine["constel"], mine["shengxiao"], mine["allow"], mine["blood"]) == (1, 5, 1, 2)
    assert mine["homepage"] == "http://example.org/?a&b"
    assert mine["vfwebqq"] == bob.session.vfwebqq
    assert (theirs["uin"], theirs["account"], theirs["stat"]) == (uin, town.bob, 10)


async def test_of_a_stranger_only_nick_face_and_gender_are_told():
    async with Town() as town:
        told = {"face": 7, "gender": "male", "phone": "1", "birthday": [1989, 1, 30], "lnick": "x"}
        told |= {"city": "Oslo", "country": "NO", "province": "N", "email": "e", "allow": 2}
        town.server.storage.accounts.change_profile(town.eve, told)
        ann, _ = await entered(town, town.ann), await entered(town, town.eve)
        uin = town.server.hub.find(ann.session.psessionid).uin_of(town.eve)
        eve = await ann.result(webqq3.FRIEND_INFO, forms.FriendInfoForm(uin))
        lnick = await ann.result(webqq3.LONG_NICK, forms.LongNickForm(uin, ann.session.vfwebqq))
        code = town.server.hub.find(ann.session.psessionid).code_of(town.square)
        form = forms.GroupInfoForm(code, ann.session.vfwebqq)
        member = (await ann.result(webqq3.GROUP_INFO, form))["minfo"][2]
    assert (eve["nick"], eve["face"], eve["gender"], eve["uin"]) == ("Eve", 7, "male", uin)
    assert not any(eve[name] for name in ("phone", "email", "city", "lnick", "account", "allow"))
    assert (eve["birthday"]["year"], eve["constel"], eve["shengxiao"]) == (0, 0, 0)
    assert lnick == [{"uin": uin, "lnick": ""}]
    assert (member["nick"], member["gender"]) == ("Eve", "male")
    assert (member["city"], member["province"], member["country"]) == ("", "", "")


async def test_a_signature_that_was_set_is_told():
    async with Town() as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        form = forms.SetLongNickForm("天气 <fine>", bob.session.vfwebqq)
        assert json.loads((await bob.ask(webqq3.SET_LONG_NICK, form)).body)["retcode"] == 0
        uin = town.server.hub.find(ann.session.psessionid).uin_of(town.bob)
        result = await ann.result(webqq3.LONG_NICK, forms.LongNickForm(uin, ann.session.vfwebqq))
    assert result == [{"uin": uin, "lnick": "天气 <fine>"}]


async def test_recents_are_those_one_wrote_with():
    async with Town() as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        session = town.server.hub.find(ann.session.psessionid)
        form = forms.RecentForm(ann.session.vfwebqq, 1, ann.session.psessionid)
        before = await ann.result(webqq3.RECENT, form)
        back = town.server.hub.find(bob.session.psessionid).uin_of(town.ann)
        send = forms.SendForm(back, Content.of("hi"), 1, 1, bob.session.psessionid)
        await bob.ask(webqq3.SEND_FRIEND, send)
        after = await ann.result(webqq3.RECENT, form)
    assert before == []
    assert after == [{"uin": session.uin_of(town.bob), "type": 0}]


# -- requests -----------------------------------------------------------------------------------


async def test_a_friend_request_waits_for_the_login_and_is_accepted():
    async with Town() as town:
        storage, hub = town.server.storage, town.server.hub
        eve = await entered(town, town.eve)
        storage.friends.add_request(town.eve, town.ann, "it's me")
        hub.requested(town.eve, town.ann, "it's me")
        ann = await entered(town, town.ann)
        (request,) = await ann.news(SystemMessage)
        form = forms.AcceptFriendForm(request.account, "Evie", ann.session.vfwebqq)
        reply = await ann.ask(webqq3.ACCEPT_FRIEND, form)
        (accepted,) = await eve.news(SystemMessage)
        marks = [row.mark for row in storage.friends.rows(town.ann)]
    assert (request.type, request.account, request.text) == (
        "verify_required",
        town.eve,
        "it's me",
    )
    assert (request.status, request.client_type) == (Status.ONLINE, 41)
    assert json.loads(reply.body) == {"retcode": 0, "result": "ok"}
    assert (accepted.type, accepted.account) == ("verify_pass_add", town.ann)
    assert marks == ["", "Evie"]


async def test_a_friend_request_has_all_fields_of_the_captures():
    # As in a comment of a Python client of 2013; it reads "allow" without asking whether it is.
    capture = (
        b'{"poll_type":"system_message","value":{"seq":34653,"type":"verify_required","uiuin":"",'
        b'"from_uin":3863325290,"account":379450326,"msg":"adfas","allow":1,"stat":10,'
        b'"client_type":1}}'
    )
    async with Town() as town:
        ann = await entered(town, town.ann)
        for text in ("once", "and once more"):
            town.server.hub.requested(town.eve, town.ann, text)
        reply = await ann.poll()
        while b"system_message" not in reply:
            reply = await ann.poll()
    shown = json.loads(capture)["value"]
    first, second = (
        event["value"]
        for event in json.loads(reply)["result"]
        if event["poll_type"] == "system_message"
    )
    assert list(first) == list(shown)
    assert [type(value) for value in first.values()] == [type(value) for value in shown.values()]
    assert (first["stat"], first["client_type"]) == (20, 41)  # Eve is not there
    assert first["seq"] != second["seq"]


async def test_nobody_is_accepted_who_did_not_ask():
    async with Town() as town:
        ann = await entered(town, town.ann)
        form = forms.AcceptFriendForm(town.eve, "", ann.session.vfwebqq)
        assert json.loads((await ann.ask(webqq3.ACCEPT_FRIEND, form)).body)["retcode"] == 4


async def test_new_and_lost_friends_are_told():
    async with Town() as town:
        ann = await entered(town, town.ann)
        town.server.storage.friends.befriend(town.ann, town.eve)
        town.server.hub.befriended(town.eve, town.ann, "added_buddy_sig")
        uin = town.server.hub.find(ann.session.psessionid).uin_of(town.eve)
        (change,) = await ann.news(FriendListChange)
        town.server.hub.unfriended(town.ann, town.eve)
        (lost,) = await ann.news(FriendListChange)
    assert (change.added, lost.removed) == ((uin,), (uin,))


# -- news of the moment -------------------------------------------------------------------------


async def test_a_friend_who_changes_status_is_told():
    async with Town() as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        await ann.news(StatusChange)
        await bob.ask(
            webqq3.CHANGE_STATUS, forms.StatusForm(Status.AWAY, 1, bob.session.psessionid)
        )
        (change,) = await ann.news(StatusChange)
    assert (change.status, change.client_type) == (Status.AWAY, 41)


async def test_who_writes_is_told():
    async with Town() as town:
        ann = await entered(town, town.ann)
        town.server.hub.typing(town.bob, town.ann)
        (typing,) = await ann.news(Typing)
        uin = town.server.hub.find(ann.session.psessionid).uin_of(town.bob)
    assert (typing.sender, typing.recipient) == (uin, town.ann)


@pytest.mark.parametrize("type_", ["group_join", "group_leave", "group_admin_op"])
async def test_changes_of_a_group_are_told(type_: str):
    async with Town() as town:
        ann = await entered(town, town.ann)
        town.server.hub.group_changed(town.square, type_, member=town.bob, op_type=1)
        (event,) = await ann.news(GroupSystemMessage)
        uin = town.server.hub.find(ann.session.psessionid).uin_of(town.bob)
    assert (event.type, event.account, event.member, event.op_type) == (
        type_,
        town.square,
        uin,
        1,
    )
