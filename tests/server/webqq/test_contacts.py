"""Contacts, profiles, presence and messages to strangers, as a client of 2013 asks for them."""

from __future__ import annotations

import json

from servers.town import Town, Visitor

from webqq_tornado.protocol import forms, webqq3
from webqq_tornado.protocol.codes import Status
from webqq_tornado.protocol.models import Content, GroupDetails, SessionMessage


async def square(visitor: Visitor) -> GroupDetails:
    reply = await visitor.ask(webqq3.GROUPS, forms.GroupsForm(visitor.session.vfwebqq))
    group = webqq3.GROUPS.parse(reply.body)[0]
    form = forms.GroupInfoForm(group.code, visitor.session.vfwebqq)
    return webqq3.GROUP_INFO.parse((await visitor.ask(webqq3.GROUP_INFO, form)).body)


async def entered(town: Town, account: int) -> Visitor:
    visitor = town.visitor(account)
    await visitor.enter()
    return visitor


async def test_who_is_online_is_listed_with_status():
    async with Town() as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        form = forms.StatusForm(Status.BUSY, psessionid=bob.session.psessionid)
        reply = await bob.ask(webqq3.CHANGE_STATUS, form)
        assert json.loads(reply.body) == {"retcode": 0, "result": "ok"}
        form = forms.OnlineForm(psessionid=ann.session.psessionid)
        (presence,) = webqq3.ONLINE.parse((await ann.ask(webqq3.ONLINE, form)).body)
    assert presence.status is Status.BUSY


async def test_who_hides_is_not_listed():
    async with Town() as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        form = forms.StatusForm(Status.HIDDEN, psessionid=bob.session.psessionid)
        await bob.ask(webqq3.CHANGE_STATUS, form)
        form = forms.OnlineForm(psessionid=ann.session.psessionid)
        assert webqq3.ONLINE.parse((await ann.ask(webqq3.ONLINE, form)).body) == ()


async def test_ones_own_profile_is_found_by_the_cookie():
    async with Town() as town:
        ann = await entered(town, town.ann)
        info = webqq3.SELF_INFO.parse((await ann.ask(webqq3.SELF_INFO, forms.SelfInfoForm())).body)
    assert (info.account, info.nick, info.vfwebqq) == (town.ann, "Ann", ann.session.vfwebqq)


async def test_ones_own_profile_comes_for_a_post_as_well():
    async with Town() as town:
        ann = await entered(town, town.ann)
        reply = await ann.post("/api/get_self_info2?t=1", f"vfwebqq={ann.session.vfwebqq}&hash=1")
        assert webqq3.SELF_INFO.parse(reply.body).nick == "Ann"
        assert (await ann.post("/channel/change_status2", "newstatus=busy")).code == 405


async def test_profile_and_signature_of_a_friend():
    async with Town() as town:
        ann = await entered(town, town.ann)
        uin = (await square(ann)).members[1].uin
        form = forms.FriendInfoForm(uin, ann.session.vfwebqq)
        info = webqq3.FRIEND_INFO.parse((await ann.ask(webqq3.FRIEND_INFO, form)).body)
        form = forms.LongNickForm(uin, ann.session.vfwebqq)
        (signature,) = webqq3.LONG_NICK.parse((await ann.ask(webqq3.LONG_NICK, form)).body)
    assert (info.nick, info.status) == ("Bob", Status.OFFLINE)
    assert (signature.uin, signature.lnick) == (uin, "")


async def test_the_groups_number_is_found_by_its_code():
    async with Town() as town:
        ann = await entered(town, town.ann)
        form = forms.TranslateForm((await square(ann)).code, 4, ann.session.vfwebqq)
        translation = webqq3.TRANSLATE.parse((await ann.ask(webqq3.TRANSLATE, form)).body)
    assert translation.account == town.square


async def test_the_account_is_not_the_last_of_its_answer():
    async with Town() as town:
        ann = await entered(town, town.ann)
        uin = (await square(ann)).members[1].uin
        reply = await ann.ask(webqq3.TRANSLATE, forms.TranslateForm(uin, 1, ann.session.vfwebqq))
    expected = f'{{"retcode":0,"result":{{"uiuin":"","account":{town.bob},"uin":{uin}}}}}'
    assert reply.body.decode() == expected


async def test_numbers_of_another_session_mean_nothing():
    async with Town() as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        form = forms.TranslateForm((await square(ann)).members[2].uin, 1, bob.session.vfwebqq)
        assert json.loads((await bob.ask(webqq3.TRANSLATE, form)).body)["retcode"] == 4


async def test_a_fellow_member_can_be_written_to_with_a_signature():
    async with Town() as town:
        ann, eve = await entered(town, town.ann), await entered(town, town.eve)
        details = await square(ann)
        secret = ann.session.psessionid
        form = forms.SignatureForm(details.gid, details.members[2].uin, psessionid=secret)
        signature = webqq3.SIGNATURE.parse((await ann.ask(webqq3.SIGNATURE, form)).body)
        form = forms.SessionSendForm(
            details.members[2].uin, signature, Content.of("psst"), psessionid=secret
        )
        reply = await ann.ask(webqq3.SEND_SESSION, form)
        (message,) = webqq3.POLL.parse(await eve.poll()).events
        gid = (await square(eve)).gid
    assert json.loads(reply.body)["retcode"] == 0
    assert isinstance(message, SessionMessage)
    assert (message.content.text, message.account) == ("psst", town.ann)
    assert (message.service_type, message.origin) == (0, gid)


async def test_a_stranger_cannot_be_written_to_as_a_friend():
    async with Town() as town:
        ann = await entered(town, town.ann)
        uin = (await square(ann)).members[2].uin
        form = forms.SendForm(uin, Content.of("x"), psessionid=ann.session.psessionid)
        assert json.loads((await ann.ask(webqq3.SEND_FRIEND, form)).body)["retcode"] == 4


async def test_the_heartbeat_is_answered():
    async with Town() as town:
        ann = await entered(town, town.ann)
        reply = await ann.ask(webqq3.HEARTBEAT, forms.HeartbeatForm())
    assert json.loads(reply.body)["retcode"] == 0


async def test_the_login_page_has_its_signature():
    async with Town() as town:
        reply = await town.visitor(town.ann).ask(webqq3.LOGIN_PAGE, forms.LoginPageForm())
    assert webqq3.LOGIN_PAGE.parse(reply.body)
