"""Poll a JSON API within limits, and append what it says to a CSV file.

Start the service, then the flow::

    python -m webqq_tornado.examples.api
    python -m webqq_tornado run webqq_tornado.examples.poll:Poll prices.csv rounds=5
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from webqq_tornado import HTTPStream, Limits, Link, Response
from webqq_tornado.retry import Retry

__all__ = ["Poll"]


class Poll(HTTPStream):
    """Read all pages of a price list, wait, and read them again.

    Args:
        path: of the CSV file; rows are appended.
        url: of the first page.
        interval: seconds from one round to the next.
        rounds: number of rounds.
        options: of `HTTPStream`.
    """

    def __init__(
        self,
        path: Path = Path("prices.csv"),
        url: str = "http://127.0.0.1:8200/prices",
        interval: float = 1.0,
        rounds: int = 3,
        **options: Any,
    ) -> None:
        limits = Limits(per_host=2, rate_per_host=20)  # requests in flight, requests a second
        super().__init__(**{"limits": limits, "retry": Retry(), **options})
        self.path, self.url = path, url
        self.interval, self.rounds = interval, rounds

    def begin(self) -> Iterator[Link]:
        """Start with the first page."""
        yield self.url, self.read

    def read(self, response: Response) -> Link:
        """Write the page's rows; go on with the next page, or with the next round."""
        page = response.raise_for_status().json()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerows([int(time.time()), one["name"], one["price"]] for one in page["items"])
        if page["next"]:
            return response.follow(page["next"], self.read)
        self.rounds -= 1
        return (self.url, self.read, self.interval) if self.rounds else None


if __name__ == "__main__":
    print(Poll().run(strict=True))
