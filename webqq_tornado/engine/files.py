"""Replace a file in one step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["replaced_file"]


@contextlib.contextmanager
def replaced_file(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a text file that only its owner may read, and that is there when the block is left.

    Until then, and if the block raises, the file is what it was. What a symbolic link leads to is
    replaced, and not the link; a device or a pipe is written to as it is.

    Args:
        path: of the file.

    Raises:
        OSError: it can not be written.

    Example:
        >>> with replaced_file("flow.har") as file:
        ...     file.write(text)
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        return
    draft = target.with_name(target.name + ".new")
    draft.unlink(missing_ok=True)  # one that a crash left may have another mode
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
