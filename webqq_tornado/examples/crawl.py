"""Titles of pages, by `python -m webqq_tornado run webqq_tornado.examples.crawl:Pages -o t.csv`."""

from webqq_tornado import Link, Response
from webqq_tornado.flows import Crawl


class Pages(Crawl):
    start_urls, max_depth = ("http://127.0.0.1:8200/site/",), 2

    def parse(self, response: Response) -> Link:
        self.emit({"url": response.url, "title": response.css("title::text").get()})
        return [response.follow(url, self.parse) for url in response.links()]
