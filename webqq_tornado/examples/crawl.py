"""Crawl a site to a depth, each page once, and write what the pages say to a file.

It needs the extra `crawl`. Start the service, then the flow::

    python -m webqq_tornado.examples.api
    python -m webqq_tornado run webqq_tornado.examples.crawl:Pages -o pages.csv
"""

from webqq_tornado import Link, Response
from webqq_tornado.flows import Crawl

__all__ = ["Pages"]


class Pages(Crawl):
    """Titles of the pages up to two links from the first."""

    start_urls = ("http://127.0.0.1:8200/site/",)
    max_depth = 2

    def parse(self, response: Response) -> Link:
        """Emit what the page says, and follow its links."""
        title = response.css("title::text").get()
        self.emit({"url": response.url, "depth": response.depth, "title": title})
        return [response.follow(url, self.parse) for url in response.links()]
