"""`run --journal`, and the command `journal`."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers.scripted import Say, scripted

from cli.shell import run

pytestmark = pytest.mark.slow

FLOW = """
import resource
from webqq_tornado import HTTPStream, Next

class Pages(HTTPStream):
    def __init__(self, url: str, count: int = 4, bad: int = 2, **options):
        super().__init__(**options)
        self.url, self.count, self.bad = url, count, bad
    def begin(self):
        for number in range(self.count):
            yield Next(f"{self.url}/{number}?token=sesame", self.page, data={"number": number})
    def page(self, response, number):
        self.emit({"number": number})
        if number < self.bad:
            raise ValueError(f"page {number}")

class Other(Pages):
    pass

class Endless(Pages):
    def page(self, response, number):
        return response.request, self.page_again, 0.01
    def page_again(self, response):
        return response.request, self.page_again, 0.01

class Large(Pages):
    def page(self, response, number):
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        self.emit("x" * 1_000_000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pages.py").write_text(FLOW)
    return tmp_path


def lines(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_what_has_failed_is_shown_and_tried_again(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        words = ("pages.py:Pages", server.url, "--journal", "a.db", "-o", "items.jsonl")
        first = await run(folder, "run", *words)
        assert first.code == 1
        assert "python -m webqq_tornado journal a.db retry" in first.output
        shown = await run(folder, "journal", "a.db")
        assert "2 done, 2 failed" in shown.output
        assert "ValueError: page 0" in shown.output
        listed = await run(folder, "journal", "a.db", "list", "--failed")
        assert [row.split()[0] for row in listed.output.splitlines()[1:]] == ["Pages.1", "Pages.2"]
        traced = await run(folder, "journal", "a.db", "list", "--trace")
        assert "raise ValueError" in traced.output
        for ended in (shown, listed, traced):
            assert "sesame" not in ended.output
        assert (await run(folder, "journal", "a.db", "retry", "Pages.1")).code == 0
        again = await run(folder, "run", *words, "bad=0")
        assert again.code == 1  # the other one has failed before
        assert (await run(folder, "journal", "a.db", "drop", "--failed")).code == 0
        last = await run(folder, "run", *words, "bad=0")
    assert last.code == 0
    assert "complete since " in last.output
    assert "3 results, 0 failed" in last.output
    assert sorted(one["number"] for one in lines(folder / "items.jsonl")) == [0, 2, 3]


async def test_results_without_an_output_stay_in_the_journal(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        ended = await run(
            folder, "run", "pages.py:Pages", server.url, "4", "0", "--journal", "a.db"
        )
    assert ended.code == 0
    assert "4 results are in a.db: python -m webqq_tornado journal a.db export" in ended.output
    for count in (4, 0):
        exported = await run(folder, "journal", "a.db", "export", "items.csv")
        assert exported.output == f"{count} results exported, 4 are in items.csv\n"
    assert len((folder / "items.csv").read_text().splitlines()) == 5


async def test_numbers_of_a_journal_are_for_programs_as_well(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        words = ("pages.py:Pages", server.url, "--journal", "a.db", "--json", "-o", "a.jsonl")
        told = json.loads((await run(folder, "run", *words)).output)
    assert (told["results"], told["ready"]) == (2, 0)
    found = json.loads((await run(folder, "journal", "a.db", "--json")).output)
    assert (found["done"], found["failed"], found["flow"]) == (2, 2, "pages.py:Pages")
    listed = await run(folder, "journal", "a.db", "list", "--failed", "--json")
    assert json.loads(listed.output.splitlines()[0])["name"] == "Pages.1"


async def test_errors_of_a_journal_are_one_line_and_exit_code_3(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        await run(folder, "run", "pages.py:Pages", server.url, "--journal", "a.db")
        other = await run(folder, "run", "pages.py:Other", server.url, "--journal", "a.db")
        text = (folder / "pages.py").read_text().replace("def page(", "def sheet(")
        (folder / "pages.py").write_text(text.replace("self.page,", "self.sheet,"))
        changed = await run(folder, "run", "pages.py:Pages", server.url, "--journal", "a.db")
    none = await run(folder, "journal", "none.db")
    assert (other.code, none.code, changed.code) == (3, 3, 3)
    assert "journal of pages.py:Pages, not of pages.py:Other" in other.error
    assert "there is no such journal" in none.error
    assert "2 chains wait for Pages.page, which is gone: name its successor in renamed" in (
        changed.error
    )


async def test_a_disk_that_is_full_ends_the_flow_which_goes_on_when_there_is_room(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        words = ("pages.py:Large", server.url, "1", "--journal", "a.db")
        ended = await run(folder, "run", *words)
        assert ended.code == 3
        assert "a.db: cannot be written" in ended.error
        text = (folder / "pages.py").read_text().replace("(300_000,", "(resource.RLIM_INFINITY,")
        (folder / "pages.py").write_text(text)
        again = await run(folder, "run", *words)
    assert again.code == 0
    assert "1 results are in a.db" in again.output


async def test_ctrl_c_says_what_waits_and_the_journal_is_shown_meanwhile(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        command = (sys.executable, "-m", "webqq_tornado", "run", "pages.py:Endless", server.url)
        process = await asyncio.create_subprocess_exec(
            *command, "--journal", "a.db", cwd=folder, stdout=subprocess.PIPE
        )
        while len(server.asked) < 12:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        shown = await run(folder, "journal", "a.db")
        refused = await run(folder, "journal", "a.db", "retry")
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
    assert f"run by process {process.pid}" in shown.output
    assert refused.code == 3
    assert f"process {process.pid} runs on it" in refused.error
    assert process.returncode == 130
    assert b"4 chains wait in a.db: the same command goes on" in output


async def test_a_journal_may_be_in_postgresql(folder: Path, database: str):
    place = f"{database}&password=opensesame"
    async with scripted(lambda asked: Say()) as server:
        words = ("pages.py:Pages", server.url, "--journal", place, "-o", "items.jsonl")
        first = await run(folder, "run", *words)
        shown = await run(folder, "journal", place)
    assert [ended.code for ended in (first, shown)] == [1, 0]
    assert "2 done, 2 failed" in shown.output
    assert sorted(line["number"] for line in lines(folder / "items.jsonl")) == [2, 3]
    assert not any("sesame" in ended.output for ended in (first, shown))
