"""A power cut takes nothing apart, and with sync="full" nothing that was acknowledged.

The file system below is simulated: what was written since the last sync is lost, kept, or torn at a
sector, each write by chance.
"""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import apsw
import pytest

from webqq_tornado.journal import Journal
from webqq_tornado.journal.records import Batch, ChainRow

#: By default few: `JOURNAL_CUTS=1000` takes minutes.
CUTS = int(os.environ.get("JOURNAL_CUTS", "40"))
SECTOR = 512


class Disk:
    """Files as they are for sure, and what was written to them since.

    Args:
        left: where files are put as they are after the power cut.
        chance: of each write.
        cut_at: number of the operation in which the power is cut.
    """

    def __init__(self, left: Path, chance: random.Random, cut_at: int) -> None:
        self.sure: dict[str, bytearray] = {}
        self.unsure: dict[str, list[tuple[int, bytes | None]]] = {}
        self.left, self.chance, self.operations = left, chance, cut_at
        self.acknowledged = 0  # commits before the power cut
        self.is_cut = False

    def open(self, path: str) -> None:
        if path not in self.sure:
            self.sure[path] = bytearray(Path(path).read_bytes())
            self.unsure[path] = []

    def write(self, path: str, offset: int, data: bytes | None) -> None:
        self.unsure[path].append((offset, data))
        self._count()

    def sync(self, path: str) -> None:
        for offset, data in self.unsure[path]:
            _apply(self.sure[path], offset, data)
        self.unsure[path] = []
        self._count()

    def _count(self) -> None:
        self.operations -= 1
        if not self.operations:
            self.cut()

    def acknowledge(self, number: int) -> None:
        """A commit has returned."""
        if not self.is_cut:
            self.acknowledged = number

    def cut(self) -> None:
        """Write what is left after the power cut."""
        if self.is_cut:
            return
        self.is_cut = True
        for path, sure in self.sure.items():
            content = bytearray(sure)
            for offset, data in self.unsure[path]:
                self._write_by_chance(content, offset, data)
            (self.left / Path(path).name).write_bytes(content)

    def _write_by_chance(self, content: bytearray, offset: int, data: bytes | None) -> None:
        fate = self.chance.random()
        if fate < 0.2 and data is not None:  # some of its sectors
            sectors = self.chance.randrange(len(data) // SECTOR + 1)
            _apply(content, offset, data[: SECTOR * sectors])
        elif fate < 0.6:
            _apply(content, offset, data)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class UnsureVFS(apsw.VFS):
    """The system's files, of which the disk knows."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.disk = disk
        super().__init__(name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> UnsureFile:
        return UnsureFile(name, flags, self.disk)


class UnsureFile(apsw.VFSFile):
    """A file of which the disk knows."""

    def __init__(self, name: Any, flags: list[int], disk: Disk) -> None:
        super().__init__("", name, flags)
        path = name.filename() if hasattr(name, "filename") else name
        self.path, self.disk = path, disk
        if path:
            disk.open(path)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        if self.path:
            self.disk.write(self.path, offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        if self.path:
            self.disk.write(self.path, size, None)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if self.path:
            self.disk.sync(self.path)


def batch_of(number: int) -> Batch:
    """One of each kind: all of them, or none, are to be there afterwards."""
    batch = Batch()
    url = f"http://example.org/{'x' * (number * 37 % 900)}"
    batch.new = {number: ChainRow(number, 1, None, None, url)}
    batch.results = [(number, 1, 0, f'"{"y" * (number * 91 % 700)}"')]
    batch.keys = {number.to_bytes(16, "big"): number}
    batch.state, batch.last_chain, batch.done = str(number), number, 1
    return batch


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["full", "normal"])
def test_a_power_cut_takes_nothing_apart(sync: str, tmp_path: Path):
    seed = random.randrange(1 << 30)
    print("seed", seed)  # shown when it fails
    chance = random.Random(seed)
    lost = 0
    for number in range(CUTS):
        folder, left = tmp_path / f"{number}", tmp_path / f"{number}-left"
        folder.mkdir()
        left.mkdir()
        disk = Disk(left, chance, chance.randrange(1, 500))
        _run(folder / "a.db", sync, f"unsure-{sync}-{number}", disk)
        found = _found(left / "a.db")
        assert len(set(found)) == 1, found
        assert found[0] <= disk.acknowledged + 1
        lost += max(0, disk.acknowledged - found[0])
        if sync == "full":
            assert found[0] >= disk.acknowledged
    print(f"{sync}: {CUTS} power cuts, {lost} transactions taken back")


def _run(path: Path, sync: str, name: str, disk: Disk) -> None:
    """Commit until the power is cut, or a while."""
    with Journal(path) as made:
        made.own("a.py:A")
    vfs = UnsureVFS(name, disk)
    database = apsw.Connection(str(path), vfs=name)
    journal = Journal(path)
    journal._db = database  # type: ignore[assignment]
    database.execute("PRAGMA locking_mode=EXCLUSIVE")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={sync}")
    database.execute(f"PRAGMA wal_autocheckpoint={disk.chance.choice([4, 20, 1000])}")
    for number in range(1, 60):
        journal.commit(batch_of(number), number)
        disk.acknowledge(number)
        if disk.is_cut:
            break
    disk.cut()
    journal._db = None
    database.close()
    vfs.unregister()


def _found(path: Path) -> list[int]:
    database = sqlite3.connect(path)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        asked = (
            "SELECT count(*) FROM chains",
            "SELECT count(*) FROM items",
            "SELECT count(*) FROM seen",
            "SELECT results FROM shards",
            "SELECT done FROM shards",
            "SELECT last_chain FROM shards",
            "SELECT coalesce(CAST(state AS INTEGER), 0) FROM shards",
        )
        return [database.execute(one).fetchone()[0] for one in asked]
    finally:
        database.close()
