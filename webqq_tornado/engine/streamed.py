"""A link whose reader runs while the body of its response still comes."""

from __future__ import annotations

from typing import Protocol

from .chain import Chain
from .conduct import hide_signed
from .lane import Lane
from .response import Response, StreamedResponse

__all__ = ["Streamed"]


class Reads(Protocol):
    """What it needs of the runner."""

    def take(self, chain: Chain, result: Response | Exception) -> None:
        """Read the response, or deal with the error."""

    def leave_flight(self, chain: Chain, lane: Lane | None) -> None:
        """The chain's transfer has ended."""


class Streamed:
    """Takes the outcomes of a transfer with `stream=True`: the headers, then the end.

    Until the end the transfer belongs to the chain, whose reader runs. What it returns, or the
    chain's end, gives up the rest of the body. An end before the headers is an error like any
    other; later it is raised by the stream, to whoever reads it.

    Args:
        runner: of the chain.
        chain: whose link it is.
    """

    def __init__(self, runner: Reads, chain: Chain) -> None:
        self._runner = runner
        self._chain = chain
        self._is_read = False

    def __call__(self, result: Response | Exception, lane: Lane | None) -> None:
        """See `lane.Outcome`."""
        if isinstance(result, StreamedResponse):
            self._is_read = True
            self._runner.take(self._chain, result)
            return
        hide_signed(self._chain, result)  # the stream has it, too, if it is an error
        self._runner.leave_flight(self._chain, lane)
        if not self._is_read:
            self._runner.take(self._chain, result)
