"""`Sync`, as a class and as a command: pages of a list in one file."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from servers.scripted import Asked, Say, scripted
from tenacity import wait_none
from waiting import until

from flows.commands import command, silent
from webqq_tornado import ProtocolError, StreamError
from webqq_tornado.flows.sync import Sync
from webqq_tornado.retry import Retry

AT_ONCE = Retry(wait=wait_none())


def pages(asked: Asked) -> Say:
    """Three pages by `next`, relative; the second fails once."""
    number = int(asked.path.rpartition("=")[2])
    if number == 2 and asked.number == 1:
        return Say(503)
    document = {"items": [{"n": number}, {"n": -number}], "next": f"?page={number + 1}"}
    if number == 3:
        del document["next"]
    return Say(200, json.dumps(document).encode())


async def test_a_sync_writes_all_items_of_all_pages(tmp_path: Path):
    path = tmp_path / "items.jsonl"
    async with scripted(pages) as server:
        async with Sync(f"{server.url}/?page=1", path, retry=AT_ONCE, say=print) as flow:
            await flow.launch()
    items = [json.loads(line)["n"] for line in path.read_text().splitlines()]
    assert items == [1, -1, 2, -2, 3, -3]
    assert (flow.pages, flow.items_written) == (3, 6)
    assert flow.report().is_good


class Interrupted:
    """Three pages; the third is refused until it is asked for the second time."""

    def __init__(self) -> None:
        self.refusals = 1

    def __call__(self, asked: Asked) -> Say:
        if asked.path.endswith("3") and self.refusals:
            self.refusals -= 1
            return Say(500)
        return pages(asked._replace(number=0))


async def test_a_sync_goes_on_where_it_was_interrupted(tmp_path: Path, caplog):
    path = tmp_path / "items.jsonl"
    async with scripted(Interrupted()) as server:
        url = f"{server.url}/?page=1"
        async with Sync(url, path, retry=None, say=print) as flow:
            with pytest.raises(ProtocolError, match=r"status 500, no page \[chain"):
                await flow.launch()
        part = tmp_path / "items.jsonl.part"
        with part.open("a") as file:
            file.write('{"n": 3}\n{"n"')  # written, and killed before that was noted
        asked = len(server.asked)
        async with Sync(url, path, say=print) as flow:
            await flow.launch()
        assert server.paths[asked:] == ["/?page=3"]
        assert (flow.is_resumed, flow.pages, flow.items_written) == (True, 3, 6)
    items = [json.loads(line)["n"] for line in path.read_text().splitlines()]
    assert items == [1, -1, 2, -2, 3, -3]
    assert [file.name for file in tmp_path.iterdir()] == ["items.jsonl"]


@pytest.mark.parametrize("change", ["url", "keys", "restart", "damage", "no part"])
async def test_a_sync_of_another_list_begins_anew(tmp_path: Path, change, caplog):
    path = tmp_path / "items.jsonl"
    async with scripted(Interrupted()) as server:
        async with Sync(f"{server.url}/?page=1", path, retry=None, say=print) as flow:
            with pytest.raises(ProtocolError):
                await flow.launch()
        url = f"{server.url}/?x&page=1" if change == "url" else f"{server.url}/?page=1"
        more = {"restart": {"resume": False}, "keys": {"items": "things"}}.get(change, {})
        if change == "damage":
            (tmp_path / "items.jsonl.part.next").write_bytes(b"\x00{")
        if change == "no part":
            (tmp_path / "items.jsonl.part").unlink()
        async with Sync(url, path, say=print, **more) as flow:
            with contextlib.suppress(ProtocolError):
                await flow.launch()
    assert not flow.is_resumed
    assert flow.pages == (0 if change == "keys" else 3)


async def test_where_to_go_on_is_for_the_owners_eyes(tmp_path: Path, caplog):
    async with scripted(Interrupted()) as server:
        async with Sync(f"{server.url}/?page=1", tmp_path / "x", retry=None, say=print) as flow:
            with pytest.raises(ProtocolError):
                await flow.launch()
    assert (tmp_path / "x.part.next").stat().st_mode & 0o777 == 0o600


async def test_a_sync_without_room_says_so(tmp_path: Path, caplog):
    async with scripted(lambda asked: Say(200, b"[1]")) as server:
        async with Sync(server.url, "/dev/full", say=print) as flow:
            with pytest.raises(StreamError, match="/dev/full cannot be written: the disk is full"):
                await flow.launch()


@pytest.mark.parametrize(
    "line",
    [
        '</?p=0>; rel="prev", </?p=2>; rel="next"',
        "</?p=0>; rel=prev,</?p=2>;rel=next",
        '</?p=2>; title="a, b"; rel="next"',
        '</?p=2>; rel="last next"',
        '</?p=0>; rel="next-archive", </?p=2>; REL="Next"',
        '</?p=0>; title="; rel=next", </?p=2>; rel="next"',
        '</?p=2> ; rel = "next"',
        "</?p=2>; rel='next'",
        '</?p=0>; rel="next"; anchor="/elsewhere", <?p=2#x>; rel="next"; anchor="#top"',
    ],
)
async def test_pages_may_be_lists_with_a_link_header(tmp_path: Path, line):
    def script(asked: Asked) -> Say:
        link = {"Link": line} if asked.number == 0 else {}
        return Say(200, b"[%d]" % asked.number, link)

    async with scripted(script) as server:
        async with Sync(f"{server.url}/?p=1", tmp_path / "x", say=print) as flow:
            await flow.launch()
        assert server.paths == ["/?p=1", "/?p=2"]
    assert (tmp_path / "x").read_text() == "0\n1\n"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"items": 3}', "no list"),
        (b'{"items": [], "next": "/"}', "circle"),
        (b'{"items": [], "next": 7}', "no URL"),
        (b'{"items": [], "next": "http://[oops/"}', "the next page: URL"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[", "not JSON"),
    ],
)
async def test_a_sync_that_cannot_go_on_says_why_and_leaves_the_part(tmp_path, body, why, caplog):
    path = tmp_path / "items.jsonl"
    async with scripted(lambda asked: Say(200, body)) as server:
        async with Sync(f"{server.url}/", path, say=print) as flow:
            with pytest.raises(ProtocolError, match=why):
                await flow.launch()
        assert not flow.report().is_good
    assert not path.exists()


async def test_half_a_character_is_written_as_it_came(tmp_path: Path):
    async with scripted(lambda asked: Say(200, b'["\\ud83d", "\xc3\xa4"]')) as server:
        async with Sync(server.url, tmp_path / "x", say=print) as flow:
            await flow.launch()
    assert (tmp_path / "x").read_text("utf-8") == '"\\ud83d"\n"\u00e4"\n'


async def test_a_sync_to_where_nothing_can_be_written_says_so_without_a_traceback(tmp_path: Path):
    (tmp_path / "file").write_text("")
    code, output = await command("sync", "http://127.0.0.1:1/", tmp_path / "file" / "x")
    assert code == 1
    assert "cannot be written" in output
    assert "Traceback" not in output


async def test_a_sync_of_no_url_names_it_in_one_line(tmp_path: Path):
    code, output = await command("sync", "nowhere", tmp_path / "x")
    assert code == 2
    (line,) = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert "URL 'nowhere' is not absolute" in line


async def test_sync_as_a_command(tmp_path: Path):
    async with scripted(lambda asked: Say(200, b'{"rows": [1, 2]}')) as server:
        path = tmp_path / "rows.jsonl"
        code, output = await command("sync", server.url, path, "--items", "rows")
    assert code == 0, output
    assert path.read_text() == "1\n2\n"
    assert str(path) in output


class Cut(Sync):
    """Closes itself where a kill would be worst: when a page is written, and not in the journal."""

    cut_at: int | None = None

    def _read(self, response):
        link = super()._read(response)
        if self.pages == self.cut_at:
            self._journal.spare(next(iter(self._journal._records)))
            self.close()
        return link


@pytest.mark.parametrize("cut_at", [1, 2, 3])
async def test_a_sync_with_a_journal_has_each_item_once(cut_at: int, tmp_path: Path):
    def script(asked: Asked) -> Say:
        page = int(asked.path.rpartition("=")[2] if "=" in asked.path else 0)
        following = f"?page={page + 1}" if page < 2 else None
        return Say(200, json.dumps({"items": [page, page], "next": following}).encode())

    path, journal = tmp_path / "items.jsonl", tmp_path / "a.db"
    async with scripted(script) as server:
        first = Cut(server.url, path, journal=journal, say=silent)
        first.cut_at = cut_at
        async with first:
            first.launch()
            await until(lambda: first._closed)
        for _ in range(2):
            async with Cut(server.url, path, journal=journal, say=silent) as again:
                await again.launch()
                await again.drain()
                report = again.report()
    assert path.read_text().split() == ["0", "0", "1", "1", "2", "2"]
    assert report.is_good
    assert (again.pages, again.items_written) == (3, 6)
