"""The command `run`: flows by file and module, their arguments, how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers.scripted import Asked, Say, scripted
from waiting import until

from cli.shell import line, run
from webqq_tornado import HTTPStream

pytestmark = pytest.mark.slow

FLOW = """
import signal, socket
from pathlib import Path
from webqq_tornado import HTTPStream

class Ask(HTTPStream):
    def __init__(self, url, times: int = 1, *, folder: Path | None = None, wide=False, tag="-"):
        super().__init__(defaults={"user_agent": "mine"})
        self.url, self.times, self.folder, self.wide, self.tag = url, times, folder, wide, tag
    def begin(self):
        print(repr(self.times), repr(self.folder), repr(self.wide), self.tag)
        for _ in range(self.times):
            yield self.url, self.read
    def read(self, response):
        print(response.status)

class Fails(Ask):
    def read(self, response):
        raise RuntimeError("no page")

class Polls(Ask):
    def read(self, response):
        return response.request, self.read, 0.01

class Blocks(Ask):
    def read(self, response):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        print("blocked", flush=True)
        ours.recv(1)
        print("asked to end", flush=True)
        while True:
            pass

class Emits(Ask):
    def read(self, response):
        self.emit({"status": response.status, "tag": "é"})
        if self.tag == "fail":
            raise RuntimeError("no more")

class Broken(HTTPStream):
    def __init__(self):
        raise OSError(2, "gone", "x.cfg")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "beside.py").write_text("VALUE = 1\n")
    text = "from __future__ import annotations\nfrom beside import VALUE\n" + FLOW
    (tmp_path / "flows" / "mine.py").write_text(text)
    return tmp_path


async def test_a_flow_is_found_by_its_file_and_gets_its_arguments(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        words = (server.url, "2", "folder=a/b", "-a", "wide=yes", "--argument", "tag=x=y")
        ended = await run(folder, "run", "flows/mine.py:Ask", *words)
    assert ended.code == 0, ended.errors
    assert ended.output.startswith("2 PosixPath('a/b') True x=y\n200\n200\nAsk: 2 chains done, ")


async def test_a_cache_answers_the_second_run(folder: Path):
    async with scripted(lambda asked: Say(200, b"", {"Cache-Control": "max-age=60"})) as server:
        words = ("flows/mine.py:Ask", server.url, "--cache", "kept/cache")
        await run(folder, "run", *words)
        ended = await run(folder, "run", *words)
    assert "cache: 1 hits, 0 confirmed, 0 misses" in ended.output
    assert len(server.asked) == 1
    assert sorted(path.name for path in (folder / "kept").iterdir()) == ["cache"]


async def test_a_cache_that_is_none_is_named(folder: Path):
    ended = await run(folder, "run", "flows/mine.py:Ask", "u", "--cache", "flows/mine.py")
    assert ended.code == 1
    assert "flows/mine.py: cannot be used as a cache of responses" in ended.error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("mine",), "'mine' is not of the form FILE.py:CLASS or PACKAGE.MODULE:CLASS"),
        (("mine:",), "is not of the form"),
        (("flows/mine.py:Ask",), "Ask takes (url, times: 'int' = 1, folder:"),
        (("flows/mine.py:Ask", "u", "many"), "argument times: 'many' is not a valid integer"),
        (("flows/mine.py:Ask", "u", "tims=2"), "there is no argument tims: is it times=?"),
        (("flows/mine.py:Ask", "u", "-o", "items.json"), "items go to .jsonl"),
        (("flows/mine.py:Ask", "u", "-a", "x=1"), "unexpected keyword argument 'x'"),
        (("flows/mine.py:Ask", "u", "-a", "times"), "give NAME=VALUE"),
        (("flows/mine.py:Ask", "u", "-H", "no"), "give NAME:VALUE"),
        (("flows/mine.py:Ask", "u", "--bearer-file", "flows"), "is a directory"),
    ],
)
async def test_what_is_wrong_with_a_call_is_wrong_usage(folder: Path, words, says):
    ended = await run(folder, "run", *words)
    assert ended.code == 2
    assert says in ended.error


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("flows/none.py:Ask", "flows/none.py: there is no such file"),
        ("./flows:Ask", "flows: it is a folder"),
        ("flows/mine.py:Aks", "has no such name; it has the flows Ask, Fails, Polls"),
        ("no_such_module:Ask", "cannot be imported: ModuleNotFoundError"),
    ],
)
async def test_a_flow_that_is_not_there_is_one_line(folder: Path, spec, says):
    ended = await run(folder, "run", spec)
    assert ended.code == 1
    assert says in ended.error
    assert "Traceback" not in ended.errors


async def test_what_a_flow_raises_when_it_is_made_is_shown_with_its_own_lines(folder: Path):
    (folder / "raising.py").write_text("def f():\n    1 / 0\nf()\n")
    for spec, says in (
        ("flows/mine.py:Broken", "Broken() failed: FileNotFoundError: [Errno 2] gone: 'x.cfg'"),
        ("raising.py:X", "raising.py cannot be imported: ZeroDivisionError: division by zero"),
    ):
        ended = await run(folder, "run", spec)
        assert (ended.code, ended.error) == (1, says)
        files = re.findall(r'File "([^"]+)"', ended.errors)
        assert set(files) <= {str(folder / "flows/mine.py"), str(folder / "raising.py")}


async def test_a_flow_whose_chains_failed_ends_with_1(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        ended = await run(folder, "run", "flows/mine.py:Fails", server.url, "--json")
    assert ended.code == 1
    end = json.loads(ended.output.splitlines()[-1])
    assert (end["event"], end["done"], end["failed"]) == ("end", 0, 1)
    assert end["error"] == "RuntimeError: no page"
    assert "webqq_tornado/engine/" not in ended.errors


async def test_options_count_more_than_what_the_flow_says(folder: Path):
    (folder / "token").write_text("swordfish\n")

    def script(asked: Asked) -> Say:
        return Say(200) if asked.number == 2 else Say(503)

    async with scripted(script) as server:
        words = ("--bearer-file", "token", "-H", "Accept: text/x", "--retries", "2")
        ended = await run(folder, "run", "flows/mine.py:Ask", server.url, *words)
        asked = server.asked[0].headers
    assert ended.code == 0, ended.errors
    assert "200" in ended.output
    assert (asked["Authorization"], asked["Accept"]) == ("Bearer swordfish", "text/x")
    assert asked["User-Agent"] == "mine"
    assert "swordfish" not in ended.output + ended.errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_flow_says_what_was_cancelled(folder: Path, number: int, code: int):
    async with scripted(lambda asked: Say()) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado", "run", "flows/mine.py:Polls", server.url, "2"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
        )
        await until(lambda: len(server.asked) > 4)
        process.send_signal(number)
        output, errors = await process.communicate()
    assert process.returncode == code
    assert "Polls: 0 chains done, 0 failed, 2 cancelled" in output.decode()
    assert errors.decode() == "Interrupted.\n"


async def test_a_second_ctrl_c_ends_a_reader_that_holds_up_the_loop(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado", "run", "flows/mine.py:Blocks", server.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
        )
        for said in (b"blocked", b"asked to end"):
            while said not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize("flow", ["Polls", "Ask"])
async def test_a_flow_ends_when_nobody_reads_its_output(folder: Path, flow: str):
    async with scripted(lambda asked: Say()) as server:
        words = f"flows/mine.py:{flow} {server.url} {1 if flow == 'Polls' else 5000}"
        command = f"PYTHONUNBUFFERED=1 $qq run {words}"  # one line is too little for a buffer
        ended = await line(folder, f"{command} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (ended.code, ended.errors) == (1, "")


async def test_a_full_disk_is_one_line_however_many_print(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        command = f"PYTHONUNBUFFERED=1 $qq run flows/mine.py:Ask {server.url} 20 >/dev/full"
        ended = await line(folder, command)
    assert ended.code == 1
    assert ended.errors == "Error: the output cannot be written: No space left on device\n"


async def test_items_go_to_a_file_that_gets_its_name_when_the_flow_has_ended_well(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        words = ("run", "flows/mine.py:Emits", server.url, "2", "-o")
        good = await run(folder, *words, "items.csv", "--fields", "tag,status")
        failed = await run(folder, *words, "more.jsonl", "tag=fail")
    assert good.code == 0, good.errors
    assert (folder / "items.csv").read_text("utf-8").split() == ["tag,status", "é,200", "é,200"]
    assert "2 items in items.csv\n" in good.output
    assert failed.code == 1
    assert "2 items in more.jsonl.part, which is not complete" in failed.output
    assert len((folder / "more.jsonl.part").read_text("utf-8").splitlines()) == 2


async def test_items_without_a_file_are_lines_of_json(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        ended = await run(folder, "run", "flows/mine.py:Emits", server.url, PYTHONUTF8="1")
    assert '{"status": 200, "tag": "é"}\n' in ended.output


async def test_an_interrupted_crawl_ends_and_tells_what_it_has_left_out(folder: Path):
    (folder / "crawling.py").write_text(
        "from webqq_tornado.flows import Crawl\n"
        "class Pages(Crawl):\n"
        "    def parse(self, response):\n"
        "        for url in ('/', '/slow', '//127.0.0.2:1/'):\n"
        "            yield response.follow(url, self.parse)\n"
    )

    async def script(asked: Asked) -> Say:
        if asked.path == "/slow":
            await asyncio.Event().wait()
        return Say(404) if asked.path == "/robots.txt" else Say()

    async with scripted(script) as server:
        words = ("-m", "webqq_tornado", "run", "crawling.py:Pages", f"{server.url}/", "--json")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        await until(lambda: "/slow" in server.paths)
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
    end = json.loads(output.splitlines()[-1])
    assert process.returncode == 130
    assert (end["pages"], end["filtered"]) == (1, {"duplicate": 1, "host": 1})
    assert "Task was destroyed" not in errors.decode()


async def test_fields_without_a_file_are_wrong_usage(folder: Path):
    ended = await run(folder, "run", "flows/mine.py:Emits", "u", "--fields", "a")
    assert ended.code == 2
    assert "--fields goes with --output FILE.csv" in ended.error


async def test_a_dashboard_is_served_while_the_flow_runs(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado", "run", "--dashboard", "flows/mine.py:Polls"),
            server.url,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr
        told = (await process.stderr.readline()).decode()
        found = re.fullmatch(r"Dashboard: (http://127\.0\.0\.1:\d+/)#token=\S{40,}\n", told)
        assert found, told
        async with HTTPStream() as stream:
            page = await stream.fetch(found[1])
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert "dashboard.js" in page.text
    assert process.returncode == 130


async def test_a_taken_port_of_the_dashboard_is_named(folder: Path):
    async with scripted(lambda asked: Say()) as server:
        port = server.url.rpartition(":")[2]
        ended = await run(folder, "run", "flows/mine.py:Ask", server.url, "--dashboard-port", port)
    assert ended.code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.error
    assert "give --dashboard-port another one" in ended.error
