"""Old import paths, and warnings about names that are going to be removed."""

from __future__ import annotations

import importlib
import inspect
import sys

import pytest

from webqq_tornado.deprecation import MOVED, warn_deprecated

OLD = [f"webqq_tornado.{old}" for old in MOVED]


@pytest.fixture(autouse=True)
def imported_anew():
    yield
    for name in [name for name in sys.modules if name.startswith(tuple(OLD))]:
        del sys.modules[name]


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_path_gives_the_module_and_says_where_it_is_now(old: str, new: str):
    with pytest.warns(DeprecationWarning, match=f"webqq_tornado.{old} is webqq_tornado.{new} now"):
        module = importlib.import_module(f"webqq_tornado.{old}")
    assert module is importlib.import_module(f"webqq_tornado.{new}")
    assert module.__spec__ is not None
    assert module.__spec__.name == f"webqq_tornado.{new}"


def test_what_is_below_an_old_path_is_found_and_run_once():
    with pytest.warns(DeprecationWarning, match=r"flows\.account"):
        old = importlib.import_module("webqq_tornado.flows.account.poll")
    assert old is importlib.import_module("webqq_tornado.client.poll")


def test_the_warning_names_the_line_that_imports():
    with pytest.warns(DeprecationWarning, match=r"events") as warned:
        import webqq_tornado.events  # noqa: F401
    assert warned[0].filename == __file__


def test_what_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"webqq_tornado\.happenings"):
        importlib.import_module("webqq_tornado.happenings")


def deprecated(instead: str | None = "new()") -> int:
    warn_deprecated("old()", "1.2", instead=instead)
    return 1


def test_the_warning_names_the_thing_since_when_and_what_to_use():
    with pytest.warns(DeprecationWarning, match="deprecated") as caught:
        assert deprecated() == 1
    message = "old() is deprecated since webqq_tornado 1.2; use new() instead"
    assert [str(warning.message) for warning in caught] == [message]


def test_the_warning_blames_the_line_that_uses_the_name():
    with pytest.warns(DeprecationWarning, match="deprecated") as caught:
        deprecated()
    lines, _ = inspect.getsourcelines(inspect.getmodule(deprecated))
    assert caught[0].filename == __file__
    assert lines[caught[0].lineno - 1].strip() == "deprecated()"


def test_a_name_without_replacement_says_so():
    with pytest.warns(DeprecationWarning, match="there is no replacement"):
        deprecated(None)
