"""Choice of how a stream's journal is kept, by what was given for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..journal.location import is_postgres
from ..journal.postgres import PostgresJournal
from ..journal.sqlite import Journal
from ..journal.sqlite_shards import ShardFile
from .eventloop import asyncio_loop_of
from .keeping import Keeper
from .kept_awaited import AwaitedKeeper
from .kept_readers import kind_of
from .kept_shards import ShardKeeper

if TYPE_CHECKING:
    from .runner import Runner
    from .stream import HTTPStream

__all__ = ["keeper_of"]


def keeper_of(
    stream: HTTPStream,
    runner: Runner,
    journal: str | os.PathLike[str] | Journal | PostgresJournal | ShardFile,
    header: str | None,
) -> Keeper:
    """Return what keeps the chains of a stream.

    Args:
        stream: whose.
        runner: that moves them.
        journal: a path, the URL of a database, or a journal.
        header: as of `Keeper`.

    Raises:
        JournalError: the journal cannot be used.
    """
    if is_postgres(journal):
        journal = PostgresJournal(str(journal))
    if not isinstance(journal, (PostgresJournal, ShardFile)):
        given = journal if isinstance(journal, Journal) else Journal(journal)
        return Keeper(stream, runner, given, header)
    loop = asyncio_loop_of(stream.ioloop)
    # A loop that runs cannot be waited for here: then the journal has to be open, and says so.
    if isinstance(journal, ShardFile):
        return ShardKeeper(stream, runner, journal, header)
    if not journal.is_open and not loop.is_running() and not is_any_running():
        loop.run_until_complete(journal.open(kind_of(type(stream))))
    kind = AwaitedKeeper if journal.is_whole else ShardKeeper
    try:
        return kind(stream, runner, journal, header)
    except BaseException:
        journal.close()
        raise


def is_any_running() -> bool:
    """Return whether a loop runs in this thread."""
    import asyncio  # noqa: PLC0415

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
