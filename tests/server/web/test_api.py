"""The page's HTTP: what it gives, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from servers.town import PASSWORD, Town, Visitor
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect
from waiting import until

from webqq_tornado.protocol import webqq3
from webqq_tornado.protocol.codes import QRState
from webqq_tornado.protocol.models import Kicked
from webqq_tornado.server.throttle import Place

JSON = {"Content-Type": "application/json"}


async def post(visitor: Visitor, path: str, headers: dict[str, str] = JSON, **body) -> HTTPResponse:
    return await visitor._fetch(path, json.dumps(body), headers)


async def signed_in(town: Town, account: int) -> Visitor:
    visitor = town.visitor(account)
    reply = await post(visitor, "/page/signin", account=account, password=PASSWORD)
    assert reply.code == 200, reply.body
    return visitor


@asynccontextmanager
async def live(visitor: Visitor) -> AsyncIterator[WebSocketClientConnection]:
    url = visitor.server.url.replace("http", "ws") + "/page/live"
    page = await websocket_connect(url, subprotocols=[f"token.{visitor.token}"])
    yield page
    is_open = page.close_code is None
    page.close()
    if is_open:  # else the server has closed it already
        while await page.read_message() is not None:
            pass


async def pushed(page: WebSocketClientConnection, kind: str) -> dict:
    while True:
        text = await page.read_message()
        assert text is not None, "the server closed it"
        if json.loads(text)["type"] == kind:
            return json.loads(text)


async def test_state_has_friends_and_groups():
    async with Town() as town:
        state = json.loads((await (await signed_in(town, town.ann)).get("/page/state")).body)
    assert state["self"] == {"account": town.ann, "nick": "Ann"}
    names = [(c["id"], c["name"]) for c in state["conversations"]]
    assert names == [(f"friend:{town.bob}", "Bob"), (f"group:{town.square}", "Square")]
    assert state["faces"]["14"] == "微笑"


async def test_a_link_signs_in_once():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        path, _, token = town.server.signin_url(town.ann).partition("?token=")
        assert (await visitor.get(path.removeprefix(town.server.url))).body.startswith(b"<!DOCTYPE")
        first, second = [await post(visitor, "/page/signin", link=token) for _ in range(2)]
        assert (await visitor.get("/page/state")).code == 200
    assert json.loads(first.body)["self"]["account"] == town.ann
    assert second.code == 403
    assert json.loads(second.body)["error"].startswith("This sign-in link was already used")


async def test_no_cookie_opens_anything_and_the_token_is_in_none():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        token, ann.token = ann.token, ""
        assert (await ann.get("/page/state")).code == 401
        assert token not in ann.cookies.values()


@pytest.mark.parametrize("proof", ["password", "link", "register"])
async def test_signing_in_again_ends_the_browsers_former_session_and_its_pages(proof: str):
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        former = ann.token
        async with live(ann) as page:
            if proof == "register":
                await post(ann, "/page/register", nick="Zoe", password="long enough")
            elif proof == "link":
                token = town.server.signin_url(town.ann).partition("?token=")[2]
                await post(ann, "/page/signin", link=token)
            else:
                await post(ann, "/page/signin", account=town.ann, password=PASSWORD)
            while await page.read_message() is not None:
                pass
        assert (await ann.get("/page/state")).code == 200
        ann.token = former
        assert (await ann.get("/page/state")).code == 401


async def test_a_refused_sign_in_ends_no_session():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        assert (await post(ann, "/page/signin", account=town.ann, password="wrong")).code == 403
        assert (await ann.get("/page/state")).code == 200


async def _changed(visitor: Visitor, new: str = "another horse", current: str = PASSWORD) -> int:
    return (await post(visitor, "/page/password", current=current, new=new)).code


async def test_a_changed_password_is_the_one_that_signs_in():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        assert await _changed(ann) == 204
        body = {"account": town.ann, "password": PASSWORD}
        assert (await post(town.visitor(town.ann), "/page/signin", **body)).code == 403
        body["password"] = "another horse"
        assert (await post(town.visitor(town.ann), "/page/signin", **body)).code == 200
        assert (await town.visitor(town.ann).login("another horse")).startswith("ptuiCB('0'")


async def test_a_change_of_password_ends_all_other_sessions_tickets_links_and_codes():
    async with Town() as town:
        ann, other = await signed_in(town, town.ann), await signed_in(town, town.ann)
        client, waiting = town.visitor(town.ann), town.server.qr.new("127.0.0.1")
        session = await client.enter()
        town.server.qr.confirm(waiting.id, town.ann)
        link = town.server.signin_url(town.ann).partition("?token=")[2]
        async with live(other) as page, live(ann) as own:
            assert await _changed(ann) == 204
            while await page.read_message() is not None:
                pass
            assert (page.close_code, own.close_code) == (4401, None)
        assert (await ann.get("/page/state")).code == 200
        assert (await other.get("/page/state")).code == 401
        assert town.server.authenticator.ticket(client.cookies["ptwebqq"]) is None
        assert town.server.hub.find(session.psessionid).kicked is not None
        assert (await post(other, "/page/signin", link=link)).code == 403
        assert town.server.qr.of_cookie(waiting.qrsig).state is QRState.EXPIRED


async def test_others_are_not_signed_out_by_a_change_of_password():
    async with Town() as town:
        ann, bob = await signed_in(town, town.ann), await signed_in(town, town.bob)
        client = town.visitor(town.bob)
        session = await client.enter()
        assert await _changed(ann) == 204
        assert (await bob.get("/page/state")).code == 200
        assert town.server.hub.find(session.psessionid).kicked is None


async def test_after_a_change_of_password_only_its_own_place_is_known():
    async with Town() as town:
        thief = Place("192.0.2.66")
        device = town.server.authenticator.know(town.ann, thief)
        assert await _changed(await signed_in(town, town.ann)) == 204
        known = town.server.storage.sessions.is_known_place
        assert not known(town.ann, f"device:{device}")
        assert not known(town.ann, "address:192.0.2.66")
        assert known(town.ann, "address:127.0.0.1")


@pytest.mark.parametrize(
    ("new", "current", "code"),
    [
        ("another horse", "not it", 403),
        ("short", PASSWORD, 400),
        (PASSWORD, PASSWORD, 400),
        ("x" * 129, PASSWORD, 400),
    ],
)
async def test_a_password_that_is_not_changed_is_told_why(new: str, current: str, code: int):
    async with Town() as town:
        ann, client = await signed_in(town, town.ann), town.visitor(town.ann)
        session = await client.enter()
        reply = await post(ann, "/page/password", current=current, new=new)
        assert (await client.login()).startswith("ptuiCB('0'")
        assert town.server.hub.find(session.psessionid).kicked is None
    assert reply.code == code
    assert "password" in json.loads(reply.body)["error"].lower()


async def test_the_current_password_cannot_be_guessed_with_a_stolen_session():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        codes = [await _changed(ann, current=f"guess {n}") for n in range(12)]
    assert codes == [403] * 10 + [429] * 2


async def test_signing_out_everywhere_ends_all_sessions():
    async with Town() as town:
        ann, other = await signed_in(town, town.ann), await signed_in(town, town.ann)
        client = town.visitor(town.ann)
        await client.enter()
        held = asyncio.ensure_future(client.poll())
        await until(lambda: town.server.hub.find(client.session.psessionid).held_poll)
        assert (await post(ann, "/page/signout", everywhere=True)).code == 204
        (event,) = webqq3.POLL.parse(await held).events
        assert isinstance(event, Kicked)
        assert [(await one.get("/page/state")).code for one in (ann, other)] == [401, 401]
        assert (await client.login()).startswith("ptuiCB('0'")


async def test_nobody_signs_others_out_or_without_being_signed_in():
    async with Town() as town:
        bob = await signed_in(town, town.bob)
        stranger = town.visitor(town.ann)
        assert (await post(stranger, "/page/signout", everywhere=True)).code == 401
        assert await _changed(stranger) == 401
        assert (await bob.get("/page/state")).code == 200


@pytest.mark.parametrize("password", ["", "x", "seven 7", "x" * 129, "half a \ud800 character"])
async def test_a_new_account_has_a_password_of_8_characters(password: str):
    async with Town() as town:
        reply = await post(town.visitor(1), "/page/register", nick="Zoe", password=password)
    assert reply.code == 400
    assert "password" in json.loads(reply.body)["error"].lower()


async def test_an_old_account_with_a_short_password_goes_on():
    async with Town() as town:
        number = town.server.storage.accounts.create("Old", "x").number
        reply = await post(town.visitor(number), "/page/signin", account=number, password="x")
    assert reply.code == 200


async def test_a_message_is_seen_live_on_both_sides_and_counts_as_unread():
    async with Town() as town:
        ann, bob = await signed_in(town, town.ann), await signed_in(town, town.bob)
        content = ["hi ", ["face", 14]]
        to = f"friend:{town.bob}"
        async with live(ann) as one, live(bob) as other:
            reply = await post(ann, "/page/messages", conversation=to, content=content, nonce="1")
            seen = [(await pushed(page, "message"))["message"] for page in (one, other)]
        state = json.loads((await bob.get("/page/state")).body)
    assert json.loads(reply.body)["message"] == seen[0]
    assert [(m["conversation"], m["mine"]) for m in seen] == [
        (to, True),
        (f"friend:{town.ann}", False),
    ]
    assert seen[1]["content"] == content
    assert state["conversations"][0]["unread"] == 1


async def test_the_same_nonce_is_the_same_message():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        to = {"conversation": f"friend:{town.bob}", "content": ["x"], "nonce": "n"}
        replies = [json.loads((await post(ann, "/page/messages", **to)).body) for _ in range(2)]
    assert replies[0] == replies[1]


async def test_history_comes_in_pieces_oldest_first():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        to = f"group:{town.square}"
        for n in range(5):
            await post(ann, "/page/messages", conversation=to, content=[str(n)])
        last = json.loads((await ann.get("/page/messages", conversation=to, limit=2)).body)
        before = last["messages"][0]["id"]
        rest = await ann.get("/page/messages", conversation=to, limit=9, before=before)
        older = json.loads(rest.body)
    assert [m["content"] for m in last["messages"]] == [["3"], ["4"]]
    assert (last["more"], older["more"]) == (True, False)
    assert [m["content"] for m in older["messages"]] == [["0"], ["1"], ["2"]]


async def test_signing_out_closes_the_page_and_ends_the_session():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        async with live(ann) as page:
            assert (await post(ann, "/page/signout")).code == 204
            while await page.read_message() is not None:
                pass
            assert page.close_code == 4401
        assert (await ann.get("/page/state")).code == 401


async def test_who_is_not_signed_in_gets_401():
    async with Town() as town:
        visitor = town.visitor(town.ann)
        assert (await visitor.get("/page/state")).code == 401
        assert (await visitor.get("/page/messages", conversation="friend:1")).code == 401
        url = town.server.url + "/page/live"
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        request = HTTPRequest(url, headers={**upgrade, **key})
        reply = await AsyncHTTPClient().fetch(request, raise_error=False)
    assert reply.code == 401


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/page/signin", {"account": 10001, "password": "wrong"}, 403),
        ("/page/signin", {"account": "10001", "password": "x"}, 400),
        ("/page/signin", {"account": True, "password": "x"}, 400),
        ("/page/register", {"nick": "", "password": "long enough"}, 400),
        ("/page/register", {"nick": "x" * 25, "password": "long enough"}, 400),
        ("/page/register", {"nick": "\ud800", "password": "long enough"}, 400),
        ("/page/signin", {"link": "nonsense"}, 403),
        ("/page/signin", {"link": 1}, 400),
        ("/page/register", {"nick": "x", "password": ""}, 400),
        ("/page/messages", {"conversation": "friend:10003", "content": ["x"]}, 404),
        ("/page/messages", {"conversation": "group:1", "content": ["x"]}, 404),
        ("/page/messages", {"conversation": "friend:10002", "content": []}, 400),
        ("/page/messages", {"conversation": "friend:10002", "content": [1]}, 400),
        ("/page/messages", {"conversation": "friend:10002", "content": ["x" * 5000]}, 413),
        ("/page/messages", {"conversation": "friend:10002", "content": ["x"], "nonce": "é"}, 400),
        ("/page/friends", {"account": 999}, 404),
        ("/page/friends", {"account": 10**30}, 400),
        ("/page/friends", {"account": 10002}, 409),
        ("/page/friends", {"account": 10001}, 400),
        ("/page/groups", {"name": "x", "members": [999]}, 400),
        ("/page/groups", {"name": "", "members": []}, 400),
        ("/page/read", {"conversation": "friend:10002", "message": -1}, 400),
    ],
)
async def test_what_cannot_be_is_refused_with_a_reason(path: str, body: dict, code: int):
    async with Town() as town:
        reply = await post(await signed_in(town, town.ann), path, **body)
    assert reply.code == code
    assert json.loads(reply.body)["error"]


async def test_a_name_that_hides_something_is_told_so_and_not_that_it_is_too_long():
    async with Town() as town:
        body = {"nick": "Ann\u202e", "password": "long enough"}
        reply = await post(await signed_in(town, town.ann), "/page/register", **body)
    assert reply.code == 400
    assert json.loads(reply.body)["error"] == "a nick has no invisible characters"


@pytest.mark.parametrize(
    ("nick", "code"),
    [
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", 200),  # a family of three
        ("\u0645\u06cc\u200c\u0631\u0648\u0645", 200),  # Persian, with a non-joiner
        ("Ann\u200d", 400),
        ("Ann\u200d\u200d B", 400),
        ("\u200d", 400),
        ("\u8fbb\U000e0100", 200),  # chooses one form of the letter
        ("\u2764\ufe0f", 200),
        ("1\ufe0f\u20e3", 200),  # a key
        ("e\u0301", 200),
        ("\u0e33", 200),
        ("\u3164", 400),  # the filler of Hangul: a letter, and blank
        ("\u115f\u1160", 400),
        ("\uffa0", 400),
        ("\u2800", 400),  # Braille without dots
        ("Ann\u3164", 400),
        ("Ann\u17b4", 400),
        ("\u034f", 400),
        ("\ufe0f", 400),
        ("\U000e0100", 400),
        ("\u0301Ann", 400),  # an accent that goes on what stands in front of the name
        ("\u20e3", 400),
    ],
)
async def test_what_is_not_seen_belongs_to_a_name_only_where_it_changes_a_letter(
    nick: str, code: int
):
    async with Town() as town:
        body = {"nick": nick, "password": "a password"}
        reply = await post(await signed_in(town, town.ann), "/page/register", **body)
    assert reply.code == code


@pytest.mark.parametrize("path", ["/page/groups", "/page/discussions"])
async def test_nobody_but_a_friend_is_put_into_a_room(path: str):
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        refused = await post(ann, path, name="Two", members=[town.bob, town.eve])
        made = await post(ann, path, name="Two", members=[town.bob])
        room = json.loads(made.body)["conversation"]["id"]
        added = await post(ann, "/page/room", conversation=room, add=[town.eve])
        rooms = town.server.storage.rooms.of(town.eve, path.removeprefix("/page/")[:-1])
    assert (refused.code, made.code, added.code) == (403, 200, 403)
    assert json.loads(refused.body)["error"].startswith("Eve is not your friend")
    assert [room.name for room, _, _ in rooms] == (["Square"] if "group" in path else [])


@pytest.mark.parametrize("nick", ["小明", "<b>x", "Zoë", "👨‍👩‍👧"])
async def test_a_reason_is_in_the_body_in_any_script(nick: str):
    async with Town() as town:
        town.server.storage.accounts.change_profile(town.bob, {"nick": nick})
        reply = await post(await signed_in(town, town.ann), "/page/friends", account=town.bob)
    assert (reply.code, reply.reason) == (409, "Conflict")
    assert json.loads(reply.body)["error"] == f"{nick} is a friend already"


@pytest.mark.parametrize("path", ["/nowhere", "/page/static/nothing", "/page/state", "/check_sig"])
async def test_every_error_is_an_object_with_its_reason(path: str):
    async with Town() as town:
        reply = await post(town.visitor(town.ann), path)
    assert reply.code in {401, 404, 405}
    assert json.loads(reply.body)["error"]


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1:1"])
async def test_no_other_page_opens_the_live_link(origin: str):
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": origin}
        reply = await ann._fetch("/page/live", None, {**upgrade, **key})
        plain = await ann._fetch("/page/live")
    assert (reply.code, plain.code) == (403, 426)
    assert json.loads(reply.body)["error"] == "Requests from other pages are refused"
    assert json.loads(plain.body)["error"].startswith("Open this address as a WebSocket")


async def test_half_a_character_does_no_harm():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        to = f"friend:{town.bob}"
        reply = await post(ann, "/page/messages", conversation=to, content=["a\ud800b"])
    assert json.loads(reply.body)["message"]["content"] == ["a\ufffdb"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({**JSON, "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_what_another_page_could_send_is_refused(headers: dict[str, str], code: int):
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        to = {"conversation": f"friend:{town.bob}", "content": ["x"]}
        assert (await post(ann, "/page/messages", headers, **to)).code == code


async def test_new_friends_and_groups_are_pushed_to_both():
    async with Town() as town:
        ann, eve = await signed_in(town, town.ann), await signed_in(town, town.eve)
        async with live(eve) as page:
            await post(ann, "/page/friends", account=town.eve)
            await pushed(page, "state")
            await post(ann, "/page/groups", name="Two", members=[town.eve])
            await pushed(page, "state")


async def test_a_friend_that_opens_the_page_is_online():
    async with Town() as town:
        ann, bob = await signed_in(town, town.ann), await signed_in(town, town.bob)
        async with live(ann) as page:
            async with live(bob):
                await pushed(page, "status")
            second = {"status": "online"}
            while second["status"] == "online":
                second = await asyncio.wait_for(pushed(page, "status"), 60)
    assert (second["account"], second["status"]) == (town.bob, "offline")


@pytest.mark.parametrize("name", ["..%2fapp.py", "nothing.js", "%2e%2e/app.py"])
async def test_only_the_pages_own_files_are_served(name: str):
    async with Town() as town:
        assert (await town.visitor(1).get(f"/page/static/{name}")).code == 404


async def test_the_page_has_its_security_headers():
    async with Town() as town:
        headers = (await town.visitor(1).get("/")).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert f"connect-src 'self' ws://127.0.0.1:{town.port} " in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers
