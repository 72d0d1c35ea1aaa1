"""Ready flows for everyday work: monitor URLs, fetch lists, run jobs, mirror files, crawl sites.

>>> from webqq_tornado.flows import Monitor
>>> Monitor(["https://example.org/"], rounds=3).run()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .crawl import Crawl
    from .export import Export
    from .flow import Flow, Report
    from .itemfile import ItemFile
    from .job import Job
    from .mirror import Mirror
    from .monitor import Monitor
    from .sync import Sync

__all__ = ["Crawl", "Export", "Flow", "ItemFile", "Job", "Mirror", "Monitor", "Report", "Sync"]

#: Where the public names are.
_MODULES = {
    "crawl": "Crawl",
    "export": "Export",
    "flow": "Flow Report",
    "itemfile": "ItemFile",
    "job": "Job",
    "mirror": "Mirror",
    "monitor": "Monitor",
    "sync": "Sync",
}

if TYPE_CHECKING:
    _MODULE_OF: dict[str, str]
else:  # where type checkers would take any name for one of ours
    _MODULE_OF, __getattr__, __dir__ = lazy_names(globals(), _MODULES)
