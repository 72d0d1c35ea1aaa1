"""Files that messages carry: bytes by their hash on disk, what is known of them in SQLite.

The same bytes are stored once. A name is SHA-256 of the bytes and an ending: who has it can load
the file, as with QQ's own addresses of pictures, and nobody can guess it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sqlite3
import tempfile
import time
import warnings
from pathlib import Path

from PIL import Image

from ...database import transaction
from ...files import replace_bytes
from ...protocol import wire
from .rows import FileRow, FolderRow, RoomFileRow

__all__ = ["MAX_FILE", "FileTable", "TooLarge", "file_name"]

#: Bytes of one file, of one picture, and of all (go-cqhttp has 100 MB for videos, 30 for pictures).
MAX_FILE, MAX_PICTURE, MAX_TOTAL = 100 * 1024**2, 30 * 1024**2, 4 * 1024**3
#: Pixels of a picture at most; of one that a thumbnail is made of on the loop, about 40 ms.
MAX_PIXELS, _THUMB_PIXELS = 50_000_000, 6_000_000
#: Pixels of a thumbnail's longer side, and of the shorter side of a picture that needs none.
THUMB = 480
#: Formats of Pillow that browsers show, with media type and ending.
_PICTURES = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "GIF": ("image/gif", "gif"),
    "WEBP": ("image/webp", "webp"),
    "BMP": ("image/bmp", "bmp"),
}
_OTHER = "application/octet-stream"
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,8}")
#: Endings that a file which is no picture may keep: none that a browser would run.
_ENDING = re.compile(r"\.(amr|silk|mp3|m4a|ogg|wav|flac|mp4|mkv|avi|zip|txt|pdf|csv|json)$")
_FILE = "name, type, size, width, height, time"
_ROOM_FILE = "id, room, folder, name, file, uploader, time"
_FOLDER = "id, room, name, creator, time"
_LONGEST_NAME = 120


class TooLarge(ValueError):
    """A file is larger than the server takes, or its disk space is used up."""


class FileTable:
    """Stored files, and the files of groups.

    Args:
        db: the open database.
        folder: where the bytes are; made when the first file comes. None: a temporary one.
    """

    def __init__(self, db: sqlite3.Connection, folder: Path | None) -> None:
        self._db = db
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._folder = folder

    def close(self) -> None:
        """Remove a temporary folder."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def add(self, data: bytes, name: str = "", *, is_picture: bool = False) -> FileRow:
        """Store a file.

        Args:
            data: its bytes.
            name: as its sender calls it; only its ending counts.
            is_picture: refuse what is none.

        Raises:
            TooLarge: it is, or there is no room.
            ValueError: it is empty, or no picture and has to be one.
            OSError: the disk does not take it.
        """
        if not data:
            raise ValueError("the file is empty")
        limit = MAX_PICTURE if is_picture else MAX_FILE
        if len(data) > limit:
            raise TooLarge(f"it has {len(data)} bytes, and the most is {limit}")
        kind, ending, width, height = _look_at(data, is_picture=is_picture)
        stored = f"{hashlib.sha256(data).hexdigest()}.{ending or _ending_of(name)}"
        known = self.get(stored)
        if known is not None:
            return known
        self._check_room(len(data))
        replace_bytes(self._path(stored), data)
        row = FileRow(stored, kind, len(data), width, height, int(time.time()))
        self._db.execute(f"INSERT OR IGNORE INTO file ({_FILE}) VALUES (?, ?, ?, ?, ?, ?)", row)
        return row

    def _check_room(self, size: int) -> None:
        (used,) = self._db.execute("SELECT coalesce(sum(size), 0) FROM file").fetchone()
        if used + size > MAX_TOTAL:
            raise TooLarge(f"the server's files have {used} bytes, and the most is {MAX_TOTAL}")

    def get(self, name: str) -> FileRow | None:
        """The row of a stored file."""
        row = self._db.execute(f"SELECT {_FILE} FROM file WHERE name = ?", (name,)).fetchone()
        return FileRow(*row) if row else None

    def path(self, name: str) -> Path | None:
        """Where the bytes of a stored file are; None if there is no such file."""
        path = self._path(name) if _NAME.fullmatch(name) else None
        return path if path is not None and path.is_file() else None

    def thumbnail(self, row: FileRow) -> Path | None:
        """Where a smaller one of a picture is, made when it is first asked for.

        Returns:
            The picture itself where it is small, moves, or is too large to be read on the loop;
            None if the file is gone.
        """
        path = self.path(row.name)
        is_small = max(row.width, row.height) <= THUMB or row.size <= _SMALL_BYTES
        is_huge = row.width * row.height > _THUMB_PIXELS
        if path is None or is_small or is_huge or row.type == "image/gif":
            return path
        small = path.with_name(f"{row.name}.thumb")
        if not small.exists():
            _make_thumbnail(path, small)
        return small

    def _path(self, name: str) -> Path:
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="webqq_tornado.")
            self._folder = Path(self._temporary.name)
        folder = self._folder / name[:2]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / name

    # -- files of groups ----------------------------------------------------------------------

    def add_to_room(
        self, room: int, uploader: int, file: FileRow, name: str, folder: int = 0
    ) -> RoomFileRow:
        """Put a stored file among the files of a group.

        Args:
            room: number of the group.
            uploader: QQ number.
            file: that was stored.
            name: that it is shown under.
            folder: id of a folder, 0 for none.

        Raises:
            ValueError: there is no such folder.
        """
        if folder and self.folder(room, folder) is None:
            raise ValueError(f"the group has no folder {folder}")
        values = (room, folder, file_name(name), file.name, uploader, int(time.time()))
        number = self._db.execute(
            "INSERT INTO room_file (room, folder, name, file, uploader, time) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            values,
        ).lastrowid
        return RoomFileRow(number or 0, *values)

    def room_files(self, room: int, folder: int | None = None) -> list[RoomFileRow]:
        """Files of a group in a folder (0: in none), or all of them."""
        rows = self._db.execute(
            f"SELECT {_ROOM_FILE} FROM room_file WHERE room = ? AND ifnull(?, folder) = folder "
            "ORDER BY id",
            (room, folder),
        )
        return [RoomFileRow(*row) for row in rows]

    def room_file(self, room: int, number: int) -> RoomFileRow | None:
        """One of them."""
        row = self._db.execute(
            f"SELECT {_ROOM_FILE} FROM room_file WHERE room = ? AND id = ?", (room, number)
        ).fetchone()
        return RoomFileRow(*row) if row else None

    def change_room_file(self, number: int, *, name: str = "", folder: int | None = None) -> None:
        """Rename a file of a group, or move it to another folder."""
        with transaction(self._db):
            if name:
                self._db.execute(
                    "UPDATE room_file SET name = ? WHERE id = ?", (file_name(name), number)
                )
            if folder is not None:
                self._db.execute("UPDATE room_file SET folder = ? WHERE id = ?", (folder, number))

    def remove_room_file(self, number: int) -> None:
        """Take a file from among those of its group."""
        self._db.execute("DELETE FROM room_file WHERE id = ?", (number,))

    def folders(self, room: int) -> list[FolderRow]:
        """Folders of a group."""
        rows = self._db.execute(
            f"SELECT {_FOLDER} FROM room_folder WHERE room = ? ORDER BY id", (room,)
        )
        return [FolderRow(*row) for row in rows]

    def folder(self, room: int, number: int) -> FolderRow | None:
        """One of them."""
        return next((each for each in self.folders(room) if each.id == number), None)

    def add_folder(self, room: int, creator: int, name: str) -> FolderRow:
        """A new folder.

        Raises:
            ValueError: there is one of that name.
        """
        values = (room, file_name(name), creator, int(time.time()))
        try:
            number = self._db.execute(
                "INSERT INTO room_folder (room, name, creator, time) VALUES (?, ?, ?, ?)", values
            ).lastrowid
        except sqlite3.IntegrityError:
            raise ValueError(f"there is a folder {name!r} already") from None
        return FolderRow(number or 0, *values)

    def remove_folder(self, number: int) -> None:
        """Remove a folder, and what is in it."""
        with transaction(self._db):
            self._db.execute("DELETE FROM room_file WHERE folder = ?", (number,))
            self._db.execute("DELETE FROM room_folder WHERE id = ?", (number,))


#: Bytes up to which a picture is its own thumbnail.
_SMALL_BYTES = 64 * 1024


def file_name(name: str) -> str:
    """A file's name as others see it: one line, without folders.

    Args:
        name: as its sender has it.

    Example:
        >>> file_name("../etc/passwd")
        'passwd'
    """
    last = re.split(r"[/\\]", wire.clean(name))[-1]
    shown = "".join(letter for letter in last if letter.isprintable()).strip(" .")
    return shown[-_LONGEST_NAME:] or "file"


def _ending_of(name: str) -> str:
    found = _ENDING.search(os.path.basename(name).lower())
    return found[1] if found else "bin"


def _look_at(data: bytes, *, is_picture: bool) -> tuple[str, str, int, int]:
    """Media type, ending, width and height; the type of the bytes, whatever the name says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bomb is refused below
            with Image.open(io.BytesIO(data), formats=tuple(_PICTURES)) as picture:
                kind, (width, height) = picture.format or "", picture.size
    except Exception as error:  # Pillow raises nearly anything for what is no picture
        if is_picture:
            raise ValueError("it is no picture (PNG, JPEG, GIF, WebP or BMP)") from error
        return _OTHER, "", 0, 0
    if width * height > MAX_PIXELS:
        if is_picture:
            raise TooLarge(f"it has {width} x {height} pixels, and the most is {MAX_PIXELS}")
        return _OTHER, "", 0, 0
    return *_PICTURES[kind], width, height


def _make_thumbnail(path: Path, small: Path) -> None:
    with Image.open(path, formats=tuple(_PICTURES)) as picture:
        picture.draft("RGB", (THUMB, THUMB))  # JPEG is read at a fraction of its size
        try:
            picture.thumbnail((THUMB, THUMB))
        except Exception:  # damaged after its head: browsers show what there is of it
            replace_bytes(small, path.read_bytes())
            return
        is_clear = picture.mode in {"RGBA", "LA", "P"}
        made = io.BytesIO()
        picture.convert("RGBA" if is_clear else "RGB").save(made, "WEBP", quality=80)
    replace_bytes(small, made.getvalue())
