"""Arbitrary values of every model, and parameters of exchanges, for the property tests."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from webqq_tornado.protocol.codes import Status
from webqq_tornado.protocol.models import (
    At,
    Attachment,
    Birthday,
    CheckReply,
    Content,
    DiscussionDetails,
    Face,
    Font,
    FriendList,
    GroupDetails,
    GroupPicture,
    LoginReply,
    Other,
    Picture,
    PollReply,
    Reply,
    Secret,
    SendReply,
    UnknownPart,
)

quickly = settings(max_examples=50, deadline=None, database=None)

NUMBERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.lists(st.sampled_from(["&", "&lt;", "&nbsp;", "<", "'", '"', " ", "\n", "😀"])).map("".join),
)
SECRETS = st.text("0123456789abcdef@*_-", max_size=24).map(Secret)

_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    int: NUMBERS,
    str: TEXTS,
    bool: st.booleans(),
    Secret: SECRETS,
    Status: st.sampled_from(Status),
    Birthday: st.builds(Birthday, NUMBERS, NUMBERS, NUMBERS),
    bytes: st.binary(min_size=8, max_size=8),
}


def any_of(model: Any, **special: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of a dataclass, attributes by their types."""
    hints = get_type_hints(model)
    names = [field.name for field in dataclasses.fields(model)]
    chosen = {name: special[name] if name in special else _SIMPLE[hints[name]] for name in names}
    return st.builds(model, **chosen)


# A carriage return is a line end on the wire, so that contents have none.
CONTENT_TEXTS = TEXTS.map(lambda text: text.replace("\r", ""))
FONTS = any_of(Font)
PARTS = st.one_of(
    CONTENT_TEXTS,
    st.builds(Face, NUMBERS),
    any_of(Picture),
    any_of(GroupPicture),
    st.just(UnknownPart("shake", '["shake",{"a":[1,null]}]')),
)
CONTENTS = st.builds(lambda parts, font: Content.of(*parts, font=font), st.lists(PARTS), FONTS)
#: With the parts of today's QQ, which stores keep and WebQQ has no form for.
ALL_PARTS = st.one_of(
    PARTS,
    any_of(At),
    any_of(Reply),
    any_of(Attachment, extra=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple)),
)
ALL_CONTENTS = st.builds(
    lambda parts, font: Content.of(*parts, font=font), st.lists(ALL_PARTS), FONTS
)
_SIMPLE |= {Content: CONTENTS, Font: FONTS}


def distinct(model: Any, key: str) -> st.SearchStrategy[Any]:
    """A tuple of values of a dataclass, no two with the same key."""
    values = st.lists(any_of(model), unique_by=lambda value: getattr(value, key), max_size=5)
    return values.map(tuple)


def several(model: Any) -> st.SearchStrategy[Any]:
    """A tuple of values of a dataclass."""
    return st.lists(any_of(model), max_size=5).map(tuple)


def details(members: st.SearchStrategy[Any]) -> st.SearchStrategy[GroupDetails]:
    return any_of(GroupDetails, members=members, is_complete=st.just(True))


def discussions(members: st.SearchStrategy[Any]) -> st.SearchStrategy[DiscussionDetails]:
    return any_of(DiscussionDetails, members=members)


def friend_lists(
    friends: st.SearchStrategy[Any], categories: st.SearchStrategy[Any]
) -> st.SearchStrategy[FriendList]:
    return st.builds(FriendList, friends, categories)


def polls(events: list[Any]) -> st.SearchStrategy[PollReply]:
    other = st.builds(Other, st.just("tips"), st.just('{"a":[1,"\\u5fae"]}'))
    known = [any_of(event, how=st.just("")) for event in events]  # that is OneBot's alone
    some = st.lists(st.one_of(other, *known), min_size=1, max_size=4)
    return st.one_of(
        st.builds(PollReply, st.just(0), some.map(tuple)),
        st.builds(PollReply, st.sampled_from([0, 102, 103, 121, 7777])),
        st.builds(PollReply, st.just(116), st.just(()), SECRETS),
    )


CHECKS = any_of(CheckReply)
LOGINS = any_of(LoginReply, code=st.integers(-1, 999))
SENDS = any_of(SendReply, retcode=st.integers(0, 200000))


def named(pair: tuple[Any, Any]) -> Any:
    """A parameter of a test, with the name of its exchange."""
    return pytest.param(*pair, id=pair[0].name)


def arguments_of(request: Any) -> dict[str, str]:
    """Fields of a request, in its body or query."""
    encoded = request.data.decode() if request.data else urlsplit(request.full_url).query
    return dict(parse_qsl(encoded, keep_blank_values=True, strict_parsing=True))
