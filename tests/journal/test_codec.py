"""Values come back from a journal as they went in."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import namedtuple
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webqq_tornado.journal.codec import pack, pack_item, unpack, unpack_item

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEPT = st.recursive(
    PLAIN
    | st.binary()
    | st.datetimes()
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.dictionaries(st.integers() | st.text(), inner),
)


@given(KEPT)
def test_values_come_back_as_they_were(value: object):
    assert unpack(pack(value)) == value
    assert type(unpack(pack(value))) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        *(b"\0\xff", bytearray(b"x"), (1, (2,)), {1, 2}, frozenset({"a"}), Path("/a/b")),
        *(
            UUID(int=7),
            Decimal("1.50"),
            date(2026, 1, 2),
            time(3, 4),
            timedelta(days=-1, seconds=3),
        ),
        datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc),
        {"$kept": "path", "v": "/etc/passwd"},  # which somebody else may have written
        {1: {"$kept": 2}},
        "\ud800",  # half of a pair
    ],
)
def test_what_json_has_not_comes_back_as_well(value: object):
    assert unpack(pack(value)) == value
    assert unpack_item(pack_item({"in": value} if not isinstance(value, dict) else value))


@given(PLAIN)
def test_plain_results_are_plain_json(item: object):
    assert json.loads(pack_item(item)) == item
    assert unpack_item(pack_item(item)) == item


def test_a_result_may_have_fields():
    kind = dataclasses.make_dataclass("Page", ["url", "size"])
    page = namedtuple("Page", "url size")
    for item in (kind("/", 1), page("/", 1)):
        assert unpack_item(pack_item(item)) == {"url": "/", "size": 1}


def test_a_result_may_have_dates_and_bytes_in_it():
    item = {"at": datetime(2026, 1, 2), "body": b"\0", "set": {1}}
    assert unpack_item(pack_item(item)) == item


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize("value", [object(), [print], {"a": Colour.RED}, (lambda: None,)])
def test_what_would_not_come_back_is_refused(value: object):
    with pytest.raises(TypeError, match="cannot be kept"):
        pack(value)


def test_what_contains_itself_is_refused():
    value: list[object] = []
    value.append(value)
    for function in (pack, pack_item):
        with pytest.raises(ValueError, match=r"contains itself|Circular"):
            function(value)


@pytest.mark.parametrize("zone", [None, timezone.utc, ZoneInfo("Europe/Berlin")])
@pytest.mark.parametrize("fold", [0, 1])
def test_times_keep_their_zone_and_which_of_two_hours_they_are(zone: tzinfo | None, fold: int):
    value = datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=zone)
    found = unpack(pack(value))
    assert (found.replace(fold=0), found.fold, found.tzinfo) == (
        value.replace(fold=0),
        fold,
        zone,
    )
    assert found.utcoffset() == value.utcoffset()
