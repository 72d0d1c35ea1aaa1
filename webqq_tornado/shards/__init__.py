"""Shards: one flow on the processes and machines of a Dask cluster.

    await run_shards(Crawl, journal="postgresql://127.0.0.1/crawl", dask="tcp://127.0.0.1:8786")

A journal's shards run as tasks of Dask, each in slices of a minute. A host belongs to one shard, so
that limits hold for the whole cluster. Whatever is killed, each result comes once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .progress import ShardProgress
    from .running import ShardError, run_shards

__all__ = ["ShardError", "ShardProgress", "run_shards"]

#: Where the public names are.
_MODULES = {
    "progress": "ShardProgress",
    "running": "ShardError run_shards",
}
if TYPE_CHECKING:
    _MODULE_OF: dict[str, str]
else:  # where type checkers would take any name for one of ours
    _MODULE_OF, __getattr__, __dir__ = lazy_names(globals(), _MODULES)
