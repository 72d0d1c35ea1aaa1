"""Plugins: Python files and packages that register handlers with a bot, reloaded on change.

A new version is loaded beside the old one, and replaces it once it is loaded: a version that fails
leaves the old one as it was. Bytecode is not cached: its format distinguishes versions by whole
seconds only.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import io
import logging
import sys
import tokenize
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeAlias

from ..files import FileError, decoded, unmarked
from .registry import Registration, Registry

__all__ = ["Plugin", "PluginError", "Plugins"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Prefix of the module names of plugins.
_PREFIX = "webqq_tornado_plugin_"

#: Checks without a file before a warning: an editor may be about to write it again.
_MISSES = 3

_Stamp: TypeAlias = dict[Path, tuple[int, int]]


class PluginError(Exception):
    """A plugin cannot be loaded; the message names file, line and error."""


@dataclass(slots=True)
class Plugin:
    """A plugin that is loaded.

    Args:
        name: of the file or folder, without ".py".
        path: the file, or the folder of a package.
        scope: its registrations.
        module: its module.
        stamp: times and sizes of its files when they were read.
        misses: checks in a row without any file.
    """

    name: str
    path: Path
    scope: Registration
    module: ModuleType
    stamp: _Stamp
    misses: int = 0


class Plugins:
    """The plugins of a bot.

    Args:
        bot: the global name `bot` in a plugin; argument of `setup` and `teardown`.
        scopes: of the bot.
    """

    def __init__(self, bot: object, scopes: Registry) -> None:
        self._bot, self._scopes = bot, scopes
        self._plugins: dict[str, Plugin] = {}

    def __iter__(self) -> Iterator[Plugin]:
        return iter(tuple(self._plugins.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of loading."""
        return tuple(self._plugins)

    def load(self, given: str | Path) -> Plugin:
        """Load a plugin, or reload it.

        Args:
            given: a Python file, the folder of a package, or the name of an importable module.

        Raises:
            PluginError: it is not found, it fails, or another plugin has its name. A loaded
                version stays as it was.
        """
        path = _path_of(given)
        old = self._plugins.get(path.stem)
        if old is not None and old.path != path:
            raise PluginError(
                f"plugin {given}: {old.path} is a plugin with that name already: rename one"
            )
        scope = self._scopes.new(path.stem)
        stamp = _stamp(path)
        with _imported_anew(_PREFIX + path.stem):
            try:
                with self._scopes.entered(scope):
                    module = self._run(path)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # sys.exit, too: it would end the bot silently
                self._scopes.forget(scope)
                raise PluginError(_where(error, given, path)) from error
        if old is not None:
            self._tear_down(old)
        self._scopes.put(scope, old.scope if old else None)
        plugin = self._plugins[path.stem] = Plugin(path.stem, path, scope, module, stamp)
        return plugin

    def unload(self, name: str) -> None:
        """Call a plugin's `teardown`, and remove its registrations.

        Args:
            name: of the plugin.

        Raises:
            KeyError: no plugin has that name.
        """
        plugin = self._plugins.pop(name)
        self._tear_down(plugin)
        self._scopes.forget(plugin.scope)
        for known in _modules(_PREFIX + name):
            del sys.modules[known]

    def look(self) -> None:
        """Reload changed plugins. One that fails is logged, and stays as it was."""
        for plugin in self:
            stamp = _stamp(plugin.path)
            plugin.misses = 0 if stamp else plugin.misses + 1
            if plugin.misses == _MISSES:
                logger.warning("%s is missing; plugin %s stays loaded", plugin.path, plugin.name)
            if not stamp or stamp == plugin.stamp:
                continue
            plugin.stamp = stamp  # not tried again until it changes
            try:
                self.load(plugin.path)
            except PluginError as error:
                logger.error("%s; the former version stays loaded", error)
            else:
                logger.info("plugin %s is reloaded", plugin.name)

    def _run(self, path: Path) -> ModuleType:
        file = path / "__init__.py" if path.is_dir() else path
        name = _PREFIX + path.stem
        folders = [str(path)] if path.is_dir() else None
        spec = importlib.util.spec_from_file_location(
            name, file, loader=_Loader(name, str(file)), submodule_search_locations=folders
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no Python file")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        module.__dict__["bot"] = self._bot
        spec.loader.exec_module(module)
        self._call(module, "setup")
        return module

    def _call(self, module: ModuleType, name: str) -> None:
        function: Callable[[object], object] | None = getattr(module, name, None)
        if not callable(function):
            return
        result = None if inspect.iscoroutinefunction(function) else function(self._bot)
        if inspect.iscoroutinefunction(function) or inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError(f'{name} must not be async: use @bot.on_event("online") for that')

    def _tear_down(self, plugin: Plugin) -> None:
        try:
            with self._scopes.entered(plugin.scope):
                self._call(plugin.module, "teardown")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            logger.error("teardown: %s", _where(error, plugin.path, plugin.path), exc_info=error)


class _Loader(importlib.machinery.SourceFileLoader):
    """Reads a plugin in the encoding of any editor; Python itself refuses UTF-16."""

    def get_data(self, path: str) -> bytes:
        return unmarked(super().get_data(path))

    def source_to_code(  # type: ignore[override] # typeshed has bytes of code here, too
        self, data: bytes, path: str, *, _optimize: int = -1
    ) -> CodeType:
        try:
            return super().source_to_code(data, path, _optimize=_optimize)
        except SyntaxError:
            if _is_utf8_by_name(data):
                decoded(data, "the file")  # names the encoding if that is the cause
            raise


def _is_utf8_by_name(source: bytes) -> bool:
    """Return True if Python reads the source as UTF-8: it declares no other `coding:`."""
    with contextlib.suppress(SyntaxError):  # both must declare UTF-8
        return tokenize.detect_encoding(io.BytesIO(source).readline)[0].startswith("utf-8")
    return True


@contextlib.contextmanager
def _imported_anew(name: str) -> Iterator[None]:
    """Forget a module and its submodules; restore them if the block fails."""
    before = {known: sys.modules.pop(known) for known in _modules(name)}
    writes_bytecode, sys.dont_write_bytecode = not sys.dont_write_bytecode, True
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        for known in _modules(name):
            del sys.modules[known]
        sys.modules.update(before)
        raise
    finally:
        sys.dont_write_bytecode = not writes_bytecode


def _modules(name: str) -> list[str]:
    return [known for known in sys.modules if known == name or known.startswith(f"{name}.")]


def _path_of(given: str | Path) -> Path:
    path = Path(given).absolute()
    if path.is_file() or (path / "__init__.py").is_file():
        return path
    if path.is_dir():
        raise PluginError(f"plugin {given}: the folder has no __init__.py")
    found = None
    name = str(given)
    if all(part.isidentifier() for part in name.split(".")):
        with contextlib.suppress(ImportError, ValueError):
            found = importlib.util.find_spec(name)
    if found is None or found.origin is None or not found.has_location:
        raise PluginError(f"plugin {given}: there is no such Python file, package or module")
    return Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)


def _stamp(path: Path) -> _Stamp:
    """Times and sizes of the files; empty without files."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    stamp: _Stamp = {}
    for file in files:
        with contextlib.suppress(OSError):
            status = file.stat()
            stamp[file] = status.st_mtime_ns, status.st_size
    return stamp


def _where(error: BaseException, given: str | Path, path: Path) -> str:
    """File, line and error, in one line."""
    what, found = " ".join(str(error).split()), []
    if isinstance(error, FileError):
        return f"plugin {given}: {what}"
    if isinstance(error, SyntaxError) and error.filename:
        what, found = error.msg, [(error.filename, error.lineno)]
    else:
        frames = traceback.extract_tb(error.__traceback__)
        found = [(frame.filename, frame.lineno) for frame in frames]
    inside = [(name, line) for name, line in found if Path(name).is_relative_to(path)]
    place = ""
    if inside:
        file, line = inside[-1]
        place = f", line {line}" if Path(file) == path else f", {Path(file).name} line {line}"
    return f"plugin {given}{place}: {type(error).__name__}: {what}"
