"""Names that are going to be removed: old import paths that still work, and warnings.

A deprecated name works for two releases at least, and has a line under Deprecated in CHANGES.rst.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType

__all__ = ["MOVED", "redirect_imports", "warn_deprecated"]

#: Modules that have moved since the first previews of 1.0.0, relative to the package.
MOVED = {
    "events": "eventsource",
    "flows.client": "client.client",
    "flows.bot": "bot.bot",
    "flows.store": "client.store",
    "flows.account": "client",
    "flows.handling": "bot",
    "engine.forms": "engine.body",
}


class _Redirect:
    """Finds a module by its old name, and returns the one that has its content now.

    Without the abstract classes of finders and loaders: to import these takes as long as all that
    `import webqq_tornado` does.
    """

    def __init__(self, package: str, moved: Mapping[str, str]) -> None:
        self._package = package
        self._specs: dict[int, importlib.machinery.ModuleSpec | None] = {}
        self._moved = {f"{package}.{old}": f"{package}.{new}" for old, new in moved.items()}

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        new = self._new_name(name)
        if new is None:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=new)  # type: ignore[arg-type]

    def _new_name(self, name: str) -> str | None:
        if name in self._moved:
            return self._moved[name]
        parent, _, last = name.rpartition(".")
        return f"{self._moved[parent]}.{last}" if parent in self._moved else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """See `importlib.abc.Loader`."""
        new = str(spec.origin)
        warnings.warn(
            f"{spec.name} is {new} now; the old name goes in 1.1",
            DeprecationWarning,
            stacklevel=2,  # the frames of the import system do not count
        )
        module = importlib.import_module(new)
        self._specs[id(module)] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`: it was run under its own name, whose spec it gets back."""
        module.__spec__ = self._specs.pop(id(module), module.__spec__)


def redirect_imports(package: str, moved: Mapping[str, str]) -> None:
    """Have modules of a package found by their old names, too.

    Args:
        package: name of it.
        moved: new names by the old ones, both relative to the package. What was below an old one
            is below the new one.

    Example:
        >>> redirect_imports("webqq_tornado", {"events": "eventsource"})
    """
    # Before the others, which would find what is below a package that has moved, and run it again.
    sys.meta_path.insert(0, _Redirect(package, moved))


def warn_deprecated(thing: str, since: str, *, instead: str | None, stacklevel: int = 2) -> None:
    """Issue the `DeprecationWarning` of a public name.

    Args:
        thing: name as users write it, such as `"HTTPStream.add_delay_request()"`.
        since: version that deprecated it.
        instead: what to write in its place; None where there is nothing.
        stacklevel: frames between this call and the line to blame: 2 is the caller of the
            function that calls this.

    Example:
        >>> def add_delay_request(self, request, readback, delay):
        ...     warn_deprecated("add_delay_request()", "1.2", instead="add_request(delay=...)")
    """
    advice = f"use {instead} instead" if instead else "there is no replacement"
    message = f"{thing} is deprecated since webqq_tornado {since}; {advice}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)
