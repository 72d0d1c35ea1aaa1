"""Forms of links that type checkers accept: mypy --strict and pyright find nothing here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from webqq_tornado import Gather, HTTPStream, Link, Next, Readback, Request, Response, StreamError
from webqq_tornado.cache import HTTPCache
from webqq_tornado.flows import ItemFile
from webqq_tornado.har import Answer, HARReplay


def ends(response: Response) -> None:
    print(response.text)


def pair(response: Response) -> Link:
    return response.request, pair


def with_delay(response: Response) -> Link:
    return "http://example.org/", ends, 5


def with_names(response: Response) -> Link:
    return Next("http://example.org/", ends, errback=failed, data={"n": 1})


def by_method(response: Response) -> Link:
    return stream.post("/next", ends, json={"n": 1})


def followed(response: Response) -> Link:
    return response.follow("?page=2", with_data, data={"page": 2})


def with_data(response: Response, page: int) -> Link:
    return None if page == 3 else response.follow("?page=3", with_data, data={"page": 3})


def several(response: Response) -> Link:
    return [("http://example.org/1", ends), ("http://example.org/2", several)]


def listed(response: Response) -> Link:
    links = [("http://example.org/1", ends)]
    return links


def generated(response: Response) -> Iterator[Link]:
    yield "http://example.org/1", ends
    yield Next("http://example.org/2", generated)
    yield stream.get("http://example.org/3", ends)


async def later(response: Response) -> Link:
    return "http://example.org/", later


async def generated_later(response: Response) -> AsyncIterator[Link]:
    yield "http://example.org/1", ends


def gathered(response: Response) -> Link:
    return Gather(["http://example.org/1", Request("http://example.org/2")], joined)


def joined(responses: list[Response]) -> Link:
    return responses[0].request, ends


def failed(error: Exception) -> Link:
    return "http://example.org/", ends, 5


def failed_to_send(error: StreamError) -> None:
    print(error.request)


class Flow(HTTPStream):
    """A flow with typed readers."""

    def begin(self) -> Iterator[Link]:
        """Yield its links."""
        for reader in READERS:
            yield "http://example.org/", reader
        yield self.get("http://example.org/", self.read)

    def read(self, response: Response) -> Link:
        """Go on."""
        return self.get("/next", self.read, delay=5)


class Single(HTTPStream):
    """A flow with one link."""

    def begin(self) -> tuple[str, Readback]:
        """Return it."""
        return "http://example.org/", ends


READERS: list[Readback] = [
    *(ends, pair, with_delay, with_names, by_method, followed, several, listed),
    *(generated, later, generated_later, gathered),
    lambda response: None,
    None,
]
stream = HTTPStream()
for each in READERS:
    stream.add_request("http://example.org/", each)
stream.add_request("http://example.org/", ends, errback=failed)
stream.add_request("http://example.org/", ends, errback=failed_to_send)


def answering(request: Request) -> Answer:
    return Answer.of_json({"url": request.url})


def programs() -> None:
    with HTTPCache("cache", max_size=2**20) as cache:
        Flow(cache=cache, base_url="http://example.org/", params="a=1").run(
            strict=True, items=ItemFile("items.csv")
        )
    Flow(cache="cache", replay=answering).run()
    Flow(replay=HARReplay("flow.har"))
    print(stream.metrics.text(), stream.metrics.hosts["example.org"].received)
    Request("http://example.org/", sink="file", params="a=1", files=[("f", b"1"), ("f", b"2")])


def nested(response: Response) -> Link:
    return [[("http://example.org/", ends)], stream.get("http://example.org/", ends), None]


async def mapped(urls: list[str]) -> None:
    async for result in stream.map(urls, concurrency=20):
        print(result.request.url, result.ok, result.json() if isinstance(result, Response) else 0)


async def awaited() -> int:
    response = await stream.get("http://example.org/")
    return response.raise_for_status().status
