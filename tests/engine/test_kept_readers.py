"""Readers are kept by name, and a name leads to no function but the program's own."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from webqq_tornado import HTTPStream, LinkError
from webqq_tornado.engine.kept_readers import Readers, kind_of
from webqq_tornado.journal import JournalError
from webqq_tornado.journal.codec import pack

assert os  # as programs import it: it is no reader of theirs


def read(response: Any, page: int = 0) -> Any:
    return response, page


class Flow:
    """All that is wanted of a flow."""

    def page(self, response: Any, size: int = 1) -> Any:
        return self, response, size

    @staticmethod
    def helper(response: Any) -> Any:
        return response

    @classmethod
    def made(cls, response: Any) -> Any:
        return cls, response

    def __secret(self, response: Any) -> Any:
        return response

    @property
    def secret(self) -> Any:
        return self.__secret


class Other:
    def page(self, response: Any) -> Any:
        return response


FLOW = Flow()
GOOD = [
    FLOW.page,
    FLOW.helper,
    FLOW.made,
    FLOW.secret,
    read,
    functools.partial(FLOW.page, size=3),
    functools.partial(read, page=2),
]


@pytest.mark.parametrize("reader", GOOD, ids=map(repr, range(len(GOOD))))
def test_a_reader_comes_back(reader: Any):
    readers = Readers(FLOW, {})
    kept = readers.kept(reader)
    found = Readers(FLOW, {}).found(*kept)
    if isinstance(reader, functools.partial):
        assert found.func == reader.func
        assert (found.args, found.keywords) == (reader.args, reader.keywords)
    else:
        assert found == reader
    assert readers.check(*kept) is None


@pytest.mark.parametrize(
    "reader",
    [lambda response: None, Other().page, print, os.system, functools.partial(read, object())],
)
def test_what_would_not_come_back_is_refused(reader: Any):
    with pytest.raises(LinkError, match=r"cannot be found again|cannot be kept"):
        Readers(FLOW, {}).kept(reader)


@pytest.mark.parametrize(
    "spec",
    ["os:system", ":os.system", "subprocess:run", "builtins:exec", ":subprocess.run", ":sys.exit"],
)
def test_a_file_that_was_changed_leads_to_nothing_else(spec: str):
    assert subprocess
    assert sys
    readers = Readers(FLOW, {})
    with pytest.raises(LookupError):
        readers.found(spec, None)
    assert "which is gone" in str(readers.check(spec, None))


def test_a_file_that_was_changed_calls_no_method_on_the_way():
    with pytest.raises(LookupError):
        Readers(FLOW, {}).found(".page", pack([["made", [1], {}]]))


def test_an_old_name_leads_to_the_new_one():
    readers = Readers(FLOW, {"sheet": "page", f"{__name__}:scan": f"{__name__}:read"})
    assert readers.found(".sheet", None) == FLOW.page
    assert readers.found(f"{__name__}:scan", None) is read


def test_a_class_with_another_name_is_known_by_its_first():
    here = Path(__file__).name
    kind = type("Now", (HTTPStream,), {"__module__": __name__, "__qualname__": "Now"})
    assert kind_of(kind) == f"{here}:Now"
    kind.renamed = {"old.py:First": "old.py:Second", "old.py:Second": f"{here}:Now", "page": "read"}
    assert kind_of(kind) == "old.py:First"
    kind.renamed = {f"{here}:Now": "x:Other", "x:Other": f"{here}:Now"}  # in a circle
    assert kind_of(kind) == f"{here}:Now"


async def test_a_journal_of_another_class_says_how_that_one_goes_on(tmp_path: Path):
    kinds = [type(name, (HTTPStream,), {"__qualname__": name}) for name in ("Old", "New")]
    kinds[0](journal=tmp_path / "a.db").close()
    with pytest.raises(JournalError) as caught:
        kinds[1](journal=tmp_path / "a.db")
    advice = re.search(r"have renamed = ({.*}) in it", str(caught.value))
    assert advice
    kinds[1].renamed = ast.literal_eval(advice[1])
    kinds[1](journal=tmp_path / "a.db").close()


def test_arguments_that_are_not_taken_any_more_are_told():
    said = Readers(FLOW, {}).check(".page(number)", None, '{"number": 1}')
    assert "takes other arguments now" in str(said)
