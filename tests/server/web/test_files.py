"""Pictures and files: stored, settled in messages, fetched, sent by old clients."""

from __future__ import annotations

import io
import json
import re

import pytest
from PIL import Image
from servers.town import Town, Visitor

from server.web.test_api import JSON, post, signed_in
from webqq_tornado.protocol.models.events import FriendMessage, GroupMessage
from webqq_tornado.server.storage import Storage, TooLarge
from webqq_tornado.server.storage import files as stored_files


def png(width: int = 8, height: int = 8, color: str = "red", kind: str = "PNG") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (width, height), color).save(made, kind)
    return made.getvalue()


async def uploaded(visitor: Visitor, data: bytes, name: str = "a.png") -> dict:
    reply = await visitor._fetch(f"/page/files?name={name}", data)
    assert reply.code == 200, reply.body
    return json.loads(reply.body)


def test_the_same_bytes_are_one_file_and_its_type_is_that_of_the_bytes(tmp_path):
    storage = Storage(tmp_path / "server.db")
    one, other = storage.files.add(png(), "x.html"), storage.files.add(png(), "y.exe")
    assert one == other
    assert (one.type, one.width) == ("image/png", 8)
    page = storage.files.add(b"<script>alert(1)</script>", "x.html")
    assert page.type == "application/octet-stream"
    assert page.name.endswith(".bin")
    storage.close()


@pytest.mark.parametrize("data", [b"", b"no picture", png()[:20], b"GIF89a" + b"\0" * 40])
def test_what_is_no_picture_is_refused_as_one(data: bytes):
    storage = Storage(":memory:")
    with pytest.raises(ValueError, match=r"empty|no picture"):
        storage.files.add(data, is_picture=True)
    storage.close()


def test_a_picture_of_too_many_pixels_and_a_full_disk_are_refused(monkeypatch):
    storage = Storage(":memory:")
    monkeypatch.setattr(stored_files, "MAX_PIXELS", 63)
    with pytest.raises(TooLarge, match="8 x 8 pixels"):
        storage.files.add(png(), is_picture=True)
    monkeypatch.setattr(stored_files, "MAX_TOTAL", 10)
    with pytest.raises(TooLarge, match="the most is 10"):
        storage.files.add(b"x" * 11)
    storage.close()


async def test_the_page_sends_a_picture_that_others_load():
    async with Town() as town:
        ann, bob = await signed_in(town, town.ann), await signed_in(town, town.bob)
        data = png(900, 600) + b"\0" * 300_000  # more than other requests may have
        file = await uploaded(ann, data)
        content = ["look: ", ["image", {"file": file["file"]}]]
        sent = await post(ann, "/page/messages", conversation=f"friend:{town.bob}", content=content)
        assert sent.code == 200, sent.body
        reply = await bob.get("/page/messages", conversation=f"friend:{town.ann}")
        kind, picture = json.loads(reply.body)["messages"][0]["content"][1]
        assert (kind, picture["width"], picture["size"]) == ("image", 900, len(data))
        whole, small = await bob.get(picture["url"]), await bob.get(picture["thumb"])
        assert whole.body == data
        assert Image.open(io.BytesIO(small.body)).size == (480, 320)
        assert whole.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_file_is_saved_and_never_opened_by_a_browser():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        file = await uploaded(ann, b"<html>", "x.html")
        reply = await ann.get(file["url"], name="x.html")
        assert reply.headers["Content-Disposition"] == "attachment; filename*=UTF-8''x.html"
        assert reply.headers["Content-Type"] == "application/octet-stream"
        assert (await ann.get(f"/files/{'0' * 64}.png")).code == 404


async def test_only_who_is_signed_in_stores_files_and_no_other_page():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        stranger = town.visitor(town.ann)
        assert (await stranger._fetch("/page/files", png())).code == 401
        headers = {"Origin": "http://evil.example"}
        assert (await ann._fetch("/page/files", png(), headers)).code == 403


@pytest.mark.parametrize(
    "part",
    [
        ["image", {"file": "0" * 64 + ".png"}],
        ["image", {"file": "../../etc/passwd"}],
        ["at", {"qq": "x"}],
        ["json", {"data": "{}"}],
        ["image", []],
    ],
)
async def test_a_page_sends_no_segment_that_is_not_settled(part: list):
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        where = f"friend:{town.bob}"
        reply = await post(ann, "/page/messages", JSON, conversation=where, content=[part])
        assert reply.code == 400


async def test_mentions_have_names_and_a_reply_is_to_a_message_of_the_thread():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        where = f"group:{town.square}"
        town.server.storage.rooms.set_card(town.square, town.bob, "Robert")
        first = json.loads(
            (await post(ann, "/page/messages", conversation=where, content=["x"])).body
        )
        number = str(first["message"]["id"])
        content = [
            ["at", {"qq": str(town.bob)}],
            " hi",
            ["reply", {"id": number}],
            ["reply", {"id": "999"}],
        ]
        reply = await post(ann, "/page/messages", conversation=where, content=content)
        said = json.loads(reply.body)["message"]["content"]
        assert said[0] == ["reply", {"id": number, "nick": "Ann", "content": ["x"]}]
        assert said[1:] == [["at", {"qq": str(town.bob), "name": "Robert"}], " hi"]


# -- clients of WebQQ --------------------------------------------------------------------------


def multipart(field: str, data: bytes, **fields: str) -> tuple[bytes, dict[str, str]]:
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--B\r\nContent-Disposition: form-data; name="{field}"; filename="a.png"\r\n\r\n'
    body = b"".join([*parts, head.encode(), data, b"\r\n--B--\r\n"])
    return body, {"Content-Type": "multipart/form-data; boundary=B"}


async def test_old_clients_send_pictures_to_friends_and_fetch_them():
    async with Town() as town:
        ann, bob = town.visitor(town.ann), town.visitor(town.bob)
        session = await ann.enter()
        await bob.enter()
        body, headers = multipart("file", png(), vfwebqq=session.vfwebqq, fileid="1")
        reply = (await ann._fetch("/ftn_access/upload_offline_pic", body, headers)).body.decode()
        told = json.loads(re.search(r"callbackSendPic\((.*)\);<", reply)[1])
        assert told["retcode"] == 0
        uin = town.server.hub.find(session.psessionid).uin_of(town.bob)
        sent = json.dumps([["offpic", told["filepath"], "a.png", 70], ["font", {"size": 10}]])
        await _send(ann, uin, sent)
        (event,) = await bob.news(FriendMessage)
        (picture,) = event.content.parts
        fetched = await bob.get("/channel/get_offpic2", file_path=picture.path)
        assert fetched.body == png()


async def _send(visitor: Visitor, uin: int, content: str) -> None:
    told = {"to": uin, "content": content, "face": 0, "msg_id": 7, "clientid": 12345678}
    told["psessionid"] = visitor.session.psessionid
    reply = await visitor.post("/channel/send_buddy_msg2", f"r={json.dumps(told)}")
    assert json.loads(reply.body)["retcode"] == 0, reply.body


async def test_a_picture_in_a_group_comes_as_a_cface():
    async with Town() as town:
        ann, bob = await signed_in(town, town.ann), town.visitor(town.bob)
        await bob.enter()
        file = await uploaded(ann, png())
        content = [["image", {"file": file["file"]}], ["at", {"qq": str(town.bob)}]]
        await post(ann, "/page/messages", conversation=f"group:{town.square}", content=content)
        (event,) = await bob.news(GroupMessage)
        picture, words = event.content.parts
        assert words == "@Bob"
        fetched = await bob.get("/cgi-bin/get_group_pic", pic=picture.name)
        assert fetched.body == png()
