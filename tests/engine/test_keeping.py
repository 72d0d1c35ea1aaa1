"""A flow with a journal goes on where it was stopped, and has each result once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers.web import Web
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler
from waiting import until

from webqq_tornado import Gather, HTTPStream, LinkError, Next, Request
from webqq_tornado.engine import keeping
from webqq_tornado.flows import Export
from webqq_tornado.journal import Journal, JournalError
from webqq_tornado.journal.codec import unpack_item


class Flow(HTTPStream):
    """What its readers have seen is in `seen`, whatever becomes of it."""

    def __init__(self, web: Web, journal: Path | Journal, **options: Any) -> None:
        super().__init__(journal=journal, **options)
        self.web = web
        self.seen: list[str] = []

    def see(self, response: Any) -> None:
        self.seen.append(response.url.removeprefix(self.web.http))


def results_of(journal: Path) -> list[Any]:
    return [unpack_item(text) for _, text in Journal(journal).results(limit=100_000)]


def change(path: Path, statement: str) -> None:
    with Journal(path) as journal:
        journal.db.execute(statement)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flow.db"


async def stop_when_held(flow: HTTPStream, web: Web, key: str) -> None:
    """Run the flow until the server holds a request, then close it."""
    flow.launch()
    async with HTTPStream() as other:
        await other.get(f"{web.http}/arrived/{key}")
        flow.close()
        await other.get(f"{web.http}/release/{key}")


# -- going on -----------------------------------------------------------------------------------


class Steps(Flow):
    """Three links, of which the second may be held."""

    def begin(self):
        yield f"{self.web.http}/echo/first", self.first

    def first(self, response):
        self.see(response)
        self.emit("first")
        return f"{self.web.http}/hold/steps", self.second

    def second(self, response):
        self.see(response)
        self.emit("second")
        return f"{self.web.http}/echo/third", self.third

    def third(self, response):
        self.see(response)
        self.emit("third")


async def test_a_chain_goes_on_with_the_link_that_was_in_flight(web: Web, path: Path):
    await stop_when_held(Steps(web, path), web, "steps")
    assert results_of(path) == ["first"]
    async with HTTPStream() as other:
        again = Steps(web, path)
        ended = asyncio.ensure_future(again.serve(strict=True))
        await other.get(f"{web.http}/arrived/steps")
        await other.get(f"{web.http}/release/steps")
        await ended
    assert again.seen == ["/hold/steps", "/echo/third"]
    assert results_of(path) == ["first", "second", "third"]


class Hundred(Flow):
    """So many links that not all are begun at once."""

    given = 0

    def begin(self):
        for number in range(100):
            self.given = number
            yield f"{self.web.http}/echo/{number}", self.read

    def read(self, response):
        self.emit(int(response.url.rpartition("/")[2]))


async def test_while_another_program_writes_chains_wait_and_the_loop_goes_on(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeping, "_LONG", 0.0)
    flow = Hundred(web, Journal(path, sync="normal"), max_clients=50)
    tries: list[int | None] = []
    commit = flow.journal.commit_if_free
    monkeypatch.setattr(
        flow.journal, "commit_if_free", lambda *of: tries.append(commit(*of)) or tries[-1]
    )
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ended = asyncio.ensure_future(flow.serve(strict=True))
    await until(lambda: len(tries) > 5)  # other timers run between two tries
    assert (flow.stats().requests, set(tries)) == (0, {None})
    assert flow.given < 99
    other.execute("ROLLBACK")
    await ended
    other.close()
    assert sorted(results_of(path)) == list(range(100))
    assert caplog.text.count(f"{path}: another program writes to it") == 1


async def test_a_flow_that_has_ended_sends_nothing_more(web: Web, path: Path):
    for _ in range(2):
        flow = Numbers(web, path)
        stats = await flow.serve(strict=True)
    assert stats.requests == 0
    assert Journal(path).summary().finished is not None
    assert sorted(results_of(path)) == list(range(5))


class Numbers(Flow):
    """Five links of `begin`."""

    count = 5

    def begin(self):
        for number in range(self.count):
            yield f"{self.web.http}/echo/{number}", functools.partial(self.read, number)

    def read(self, number, response):
        self.see(response)
        self.emit(number)


async def test_begin_goes_on_behind_the_links_that_were_begun(web: Web, path: Path):
    await Numbers(web, path).serve(strict=True)
    change(path, "UPDATE shards SET is_begun_all = 0")
    flow = Numbers(web, path)
    flow.count = 8
    await flow.serve(strict=True)
    assert sorted(flow.seen) == ["/echo/5", "/echo/6", "/echo/7"]
    assert sorted(results_of(path)) == list(range(8))


class Endless(Flow):
    """A source without an end."""

    last: int | None = 40

    def begin(self):
        for number in itertools.count():
            yield f"{self.web.http}/echo/{number}", functools.partial(self.read, number)

    def read(self, number, response):
        self.see(response)
        self.emit(number)
        if number == self.last:
            self.close()


async def test_begin_may_have_no_end(web: Web, path: Path):
    flow = Endless(web, path, max_clients=2)
    flow.launch()
    await until(lambda: flow._closed)
    assert len(flow.seen) < 50
    again = Endless(web, path, max_clients=2)
    again.last = None
    again.launch()
    await until(lambda: len(again.seen) > 20)
    again.close()
    results = results_of(path)
    assert len(results) == len(set(results))
    assert set(range(40)) <= set(results)


async def test_begin_emits_once_whatever_is_skipped(web: Web, path: Path):
    class Talking(Numbers):
        def begin(self):
            for number, link in enumerate(super().begin()):
                self.emit(f"begin {number}")
                yield link
            self.emit("end")

    for _ in range(2):
        await Talking(web, path).serve(strict=True)
    spoken = [one for one in results_of(path) if isinstance(one, str)]
    assert sorted(spoken) == [*(f"begin {n}" for n in range(5)), "end"]


@pytest.mark.parametrize("kind", ["async def", "generator", "list", "one", "none"])
async def test_begin_may_be_of_any_form(web: Web, path: Path, kind: str):
    class AnyForm(Flow):
        def begin(self):
            link = (f"{web.http}/echo/1", self.read)
            forms = {"list": [link, link], "one": link, "none": None}
            if kind == "async def":
                return self.later(link)
            return self.several(link) if kind == "generator" else forms[kind]

        async def later(self, link):
            return [link, link]

        async def several(self, link):
            yield link
            yield link

        def read(self, response):
            self.emit(1)

    for _ in range(2):
        await AnyForm(web, path).serve(strict=True)
    assert len(results_of(path)) == {"one": 1, "none": 0}.get(kind, 2)


# -- what a reader leads to is one -----------------------------------------------------------------


class Failing(Flow):
    """A reader that emits, gives links, sets state, and raises."""

    is_mended = False

    def begin(self):
        yield f"{self.web.http}/echo/page", self.page

    def page(self, response):
        self.emit("page")
        self.state["pages"] = 1
        yield f"{self.web.http}/echo/below", self.below
        yield f"{self.web.http}/echo/below", self.below
        if not self.is_mended:
            raise ValueError("on purpose")

    def below(self, response):
        self.see(response)
        self.emit("below")


async def test_a_reader_that_raises_leaves_nothing_but_a_dead_letter(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    flow = Failing(web, path)
    await flow.serve()
    assert (flow.seen, results_of(path)) == ([], [])
    (failed,) = Journal(path).chains(failed=True)
    assert failed.error == "ValueError: on purpose"
    assert "raise ValueError" in str(failed.trace)
    assert failed.url == f"{web.http}/echo/page"
    caplog.clear()


async def test_a_plain_reader_that_raises_takes_back_state(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Plain(Flow):
        def begin(self):
            yield f"{self.web.http}/echo", self.good
            yield f"{self.web.http}/echo", self.bad

        def good(self, response):
            self.state["good"] = 1

        def bad(self, response):
            self.state["bad"] = 1
            self.state.update(good=2)
            raise ValueError("on purpose")

    await Plain(web, path).serve()
    again = Plain(web, path)
    state = dict(again.state)
    again.close()
    assert state == {"good": 1}
    caplog.clear()


async def test_what_has_failed_is_retried(web: Web, path: Path, caplog: pytest.LogCaptureFixture):
    await Failing(web, path).serve()
    caplog.clear()
    journal = Journal(path)
    assert journal.retry(journal.ids_of([])) == 1
    journal.close()
    flow = Failing(web, path)
    flow.is_mended = True
    await flow.serve(strict=True)
    assert flow.seen == ["/echo/below", "/echo/below"]
    assert results_of(path) == ["page", "below", "below"]
    assert Journal(path).summary().failed == 0


async def test_what_has_failed_is_retried_while_the_flow_runs(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    async with Failing(web, path) as flow:
        flow.launch()
        await flow.drain()
        flow.is_mended = True
        assert flow.retry_failed() == 1
        await flow.drain()
        assert flow.seen == ["/echo/below", "/echo/below"]
    caplog.clear()


async def test_an_errback_goes_on_from_what_was_taken_back(web: Web, path: Path):
    class Mending(Flow):
        def begin(self):
            yield Next(f"{self.web.http}/echo", self.bad, errback=self.mend)

        def bad(self, response):
            self.emit("bad")
            raise ValueError("on purpose")

        def mend(self, error):
            self.emit("mended")
            return f"{self.web.http}/echo", self.good

        def good(self, response):
            self.emit("good")

    await Mending(web, path).serve(strict=True)
    assert results_of(path) == ["mended", "good"]


class Many(Flow):
    """More links and results of one reader than wait in memory."""

    count = 25

    def begin(self):
        yield f"{self.web.http}/echo", self.page

    def page(self, response):
        for number in range(self.count):
            self.emit({"page": number})
            yield Next(
                f"{self.web.http}/echo/{number}",
                self.read,
                data={"number": number},
                key=str(number % 20),
            )

    def read(self, response, number):
        self.emit({"read": number})


async def test_a_reader_may_have_more_links_and_results_than_fit_in_memory(
    web: Web, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("webqq_tornado.engine.keeping.Keeper.at_once", 4)
    flow = Many(web, path, max_clients=2)
    await flow.serve(strict=True)
    results = results_of(path)
    assert [one["page"] for one in results if "page" in one] == list(range(25))
    assert sorted(one["read"] for one in results if "read" in one) == list(range(20))
    assert Journal(path).summary().done == 21


async def test_async_readers_and_sources_are_kept_as_well(web: Web, path: Path):
    class Async(Flow):
        def begin(self):
            yield f"{self.web.http}/echo", self.page

        async def page(self, response):
            self.emit("page")
            await self.fetch(f"{self.web.http}/echo/awaited")
            self.emit("awaited")
            return f"{self.web.http}/echo", self.several

        async def several(self, response):
            for number in range(3):
                self.emit(number)
                await asyncio.sleep(0)
                yield f"{self.web.http}/echo", self.last

        def last(self, response):
            self.emit("last")

    await Async(web, path).serve(strict=True)
    assert results_of(path) == ["page", "awaited", 0, 1, 2, "last", "last", "last"]
    assert Journal(path).summary().steps == 5


async def test_a_gather_is_redone_as_a_whole(web: Web, path: Path):
    class Gathering(Flow):
        def begin(self):
            yield f"{self.web.http}/echo/begun", self.page

        def page(self, response):
            self.emit("page")
            base = self.web.http
            return Gather([(f"{base}/echo/a", self.part), f"{base}/hold/gather"], self.join)

        def part(self, response):
            self.see(response)
            self.emit("part")

        def join(self, responses):
            self.emit(len(responses))

    await stop_when_held(Gathering(web, path), web, "gather")
    assert results_of(path) == []
    async with HTTPStream() as other:
        again = Gathering(web, path)
        ended = asyncio.ensure_future(again.serve(strict=True))
        await other.get(f"{web.http}/arrived/gather")
        await other.get(f"{web.http}/release/gather")
        await ended
    assert again.seen == ["/echo/a"]
    assert results_of(path) == ["page", "part", 2]


async def test_who_awaits_a_chain_is_told_when_its_end_is_in_the_file(web: Web, path: Path):
    async with Orders(web, path) as flow:
        await flow.add_request(f"{web.http}/echo", flow.done)
        assert results_of(path) == ["order"]


# -- what is kept of a link ------------------------------------------------------------------------


class Patient(Flow):
    """A delay of an hour."""

    def begin(self):
        yield f"{self.web.http}/echo", self.read, 3600

    def read(self, response):
        self.emit("read")


async def test_a_delay_goes_on_where_it_was(web: Web, path: Path):
    flow = Patient(web, path)
    flow.launch()
    await until(lambda: flow.stats().delayed)
    flow.close()
    (row,) = Journal(path).chains()
    assert row.due is not None
    change(path, "UPDATE chains SET due = due - 3600")
    await Patient(web, path).serve(strict=True)
    assert results_of(path) == ["read"]


async def test_a_clock_that_was_set_back_makes_no_delay_longer(web: Web, path: Path):
    flow = Patient(web, path)
    flow.launch()
    await until(lambda: flow.stats().delayed)
    flow.close()
    change(path, "UPDATE chains SET due = due + 1e9, delay = 0.01")
    await Patient(web, path).serve(strict=True)
    assert results_of(path) == ["read"]


async def test_cookies_last_with_the_link_that_they_belong_to(web: Web, path: Path):
    class Login(Flow):
        def begin(self):
            for name in ("ann", ""):
                url = f"{self.web.http}/set-cookie?line=who%3D{name or 'own'}"
                session = self.session(name) if name else None
                yield Next(url, self.page, session=session)

        def page(self, response):
            return f"{self.web.http}/echo", self.read, 3600

        def read(self, response):
            headers = dict(map(tuple, response.json()["headers"]))
            self.emit(headers["Cookie"])

    flow = Login(web, path)
    flow.launch()
    await until(lambda: flow.stats().delayed == 2)
    flow.close()
    change(path, "UPDATE chains SET due = 0")
    await Login(web, path).serve(strict=True)
    assert sorted(results_of(path)) == ["who=ann", "who=own"]


async def test_all_that_a_request_says_comes_back(web: Web, path: Path, tmp_path: Path):
    upload = tmp_path / "upload.txt"
    upload.write_text("from a file")

    class Saying(Flow):
        def begin(self):
            base = self.web.http
            headers = {"X-Own": "value"}
            yield Request(f"{base}/echo", "PUT", headers, b"\0bytes"), self.read, 3600
            yield Request(f"{base}/form", form={"a": "1"}, files={"b": upload}), self.read, 3600
            yield Request(f"{base}/bytes/10", sink=tmp_path / "sunk"), self.saved, 3600
            yield Request(f"{base}/bytes/9", on_progress=self.progress), self.saved, 3600

        def progress(self, progress):
            self.seen.append("progress")

        def read(self, response):
            found = response.json()
            self.emit(found.get("body") or found["files"][0][3])

        def saved(self, response):
            self.emit(response.status)

    flow = Saying(web, path)
    flow.launch()
    await until(lambda: flow.stats().delayed == 4)
    flow.close()
    change(path, "UPDATE chains SET due = 0")
    again = Saying(web, path)
    await again.serve(strict=True)
    assert sorted(map(str, results_of(path))) == ["\0bytes", "200", "200", "from a file"]
    assert (tmp_path / "sunk").read_bytes() == b"0123456789"
    assert again.seen


async def test_what_a_session_adds_to_each_request_is_not_in_the_file(web: Web, path: Path):
    class Secret(Steps):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, headers={"Authorization": "Bearer sesame"})

    await stop_when_held(Secret(web, path), web, "steps")
    whole = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert b"sesame" not in whole
    assert path.stat().st_mode & 0o777 == 0o600


class Posting(Flow):
    """Two POSTs, the second of which is what the first reader got, sent on."""

    def begin(self):
        yield Request(f"{self.web.http}/echo", "POST", body=b"1"), self.page

    def page(self, response):
        self.emit(key_of(response))
        return response.request, self.last

    def last(self, response):
        self.emit(key_of(response))


def key_of(response: Any) -> str | None:
    headers = dict(map(tuple, response.json()["headers"]))
    return headers.get("Idempotency-Key")


async def test_each_post_has_a_key_of_its_own(web: Web, path: Path):
    await Posting(web, path).serve(strict=True)
    first, second = results_of(path)
    assert first
    assert second
    assert first != second


async def test_a_post_that_is_sent_again_has_the_same_key(web: Web, path: Path):
    class Delayed(Posting):
        def begin(self):
            yield Request(f"{self.web.http}/echo", "POST", body=b"1"), self.page, 3600

    keys = []
    for _ in range(2):  # at the same step of the same flow
        flow = Delayed(web, path)
        flow.launch()
        await until(lambda flow=flow: flow.stats().delayed)
        requests = [chain.request for chain in flow.chains if chain.request]
        keys += [dict(request.header_pairs)["Idempotency-Key"] for request in requests]
        flow.close()
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_key_of_the_users_own_is_left_alone_and_none_is_added_if_not_wanted(
    web: Web, path: Path, tmp_path: Path
):
    class Own(Posting):
        def begin(self):
            headers = {"Idempotency-Key": "mine"}
            yield Request(f"{self.web.http}/echo", "POST", headers, b"1"), self.page

    await Own(web, path).serve(strict=True)
    assert results_of(path) == ["mine", "mine"]
    other = tmp_path / "other.db"
    await Posting(web, other, idempotency_header=None).serve(strict=True)
    assert results_of(other) == [None, None]


async def test_a_retry_that_is_put_off_lasts_with_its_tries(web: Web, path: Path):
    def retry(attempt: Any) -> float | None:
        return 3600 if attempt.number < 2 else None

    class Retried(Flow):
        def begin(self):
            yield f"{self.web.http}/status/503", self.read

        def read(self, response):
            self.emit([response.status, len(response.retried)])

    flow = Retried(web, path, retry=_retrying(retry))
    flow.launch()
    await until(lambda: flow.stats().delayed)
    flow.close()
    change(path, "UPDATE chains SET due = 0")
    await Retried(web, path, retry=_retrying(retry)).serve(strict=True)
    assert [status for status, _ in results_of(path)] == [503]


def _retrying(function: Any) -> Any:
    return lambda attempt: function(attempt) if attempt.outcome.status == 503 else None


# -- keys ------------------------------------------------------------------------------------------


class Keyed(Flow):
    """Links with keys that come more than once."""

    def begin(self):
        for number in range(6):
            yield Next(f"{self.web.http}/echo/{number}", self.read, key=str(number % 3))

    def read(self, response):
        self.see(response)
        return Next(f"{self.web.http}/echo/again", self.read, key="0")


async def test_a_key_is_followed_once(web: Web, path: Path):
    flow = Keyed(web, path)
    await flow.serve(strict=True)
    assert sorted(flow.seen) == ["/echo/0", "/echo/1", "/echo/2"]


async def test_a_key_is_followed_once_without_a_journal(web: Web):
    flow = Keyed(web, None)  # type: ignore[arg-type]
    await flow.serve(strict=True)
    assert sorted(flow.seen) == ["/echo/0", "/echo/1", "/echo/2"]


class Orders(Flow):
    """Chains of `add_request`."""

    def done(self, response):
        self.see(response)
        self.emit("order")


async def test_to_start_a_chain_with_a_key_twice_is_to_start_it_once(web: Web, path: Path):
    for _ in range(2):
        async with Orders(web, path) as flow:
            for _ in range(2):
                chain = flow.add_request(f"{web.http}/echo", flow.done, key="order-17")
                await chain
                assert chain.done
    assert results_of(path) == ["order"]


async def test_a_chain_with_a_key_that_waits_in_the_file_is_awaited(web: Web, path: Path):
    flow = Orders(web, path)
    flow.add_request(f"{web.http}/echo", flow.done, key="order-17", delay=3600)
    await until(lambda: flow.stats().delayed)
    flow.close()
    change(path, "UPDATE chains SET due = 0")
    async with Orders(web, path) as again:
        response = await again.add_request(f"{web.http}/echo", again.done, key="order-17")
        assert response is not None
    assert results_of(path) == ["order"]


# -- what cannot be kept ---------------------------------------------------------------------------


class Refused(Flow):
    """A link that cannot be kept, whatever it is."""

    link: Any = None

    def begin(self):
        yield f"{self.web.http}/echo", self.page

    def page(self, response):
        return self.link

    def read(self, response, **data):
        self.see(response)


class Other:
    def read(self, response):
        """A method of another object."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda flow, url: (url, lambda response: None), r"the reader .*<lambda> \(.*py:\d+\)"),
        (lambda flow, url: (url, Other().read), r"the reader Other.read \(.*cannot be found again"),
        (
            lambda flow, url: Next(url, flow.read, errback=lambda error: None),
            "the errback .*lambda",
        ),
        (
            lambda flow, url: (url, functools.partial(flow.read, flow)),
            "argument 1 of the reader Re",
        ),
        (
            lambda flow, url: Next(url, flow.read, data={"a": object()}),
            r"data\['a'\] .*Refused.read",
        ),
        (
            lambda flow, url: (Request(url, prepare_curl=lambda curl: None), flow.read),
            "argument prepare_curl of GET",
        ),
        (lambda flow, url: (Request(url, sink=sys.stderr.buffer), flow.read), "argument sink of"),
        (
            lambda flow, url: (Request(url, "POST", body=iter([b"a"])), flow.read),
            "argument body of POST",
        ),
        (
            lambda flow, url: Next(url, flow.read, session=HTTPStream().session("alien")),
            "session 'alien' cannot be kept",
        ),
    ],
)
async def test_what_cannot_be_kept_is_refused_before_anything_is_sent(
    web: Web, path: Path, make: Any, said: str, caplog: pytest.LogCaptureFixture
):
    flow = Refused(web, path)
    flow.link = make(flow, f"{web.http}/echo/refused")
    with pytest.raises(LinkError, match=said):
        await flow.serve(strict=True)
    assert (flow.stats().requests, flow.seen) == (1, [])
    assert Journal(path).summary().failed == 1
    caplog.clear()


async def test_add_request_refuses_what_cannot_be_kept(web: Web, path: Path):
    async with Flow(web, path) as flow:
        with pytest.raises(LinkError, match="make it a method of Flow"):
            flow.add_request(f"{web.http}/echo", lambda response: None)
        with pytest.raises(LinkError, match="give it to the stream"):
            flow.add_request(f"{web.http}/echo", flow.see, retry=_retrying(print))
        assert not flow.chains


async def test_begin_refuses_what_cannot_be_kept(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Gathering(Flow):
        def begin(self):
            return Gather([f"{self.web.http}/echo"])

    class Lambda(Flow):
        def begin(self):
            yield f"{self.web.http}/echo", lambda response: None
            yield f"{self.web.http}/echo", self.see

    with pytest.raises(LinkError, match="begin with a link whose reader gathers"):
        await Gathering(web, path).serve(strict=True)
    with pytest.raises(LinkError, match="cannot be found again"):
        await Lambda(web, path.with_name("other.db")).serve(strict=True)
    caplog.clear()


# -- the code has changed --------------------------------------------------------------------------


def waiting_flow(name: str, parameters: str = "self, response") -> type[Flow]:
    """A class `Changing` whose reader has this name and these parameters."""
    space: dict[str, Any] = {}
    code = f"def {name}({parameters}): self.emit('read')\n"
    exec(code, space)
    reader = space[name]
    reader.__qualname__ = f"Changing.{name}"

    def begin(self: Any) -> Any:
        data = {"page": 1} if "page" in parameters else None
        yield Next(f"{self.web.http}/echo", getattr(self, name), 3600, data=data)

    return type("Changing", (Flow,), {"begin": begin, name: reader, "__qualname__": "Changing"})


async def put_off(kind: type[Flow], web: Web, path: Path) -> None:
    flow = kind(web, path)
    flow.launch()
    await until(lambda: flow.stats().delayed)
    flow.close()
    change(path, "UPDATE chains SET due = 0")


async def test_a_reader_that_is_gone_is_told_before_anything_is_sent(web: Web, path: Path):
    await put_off(waiting_flow("page_two"), web, path)
    changed = waiting_flow("page")(web, path)
    with pytest.raises(JournalError, match=r"1 chain waits for Changing.page_two, .* renamed = "):
        await changed.serve()
    assert changed.stats().requests == 0


async def test_a_reader_that_is_renamed_goes_on(web: Web, path: Path):
    await put_off(waiting_flow("page_two"), web, path)
    kind = waiting_flow("page")
    kind.renamed = {"page_two": "page"}
    await kind(web, path).serve(strict=True)
    assert results_of(path) == ["read"]


async def test_a_reader_with_other_arguments_is_told(web: Web, path: Path):
    await put_off(waiting_flow("page", "self, response, page"), web, path)
    changed = waiting_flow("page", "self, response, number")(web, path)
    with pytest.raises(JournalError, match="takes other arguments now"):
        await changed.serve()
    assert changed.stats().requests == 0


async def test_a_journal_of_another_class_is_refused(web: Web, path: Path):
    await Numbers(web, path).serve(strict=True)
    with pytest.raises(JournalError, match=r"journal of .*Numbers, not of .*Steps"):
        Steps(web, path)


# -- one at a time ---------------------------------------------------------------------------------


async def test_a_second_flow_on_a_journal_is_refused(web: Web, path: Path):
    async with Flow(web, path), HTTPStream():
        with pytest.raises(JournalError, match=f"process {os.getpid()} runs on it"):
            Flow(web, path)
        code = "import sys; from webqq_tornado import HTTPStream; HTTPStream(journal=sys.argv[1])"
        process = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code, path], capture_output=True, text=True
        )
        assert f"process {os.getpid()} runs on it: wait for its end, or stop it" in process.stderr


# -- ends ------------------------------------------------------------------------------------------


async def test_cancelled_chains_are_gone_and_those_of_a_stream_that_is_closed_stay(
    web: Web, path: Path
):
    flow = Orders(web, path)
    one = flow.add_request(f"{web.http}/echo", flow.done, delay=3600, name="one")
    flow.add_request(f"{web.http}/echo", flow.done, delay=3600, name="two")
    await until(lambda: flow.stats().delayed == 2)
    one.cancel()
    flow.close()
    assert [chain.name for chain in Journal(path).chains()] == ["two"]
    assert Journal(path).summary().cancelled == 1


async def test_a_reader_whose_task_is_cancelled_by_others_goes_on_in_the_next_run(
    web: Web, path: Path
):
    class Slow(Flow):
        def begin(self):
            yield f"{self.web.http}/echo", self.page

        async def page(self, response):
            self.see(response)
            await asyncio.Event().wait()

    flow = Slow(web, path)
    flow.launch()
    await until(lambda: flow.seen)
    (chain,) = (one for one in flow.chains if one._task)
    chain._task.cancel()
    await until(lambda: chain.done)
    flow.close()
    assert Journal(path).summary().ready == 1


async def test_a_session_that_is_closed_takes_its_chains_and_cookies_with_it(web: Web, path: Path):
    flow = Orders(web, path)
    ann = flow.session("ann")
    await flow.fetch(f"{web.http}/set-cookie?line=a%3D1", session=ann)
    flow.add_request(f"{web.http}/echo", flow.done, session=ann, delay=3600)
    await until(lambda: flow.stats().delayed)
    assert ann.cookiejar.get("a") == "1"
    ann.close()
    flow.close()
    journal = Journal(path)
    assert (journal.summary().ready, journal.cookies()) == (0, {})


def test_ctrl_c_leaves_the_chain_for_the_next_run(web: Web, path: Path):
    class Interrupted(Flow):
        def begin(self):
            yield f"{self.web.http}/echo", self.page

        def page(self, response):
            self.emit("lost")
            raise KeyboardInterrupt

    flow = Interrupted(web, path, ioloop=IOLoop(make_current=False))
    with pytest.raises(KeyboardInterrupt):
        flow.run()
    assert Journal(path).summary().ready == 1
    assert results_of(path) == []
    flow.ioloop.close()


# -- what cannot be written ------------------------------------------------------------------------


async def test_a_commit_that_fails_sends_nothing_and_ends_the_flow(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Filling(Flow):
        def begin(self):
            yield f"{self.web.http}/echo/first", self.page

        def page(self, response):
            db = self.journal.db
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count={pages}")
            self.emit("x" * 100_000)
            return f"{self.web.http}/echo/second", self.see

    flow = Filling(web, path)
    with pytest.raises(JournalError, match=r"disk is full.*make room on its disk"):
        await flow.serve()
    assert (flow.stats().requests, flow.seen) == (1, [])
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    caplog.clear()
    Filling.page = Flow.see  # type: ignore[assignment,method-assign]
    again = Filling(web, path)
    await again.serve(strict=True)
    assert again.seen == ["/echo/first"]


# -- results ---------------------------------------------------------------------------------------


async def test_results_are_handed_out_and_deleted(web: Web, path: Path):
    async with Numbers(web, path) as flow:
        flow.launch()
        assert sorted([item async for item in flow.items()]) == list(range(5))
    assert results_of(path) == []
    assert Journal(path).summary().results == 5


async def test_a_result_whose_reader_of_items_left_is_handed_out_again(web: Web, path: Path):
    async with Numbers(web, path, max_clients=1) as flow:
        flow.launch()
        async for item in flow.items():
            if item == 2:
                break
        await flow.drain()
    async with Numbers(web, path) as again:
        assert [item async for item in again.items()] == [2, 3, 4]


async def test_items_are_handed_out_without_a_journal_as_well(web: Web):
    async with Numbers(web, None) as flow:  # type: ignore[arg-type]
        flow.launch()
        assert sorted([item async for item in flow.items()]) == list(range(5))


async def test_functions_get_results_that_are_in_the_file(web: Web, path: Path):
    taken: list[Any] = []
    flow = Numbers(web, path)
    flow.take_items(lambda item: taken.append((item, len(results_of(path)))))
    await flow.serve(strict=True)
    assert sorted(item for item, _ in taken) == list(range(5))
    assert all(count for _, count in taken)


async def test_a_result_that_cannot_be_kept_is_the_readers_error(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Wrong(Flow):
        def begin(self):
            yield f"{self.web.http}/echo", self.page

        def page(self, response):
            self.emit({"response": response})

    with pytest.raises(TypeError, match="type Response cannot be kept"):
        await Wrong(web, path).serve(strict=True)
    caplog.clear()


# -- what users of other queues have met ---------------------------------------------------------


async def test_a_flow_that_is_closed_while_another_program_writes_goes_on_later(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    flow = Numbers(web, path)
    flow.journal.db.patience = 0.0  # of the last commit: it blocks the loop for so long
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    ended = asyncio.ensure_future(flow.serve())
    await until(lambda: flow._journal._locked_since)
    flow.close()
    with pytest.raises(JournalError, match="another program writes to it"):
        await ended
    assert flow.stats().requests == 0
    other.close()
    caplog.clear()
    await Numbers(web, path).serve(strict=True)
    assert sorted(results_of(path)) == list(range(5))


async def test_rows_that_cannot_be_read_stop_the_flow_and_none_is_passed_over(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    class Put(Numbers):
        count, delay = 9, 3600.0

        def begin(self):
            for url, read in super().begin():
                yield url, read, self.delay

    flow = Put(web, path)
    flow.launch()
    await until(lambda: flow.stats().delayed == 9)
    flow.close()
    change(path, "UPDATE chains SET due = NULL")
    monkeypatch.setattr("webqq_tornado.journal.sqlite_inspection._PAGE", 3)
    flow = Put(web, path, max_clients=1)
    flow._journal.resume()
    flow.journal.db.execute("ALTER TABLE chains RENAME TO away")
    with pytest.raises(JournalError, match="no such table"):
        await flow.serve()
    caplog.clear()
    database = sqlite3.connect(path)
    database.execute("ALTER TABLE away RENAME TO chains")
    database.close()
    await Put(web, path).serve(strict=True)
    assert sorted(results_of(path)) == list(range(9))


async def test_a_flow_that_does_nothing_says_why(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    await Numbers(web, path).serve(strict=True)
    with caplog.at_level(logging.INFO, "webqq_tornado.engine"):
        await Numbers(web, path).serve(strict=True)
    assert "complete, 5 results, 0 failed: another journal begins anew" in caplog.text


async def test_errors_and_names_may_have_any_characters(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Odd(Flow):
        def begin(self):
            yield Next(f"{self.web.http}/echo", self.page, name="half \ud800")
            yield Next(f"{self.web.http}/echo", self.page, name="nul \0 and \u4f60\u597d")

        def page(self, response):
            raise ValueError("half \udfff of a pair, and nul \0")

    await Odd(web, path).serve()
    errors = {chain.name: chain.error for chain in Journal(path).chains(failed=True)}
    assert set(errors.values()) == {"ValueError: half \\udfff of a pair, and nul \0"}
    assert len(errors) == 2
    caplog.clear()


async def test_what_waits_for_a_parent_in_the_same_process_is_told(web: Web, path: Path):
    class Parent(Flow):
        def begin(self):
            yield f"{self.web.http}/echo", self.page
            yield f"{self.web.http}/echo/other", self.leaf

        def page(self, response):
            return [(f"{self.web.http}/echo/{n}", self.leaf) for n in range(3)]

        def leaf(self, response):
            self.emit(1)

    async with Parent(web, path) as flow:
        await flow.launch()
        assert len(results_of(path)) == 4


class Counting(WebSocketHandler):
    """Sends 0, 1 and 2 to each that connects."""

    def open(self) -> None:
        for number in range(3):
            self.write_message(str(number))


async def test_a_websocket_connects_again_and_its_results_are_kept_by_message(path: Path):
    class Talking(HTTPStream):
        url = ""

        def begin(self):
            yield self.url, self.heard

        def heard(self, message):
            self.emit(message.data)

    socket, port = bind_unused_port()
    server = HTTPServer(Application([("/", Counting)]))
    server.add_socket(socket)
    Talking.url = f"ws://127.0.0.1:{port}/"
    for run in (1, 2):
        async with Talking(journal=path) as flow:
            flow.launch()
            await until(lambda run=run: len(results_of(path)) == 3 * run)
            flow.close()
    assert results_of(path) == ["0", "1", "2"] * 2
    assert Journal(path).summary().ready == 1
    server.stop()
    await server.close_all_connections()


@pytest.mark.parametrize("at_once", [3, 1000])
async def test_a_chain_that_is_cancelled_takes_those_below_it_that_wait_in_the_file(
    web: Web, path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
):
    class Held(Flow):
        def start(self):
            return self.add_request(f"{self.web.http}/echo", self.page)

        def page(self, response):
            for number in range(20):
                yield f"{self.web.http}/hold/below-{number}", self.see

    monkeypatch.setattr("webqq_tornado.engine.keeping.Keeper.at_once", at_once)
    async with Held(web, path, max_clients=2, grace=0) as flow:
        chain = flow.start()
        await until(lambda: Journal(path).summary().ready == 20 and flow.stats().in_flight == 2)
        chain.cancel()
        await flow.drain()
        summary = Journal(path).summary()
    assert (summary.ready, summary.cancelled) == (0, 20)


async def test_a_flow_may_change_its_folder(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    class Moving(Numbers):
        def read(self, number, response):
            os.chdir(tmp_path / "elsewhere")
            super().read(number, response)

    flow = Moving(web, Path("flow.db"))
    with Export(flow.journal, "items.jsonl") as file:
        flow.launch()
        await flow.drain()
        file.drain()
    flow.close()
    assert flow.journal.summary().results == 5
    assert len((tmp_path / "items.jsonl").read_text().splitlines()) == 5
    assert not list((tmp_path / "elsewhere").iterdir())


async def test_a_cache_and_a_journal_go_together(web: Web, path: Path, tmp_path: Path):
    for _ in range(2):
        await Numbers(web, path, cache=tmp_path / "cache.db").serve(strict=True)
    assert sorted(results_of(path)) == list(range(5))


async def test_a_deadline_is_absolute(web: Web, path: Path, caplog: pytest.LogCaptureFixture):
    flow = Orders(web, path)
    flow.add_request(f"{web.http}/echo", flow.done, delay=3600, deadline=7200, name="late")
    await until(lambda: flow.stats().delayed)
    flow.close()
    change(path, "UPDATE chains SET deadline = deadline - 7201")
    async with Orders(web, path) as again:
        await again.drain()
    (failed,) = Journal(path).chains(failed=True)
    assert (failed.name, str(failed.error).partition(":")[0]) == ("late", "DeadlineError")
    caplog.clear()


async def test_a_chain_that_waits_is_known_by_its_name_in_the_next_run(web: Web, path: Path):
    flow = Orders(web, path)
    flow.add_request(f"{web.http}/echo", flow.done, delay=3600, name="ann", priority=3)
    flow.add_request(f"{web.http}/echo", flow.done, delay=3600)
    await until(lambda: flow.stats().delayed == 2)
    flow.close()
    again = Orders(web, path)
    again._journal.resume()
    await until(lambda: again.stats().delayed == 2)
    names = {chain.name: chain._priority for chain in again.chains if chain.number}
    assert names == {"ann": 3, "chain-2": 0}
    again.close()


async def test_redirects_keep_the_cookies_that_they_set(web: Web, path: Path):
    class Redirected(Flow):
        def begin(self):
            url = f"{self.web.http}/redirect?to=/set-cookie%3Fline%3Da%253D1"
            yield url, self.page

        def page(self, response):
            return f"{self.web.http}/echo", self.read, 3600

        def read(self, response):
            self.emit(dict(map(tuple, response.json()["headers"])).get("Cookie"))

    flow = Redirected(web, path)
    flow.launch()
    await until(lambda: flow.stats().delayed)
    flow.close()
    change(path, "UPDATE chains SET due = 0")
    await Redirected(web, path).serve(strict=True)
    assert results_of(path) == ["a=1"]


def test_start_and_stop_go_with_a_journal_as_well(web: Web, path: Path):
    loop = IOLoop(make_current=False)
    flow = Orders(web, path, ioloop=loop)
    flow.add_request(f"{web.http}/echo", flow.done)
    flow.start()
    flow.close()
    loop.close()
    assert results_of(path) == ["order"]
    assert Journal(path).summary().finished is not None


@pytest.mark.slow
async def test_a_disk_that_is_full_at_any_commit_loses_nothing(
    web: Web, path: Path, caplog: pytest.LogCaptureFixture
):
    class Growing(Flow):
        pages = 0

        def begin(self):
            self.limit()
            for number in range(30):
                yield f"{self.web.http}/echo/{number}", functools.partial(self.page, number)

        def limit(self):
            """So many pages are left on the disk."""
            (used,) = self.journal.db.execute("PRAGMA page_count").fetchone()
            self.journal.db.execute(f"PRAGMA max_page_count={used + self.pages}")

        def page(self, number, response):
            self.emit({"page": number, "text": "x" * 3000})
            for part in range(2):
                read = functools.partial(self.part, number, part)
                yield f"{self.web.http}/echo/{number}-{part}", read

        def part(self, number, part, response):
            self.emit({"part": [number, part], "text": "x" * 3000})

    runs = 0
    while True:
        flow = Growing(web, path, max_clients=4)
        Growing.pages = 5 + runs % 7
        flow.limit()
        runs += 1
        with contextlib.suppress(JournalError):
            await flow.serve(strict=True)
            break
    results = results_of(path)
    assert runs > 5
    assert sorted(one["page"] for one in results if "page" in one) == list(range(30))
    parts = sorted(tuple(one["part"]) for one in results if "part" in one)
    assert parts == [(number, part) for number in range(30) for part in range(2)]
    caplog.clear()


async def test_state_may_be_merged_into(web: Web, path: Path):
    class Merging(Flow):
        def begin(self):
            self.state |= {"a": 1}
            self.state |= {"b": 2}
            return f"{web.http}/echo", None

    await Merging(web, path).serve()
    with Journal(path) as journal:
        assert unpack_item(journal.counts().state) == {"a": 1, "b": 2}


async def test_state_that_a_reader_has_set_stands_when_its_next_link_fails(web: Web, path: Path):
    class Failing(Flow):
        def begin(self):
            return f"{web.http}/echo", self.read

        def read(self, response):
            self.state["pages"] = 1
            return Next("http://127.0.0.1:1/", self.read, errback=self.give_up)

        def give_up(self, error):
            self.emit(dict(self.state))

    await Failing(web, path).serve()
    assert results_of(path) == [{"pages": 1}]


async def test_what_a_hook_adds_is_sent_when_it_is_in_the_file(web: Web, path: Path):
    class Adding(Flow):
        def begin(self):
            return f"{web.http}/echo/first", self.see

        def on_request(self, request):
            with contextlib.closing(sqlite3.connect(path)) as file:
                urls = [url for (url,) in file.execute("SELECT url FROM chains")]
            self.seen.append((request.url.rpartition("/")[2], request.url in urls))
            if request.url.endswith("first"):
                self.add_request(f"{web.http}/echo/second", None)

    flow = Adding(web, path)
    await flow.serve()
    assert [one for one in flow.seen if isinstance(one, tuple)] == [
        ("first", True),
        ("second", True),
    ]


async def test_a_chain_that_is_asked_for_by_its_key_is_begun_once(web: Web, path: Path):
    class Asking(Flow):
        def begin(self):
            return f"{web.http}/echo", self.read

        def read(self, response):
            for n in range(10):
                yield Next(f"{web.http}/echo/{n}", functools.partial(self.leaf, n), key=str(n))

        def leaf(self, n, response):
            self.emit(n)
            if n == 0:
                self.add_request(f"{web.http}/echo/9", functools.partial(self.leaf, 9), key="9")

    await Asking(web, path, max_clients=1).serve()
    assert sorted(results_of(path)) == list(range(10))
