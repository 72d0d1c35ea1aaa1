"""The plan of a run: all that a worker needs to know of it, by names that it can look up."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import __version__
from ..engine.kept_readers import kind_of
from ..engine.stream import HTTPStream
from ..journal.location import is_postgres
from ..journal.postgres import PostgresJournal

__all__ = ["FlowName", "Plan"]


@dataclass(frozen=True)
class FlowName:
    """Where the class of a flow is found.

    Args:
        module: that it is in.
        file: of the module; "" if it has none.
        name: of the class.
    """

    module: str
    file: str
    name: str

    @classmethod
    def of(cls, kind: type[HTTPStream]) -> FlowName:
        """Return where a class is found.

        Args:
            kind: the class.

        Raises:
            TypeError: it is inside of a function, or in no file, where nobody else finds it.
        """
        if "<locals>" in kind.__qualname__:
            raise TypeError(
                f"{kind.__qualname__} is inside of a function: workers find a flow by its name, so "
                "move it to its module"
            )
        try:
            file = str(Path(inspect.getfile(kind)).resolve())
        except (TypeError, OSError):
            file = ""
        # Of a notebook, a console, `python -c` or standard input.
        if kind.__module__ == "__main__" and not Path(file).is_file():
            raise TypeError(
                f"{kind.__qualname__} is in no file that workers could import: write it to a module"
            )
        return cls(kind.__module__, file, kind.__qualname__)

    def load(self) -> type[HTTPStream]:
        """Return the class.

        Raises:
            ImportError: it is not to be found here; the message says why.
        """
        found: Any = self._module()
        for part in self.name.split("."):
            found = getattr(found, part, None)
        if not isinstance(found, type) or not issubclass(found, HTTPStream):
            raise ImportError(f"{self.module} has no flow of the name {self.name}")
        return found

    def _module(self) -> ModuleType:
        has_file = bool(self.file) and Path(self.file).is_file()
        if self.module != "__main__":
            try:
                found = importlib.import_module(self.module)
            except ModuleNotFoundError:
                # A script of the user's may be no module that can be imported, and have a file.
                if not has_file:
                    raise
            else:
                # Another one may have the name of a script.
                if not has_file or "." in self.module or _is_of(found, self.file):
                    return found
        return _module_of(Path(self.file))


def _is_of(module: ModuleType, file: str) -> bool:
    own = getattr(module, "__file__", None)
    return own is not None and str(Path(own).resolve()) == file


def _module_of(path: Path) -> ModuleType:
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"there is no file {path}")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Plan:
    """All that a worker needs to know of a run.

    Args:
        flow: the class.
        make: makes the flow of the class and a journal.
        kind: of the flow, as the journal knows it.
        journal: URL, or path, of it.
        sync: as of `Journal`.
        shards: how many.
        run: a mark that no other run has.
        seconds: of a slice.
        silent: seconds after which who waits for a silent owner ends its connection.
        version: of the package.
    """

    flow: FlowName
    make: Callable[[type[HTTPStream], Any], HTTPStream]
    kind: str
    journal: str
    sync: Any
    shards: int
    run: str
    seconds: float = 60.0
    silent: float = 60.0
    version: str = __version__

    @property
    def topic(self) -> str:
        """Of the events by which workers tell how far they are."""
        return f"webqq_tornado-{self.run}"

    def store(self) -> Any:
        """Return the journal, which is not open."""
        if is_postgres(self.journal):
            return PostgresJournal(self.journal, self.sync)
        from ..journal.sqlite_shards import ShardFile  # noqa: PLC0415 - needed by these alone

        return ShardFile(self.journal, self.sync)

    def problem(self) -> str | None:
        """Why this process cannot run it; None if it can."""
        if self.version != __version__:
            return f"it has webqq_tornado {__version__}, and the client {self.version}"
        try:
            if kind_of(self.flow.load()) != self.kind:
                return f"its {self.flow.name} is of another file than the client's"
        # A script without `if __name__ == "__main__"` may exit: that would end the worker.
        except (Exception, SystemExit) as error:
            return f"it cannot import the flow: {type(error).__name__}: {error}"
        return None
