"""Base of the ready flows: progress, and a report of the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..engine.stream import HTTPStream

__all__ = ["Flow", "Report"]


class Report(NamedTuple):
    """The results of a flow, as a table.

    Args:
        columns: titles of a table.
        rows: of it.
        is_good: whether all went well.
        values: the rows for programs, by permanent keys.

    Example:
        >>> Report(("URL", "state"), [("http://example.org/", "up")], is_good=True)
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    is_good: bool
    values: Sequence[Mapping[str, object]] = ()


class Flow(HTTPStream):
    """A flow that the command line can run.

    Args:
        say: gets a line about each event.
        record: gets each event as a mapping, with its name under "event".
        arguments: of `HTTPStream`.

    Attributes:
        done: progress, in units of the flow.
        total: the same at the end; None if unknown.

    Example:
        >>> class Count(Flow):
        ...     def begin(self):
        ...         yield "http://example.org/", self.seen
        ...
        ...     def seen(self, response):
        ...         self.done += 1
        ...         self.tell(f"{len(response.body)} bytes", size=len(response.body))
    """

    def __init__(
        self,
        *,
        say: Callable[[str], object] = print,
        record: Callable[[Mapping[str, object]], object] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.say = say
        self.record = record
        self.done = 0
        self.total: int | None = None

    def tell(self, text: str, **event: object) -> None:
        """Report an event, in words and as values.

        Args:
            text: a line for the user.
            event: values; `event` is the name.
        """
        self.say(text)
        if self.record is not None:
            self.record(event)

    def describe(self) -> str:
        """A short description of the flow's current work."""
        stats = self.stats()
        return f"{type(self).__name__}: {stats.in_flight} in flight, {stats.delayed} waiting"

    def summary(self) -> str:
        """A line at the end of `python -m webqq_tornado run`; "" for none."""
        return ""

    def figures(self) -> Mapping[str, object]:
        """Values beside the numbers of chains in the last line of `run --json`."""
        return {}

    def report(self) -> Report:
        """The results so far."""
        raise NotImplementedError
