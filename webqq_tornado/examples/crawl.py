"""Crawl a site to a depth, without visiting a page twice.

Start the service, then the flow::

    python -m webqq_tornado.examples.api
    python -m webqq_tornado run webqq_tornado.examples.crawl:Crawl depth=2
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from webqq_tornado import HTTPStream, Limits, Link, Response

__all__ = ["Crawl"]


class Crawl(HTTPStream):
    """Visit the pages of one host.

    Args:
        url: of the page to begin with.
        depth: links to follow from there.
        options: of `HTTPStream`.

    Attributes:
        seen: URLs that were visited, or are going to be.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8200/site/", depth: int = 2, **options: Any
    ) -> None:
        super().__init__(**{"limits": Limits(per_host=4, rate_per_host=20), **options})
        self.url, self.depth = url, depth
        self.seen = {url}

    def begin(self) -> Link:
        """Start with the first page."""
        return self.url, functools.partial(self.read, 0)

    def read(self, depth: int, response: Response) -> Iterator[Link]:
        """Show a page, and follow its links: each becomes a chain of its own."""
        print(depth, response.status, response.url)
        if depth == self.depth:
            return
        for url in links_of(response):
            if url not in self.seen and urlsplit(url).netloc == urlsplit(self.url).netloc:
                self.seen.add(url)
                yield url, functools.partial(self.read, depth + 1)


def links_of(response: Response) -> list[str]:
    """List where a page leads.

    Args:
        response: an HTML page.

    Returns:
        Absolute URLs without fragments.
    """
    parser = _Links()
    parser.feed(response.text)
    return [urldefrag(urljoin(response.url, link)).url for link in parser.links]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.links.append(href)


if __name__ == "__main__":
    print(Crawl().run(strict=True))
