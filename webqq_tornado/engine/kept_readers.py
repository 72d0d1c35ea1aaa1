"""Readers by name: what a journal keeps of them, and how they are found again.

======================================  ==========================
a method of the flow                    ``.page``
a function in the flow's own file       ``:page``, ``:Other.page``
one of another module, a class method   ``shop.pages:page``
======================================  ==========================

Arguments that `functools.partial` gives stand beside the name. A name is looked up when it is
noted, and has to lead to the same function: what could not be found after a restart is refused
before anything is sent.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..journal.codec import pack, unpack
from .errors import LinkError
from .links import described

__all__ = ["KeptReader", "Readers", "kind_of"]


class KeptReader(NamedTuple):
    """A reader as it is kept.

    Args:
        spec: its name, and the shape of its arguments: "(2,page)" are two and one of this name.
        args: text of the arguments, innermost first; None: there are none.
    """

    spec: str
    args: str | None = None


class Readers:
    """Names of the functions of one flow.

    Args:
        flow: whose methods they are.
        renamed: old names by which rows may know them, and the new ones.
    """

    def __init__(self, flow: object, renamed: Mapping[str, str]) -> None:
        self._flow = flow
        self._renamed = {_dotted(old): _dotted(new) for old, new in renamed.items()}
        self._known: dict[Any, KeptReader] = {}
        self._found: dict[tuple[str, str | None], Callable[..., Any]] = {}

    def kept(self, function: Any, role: str = "reader") -> KeptReader:
        """Return what is to be kept of a reader.

        Args:
            function: the reader.
            role: of it, for messages.

        Raises:
            LinkError: it cannot be found again.
        """
        try:
            # By its function: a bound method is a new object each time that it is looked up. Of the
            # flow alone, as others have methods of the same function.
            if function.__self__ is self._flow:
                return self._known[function.__func__]
        except (AttributeError, KeyError):
            pass
        return self._named(function, role)

    def _named(self, function: Any, role: str) -> KeptReader:
        layers: list[Any] = []
        shape: list[str] = []
        bare, positional = function, 0
        while True:
            # A wrapper of the flow's own, which a method of the flow makes again.
            if hasattr(bare, "kept_as"):
                name, *rest = bare.kept_as
                layers.append([name, self._packed(rest, role, bare), {}])
                bare = bare.__wrapped__
            elif isinstance(bare, functools.partial):
                given = self._packed((list(bare.args), dict(bare.keywords)), role, bare)
                layers.append(["", *given])
                positional += len(bare.args)
                shape += bare.keywords
                bare = bare.func
            else:
                break
        name = self._name_of(bare, role)
        if not layers:
            kept = KeptReader(name)
            if inspect.ismethod(function):
                self._known[function.__func__] = kept
            return kept
        # The journal lists readers by this name, with one example of their arguments: each shape of
        # these is to be checked against the signature.
        mark = ",".join([*([str(positional)] if positional else ()), *dict.fromkeys(shape)])
        # Innermost first: so they are put around the function again.
        return KeptReader(f"{name}({mark})" if mark else name, pack(layers[::-1]))

    def _packed(self, values: Any, role: str, function: Any) -> list[Any]:
        """Values of which all can be kept, as they are."""
        named = []
        for part in values:
            # One by one: the message says which of them it is.
            named.append(part)
            for name, value in _each(part):
                try:
                    pack(value)
                except (TypeError, ValueError) as error:
                    raise LinkError(
                        f"argument {name} of the {role} {described(function)}: {error}: give JSON "
                        "values (or bytes, dates, paths, tuples), and look up the rest in the "
                        f"{role}"
                    ) from None
        return named

    def _name_of(self, function: Any, role: str) -> str:
        owner = getattr(function, "__self__", None)
        if owner is self._flow and owner is not None:
            return self._method_name(function, role)
        module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
        # The name of a method says nothing of its object, which may be any. A module is the owner
        # of builtin functions.
        is_bound = owner is not None and not isinstance(owner, type) and not inspect.ismodule(owner)
        if is_bound or not module or _found_in(module, name) != function:
            raise self._lost(function, role)
        own = type(self._flow).__module__
        return f":{name}" if module == own else f"{module}:{name}"

    def _method_name(self, function: Any, role: str) -> str:
        kind, code = type(self._flow), function.__func__
        # A private method has another name in its class: `_Crawl__page`.
        names = [
            function.__name__,
            *(n for k in kind.__mro__ for n, v in vars(k).items() if v is code),
        ]
        for name in names:
            # A subclass may have another method of this name, and the name leads to that.
            if getattr(self._flow, name, None) == function:
                return f".{name}"
        raise self._lost(function, role)

    def _lost(self, function: Any, role: str) -> LinkError:
        kind = type(self._flow).__name__
        return LinkError(
            f"the {role} {described(function)} cannot be found again after a restart: make it a "
            f"method of {kind}, and give it what it needs by functools.partial"
        )

    # -- back ---------------------------------------------------------------------------------

    def found(self, spec: str, args: str | None) -> Callable[..., Any]:
        """Return the reader that was kept.

        Args:
            spec: as of `KeptReader`.
            args: likewise.

        Raises:
            LookupError: there is none of this name; it is the message.
            TypeError: it takes no such arguments.
        """
        function = self._found.get((spec, None))
        if function is None:
            function = self._found[spec, None] = self._look_up(spec.partition("(")[0])
        if args is None:
            return function
        for name, positional, named in unpack(args):
            if name:
                # A file that somebody has changed is to call no other method here.
                if name not in getattr(self._flow, "_reader_makers", ()):
                    raise LookupError(name)
                function = getattr(self._flow, name)(function, *positional)
            else:
                function = functools.partial(function, *positional, **named)
        return function

    def _look_up(self, name: str) -> Callable[..., Any]:
        name = self._renamed.get(name, name)
        if name.startswith("."):
            found = getattr(self._flow, name[1:], None)
        else:
            module, _, path = name.partition(":")
            found = _found_in(module or type(self._flow).__module__, path)
        if not callable(found):
            raise LookupError(name)
        return found  # type: ignore[no-any-return]

    def check(self, spec: str, args: str | None, data: str | None = None) -> str | None:
        """Say what is wrong with a reader that was kept, None if nothing is.

        Args:
            spec: as of `KeptReader`.
            args: likewise.
            data: of its link.
        """
        shown = self.shown(spec)
        try:
            function = self.found(spec, args)
        except LookupError:
            name = spec.partition("(")[0].lstrip(".:")
            return (
                f"{shown}, which is gone: name its successor in renamed = "
                f'{{"{name}": "NEW NAME"}} of {type(self._flow).__name__}, or drop them'
            )
        except Exception as error:
            return f"{shown}, whose arguments do not come back: {error}"
        bare, given, named = _bare(function)
        try:
            # None stands for the response or the error.
            inspect.signature(bare).bind(None, *given, **{**named, **unpack(data or "{}")})
        except TypeError as error:
            return f"{shown}, which takes other arguments now: {error}; give them a default"
        except ValueError:  # a builtin without a signature
            return None
        return None

    def shown(self, spec: str) -> str:
        """Return the name for a message.

        Args:
            spec: as of `KeptReader`.
        """
        name = spec.partition("(")[0]
        if name.startswith("."):
            return f"{type(self._flow).__name__}{name}"
        return name.removeprefix(":").replace(":", ".")


def kind_of(flow: type) -> str:
    """The file and the name of a flow's class, as a journal knows it.

    The same class may be of `__main__` in one run and of a module in the next. One whose `renamed`
    says that it had another name is known by that for good.

    Args:
        flow: the class.
    """
    try:
        place = Path(inspect.getfile(flow)).name
    except (TypeError, OSError):
        place = flow.__module__
    return _first_name(f"{place}:{flow.__qualname__}", getattr(flow, "renamed", {}))


def _first_name(name: str, renamed: Mapping[str, str]) -> str:
    former = {new: old for old, new in renamed.items() if ":" in old}
    while name in former:
        name = former.pop(name)
    return name


def _dotted(name: str) -> str:
    return name if ":" in name or name.startswith(".") else f".{name}"


def _each(part: Any) -> list[tuple[str, Any]]:
    if isinstance(part, dict):
        return [(repr(name), value) for name, value in part.items()]
    if isinstance(part, list):
        return [(str(number), value) for number, value in enumerate(part, 1)]
    return [("1", part)]


def _found_in(module: str, path: str) -> Any:
    """Find the function or class that a module defines under a name; None if it defines none.

    What it only imports is not its own, and what Python brings is no reader: a file that somebody
    has changed is to lead to no function but the program's.
    """
    if module.partition(".")[0] in sys.stdlib_module_names:
        return None
    found: Any = sys.modules.get(module)
    if found is None:
        try:
            found = importlib.import_module(module)
        # A module may raise anything when it is imported: its reader is gone then.
        except Exception:
            return None
    for name in path.split("."):
        found = getattr(found, name, None)
    # By both names: an alias or an import in this module would lead to another's function.
    is_its_own = getattr(found, "__module__", None) == module
    return found if is_its_own and getattr(found, "__qualname__", None) == path else None


def _bare(function: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    given: tuple[Any, ...] = ()
    named: dict[str, Any] = {}
    while True:
        if isinstance(function, functools.partial):
            given, named = (*function.args, *given), {**function.keywords, **named}
            function = function.func
        elif hasattr(function, "kept_as"):
            function = function.__wrapped__
        else:
            return function, given, named
