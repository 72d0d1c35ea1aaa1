"""Fetch a list every night, and go on where the last night was interrupted.

Start the service, then the program; cron and systemd look at its exit code::

    python -m webqq_tornado.examples.api
    python -m webqq_tornado.examples.sync prices.jsonl

The command `python -m webqq_tornado sync URL PATH` does the same without a program.
"""

from __future__ import annotations

import sys
from typing import Any

from webqq_tornado.flows import Sync

__all__ = ["Nightly"]


class Nightly(Sync):
    """All prices, one JSON object a line.

    Args:
        path: of the file. It gets its name once it is whole.
        url: of the first page.
        options: of `Sync`.
    """

    def __init__(
        self,
        path: str = "prices.jsonl",
        url: str = "http://127.0.0.1:8200/prices",
        **options: Any,
    ) -> None:
        super().__init__(url, path, spacing=0.05, **options)


if __name__ == "__main__":
    flow = Nightly(*sys.argv[1:])
    flow.run(strict=True)
    print(flow.items_written, "items in", flow.pages, "pages")
