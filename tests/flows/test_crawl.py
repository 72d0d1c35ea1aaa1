"""Crawls of sites on loopback: what is followed, what is left out, and what robots.txt says."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from servers.scripted import Asked, Say, Scripted, scripted
from tenacity import stop_after_attempt, wait_none
from waiting import until

from webqq_tornado import ConnectError, Gather, Limits, Next, Response
from webqq_tornado.flows import Crawl
from webqq_tornado.journal import Journal
from webqq_tornado.journal.codec import unpack_item
from webqq_tornado.retry import Retry

ONCE = Retry(stop=stop_after_attempt(1), wait=wait_none())
HTML = {"Content-Type": "text/html"}


class Pages(Crawl):
    """Follows all links."""

    def parse(self, response: Response):
        self.emit((response.url.partition("//")[2].partition("/")[2], response.depth))
        for url in response.links():
            yield response.follow(url, self.parse)


def links(*urls: str) -> Say:
    return Say(200, "".join(f'<a href="{url}">x</a>' for url in urls).encode(), HTML)


def site(pages: dict[str, Iterable[str]], robots: Say = Say(404)):  # noqa: B008
    """A script: paths, and where each page leads."""

    def script(asked: Asked) -> Say:
        if asked.path == "/robots.txt":
            return robots
        return links(*pages[asked.path]) if asked.path in pages else Say(404)

    return script


async def crawled(crawl: Crawl) -> Crawl:
    async with crawl:
        await crawl.launch()
    assert crawl.first_error is None
    return crawl


def pages_of(server: Scripted) -> list[str]:
    return sorted(path for path in server.paths if path != "/robots.txt")


async def test_each_page_is_followed_once_and_no_deeper_than_told():
    pages = {"/": ["/a", "b", "/a#x"], "/a": ["/b", "/c?x=1&y=2"], "/b": ["/", "/c?y=2&x=1"]}
    pages |= {"/c?x=1&y=2": ["/d"], "/c?y=2&x=1": ["/d"], "/d": []}
    async with scripted(site(pages)) as server:
        crawl = await crawled(Pages(f"{server.url}/", max_depth=2))
    assert [path.partition("?")[0] for path in pages_of(server)] == ["/", "/a", "/b", "/c"]
    assert sorted(depth for _, depth in crawl.emitted) == [0, 1, 1, 2]
    assert crawl.filtered == {"duplicate": 3, "depth": 1}
    assert crawl.done == 4
    assert crawl.summary() == "4 pages read; filtered: 1 depth, 3 duplicate"
    assert crawl.report().values == [{"pages": 4, "depth": 1, "duplicate": 3}]


async def test_other_hosts_are_left_out_unless_they_are_allowed():
    async with (
        scripted(site({"/": ["/"]})) as other,
        scripted(site({"/": [f"{other.url}/"]})) as server,
    ):
        home = await crawled(Pages(f"{server.url}/"))
        assert other.asked == []
        name = other.url.removeprefix("http://")
        away = await crawled(Pages(f"{server.url}/", allowed_hosts=name))
        await crawled(Pages(f"{server.url}/", allowed_hosts=["*"]))
    assert home.filtered == {"host": 1}
    assert away.filtered == {"duplicate": 1}
    assert pages_of(other) == ["/", "/"]


@pytest.mark.parametrize(
    ("allowed", "host", "is_allowed"),
    [
        ("example.org", "example.org:81", True),
        ("example.org", "www.example.org", False),
        (".example.org", "www.example.org", True),
        (".example.org", "example.org", True),
        (".example.org", "badexample.org", False),
        ("127.0.0.1:81", "127.0.0.1:82", False),
        ("[::1]", "[::1]:82", True),
        ("a, b", "b", True),
        ("example.org:80", "example.org", True),
        ("example.org:80", "example.org:81", False),
        ("EXAMPLE.org", "example.org", True),
        (".Bücher.example", "a.xn--bcher-kva.example", True),
    ],
)
async def test_allowed_hosts_are_names_ports_and_domains(allowed, host, is_allowed):
    async with Pages(allowed_hosts=allowed) as crawl:
        assert crawl._is_allowed_host(host) is is_allowed


def test_a_url_among_the_allowed_hosts_is_refused():
    with pytest.raises(ValueError, match="give the host alone"):
        Pages(allowed_hosts="http://example.org/")


async def test_pages_of_errors_are_not_read_unless_they_are_accepted():
    class All(Pages):
        def accepts(self, response):
            return True

    async with scripted(site({"/": ["/gone"]})) as server:
        crawl = await crawled(Pages(f"{server.url}/"))
        every = await crawled(All(f"{server.url}/"))
    assert (crawl.filtered, crawl.done) == ({"status": 1}, 1)
    assert (every.filtered, every.done) == ({}, 2)


async def test_a_redirect_to_another_host_or_to_a_page_that_was_read_is_not_read():
    def script(asked: Asked) -> Say:
        if asked.path in ("/to-b", "/away"):
            where = "/b" if asked.path == "/to-b" else f"{other.url}/"
            return Say(302, headers={"Location": where})
        return {"/": links("/b"), "/b": links("/to-b", "/away")}.get(asked.path, Say(404))

    async with scripted(site({"/": ["/"]})) as other, scripted(script) as server:
        crawl = await crawled(Pages(f"{server.url}/"))
        assert other.asked == []
    assert crawl.done == 2
    assert crawl.filtered == {"duplicate": 1, "host": 1}


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_redirect_to_a_page_that_robots_txt_forbids_is_not_read(is_elsewhere: bool):
    robots = Say(200, b"User-agent: *\nDisallow: /private")

    def script(asked: Asked) -> Say:
        if asked.path == "/door":
            base = there.url if is_elsewhere else ""
            return Say(302, headers={"Location": f"{base}/hall"})
        if asked.path == "/hall":
            return Say(302, headers={"Location": "/private"})
        return {"/": links("/door"), "/robots.txt": robots}.get(asked.path, links())

    async with scripted(script) as there, scripted(script) as server:
        crawl = await crawled(Pages(f"{server.url}/", allowed_hosts="127.0.0.1"))
    assert (crawl.done, crawl.filtered) == (1, {"robots": 1})
    assert "/private" not in (*server.paths, *there.paths)


async def test_the_robots_txt_of_where_a_redirect_leads_is_asked_for_before_the_page():
    def script(asked: Asked) -> Say:
        return {"/robots.txt": Say(200, b"User-agent: *\nDisallow: /private")}.get(
            asked.path, links()
        )

    async with scripted(script) as there:
        moved = Say(301, headers={"Location": f"{there.url}/private"})
        where = {"/robots.txt": Say(404)}
        async with scripted(lambda asked: where.get(asked.path, moved)) as server:
            crawl = await crawled(Pages(f"{server.url}/"))
    assert there.paths == ["/robots.txt"]
    assert (crawl.done, crawl.filtered) == (0, {"robots": 1})


async def test_where_a_start_is_redirected_to_is_crawled():
    async with scripted(site({"/": ["/a"], "/a": []})) as there:
        moved = Say(301, headers={"Location": f"{there.url}/"})
        async with scripted(lambda asked: moved) as server:
            crawl = await crawled(Pages(f"{server.url}/"))
    assert crawl.done == 2


async def test_a_reader_may_repeat_its_request_and_posts_differ_by_their_body():
    class Polls(Crawl):
        looks = 0

        def parse(self, response):
            self.looks += 1
            if self.looks < 3:
                return response.request, self.parse
            return [self.post("/form", self.sent, form={"n": n}) for n in (1, 2, 1)]

        def sent(self, response):
            self.emit(response.request.body)

    async with scripted(lambda asked: Say()) as server:
        crawl = await crawled(Polls(f"{server.url}/", obey_robots=False))
    assert server.paths.count("/") == 3
    assert sorted(crawl.emitted) == [b"n=1", b"n=2"]


async def test_all_forms_of_links_are_looked_at_and_data_comes_along():
    class Forms(Crawl):
        async def parse(self, response):
            return self.several(response)

        async def several(self, response):
            yield response.url, self.parse  # seen
            yield "/one", self.one
            yield self.get("/two", self.two, data={"n": 2}, errback=self.failed)

        def one(self, response):
            return Gather(["/g", "/g", "http://elsewhere.invalid/"], self.joined)

        def joined(self, responses):
            self.emit(len(responses))
            return "/after", self.after

        def after(self, response):
            self.emit("after")

        async def two(self, response, n):
            self.emit(n)
            return Next("/one", self.one)

        def failed(self, error):
            raise error

    async with scripted(site(dict.fromkeys(["/", "/one", "/two", "/g", "/after"], ()))) as server:
        crawl = await crawled(Forms(f"{server.url}/"))
    assert sorted(map(str, crawl.emitted)) == ["2", "2", "after"]
    assert crawl.filtered == {"duplicate": 2, "host": 1}


async def test_what_begin_returns_is_looked_at_too():
    class Logs(Pages):
        def begin(self):
            yield self.post(f"{server.url}/login", self.logged_in)

        def logged_in(self, response):
            return "/", self.parse

    async with scripted(lambda asked: links("/", "http://elsewhere.invalid/")) as server:
        crawl = await crawled(Logs(obey_robots=False))
    assert server.paths == ["/login", "/"]
    assert crawl.filtered == {"duplicate": 1, "host": 1}


async def test_links_that_were_found_before_a_reader_failed_are_followed(caplog):
    class Fails(Pages):
        def parse(self, response):
            yield "/a", self.seen
            yield "/b", self.seen
            raise RuntimeError("no more")

        def seen(self, response):
            self.emit(response.url[-1])

    async with scripted(lambda asked: Say()) as server:
        crawl = Fails(f"{server.url}/")
        async with crawl:
            crawl.launch()
    assert sorted(crawl.emitted) == ["a", "b"]
    assert str(crawl.first_error) == "no more"
    trace = crawl.first_error.__traceback__
    assert trace is not None
    assert trace.tb_frame.f_code.co_name == "parse"


async def test_a_source_of_links_that_were_seen_does_not_hold_up_the_loop():
    class Endless(Crawl):
        def parse(self, response):
            while True:
                yield response.url, self.parse

    async with scripted(lambda asked: Say()) as server, Endless(f"{server.url}/") as crawl:
        flow = crawl.launch()
        await until(lambda: crawl.filtered["duplicate"] > 200)
        flow.cancel()
    assert crawl.done == 1


async def test_one_place_for_requests_is_enough():
    tight = Limits(clients=1, per_host=1, per_session=1)
    async with scripted(site({"/": ["/a", "/b"], "/a": [], "/b": []})) as server:
        crawl = await crawled(Pages(f"{server.url}/", limits=tight))
    assert crawl.done == 3


# -- robots.txt -------------------------------------------------------------------------------


async def test_robots_txt_is_fetched_once_before_the_pages_and_obeyed():
    robots = Say(200, b"User-agent: *\nDisallow: /private\nAllow: /private/open\n")
    pages = {"/": ["/private/a", "/private/open", "/b"], "/private/open": [], "/b": []}
    async with scripted(site(pages, robots)) as server:
        crawl = await crawled(Pages(f"{server.url}/"))
        assert server.paths[0] == "/robots.txt"
        assert server.paths.count("/robots.txt") == 1
        assert pages_of(server) == ["/", "/b", "/private/open"]
        free = await crawled(Pages(f"{server.url}/", obey_robots=False))
    assert crawl.filtered == {"robots": 1}
    assert free.filtered == {"status": 1}


async def test_the_rules_are_those_of_our_user_agent():
    robots = Say(200, b"User-agent: mine\nDisallow: /\n\nUser-agent: *\nDisallow:\n")
    async with scripted(site({"/": []}, robots)) as server:
        for options in ({"headers": {"User-Agent": "Mine/1.0"}}, {}):
            await crawled(Pages(f"{server.url}/", **options))
    assert pages_of(server) == ["/"]


@pytest.mark.parametrize("status", [404, 403, 204])
async def test_without_a_robots_txt_all_is_allowed(status: int):
    async with scripted(site({"/": []}, Say(status))) as server:
        await crawled(Pages(f"{server.url}/"))
    assert pages_of(server) == ["/"]


async def test_of_a_host_whose_robots_txt_is_broken_nothing_is_followed(caplog):
    async with scripted(site({"/": []}, Say(503))) as server:
        crawl = await crawled(Pages(f"{server.url}/", retry=ONCE))
    assert pages_of(server) == []
    assert crawl.filtered == {"robots": 1}
    assert "answers 503: nothing of it is followed" in caplog.text


async def test_a_host_that_does_not_answer_is_an_error_of_its_pages(caplog):
    async with Pages("http://127.0.0.1:1/", retry=ONCE) as crawl:
        crawl.launch()
    assert isinstance(crawl.first_error, ConnectError)
    assert crawl.filtered == {}


async def test_of_a_robots_txt_without_end_the_beginning_counts():
    robots = b"User-agent: *\nDisallow: /a\n" + b"# filler\n" * 200_000 + b"Disallow: /b\n"
    async with scripted(site({"/": ["/a", "/b"], "/b": []}, Say(200, robots))) as server:
        await crawled(Pages(f"{server.url}/"))
    assert pages_of(server) == ["/", "/b"]


@pytest.mark.parametrize("line", ["Crawl-delay: 0.2", "Request-rate: 5/1s"])
async def test_the_crawl_delay_is_kept(line: str):
    robots = Say(200, f"User-agent: *\n{line}\n".encode())
    loop = asyncio.get_running_loop()
    async with scripted(site({"/": ["/a", "/b"], "/a": [], "/b": []}, robots)) as server:
        began = loop.time()
        await crawled(Pages(f"{server.url}/"))
    assert loop.time() - began >= 2 * 0.2


async def test_a_crawl_delay_of_days_is_cut_down(monkeypatch: pytest.MonkeyPatch):
    spaced: list[float] = []
    robots = Say(200, b"User-agent: *\nCrawl-delay: 86400\n")
    monkeypatch.setattr(Pages, "space_requests", lambda _, host, seconds: spaced.append(seconds))
    async with scripted(site({"/": []}, robots)) as server:
        await crawled(Pages(f"{server.url}/"))
    assert spaced == [60.0]


async def test_robots_txt_files_of_many_hosts_are_fetched_side_by_side():
    all_asked = asyncio.Event()
    waiting: list[str] = []

    async def script(asked: Asked) -> Say:
        if asked.path == "/robots.txt":
            waiting.append(str(asked.headers["Host"]))
            if len(waiting) == 3:
                all_asked.set()
            await all_asked.wait()
        return Say(404) if asked.path == "/robots.txt" else Say()

    async with scripted(script) as a, scripted(script) as b, scripted(script) as c:
        crawl = await crawled(Pages(*(f"{one.url}/" for one in (a, b, c))))
    assert crawl.done == 3


# -- settings -----------------------------------------------------------------------------------


async def test_without_limits_of_hosts_a_crawl_delay_is_told(caplog):
    robots = Say(200, b"User-agent: *\nCrawl-delay: 1\n")
    async with scripted(site({"/": []}, robots)) as server:
        await crawled(Pages(f"{server.url}/", limits=Limits(clients=2)))
    assert "limits=Limits(per_host=...)" in caplog.text


async def test_a_crawl_without_parse_says_so(caplog):
    caplog.set_level(logging.CRITICAL)
    async with scripted(lambda asked: Say()) as server, Crawl(server.url) as crawl:
        crawl.launch()
        await crawl.drain()
        assert "has no parse(self, response): define it" in str(crawl.first_error)


async def test_a_crawl_that_begins_nowhere_says_so(caplog):
    async with Pages() as crawl:
        crawl.launch()
        await crawl.drain()
        assert "Pages has no start_urls: name some, or override begin()" in str(crawl.first_error)


@pytest.mark.parametrize("package", ["w3lib.url", "protego"])
async def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, package: str):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "webqq_tornado\[crawl\]"'):
        Pages()


class Stopping(Pages):
    """Closes itself on the way, as a kill would."""

    stops_at: str | None = None

    def parse(self, response: Response):
        if response.url.endswith(self.stops_at or "/never"):
            self.close()
        return super().parse(response)


@pytest.mark.parametrize("stops_at", ["/", "/a", "/b", "/d", None])
async def test_a_crawl_with_a_journal_goes_on_and_reads_each_page_once(
    stops_at: str | None, tmp_path: Path
):
    pages = {"/": ["/a", "/b", "/a"], "/a": ["/b", "/c"], "/b": ["/", "/c", "/d"], "/c": ["/d"]}
    pages |= {"/d": ["/a"]}
    path = tmp_path / "crawl.db"
    async with scripted(site(pages)) as server:
        start = f"{server.url}/"
        first = Stopping(start, journal=path, limits=Limits(per_host=1))
        first.stops_at = stops_at
        async with first:
            first.launch()
            await until(lambda: first._closed or not first.chains)
        again = await crawled(Stopping(start, journal=path))
    assert again.filtered["host"] == 0
    results = [unpack_item(text) for _, text in Journal(path).results()]
    assert sorted(page for page, _ in results) == ["", "a", "b", "c", "d"]
    assert max(map(pages_of(server).count, pages)) <= 2
