"""Actions of OneBot 11, one after the other over a WebSocket."""

from __future__ import annotations

import base64
import hashlib
import io
import json

import pytest
from PIL import Image
from servers.applications import Forward, ask, drive, forward
from servers.town import Town
from tornado.httpclient import AsyncHTTPClient

from webqq_tornado.onebot.v11.actions import ACTIONS
from webqq_tornado.protocol.models import Typing
from webqq_tornado.server.onebot.actions import FUNCTIONS
from webqq_tornado.server.quotas import Quota, Rate
from webqq_tornado.server.storage import Conversation, load_content


def png(color: str = "red") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(made, "PNG")
    return made.getvalue()


def test_each_action_of_the_dialect_is_done():
    assert set(ACTIONS) == set(FUNCTIONS)


async def failed(app: Forward, action: str, **params: object) -> str:
    answer = await app.call(action, **params)
    assert (answer["status"], answer["data"]) == ("failed", None), answer
    return answer["message"]


async def test_a_message_is_sent_looked_up_answered_and_taken_back():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            sent = await app.data(
                "send_group_msg",
                group_id=str(town.square),
                message=[
                    {"type": "at", "data": {"qq": town.bob}},
                    {"type": "text", "data": {"text": " look [CQ:face,id=1]"}},
                    {"type": "face", "data": {"id": 14}},
                ],
            )
            number = sent["message_id"]
            found = await app.data("get_msg", message_id=number)
            assert found["raw_message"].startswith(f"[CQ:at,qq={town.bob},name=Bob] look &#91;")
            assert (found["group_id"], found["sender"]["role"]) == (town.square, "owner")
            reply = await app.data(
                "send_group_msg", group_id=town.square, message=f"[CQ:reply,id={number}]yes"
            )
            answered = await app.data("get_msg", message_id=reply["message_id"])
            assert answered["message"][0] == {"type": "reply", "data": {"id": str(number)}}
            history = await app.data("get_group_msg_history", group_id=town.square, count=1)
            assert [each["message_id"] for each in history["messages"]] == [reply["message_id"]]
            await app.data("delete_msg", message_id=number)
            assert "taken back" in await failed(app, "get_msg", message_id=number)
            assert "no message" in await failed(app, "get_msg", message_id=999)


@pytest.mark.parametrize("more", [{}, {"reverse_order": True}, {"reverseOrder": True}])
async def test_a_history_is_paged_backwards_in_the_ways_of_all_implementations(more):
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            ids = [
                (await app.data("send_private_msg", user_id=town.ann, message=str(number)))
                for number in range(5)
            ]
            seq = ids[2]["message_id"]
            page = {"user_id": town.ann, "message_seq": seq, "count": 2, **more}
            found = (await app.data("get_friend_msg_history", **page))["messages"]
            assert [each["raw_message"] for each in found] == ["1", "2"]


async def test_text_is_plain_with_auto_escape():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            words = "[CQ:face,id=14] &amp;"
            sent = await app.data("send_msg", user_id=town.bob, message=words, auto_escape="true")
            found = await app.data("get_msg", message_id=sent["message_id"])
    assert found["message"] == [{"type": "text", "data": {"text": words}}]


@pytest.mark.parametrize(
    "words",
    [
        "a,b=c]&[",
        "\n\n x \n",
        "€ 𝕏 👩‍👩‍👧‍👦",
        "&amp;&#91;",
        "\\u0000?",
        '{"a":[1]}',
        "x" * 4000,
        "\u202eevil",
    ],
)
async def test_awkward_texts_come_back_as_they_are(words: str):
    async with Town() as town:
        drive(town, town.ann)
        drive(town, town.bob)
        async with forward(town, town.ann) as ann, forward(town, town.bob) as bob:
            message = [{"type": "text", "data": {"text": words}}]
            await ann.data("send_private_msg", user_id=town.bob, message=message)
            assert (await bob.event())["message"] == message


async def test_pictures_come_by_base64_by_name_and_by_url_and_are_loaded_without_a_token():
    async with Town() as town:
        drive(town, town.ann)
        drive(town, town.bob)
        coded = base64.b64encode(png()).decode()
        async with forward(town, town.ann) as ann, forward(town, town.bob) as bob:
            message = [{"type": "image", "data": {"file": f"base64://{coded}"}}]
            await ann.data("send_private_msg", user_id=town.bob, message=message)
            picture = (await bob.event())["message"][0]["data"]
            loaded = await AsyncHTTPClient().fetch(picture["url"])
            assert loaded.body == png()
            for file in (picture["file"], picture["url"], f"data:image/png;base64,{coded}"):
                message = [{"type": "image", "data": {"file": file}}]
                await bob.data("send_private_msg", user_id=town.ann, message=message)
                assert (await ann.event())["message"][0]["data"]["file"] == picture["file"]
            info = await bob.data("get_image", file=picture["file"])
            assert (info["url"], info["size"]) == (picture["url"], len(png()))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("base64://!!!", "damaged"),
        ("base64://aGVsbG8=", "no picture"),
        ("file:///etc/passwd", "not allowed"),
        ("nothing.png", "no file"),
        ("", "missing"),
        ("ftp://a/b", "no file"),
        ("http://127.0.0.1:1/x.png", "cannot be fetched"),
    ],
)
async def test_a_picture_that_cannot_be_had_is_an_error_with_a_remedy(file: str, says: str):
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            message = [{"type": "image", "data": {"file": file}}]
            assert says in await failed(app, "send_private_msg", user_id=town.bob, message=message)


async def test_files_of_this_machine_are_read_only_where_the_settings_say_so(tmp_path):
    (tmp_path / "a b.png").write_bytes(png())
    async with Town() as town:
        drive(town, town.ann, reads_files=True)
        async with forward(town, town.ann) as app:
            file = f"file://{tmp_path}/a%20b.png"
            message = [{"type": "image", "data": {"file": file}}]
            assert await app.data("send_private_msg", user_id=town.bob, message=message)


async def test_private_addresses_are_fetched_from_only_where_that_is_allowed():
    async with Town() as town:
        drive(town, town.ann, reaches_private=False)
        async with forward(town, town.ann) as app:
            message = [{"type": "image", "data": {"file": "http://127.0.0.1:9/x.png"}}]
            why = await failed(app, "send_private_msg", user_id=town.bob, message=message)
            assert "public_only" in why or "public" in why


async def test_what_the_rules_forbid_is_refused():
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            group = {"group_id": town.square, "user_id": town.ann}
            for action in ("set_group_ban", "set_group_kick", "set_group_admin"):
                assert "only the owner" in await failed(app, action, **group)
            town.server.groups.ban(town.square, town.ann, town.bob, 60)
            ban = await app.event("group_ban")
            assert (ban["user_id"], ban["duration"], ban["operator_id"]) == (
                town.bob,
                60,
                town.ann,
            )
            why = await failed(app, "send_group_msg", group_id=town.square, message="hi")
            assert "banned" in why
            assert "no account" in await failed(app, "send_msg", user_id=5, message="hi")
            assert "empty" in await failed(app, "send_msg", user_id=town.ann, message="")


async def test_a_leader_manages_a_group_and_members_hear_of_it():
    async with Town() as town:
        drive(town, town.ann)
        drive(town, town.eve)
        group, eve = {"group_id": town.square}, {"user_id": town.eve}
        async with forward(town, town.ann) as ann, forward(town, town.eve) as other:
            for action, params, kind in (
                ("set_group_card", {**eve, "card": "Evie"}, "group_card"),
                ("set_group_special_title", {**eve, "special_title": "Dame"}, "notify"),
                ("set_group_admin", eve, "group_admin"),
                ("set_group_admin", {**eve, "enable": False}, "group_admin"),
                ("set_group_ban", {**eve, "duration": 60}, "group_ban"),
                ("set_group_whole_ban", {}, "group_ban"),
                ("set_group_name", {"group_name": "Circle"}, "notify"),
                ("group_poke", eve, "notify"),
            ):
                assert await ann.data(action, **group, **params) is None
                assert (await other.event(kind))["group_id"] == town.square
            member = await ann.data("get_group_member_info", **group, **eve)
            assert (member["card"], member["title"], member["role"]) == ("Evie", "Dame", "member")
            info = await ann.data("get_group_info", **group)
            assert (info["group_name"], info["member_count"]) == ("Circle", 3)
            assert (await ann.data("get_group_shut_list", **group))[0]["user_id"] == town.eve
            await ann.data("_send_group_notice", **group, content="Read me")
            (notice,) = await other.data("_get_group_notice", **group)
            assert notice["message"]["text"] == "Read me"
            await ann.data("_del_group_notice", **group, notice_id=notice["notice_id"])
            await ann.data("set_group_kick", **group, **eve, reject_add_request=True)
            gone = await other.event("group_decrease")
            assert (gone["sub_type"], gone["operator_id"]) == ("kick_me", town.ann)
            assert "not in it" in await failed(other, "get_group_member_list", **group)


async def test_requests_have_flags_that_decide_them():
    async with Town() as town:
        town.server.storage.accounts.change_profile(town.ann, {"allow": 1})
        room = town.server.storage.rooms.create_group("Club", town.ann).number
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            town.server.storage.friends.add_request(town.eve, town.ann, "hi")
            town.server.hub.requested(town.eve, town.ann, "hi")
            friend = await app.event("request")
            await app.data("set_friend_add_request", flag=friend["flag"], remark="E")
            added = await app.event("friend_add")
            assert added["user_id"] == town.eve
            assert "any more" in await failed(app, "set_friend_add_request", flag=friend["flag"])
            town.server.groups.ask(room, town.bob, "let me in")
            group = await app.event("request")
            assert (group["sub_type"], group["comment"]) == ("add", "let me in")
            listed = await app.data("get_group_system_msg")
            assert listed["join_requests"][0]["requester_uin"] == town.bob
            await app.data("set_group_add_request", flag=group["flag"], type="add", approve=1)
            joined = await app.event("group_increase")
            assert (joined["user_id"], joined["sub_type"]) == (town.bob, "approve")


async def test_lists_have_what_frameworks_read():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            (friend,) = await app.data("get_friend_list")
            assert (friend["user_id"], friend["nickname"], friend["remark"]) == (
                town.bob,
                "Bob",
                "",
            )
            (group,) = await app.data("get_group_list")
            assert (group["group_id"], group["group_name"]) == (town.square, "Square")
            members = await app.data("get_group_member_list", group_id=town.square)
            assert [each["role"] for each in members] == ["owner", "member", "member"]
            version = await app.data("get_version_info")
            assert version["protocol_version"] == "v11"
            assert (await app.data("can_send_image"))["yes"] is True
            honor = await app.data("get_group_honor_info", group_id=town.square, type="all")
            assert honor["talkative_list"] == []


async def test_messages_are_passed_on_together_also_in_each_other():
    async with Town() as town:
        drive(town, town.ann)
        drive(town, town.bob)
        async with forward(town, town.ann) as ann, forward(town, town.bob) as bob:
            first = await ann.data("send_private_msg", user_id=town.bob, message="first")
            inner = [{"type": "node", "data": {"user_id": 5, "nickname": "X", "content": "deep"}}]
            nodes = [
                {"type": "node", "data": {"id": first["message_id"]}},
                {"type": "node", "data": {"uin": "7", "name": "Seven", "content": inner}},
            ]
            sent = await ann.data("send_private_forward_msg", user_id=town.bob, messages=nodes)
            await bob.event()
            event = await bob.event()
            (part,) = event["message"]
            assert part == {"type": "forward", "data": {"id": sent["forward_id"]}}
            found = await bob.data("get_forward_msg", id=part["data"]["id"])
            one, two = found["messages"]
            assert (one["sender"]["nickname"], one["content"][0]["data"]["text"]) == (
                "Ann",
                "first",
            )
            deep = await bob.data("get_forward_msg", id=two["content"][0]["data"]["id"])
            assert deep["messages"][0]["sender"]["nickname"] == "X"


async def test_a_group_has_a_name_of_ones_own_and_a_friend_sees_that_one_writes():
    async with Town() as town:
        drive(town, town.bob)
        ann, ear = town.client(town.ann)
        await ann.login()
        async with forward(town, town.bob) as app:
            await app.data("set_group_remark", group_id=town.square, remark="Ours")
            info = await app.data("get_group_info", group_id=town.square)
            assert (info["group_name"], info["group_remark"]) == ("Square", "Ours")
            await app.data("set_input_status", user_id=str(town.ann), event_type=1)
            await ear.next(Typing)
            refused = await app.call("set_input_status", user_id=town.eve)
            assert refused["retcode"] == 100


async def test_groups_have_files_in_folders():
    async with Town() as town:
        drive(town, town.ann)
        drive(town, town.bob)
        group = {"group_id": town.square}
        async with forward(town, town.ann) as ann, forward(town, town.bob) as bob:
            folder = await ann.data("create_group_file_folder", **group, name="Notes")
            await bob.data(
                "upload_group_file",
                **group,
                file="base64://aGVsbG8=",
                name="a.txt",
                folder_id=folder["folder_id"],
            )
            notice = await ann.event("group_upload")
            assert (notice["file"]["name"], notice["file"]["size"]) == ("a.txt", 5)
            root = await ann.data("get_group_root_files", **group)
            assert (root["files"], root["folders"][0]["total_file_count"]) == ([], 1)
            inside = await ann.data(
                "get_group_files_by_folder", **group, folder_id=folder["folder_id"]
            )
            (file,) = inside["files"]
            where = await ann.data("get_group_file_url", **group, file_id=file["file_id"])
            assert (await AsyncHTTPClient().fetch(where["url"])).body == b"hello"
            found = await ann.data("get_file", file_id=file["file_id"])
            assert base64.b64decode(found["base64"]) == b"hello"
            await ann.data("delete_group_file", **group, file_id=file["file_id"])
            await ann.data("delete_group_folder", **group, folder_id=folder["folder_id"])
            assert (await ann.data("get_group_file_system_info", **group))["file_count"] == 0


async def test_marks_reactions_and_likes_are_told():
    async with Town() as town:
        drive(town, town.ann)
        drive(town, town.bob)
        async with forward(town, town.ann) as ann, forward(town, town.bob) as bob:
            sent = await bob.data("send_group_msg", group_id=town.square, message="wise")
            number = sent["message_id"]
            await ann.data("set_essence_msg", message_id=number)
            assert (await bob.event("essence"))["sender_id"] == town.bob
            (held,) = await bob.data("get_essence_msg_list", group_id=town.square)
            assert (held["message_id"], held["operator_id"]) == (number, town.ann)
            await ann.data("set_msg_emoji_like", message_id=number, emoji_id="76")
            liked = await bob.event("group_msg_emoji_like")
            assert liked["likes"] == [{"emoji_id": "76", "count": 1}]
            await ann.data("send_like", user_id=town.bob, times=20)
            assert (await bob.event("notify"))["times"] == 10
            assert "the most" in await failed(ann, "send_like", user_id=town.bob)
            await ann.data("friend_poke", user_id=town.bob)
            assert (await bob.event("notify"))["target_id"] == town.bob


async def test_a_quick_operation_does_what_it_says():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            where = Conversation("group", town.square)
            town.server.hub.send(town.eve, where, load_content(["spam"]))
            event = await app.event()
            operation = {"reply": "no", "at_sender": True, "delete": True, "ban": True}
            answer = await app.call(
                ".handle_quick_operation_async", context=event, operation=operation
            )
            assert (answer["status"], answer["retcode"]) == ("async", 1)
            assert (await app.event("group_recall"))["message_id"] == event["message_id"]
            assert (await app.event("group_ban"))["duration"] == 1800
            history = await app.data("get_group_msg_history", group_id=town.square)
            assert history["messages"][-1]["raw_message"].endswith("name=Eve] no")


async def test_discussions_are_groups_for_applications():
    async with Town() as town:
        made = town.server.storage.rooms.create_discussion("Talk", town.ann, [town.bob])
        drive(town, town.ann)
        drive(town, town.bob)
        async with forward(town, town.ann) as ann, forward(town, town.bob) as bob:
            groups = await ann.data("get_group_list")
            assert made.number in [each["group_id"] for each in groups]
            await ann.data("send_group_msg", group_id=made.number, message="hi")
            assert (await bob.event())["group_id"] == made.number


async def test_strangers_of_one_group_write_through_it():
    async with Town() as town:
        drive(town, town.bob)
        drive(town, town.eve)
        async with forward(town, town.bob) as bob, forward(town, town.eve) as eve:
            await bob.data("send_private_msg", user_id=town.eve, message="hi")
            event = await eve.event()
            assert (event["sub_type"], event["group_id"]) == ("group", town.square)


async def test_ids_may_be_texts_null_is_not_given_and_unknown_ones_are_passed_over():
    async with Town() as town:
        drive(town, town.ann)
        body = {"user_id": f"{town.bob}", "message": "hi", "auto_escape": None, "self_id": 1}
        response = await ask(town, town.ann, "/send_private_msg", body)
        assert b'"status":"ok"' in response.body


async def test_a_received_picture_is_sent_again_though_its_address_is_dead():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            row = town.server.storage.files.add(png())
            data = {"file": row.name, "url": "http://127.0.0.1:1/dead.png", "subType": 1}
            message = [{"type": "image", "data": data}]
            sent = await app.data("send_private_msg", user_id=town.bob, message=message)
            found = await app.data("get_msg", message_id=sent["message_id"])
            again = found["raw_message"]
            assert await app.data("send_private_msg", user_id=town.bob, message=again)


AT_ANN = {"type": "at", "data": {"qq": "10001"}}


@pytest.mark.parametrize(
    ("action", "params", "retcode"),
    [
        ("get_stranger_info", {"user_id": 2**70}, 100),
        ("send_group_msg", {"group_id": 2**70, "message": "x"}, 1400),
        ("send_private_msg", {"user_id": 10002, "message": [None]}, 1400),
        ("send_private_msg", {"user_id": 10002, "message": [{"type": "at", "data": None}]}, 100),
        ("send_private_msg", {"user_id": 10002, "message": "[CQ:dance,a=b]"}, 1400),
        ("send_private_msg", {"user_id": 10002, "message": ["x"] * 4097}, 1400),
        ("send_private_msg", {"user_id": 10002, "message": json.dumps([AT_ANN] * 4097)}, 1400),
        ("delete_msg", {"message_id": None}, 1400),
        ("set_group_add_request", {"flag": "group-" + "9" * 40}, 100),
        ("get_forward_msg", {"id": "x" * 5000}, 100),
        (".handle_quick_operation", {"context": {}, "operation": {"reply": "x"}}, 1400),
    ],
)
async def test_nonsense_is_refused_and_never_an_internal_error(action, params, retcode):
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            answer = await app.call(action, **params)
    assert (answer["status"], answer["retcode"]) == ("failed", retcode)
    assert "internal" not in answer["message"]


async def test_a_group_that_one_is_invited_to_can_be_looked_up():
    async with Town() as town:
        club = town.server.storage.rooms.create_group("Club", town.eve).number
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            assert (await app.data("get_group_info", group_id=club))["group_name"] == "Club"
            assert "not in it" in await failed(app, "get_group_member_list", group_id=club)


async def test_a_quota_holds_where_others_use_the_server_too():
    async with Town(quotas={"message": Quota(Rate(1, 60.0), Rate(9, 60.0))}) as town:
        town.server.is_local = False
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            assert await app.data("send_private_msg", user_id=town.bob, message="one")
            why = await failed(app, "send_private_msg", user_id=town.bob, message="two")
            assert "too often" in why


async def in_pieces(app: Forward, data: bytes, **more: object) -> dict:
    """Send a file in pieces of 100 bytes, the last one first."""
    pieces = [data[at : at + 100] for at in range(0, len(data), 100)]
    about = {"stream_id": "s", "total_chunks": len(pieces), "filename": "a.png", **more}
    for number, piece in reversed(list(enumerate(pieces))):
        chunk = base64.b64encode(piece).decode()
        told = await app.data("upload_file_stream", **about, chunk_data=chunk, chunk_index=number)
        assert told["status"] == "chunk_received"
    return await app.call("upload_file_stream", stream_id="s", is_complete=True)


async def test_a_file_that_comes_in_pieces_is_sent_by_its_name():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            data = png() + b"x" * 250
            whole = hashlib.sha256(data).hexdigest()
            done = (await in_pieces(app, data, expected_sha256=whole))["data"]
            assert (done["status"], done["file_size"]) == ("file_complete", len(data))
            image = [{"type": "image", "data": {"file": done["file_path"]}}]
            assert await app.data("send_private_msg", user_id=town.bob, message=image)
            file = {"file": done["file_path"], "name": "b.png"}
            assert await app.data("upload_group_file", group_id=town.square, **file)


async def test_pieces_that_are_missing_wrong_or_too_many_are_refused():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            wrong = await in_pieces(app, b"x" * 250, expected_sha256="0" * 64)
            assert "SHA-256" in wrong["message"]
            assert (await app.data("upload_file_stream", stream_id="s", reset=True))["status"]
            assert "total_chunks" in await failed(app, "upload_file_stream", stream_id="s")
            begun = {"stream_id": "t", "total_chunks": 2, "chunk_data": "eA=="}
            assert "0 to 1" in await failed(app, "upload_file_stream", **begun, chunk_index=2)
            await app.data("upload_file_stream", **begun, chunk_index=1)
            told = await app.data("upload_file_stream", stream_id="t", verify_only=True)
            assert (told["received_chunks"], told["status"]) == (1, "file_created")
            done = {"stream_id": "t", "is_complete": True}
            assert "piece 0 of 2" in await failed(app, "upload_file_stream", **done)
            await app.data("clean_stream_temp_file")
            assert "no upload" in await failed(app, "upload_file_stream", **done)


@pytest.mark.parametrize("written", ["/a#1.png", "/a%23%31.png", "//a#1.png", "/sub/../a#1.png"])
async def test_the_path_of_a_file_is_taken_as_applications_write_it(written: str, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a#1.png").write_bytes(png())
    async with Town() as town:
        drive(town, town.ann, reads_files=True)
        async with forward(town, town.ann) as app:
            image = f"[CQ:image,file=file://{tmp_path}{written}]"
            assert await app.data("send_private_msg", user_id=town.bob, message=image)


@pytest.mark.parametrize(
    "url", ["file://evil.example/etc/passwd", "file:etc/passwd", "file:///dev/zero", "file://\x00"]
)
async def test_what_is_no_file_of_this_machine_is_not_read(url: str):
    async with Town() as town:
        drive(town, town.ann, reads_files=True)
        async with forward(town, town.ann) as app:
            params = {"user_id": town.bob, "file": url, "name": "x"}
            assert await failed(app, "upload_private_file", **params)


async def test_a_file_sent_as_base64_without_a_name_has_that_of_its_store():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            file = "base64://" + base64.b64encode(b"\xff\xff\xff" * 99).decode()  # "/" alone
            await app.data("upload_group_file", group_id=town.square, file=file)
            (row,) = (await app.data("get_group_root_files", group_id=town.square))["files"]
    assert row["file_name"].endswith(".bin"), row


async def test_files_of_a_group_are_moved_and_renamed():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            where = {"group_id": town.square}
            file = await app.data("upload_group_file", **where, file="base64://eA==", name="a.txt")
            folder = (await app.data("create_group_file_folder", **where, name="old"))["folder_id"]
            named = {**where, "file_id": file["file_id"]}
            await app.data("rename_group_file", **named, new_name="b.txt")
            await app.data("move_group_file", **named, target_parent_directory=folder)
            assert (await app.data("get_group_root_files", **where))["files"] == []
            listed = await app.data("get_group_files_by_folder", **where, folder_id=folder)
            assert [each["file_name"] for each in listed["files"]] == ["b.txt"]
            assert "empty" in await failed(app, "rename_group_file", **named, new_name=" ")
            assert await failed(app, "move_group_file", **named, target_parent_directory="99")
            await app.data("delete_group_file_folder", **where, folder_id=folder)


async def test_a_message_is_passed_on_to_a_friend_and_to_a_group():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            sent = await app.data(
                "send_group_msg", group_id=town.square, message="hi[CQ:face,id=1]"
            )
            number = sent["message_id"]
            ways = {"friend": {"user_id": town.bob}, "group": {"group_id": town.square}}
            for kind, to in ways.items():
                passed = await app.data(f"forward_{kind}_single_msg", **to, message_id=number)
                found = await app.data("get_msg", message_id=passed["message_id"])
                assert found["raw_message"] == "hi[CQ:face,id=1]"
            await app.data("delete_msg", message_id=number)
            again = {"user_id": town.bob, "message_id": number}
            assert "taken back" in await failed(app, "forward_friend_single_msg", **again)


async def test_several_members_are_removed_at_once():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            params = {"group_id": town.square, "user_id": [str(town.bob), town.eve]}
            await app.data("set_group_kick_members", **params)
            assert town.server.storage.rooms.member_numbers(town.square) == {town.ann}
            wrong = {**params, "user_id": [[]]}
            assert "whole number" in await failed(app, "set_group_kick_members", **wrong)


async def test_all_conversations_are_marked_as_read():
    async with Town() as town:
        drive(town, town.ann)
        where = Conversation("friend", town.ann)
        town.server.hub.send(town.bob, where, load_content(["new"]))
        theirs, messages = Conversation("friend", town.bob), town.server.storage.messages
        assert messages.unread(town.ann, theirs) == 1
        async with forward(town, town.ann) as app:
            await app.data("_mark_all_as_read")
        assert messages.unread(town.ann, theirs) == 0


async def test_who_writes_to_oneself_is_told_so():
    async with Town() as town:
        drive(town, town.ann)
        async with forward(town, town.ann) as app:
            params = {"user_id": town.ann, "message": "hi"}
            assert "to itself" in await failed(app, "send_private_msg", **params)
