"""`HTTPStream.state`: a mapping that is kept with what readers lead to.

A reader that raises takes back what it has set, as it does its results. So while a plain reader
runs, the values that it replaces are remembered. What is changed inside a value is not seen until
the reader has returned; an `async def` reader, beside which others run, takes nothing back.
"""

from __future__ import annotations

from typing import Any

from ..journal.codec import pack, unpack
from ..journal.errors import JournalError

__all__ = ["KeptState"]

_MISSING = object()


class KeptState(dict[str, Any]):
    """JSON values by name.

    Args:
        text: as it was kept; None: nothing was.
    """

    def __init__(self, text: str | None) -> None:
        super().__init__({} if text is None else unpack(text))
        self._text = text or pack({})
        #: Names that were set since the last plain reader was called, and the values before.
        self.log: list[tuple[Any, Any]] = []

    def undo(self, mark: int) -> None:
        """A reader has raised: take back what it has set.

        Args:
            mark: length of the log when it was called.
        """
        values = self._before(mark)
        super().clear()
        super().update(values)
        del self.log[mark:]

    def has_changed(self) -> bool:
        """Return True if a value is another one than was kept, or has no JSON form."""
        try:
            return pack(dict(self)) != self._text
        except (TypeError, ValueError):
            return True  # `changed_text` says so

    def changed_text(self, mark: int | None = None) -> str | None:
        """The text to keep; None: it is as it was.

        Args:
            mark: length of the log before a reader that has not returned, of which nothing is to be
                kept; None: no plain reader runs.

        Raises:
            JournalError: a value has no JSON form.
        """
        # Most flows have none, and each commit asks.
        if not self and not self.log and self._text == "{}":
            return None
        try:
            text = pack(self._before(mark))
        except (TypeError, ValueError) as error:
            raise JournalError(f"HTTPStream.state holds what cannot be kept: {error}") from None
        # By the text, as a change inside of a value is noted nowhere.
        if text == self._text:
            return None
        self._text = text
        return text

    def _before(self, mark: int | None) -> dict[str, Any]:
        values = dict(self)
        # Backwards: of two changes of a name, the first has the value that was there.
        for name, value in reversed(self.log[mark:] if mark is not None else ()):
            if value is _MISSING:
                values.pop(name, None)
            else:
                values[name] = value
        return values

    def _note(self, name: Any) -> None:
        self.log.append((name, self.get(name, _MISSING)))

    def __setitem__(self, name: str, value: Any) -> None:
        self._note(name)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        self._note(name)
        super().__delitem__(name)

    def pop(self, name: str, *default: Any) -> Any:
        """See `dict`."""
        # A dict's own methods call no other of them: each that changes it is here.
        self._note(name)
        return super().pop(name, *default)

    def popitem(self) -> tuple[str, Any]:
        """See `dict`."""
        for name in reversed(self):
            return name, self.pop(name)
        # Empty: raises as any dict does.
        return super().popitem()

    def clear(self) -> None:
        """See `dict`."""
        for name in self:
            self._note(name)
        super().clear()

    def setdefault(self, name: str, default: Any = None) -> Any:
        """See `dict`."""
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *others: Any, **values: Any) -> None:
        """See `dict`."""
        # Read as a whole first: where that raises, nothing is set.
        for name, value in dict(*others, **values).items():
            self[name] = value

    def __ior__(self, other: Any) -> KeptState:  # type: ignore[override,misc]
        self.update(other)
        return self
