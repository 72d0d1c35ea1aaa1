"""Journals: the file or database in which a flow's chains and results are kept, and go on from.

    Crawl(journal="crawl.db").run()        # starts, or goes on where it was killed
    Crawl(journal="postgresql://127.0.0.1/crawl").run()

In here is the file, and what it holds. What goes into it, and when, is decided by `engine.keeping`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .errors import JournalError
    from .postgres import PostgresJournal
    from .records import ListedChain, Summary
    from .sqlite import Journal

__all__ = ["Journal", "JournalError", "ListedChain", "PostgresJournal", "Summary"]

#: Where the public names are.
_MODULES = {
    "errors": "JournalError",
    "postgres": "PostgresJournal",
    "records": "ListedChain Summary",
    "sqlite": "Journal",
}
if TYPE_CHECKING:
    _MODULE_OF: dict[str, str]
else:  # where type checkers would take any name for one of ours
    _MODULE_OF, __getattr__, __dir__ = lazy_names(globals(), _MODULES)
