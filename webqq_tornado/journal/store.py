"""Interface of journals: what keeps a flow's chains, in a file or in a database."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .records import Batch, Counts, Summary

__all__ = ["Store"]

_T = TypeVar("_T")


class Store(Protocol):
    """A journal: `Journal` answers at once, `PostgresJournal` gives what is to be awaited.

    What is asked for at the start, and what pages show again and again, comes at once by both.
    `engine.keeping` uses nothing else of them.
    """

    @property
    def is_awaited(self) -> bool:
        """Answers and writes have to be awaited."""

    @property
    def path(self) -> Path | str:
        """Name of it, for people."""

    @property
    def is_owned(self) -> bool:
        """A flow of this process runs on it."""

    # -- at once --------------------------------------------------------------------------------

    def own(self, kind: str | None = None) -> None:
        """Take it for a flow of this process."""

    @property
    def uuid(self) -> bytes:
        """The flow's own."""

    def counts(self) -> Counts:
        """The numbers so far."""

    def cookies(self) -> dict[str, bytes]:
        """Cookies by the session's name."""

    def readers(self) -> list[tuple[str, str | None, str | None, int]]:
        """Readers that chains wait for."""

    def failed_count(self) -> int:
        """How many chains have failed."""

    def latest_failures(self, limit: int) -> Any:
        """The chains that have failed last."""

    def close(self) -> None:
        """Let others have it."""

    # -- to be awaited, if `is_awaited` ---------------------------------------------------------

    def commit(self, batch: Batch, first_result: int) -> Any:
        """Write all of a batch, or nothing."""

    def add_draft_results(
        self, results: Sequence[tuple[int, int, int, str]], first: int
    ) -> Awaitable[None] | None:
        """Write results of a reader that has not returned."""

    def drop_drafts(self, chain: int) -> Awaitable[None] | None:
        """Take those back, and its links."""

    def finish(self) -> Awaitable[None] | None:
        """Note that all chains have ended."""

    def waiting(self, last: int) -> Any:
        """Chains that are alive, by their time."""

    def rows(self, ids: Iterable[int]) -> Any:
        """Chains that are alive, of these ids."""

    def results(self, after: int = 0, limit: int = 500) -> Any:
        """Results with their numbers."""

    def forget_results(self, upto: int) -> Awaitable[None] | None:
        """Delete results that were handed on."""

    def export_of(self, path: str) -> Any:
        """How far a file is."""

    def note_export(
        self, path: str, place: int, upto: int, columns: str | None, count: int
    ) -> Awaitable[None] | None:
        """Note that results are in a file."""

    def summary(self) -> Summary | Awaitable[Summary]:
        """How far the flow is."""

    def chains(self, *, failed: bool = False, limit: int | None = None, after: int = 0) -> Any:
        """Chains that are alive, or have failed."""

    def coming(self, limit: int) -> Any:
        """Chains that are alive, in the order in which they are sent."""

    def ids_of(self, names: Sequence[str], *, failed: bool | None = True) -> Any:
        """Ids of chains by name."""

    def retry(self, ids: Sequence[int]) -> int | Awaitable[int]:
        """Make chains that have failed ready again."""

    def drop(self, ids: Sequence[int]) -> int | Awaitable[int]:
        """Forget chains."""
