"""Read the text files that people write, in whatever encoding; replace a file in one step.

An editor on Windows puts a byte order mark before UTF-8, or writes UTF-16, or its own code page;
PowerShell's `>` writes UTF-16. All but code pages is read. A code page is named, not guessed: a
password that was guessed wrong is a wrong password.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import locale
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = [
    "DamagedFile",
    "FileError",
    "decoded",
    "read_json",
    "read_text",
    "reason",
    "replace_bytes",
    "replaced_file",
    "unmarked",
]

#: Bytes of a text file at most: /dev/zero has no end.
_LARGEST = 256 * 1024 * 1024

#: Byte order marks; those of UTF-32 begin with one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: What no text has: the control characters but for tab, line ends, form feed, DOS's end, escape.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")
#: A character of two bytes in GBK; its second byte is a letter of ASCII in rare ones alone.
_PAIR = re.compile(rb"[\x81-\xfe]([\x40-\xfe])")

#: The end of a draft's name, and the seconds after which it is one that a crash has left.
_DRAFT, _DRAFT_SECONDS = ".new", 60.0

_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file: a part of its path is no folder",
    errno.EEXIST: "a file of that name is in the way",
    errno.EISDIR: "it is a folder, not a file",
    errno.EACCES: "permission denied: check its mode and owner",
    errno.EPERM: "permission denied: check its mode and owner",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.ENOSPC: "the disk is full: make room on it",
    errno.EDQUOT: "the disk's quota is used up: make room on it",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk cannot read or write it",
}


class FileError(ValueError):
    """A file cannot be read; the message says which, why, and where there is one, the remedy."""


class DamagedFile(FileError):
    """A file is there and can be read, and what is in it makes no sense."""


def reason(error: OSError | ValueError) -> str:
    """Words for an error of the operating system, or of a path that is none.

    Args:
        error: as `open` raises it.

    Example:
        >>> reason(FileNotFoundError(2, "No such file or directory"))
        'there is no such file'
    """
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, error.strerror or str(error))
    return str(error)


def read_text(path: str | os.PathLike[str], role: str = "file") -> str:
    r"""The text of a file, with lines that end in `\n`.

    Args:
        path: of the file.
        role: what it is to the user, for messages: "password file".

    Raises:
        FileError: it cannot be read, or is no text, or of a code page.

    Example:
        >>> password = read_text("secret.txt", "password file").partition("\n")[0]
    """
    return decoded(_content(Path(path), f"{role} {path}"), f"{role} {path}")


def read_json(path: str | os.PathLike[str], role: str = "file") -> Any:
    """The value in a file of JSON.

    Args:
        path: of the file.
        role: as for `read_text`.

    Raises:
        FileError: it cannot be read, or is no JSON.

    Example:
        >>> accounts = read_json("accounts.json")
    """
    text = read_text(path, role)
    if not text.strip():
        raise DamagedFile(f"{role} {path}: it is empty")
    try:
        return json.loads(text)
    except RecursionError:
        raise DamagedFile(f"{role} {path}: its JSON is nested too deeply") from None
    except ValueError as error:  # also an integer of more digits than Python takes
        raise DamagedFile(f"{role} {path}: it is no JSON ({error})") from None


def decoded(data: bytes, what: str) -> str:
    r"""Bytes of an editor as text, with lines that end in `\n`.

    UTF-8, UTF-16 and UTF-32 are read; what is none of them is taken for the encoding of the locale
    where that is another one.

    Args:
        data: of the whole file.
        what: the file, for messages.

    Raises:
        FileError: it is binary, or in an encoding that bytes alone do not tell; the message has
            the likely one.

    Example:
        >>> decoded(b"\xff\xfeh\x00i\x00\r\x00\n\x00", "standard input")
        'hi\n'
    """
    try:
        plain = unmarked(data)
    except UnicodeDecodeError as error:
        raise DamagedFile(
            f"{what}: it has the mark of {error.encoding} and is none: it may be cut short"
        ) from None
    if _BINARY.search(plain):
        raise DamagedFile(f"{what}: it is no text but binary")
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError as error:
        text = _in_locale(plain, what, error)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def unmarked(data: bytes) -> bytes:
    r"""Bytes of a text as UTF-8 without a byte order mark, if they have one; else as they are.

    Args:
        data: of the whole file. UTF-16 without a mark is known by its zeros.

    Raises:
        UnicodeDecodeError: the mark is wrong.

    Example:
        >>> unmarked(b"\xff\xfeh\x00i\x00"), unmarked(b"\xef\xbb\xbfhi"), unmarked(b"h\xe9")
        (b'hi', b'hi', b'h\xe9')
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _as_utf8(data[len(mark) :], encoding)
    odd, even = data[::2].count(0), data[1::2].count(0)
    if len(data) % 2 == 0 and bool(odd) != bool(even):
        with contextlib.suppress(UnicodeDecodeError):
            return _as_utf8(data, "utf-16-le" if even else "utf-16-be")
    return data


def _as_utf8(data: bytes, encoding: str) -> bytes:
    return data if encoding == "utf-8" else data.decode(encoding).encode()


def _content(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise FileError(f"{what}: {reason(error)}") from None
    if len(data) > _LARGEST:
        raise FileError(f"{what}: it is larger than {_LARGEST // 2**20} MiB")
    return data


def _in_locale(data: bytes, what: str, error: UnicodeDecodeError) -> str:
    name = codecs.lookup(locale.getpreferredencoding(False)).name
    if name not in ("utf-8", "ascii"):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(name)
    line = data.count(b"\n", 0, error.start) + 1
    likely = _likely(data)
    raise DamagedFile(
        f"{what}: line {line} is not UTF-8, it looks like {likely}: save the file as UTF-8, or use"
        f" `iconv -f {likely} -t UTF-8`"
    ) from None


def _likely(data: bytes) -> str:
    """The code page that Windows has most likely written: of China, or of the West."""
    pairs = _PAIR.findall(data)
    wide = sum(second >= b"\x80" for second in pairs)
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return "WINDOWS-1252"
    return "GBK" if 2 * wide > len(pairs) else "WINDOWS-1252"


@contextlib.contextmanager
def replaced_file(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a text file that only its owner may read, and that is there when the block is left.

    Until then, and if the block raises, the file is what it was. What a symbolic link leads to is
    replaced, and not the link; a device or a pipe is written to as it is.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> with replaced_file("flow.har") as file:
        ...     file.write(text)
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        return
    with (
        _draft_of(target) as descriptor,
        open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as file,
    ):
        yield file


def replace_bytes(path: str | os.PathLike[str], data: bytes, mode: int = 0o600) -> None:
    """Write a file in one step: a crash leaves the old one or the new one.

    What a symbolic link leads to is replaced, and not the link.

    Args:
        path: of the file.
        data: all that it shall contain.
        mode: permissions; by default only its owner may read it.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> replace_bytes("server.pem", certificate, 0o644)
    """
    with (
        _draft_of(Path(os.path.realpath(path)), mode) as descriptor,
        open(descriptor, "wb", closefd=False) as file,
    ):
        file.write(data)


@contextlib.contextmanager
def _draft_of(target: Path, mode: int = 0o600) -> Iterator[int]:
    """The descriptor of a draft that replaces a file when the block is left without an error."""
    # A name of its own: of two programs that write at once, each moves its own draft.
    prefix = f".{target.name[:40]}."
    _remove_old_drafts(target.parent, prefix)
    descriptor, draft = tempfile.mkstemp(_DRAFT, prefix, target.parent)
    try:
        try:
            os.chmod(draft, mode)
            yield descriptor
            os.fsync(descriptor)  # else a power cut may leave the new name with nothing in it
        finally:
            os.close(descriptor)
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def _remove_old_drafts(folder: Path, prefix: str) -> None:
    """Remove what programs left that were killed while they wrote."""
    for draft in folder.iterdir():
        if draft.name.startswith(prefix) and draft.name.endswith(_DRAFT):
            with contextlib.suppress(OSError):
                if time.time() - draft.stat().st_mtime > _DRAFT_SECONDS:
                    draft.unlink()
