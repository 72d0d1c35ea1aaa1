"""The page's API as a table: each route has its line, and what a line does not allow is a 400."""

from __future__ import annotations

import json

import pytest
from servers.town import Town

from server.web.test_api import JSON, post, signed_in
from webqq_tornado.server.web import api, files, friends, onebot, qr, rooms, search
from webqq_tornado.server.web.schema import OPERATIONS, openapi, operation_of

ROUTES = (
    *api.ROUTES,
    *friends.ROUTES,
    *rooms.ROUTES,
    *search.ROUTES,
    *qr.ROUTES,
    *files.ROUTES[:1],
    *onebot.ROUTES,
)
#: Take no field.
PLAIN = {("GET", "/"), ("GET", "/signin"), ("GET", r"/page/static/([\w.-]+)")}


def test_each_route_of_the_page_has_its_line():
    served = {
        (method, path)
        for path, handler in ROUTES
        for method in ("GET", "POST")
        if method.lower() in vars(handler) or (path, method) == ("/page/discussions", "POST")
    }
    assert served - PLAIN == {(one.method, one.path) for one in OPERATIONS}


def test_the_table_is_a_document_for_programs_as_well():
    document = json.loads(json.dumps(openapi()))
    body = document["paths"]["/page/register"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert schema["required"] == ["nick", "password"]
    body = document["paths"]["/page/friends"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert schema["properties"]["account"]["maximum"] == 2**53 - 1


def _wrong(kind: str) -> list[object]:
    """What is nothing of a kind."""
    values = [None, "x\0", "\ud800", "x" * 100_000, 1.5, True, -1, 2**63, 2**64, -(2**63), [], {}]
    fits = {"integer": int, "string": str, "boolean": bool, "array": list}.get(kind)
    too = {"integer": [-1, 2**63, 2**64, -(2**63)], "string": ["x\0", "\ud800", "x" * 100_000]}
    bad = too.get(kind, [])
    return [value for value in values if type(value) is not fits or value in bad]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_what_a_field_cannot_be_is_refused_by_name(operation):
    for parameter in operation.parameters:
        for value in _wrong(parameter.kind.schema.get("type", "")):
            rest = {name: 1 for name, *_ in operation.parameters}
            with pytest.raises(ValueError, match=r"was expected|is missing|neither|content is"):
                operation.read({**rest, parameter.name: value})


def test_a_query_is_read_by_the_same_kinds():
    messages = operation_of("GET", "/page/messages")
    query = {"conversation": "friend:1", "limit": "7", "x": "y"}
    assert messages.read_query(query) == {"conversation": "friend:1", "limit": 7}
    for limit in ("1e3", "٣", "0", "-1", "9" * 30, "", " 1"):
        with pytest.raises(ValueError, match="limit: a whole number"):
            messages.read_query({**query, "limit": limit})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/page/friend", {"account": 2**64, "mark": "x"}),
        ("/page/friend", {"account": 10002, "category": 2**63}),
        ("/page/headings", {"number": 2**64, "name": "x"}),
        ("/page/headings", {"number": 2**64, "name": ""}),
        ("/page/room", {"conversation": "group:20001", "admin": 2**64}),
        ("/page/room", {"conversation": "group:20001", "admin": 10009}),
        ("/page/room", {"conversation": "group:20001", "mask": 3}),
        ("/page/room", {"conversation": "group:20001", "colour": "red"}),
        ("/page/profile", {"colour": "red"}),
        ("/page/profile", {"birthday": [2**70, 1, 1]}),
    ],
)
async def test_no_number_ends_in_500(path: str, body: dict):
    async with Town() as town:
        reply = await post(await signed_in(town, town.ann), path, **body)
    assert reply.code == 400
    assert json.loads(reply.body)["error"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "{",
        "NaN",
        '{"account": NaN}',
        '{"account": 1e999}',
        '{"account": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"account": ' + "[" * 900 + "]" * 900 + "}",
        b"\xff\xfe{\x00",
        b'{"nick": "\xff"}',
        b'{"nick": "\xed\xa0\x80"}',
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xffnot gzip",
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_a_body_that_is_no_json_object_is_a_400(body: str | bytes):
    async with Town() as town:
        visitor = town.visitor(town.ann)
        for headers in (JSON, {**JSON, "Content-Encoding": "gzip"}):
            reply = await visitor._fetch("/page/signin", body, headers)
            assert reply.code == 400
            assert json.loads(reply.body)["error"]


async def test_a_name_of_ones_own_for_a_room_is_told_to_nobody_else():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        told: list[int] = []
        town.server.hub.contacts_changed = told.extend  # type: ignore[method-assign]
        square = f"group:{town.square}"
        for change in ({"mark": "mine"}, {"mask": 2}, {"mark": "", "mask": 0}, {"is_admin": True}):
            assert (await post(ann, "/page/room", conversation=square, **change)).code == 204
        assert set(told) == {town.ann}
        await post(ann, "/page/room", conversation=square, card="The one", mark="x")
        assert set(told) == {town.ann, town.bob, town.eve}


async def test_of_a_profile_friends_are_told_what_their_pages_show():
    async with Town() as town:
        ann = await signed_in(town, town.ann)
        told: list[int] = []
        town.server.hub.contacts_changed = told.extend  # type: ignore[method-assign]
        assert (await post(ann, "/page/profile", blood=1, allow=1)).code == 204
        assert set(told) == {town.ann}
        assert (await post(ann, "/page/profile", lnick="new")).code == 204
        assert set(told) == {town.ann, town.bob}
