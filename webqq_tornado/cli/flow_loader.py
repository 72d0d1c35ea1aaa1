"""Flows of users: found by file or module, created with the arguments of a command."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import click

from ..engine.stream import HTTPStream
from ..journal.errors import JournalError

__all__ = ["find_flow", "given_arguments", "make_flow"]

#: Files of this package, and of the import system.
_OURS = (
    str(Path(__file__).resolve().parent.parent) + os.sep,
    str(Path(importlib.__file__).resolve().parent) + os.sep,
    "<frozen importlib",
)
#: Conversions of arguments by annotation; any other annotation leaves them text.
_TYPES = (bool, int, float, str, Path)


def find_flow(spec: str) -> type[HTTPStream]:
    """The class that FILE.py:CLASS or PACKAGE.MODULE:CLASS names.

    Modules are searched in the working directory first; FILE can import its neighbours, as if
    Python had been called with it.

    Raises:
        click.UsageError: the name has another form.
        click.ClickException: the class does not exist, or is not a flow.
    """
    source, _, name = spec.rpartition(":")
    if not source or not name:
        raise click.UsageError(
            f"{spec!r} is not of the form FILE.py:CLASS or PACKAGE.MODULE:CLASS, such as "
            "poll.py:Poll"
        )
    is_file = source.endswith(".py") or os.sep in source
    module = _called(source, _module_of_file if is_file else _module_of_name, source)
    flow = getattr(module, name, None)
    if not isinstance(flow, type) or not issubclass(flow, HTTPStream):
        what = "has no such name" if flow is None else "is not a subclass of HTTPStream"
        raise click.ClickException(f"{spec}: {what}{_others(module)}")
    return flow


def _others(module: ModuleType) -> str:
    flows = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, HTTPStream) and value is not HTTPStream
    ]
    return f"; it has the flows {', '.join(flows)}" if flows else ""


def _module_of_name(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _module_of_file(name: str) -> ModuleType:
    path = Path(name)
    if not path.is_file():
        why = "it is a folder" if path.is_dir() else "there is no such file"
        raise click.ClickException(f"{path}: {why}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise click.ClickException(f"{path} is not a Python file: its name must end in .py")
    sys.path.insert(0, str(path.resolve().parent))
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _called(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call user code; show its exception with the lines of the user's code only."""
    try:
        return function(*arguments, **named)
    except (click.ClickException, JournalError):
        raise
    except Exception as error:
        trace = _users_frames(error.__traceback__)
        if trace is not None:
            lines = traceback.format_exception(type(error), error.with_traceback(trace), trace)
            click.echo("".join(lines), err=True, nl=False)
        verb = "cannot be imported" if function in (_module_of_file, _module_of_name) else "failed"
        raise click.ClickException(f"{what} {verb}: {type(error).__name__}: {error}") from None


def _users_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first line of the user's code on."""
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_OURS):
            break
        trace = trace.tb_next
    return trace


# -- arguments ----------------------------------------------------------------------------------


def given_arguments(
    kind: type[HTTPStream], words: Sequence[str], named: Sequence[str]
) -> tuple[list[Any], dict[str, Any]]:
    """The constructor's arguments, converted by its annotations.

    Args:
        kind: class of the flow.
        words: in order; NAME=VALUE with a NAME of the constructor is a named one.
        named: further ones, as NAME=VALUE.

    Raises:
        click.UsageError: the constructor takes others, which are named.
    """
    signature = inspect.signature(kind)
    known = signature.parameters
    positional = [word for word in words if word.partition("=")[0] not in known or "=" not in word]
    for word in positional:
        _refuse_misspelt(word, known)
    pairs = [word.partition("=") for word in (*named, *(w for w in words if w not in positional))]
    for name, equals, _ in pairs:
        if not equals or not name.isidentifier():
            raise click.UsageError(f"--argument {name!r}: give NAME=VALUE")
    try:
        bound = signature.bind(*positional, **{name: value for name, _, value in pairs})
    except TypeError as error:
        takes = ", ".join(str(one) for one in known.values()) or "no arguments"
        raise click.UsageError(f"{kind.__name__} takes ({takes}): {error}") from None
    hints = _hints(kind)
    for name, value in bound.arguments.items():
        bound.arguments[name] = _converted(known[name], hints.get(name), value)
    return list(bound.args), dict(bound.kwargs)


def _refuse_misspelt(word: str, known: Iterable[str]) -> None:
    """Refuse NAME=VALUE whose NAME is nearly one: a flow that takes any words would take it."""
    name, equals, _ = word.partition("=")
    alike = difflib.get_close_matches(name, known, 1, _ALIKE)
    if equals and name.isidentifier() and alike:
        raise click.UsageError(f"there is no argument {name}: is it {alike[0]}=?")


#: How much alike two names are, from 0 to 1, of which one is taken for the other misspelt.
_ALIKE = 0.75


def _hints(kind: type[HTTPStream]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind.__init__)
    except Exception:  # an annotation may be any expression
        return {}


def _converted(parameter: inspect.Parameter, hint: Any, value: Any) -> Any:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return tuple(_of_type(hint, None, one, parameter.name) for one in value)
    if parameter.kind is parameter.VAR_KEYWORD:
        return {name: _of_type(hint, None, one, name) for name, one in value.items()}
    default = None if parameter.default is parameter.empty else parameter.default
    return _of_type(hint, default, value, parameter.name)


def _of_type(hint: Any, default: Any, value: str, name: str) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):  # X | None
        hint = next((one for one in typing.get_args(hint) if one in _TYPES), None)
    wanted = hint if hint in _TYPES else type(default) if type(default) in _TYPES else str
    if wanted is Path:
        return Path(value)
    try:
        return click.types.convert_type(wanted).convert(value, None, None)
    except click.BadParameter as error:
        raise click.UsageError(f"argument {name}: {error.message}") from None


def make_flow(
    kind: type[HTTPStream],
    positional: Sequence[Any],
    named: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Callable[[], HTTPStream]:
    """A function that creates the flow.

    Args:
        kind: its class.
        positional: arguments of its constructor.
        named: further arguments of it.
        settings: arguments of `HTTPStream` that override those of the constructor.
    """
    if any(settings.values()) or "retry" in settings:
        kind = _with_settings(kind, settings)

    def make() -> HTTPStream:
        flow: HTTPStream = _called(f"{kind.__name__}()", kind, *positional, **named)
        return flow

    return make


def _with_settings(kind: type[HTTPStream], settings: Mapping[str, Any]) -> type[HTTPStream]:
    """The class with settings injected below its `__init__`, which need not pass them on."""

    class Settled(HTTPStream):
        def __init__(self, *arguments: Any, **given: Any) -> None:
            defaults = {**(given.pop("defaults", None) or {}), **settings["defaults"]}
            super().__init__(*arguments, **{**given, **settings, "defaults": defaults})

    if kind is HTTPStream:
        return Settled
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind, Settled), names)
