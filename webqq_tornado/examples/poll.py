"""Poll 50 JSON APIs, each three times, within limits, and write what they say to a CSV file.

python -m webqq_tornado.examples.api & python -m webqq_tornado.examples.poll rates.csv
"""

import sys

from webqq_tornado import HTTPStream, Limits, Link, Next, Response
from webqq_tornado.flows import ItemFile
from webqq_tornado.retry import Retry


class Poll(HTTPStream):
    def __init__(self, url: str = "http://127.0.0.1:8200") -> None:
        super().__init__(base_url=url, limits=Limits(per_host=8, rate_per_host=200), retry=Retry())

    def begin(self) -> Link:
        return [self.get(f"rates/{n}", self.read, data={"left": 2}) for n in range(50)]

    def read(self, response: Response, left: int) -> Link:
        self.emit(response.raise_for_status().json())
        return Next(response.request, self.read, 0.5, data={"left": left - 1}) if left else None


if __name__ == "__main__":
    print(Poll(*sys.argv[2:]).run(strict=True, items=ItemFile(sys.argv[1])))
