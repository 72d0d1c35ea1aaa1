"""Public names of a package that are imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    namespace: dict[str, Any], modules: Mapping[str, str]
) -> tuple[dict[str, str], Callable[[str], object], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` (PEP 562) of a package whose names are imported late.

    A command that sends nothing does not wait for libcurl then (0.1 s of CPU). Type checkers do
    not see what comes this way: the package imports the names under `TYPE_CHECKING` as well.

    Args:
        namespace: `globals()` of the package.
        modules: modules, relative to the package, and the names in each, separated by spaces.

    Returns:
        The module of each name, `__getattr__` and `__dir__`.

    Example:
        >>> _MODULE_OF, __getattr__, __dir__ = lazy_names(globals(), {"store": "Store StoreError"})
    """
    package = namespace["__name__"]
    module_of = {name: module for module, names in modules.items() for name in names.split()}

    def getattribute(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = namespace[name] = getattr(import_module(f".{module_of[name]}", package), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *module_of})

    return module_of, getattribute, names
