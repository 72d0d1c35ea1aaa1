"""What readers have led to when they end in another way than by their return."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from servers.web import Web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler
from waiting import until

from webqq_tornado import HTTPStream, LinkError, Next
from webqq_tornado.auth import BearerAuth
from webqq_tornado.flows import Export
from webqq_tornado.journal import Journal, JournalError
from webqq_tornado.journal.codec import unpack_item


class Flow(HTTPStream):
    """Its readers know the server, and say how far they are."""

    def __init__(self, web: Web, journal: Path, **options: Any) -> None:
        super().__init__(journal=journal, **options)
        self.web = web
        self.is_there = False
        self.is_slow = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flow.db"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four results or links are what a thousand are else."""
    monkeypatch.setattr("webqq_tornado.engine.keeping.Keeper.at_once", 4)


def results_of(journal: Path) -> list[Any]:
    return [unpack_item(text) for _, text in Journal(journal).results(limit=100_000)]


def rows_of(journal: Path, asked: str) -> list[Any]:
    with Journal(journal) as opened:
        return opened.db.execute(asked).fetchall()


class Slow(Flow):
    """A reader that does not return by itself the first time."""

    async def read(self, response):
        for n in range(6):
            self.emit(f"result {n}")
            yield Next(f"{self.web.http}/echo/{n}", functools.partial(self.leaf, n))
        self.is_there = True
        if self.is_slow:
            await asyncio.Event().wait()

    def leaf(self, n, response):
        self.emit(f"leaf {n}")


ALL = sorted([f"result {n}" for n in range(6)] + [f"leaf {n}" for n in range(6)])


async def test_of_a_reader_that_was_cancelled_nothing_is_left(web: Web, path: Path, few: None):
    async with Slow(web, path) as flow:
        chain = flow.add_request(f"{web.http}/echo", flow.read)
        await until(lambda: flow.is_there)
        chain.cancel()
        await flow.drain()
    assert results_of(path) == rows_of(path, "SELECT id FROM chains") == []


async def test_a_reader_over_its_deadline_is_tried_again_as_a_whole(
    web: Web, path: Path, few: None, caplog: pytest.LogCaptureFixture
):
    async with Slow(web, path) as flow:
        chain = flow.add_request(f"{web.http}/echo", flow.read, deadline=3600)
        await until(lambda: flow.is_there)
        flow._runner._on_deadline(chain, 3600)
        await flow.drain()
        assert results_of(path) == rows_of(path, "SELECT id FROM chains WHERE draft > 0") == []
        flow.is_slow = False
        assert flow.retry_failed() == 1
        await flow.drain()
    assert sorted(results_of(path)) == ALL
    assert rows_of(path, "SELECT id FROM chains") == []


async def test_what_a_reader_emits_while_its_deadline_ends_it_is_not_kept(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Finishing(Flow):
        async def read(self, response):
            self.is_there = True
            try:
                await asyncio.Event().wait()
            finally:
                self.emit("half")

    async with Finishing(web, path) as flow:
        chain = flow.add_request(f"{web.http}/echo", flow.read, deadline=3600)
        await until(lambda: flow.is_there)
        task = chain._task
        flow._runner._on_deadline(chain, 3600)
        await asyncio.wait([task])
        await flow.drain()
    assert results_of(path) == []


async def test_results_of_a_reader_that_ends_its_own_chain_stand(web: Web, path: Path):
    class Ending(Flow):
        def read(self, response):
            self.emit("plain")
            self.chain.cancel()

        async def wait(self, response):
            self.emit("async")
            self.chain.cancel()

    for reader in ("read", "wait"):
        async with Ending(web, path) as flow:
            flow.chain = flow.add_request(f"{web.http}/echo", getattr(flow, reader))
            await flow.drain()
    assert results_of(path) == ["plain", "async"]


async def test_results_that_were_spilled_reach_a_file_that_others_have_overtaken(
    web: Web, path: Path, few: None
):
    class Overtaken(Flow):
        async def read(self, response):
            for n in range(9):
                self.emit(n)
            self.is_there = True
            await self.go_on.wait()

        def other(self, response):
            self.emit("other")

    output = path.with_suffix(".jsonl")
    async with Overtaken(web, path) as flow:
        flow.go_on = asyncio.Event()
        with Export(flow.journal, output) as export:
            chain = flow.add_request(f"{web.http}/echo", flow.read)
            await until(lambda: flow.is_there)
            await flow.add_request(f"{web.http}/echo", flow.other)
            assert export.drain() == 1
            flow.go_on.set()
            await chain
            assert export.drain() == 9
    assert output.read_text().split() == ['"other"', *map(str, range(9))]


async def test_results_that_were_spilled_are_handed_to_takers(web: Web, path: Path, few: None):
    class Many(Flow):
        def read(self, response):
            for n in range(9):
                self.emit(n)

    taken: list[int] = []
    async with Many(web, path) as flow:
        flow.take_items(taken.append)
        await flow.add_request(f"{web.http}/echo", flow.read)
    assert taken == list(range(9))


class Counts(Flow):
    """A reader that counts in the state, and does something in its middle."""

    def read(self, response):
        self.state["count"] = self.state.get("count", 0) + 1
        self.act()
        self.seen = rows_of(self.journal.path, "SELECT state FROM shards")


async def test_the_state_of_a_reader_that_has_others_committed_waits_for_its_return(
    web: Web, path: Path
):
    class Retrying(Counts):
        def act(self):
            self.add_request(f"{self.web.http}/echo", None)
            assert self.retry_failed() == 0

    async with Retrying(web, path) as flow:
        await flow.add_request(f"{web.http}/echo", flow.read)
    assert flow.seen == [(None,)]
    assert rows_of(path, "SELECT state FROM shards") == [('{"count":1}',)]


async def test_a_reader_that_closes_the_stream_counts_once(web: Web, path: Path):
    class Closing(Counts):
        def begin(self):
            return f"{self.web.http}/echo", self.read

        def act(self):
            if self.is_slow:
                self.add_request(f"{self.web.http}/echo", None)  # makes a commit due
                self.close()

        def read(self, response):
            self.state["count"] = self.state.get("count", 0) + 1
            self.act()

    for is_first in (True, False):
        flow = Closing(web, path)
        flow.is_slow = is_first
        await flow.serve()
    assert rows_of(path, "SELECT state FROM shards") == [('{"count":1}',)]


async def test_the_state_of_others_stands_when_an_async_reader_raises(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Raising(Flow):
        async def read(self, response):
            self.is_there = True
            await self.go_on.wait()
            raise ValueError("on purpose")

    async with Raising(web, path) as flow:
        flow.go_on = asyncio.Event()
        flow.add_request(f"{web.http}/echo", flow.read)
        await until(lambda: flow.is_there)
        flow.state["of another"] = 1
        flow.go_on.set()
        await flow.drain()
        assert flow.state == {"of another": 1}


# -- what was refused, and sent again ------------------------------------------------------------


class Refusing(RequestHandler):
    """Sets a cookie with each answer; the first of `/N` has the status N."""

    def get(self, status: str) -> None:
        if not self.get_cookie("seen"):
            self.set_status(int(status))
        self.set_cookie("seen", "yes")


class Counting(WebSocketHandler):
    """Says "1"."""

    def open(self) -> None:
        self.write_message("1")


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[str]:
    """Serve these on the running loop; gives host and port."""
    socket, port = bind_unused_port()
    handlers = [(r"/(\d+)", Refusing), ("/socket", Counting)]
    server = HTTPServer(Application(handlers, log_function=lambda handler: None))
    server.add_socket(socket)
    yield f"127.0.0.1:{port}"
    server.stop()
    await server.close_all_connections()


async def test_cookies_of_an_answer_that_is_tried_again_are_kept(web: Web, path: Path):
    async with listening() as other, Flow(web, path, retry=lambda attempt: 3600) as flow:
        flow.add_request(f"http://{other}/503", None)
        await until(lambda: flow.stats().delayed)
        flow.close()
    assert b"seen\tyes" in Journal(path).cookies()[""]


async def test_cookies_of_an_answer_that_asks_for_a_login_are_kept(web: Web, path: Path):
    async def renew() -> str:
        flow.is_there = True
        await asyncio.Event().wait()
        return ""

    async with listening() as other, Flow(web, path, auth=BearerAuth("old", renew=renew)) as flow:
        flow.add_request(f"http://{other}/401", None)
        await until(lambda: flow.is_there)
        flow.close()
    assert b"seen\tyes" in Journal(path).cookies()[""]


async def test_a_message_that_sets_the_state_alone_is_a_commit(web: Web, path: Path):
    class Hearing(Flow):
        def heard(self, message):
            self.state["heard"] = message.data

    async with listening() as other, Hearing(web, path) as flow:
        flow.add_request(f"ws://{other}/socket", flow.heard)
        await until(lambda: rows_of(path, "SELECT state FROM shards") == [('{"heard":"1"}',)])
        flow.close()


async def test_params_of_the_stream_are_in_no_row(web: Web, path: Path):
    class Paged(Flow):
        def read(self, response, page):
            self.urls += rows_of(path, "SELECT url FROM chains")
            if page < 2:  # by the URL alone; the request that was made of it; with a header
                url = f"{self.web.http}/echo/{page}"
                return Next(url, self.read, data={"page": page + 1})
            if page < 4:
                return Next(response.request, self.read, data={"page": page + 1})
            return None

        def bare(self, response):
            self.urls += rows_of(path, "SELECT url FROM chains")
            self.count += 1
            return (f"{self.web.http}/echo/{self.count}", self.bare) if self.count < 4 else None

    async with Paged(web, path, params={"token": "sesame"}) as flow:
        flow.urls, flow.count = [], 0
        await flow.add_request(Next(f"{web.http}/echo", flow.read, data={"page": 0}))
        await flow.add_request(f"{web.http}/echo", flow.bare)
    assert len(flow.urls) == 9
    assert not [url for (url,) in flow.urls if "sesame" in url]


async def test_a_flow_that_was_refused_is_refused_again(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Changing(Flow):
        def gone(self, response):
            """Is not there in the second run."""

    async with Changing(web, path) as flow:
        flow.add_request(f"{web.http}/echo", flow.gone, delay=3600)
        flow.close()
    del Changing.gone
    async with Changing(web, path) as flow:
        for _ in range(2):
            with pytest.raises(JournalError, match="gone"):
                flow.launch()
        assert flow.stats().requests == 0
        flow.close()


async def test_two_messages_in_one_turn_clear_the_time_of_a_row(web: Web, path: Path):
    async with Flow(web, path) as flow:
        chain = flow.add_request(f"{web.http}/hold/moved", None)
        keeper = flow._journal
        keeper.flush()
        record = keeper._records[chain]
        keeper._move(record, 4711.0, 60.0, 1)
        keeper._soon()
        keeper.flush()
        for _ in range(2):
            keeper._move(record, None, None, 0)
        keeper._soon()
        keeper.flush()
        assert rows_of(path, "SELECT due, delay, tries FROM chains") == [(None, None, 0)]
        flow.close()


async def test_an_interrupt_leaves_the_links_of_other_readers(web: Web, path: Path):
    fed: list[int] = []

    def feed(chain: Any, below: Any, links: int) -> None:
        fed.append(links)
        if links == 1:
            raise KeyboardInterrupt

    async with Flow(web, path) as flow:
        chain, keeper = flow.add_request(f"{web.http}/echo", None), flow._journal
        keeper._feed = feed
        keeper._sources = [(chain, None, number) for number in (1, 2)]
        with pytest.raises(KeyboardInterrupt):
            keeper._release()
        await until(lambda: fed == [1, 2])


async def test_arguments_that_change_inside_are_in_the_row_of_the_next_link(web: Web, path: Path):
    class Growing(Flow):
        def read(self, seen, response):
            seen.append(len(seen))
            if len(seen) < 4:
                return response.request, self.reader  # the same one, of which a row says all
            return Next(f"{self.web.http}/echo", self.reader, 3600)

    async with Growing(web, path) as flow:
        flow.reader = functools.partial(flow.read, [])
        flow.add_request(f"{web.http}/echo", flow.reader)
        rows: list[Any] = []
        while not flow.stats().delayed:
            rows += rows_of(path, "SELECT args FROM chains")
            await asyncio.sleep(0)
        flow.close()
    assert [f'[["",[{seen}],{{}}]]' for seen in ("[]", "[0]", "[0,1]", "[0,1,2]")] == [
        args for (args,) in dict.fromkeys(rows)
    ]


async def test_a_priority_that_no_row_takes_is_refused_at_once(web: Web, path: Path):
    async with Flow(web, path) as flow:
        with pytest.raises(LinkError, match="priority 1180591620717411303424 cannot be kept"):
            flow.add_request(f"{web.http}/echo", None, priority=2**70)


async def test_a_file_that_is_removed_meanwhile_is_told_at_the_end(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Removing(Flow):
        def begin(self):
            return f"{self.web.http}/echo", self.read

        def read(self, response):
            path.unlink()

    with pytest.raises(JournalError, match="was removed, moved or replaced"):
        await Removing(web, path).serve()


async def test_an_error_of_the_journal_is_nobody_elses(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Failing(Flow):
        def begin(self):
            return f"{self.web.http}/echo", self.read

        def read(self, response):
            self.state["bad"] = object()
            return f"{self.web.http}/echo", self.read

    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    with pytest.raises(JournalError, match="state holds what cannot be kept"):
        await Failing(web, path).serve()
    gc.collect()
    assert told == []
