"""Files that applications send in pieces, since one frame would be too large.

As in NC (action/stream/UploadFileStream.ts); what it answers as path is the name of the stored file
here, which any segment and action takes as ``file``. Its downloads in pieces are not there: each
file has an address.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from ...onebot.v11.actions import ActionError, Retcode
from ..storage.files import MAX_FILE, file_name
from .account import ActionFunction, OneBotAccount
from .incoming import decoded

__all__ = ["FUNCTIONS"]

#: Seconds for which the next piece is waited for (NC), pieces of a file, files of an account.
_PATIENCE, _MOST_PIECES, _MOST_FILES = 600.0, 100_000, 20


@dataclass(slots=True)
class Upload:
    """A file that is on its way.

    Args:
        name: that it will have.
        count: of its pieces.
        sha256: of the whole, in hexadecimal; empty if it is not to be checked.
    """

    name: str
    count: int
    sha256: str
    pieces: dict[int, bytes] = field(default_factory=dict, repr=False)
    seen: float = 0.0

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return sum(map(len, self.pieces.values()))

    def joined(self) -> bytes:
        """The whole.

        Raises:
            ActionError: a piece is missing, or the whole is another one than was announced.
        """
        missing = next((each for each in range(self.count) if each not in self.pieces), None)
        if missing is not None:
            raise ActionError(f"piece {missing} of {self.count} is missing")
        data = b"".join(self.pieces[each] for each in range(self.count))
        if self.sha256 and hashlib.sha256(data).hexdigest() != self.sha256.lower():
            raise ActionError("the pieces have another SHA-256 than expected_sha256")
        return data


async def _take(account: OneBotAccount, params: dict[str, Any]) -> object:
    name, uploads = params["stream_id"], account.uploads
    if params["reset"]:
        uploads.pop(name, None)
        return {"type": "response", "stream_id": name, "status": "reset"}
    upload = _upload(account, params)
    upload.seen = time.monotonic()
    if params["chunk_data"] and not params["verify_only"]:
        _add(account, upload, params["chunk_index"], decoded(params["chunk_data"]))
        return _progress(name, upload, "chunk_received")
    if params["verify_only"] or not (params["is_complete"] or len(upload.pieces) == upload.count):
        return _progress(name, upload, "file_created")
    await account.spend("upload")
    return _completed(account, name, upload)


def _upload(account: OneBotAccount, params: dict[str, Any]) -> Upload:
    name, uploads = params["stream_id"], account.uploads
    if name in uploads:
        return uploads[name]
    now = time.monotonic()
    for each in [each for each, upload in uploads.items() if now - upload.seen > _PATIENCE]:
        del uploads[each]
    if not 0 < params["total_chunks"] <= _MOST_PIECES:
        why = f"there is no upload {name[:40]!r}: begin one with total_chunks, 1 to {_MOST_PIECES}"
        raise ActionError(why, Retcode.BAD_REQUEST)
    if len(uploads) >= _MOST_FILES:
        raise ActionError(f"{_MOST_FILES} files are on their way already")
    given = params["filename"] or "file"
    made = uploads[name] = Upload(given, params["total_chunks"], params["expected_sha256"])
    return made


def _add(account: OneBotAccount, upload: Upload, number: int, piece: bytes) -> None:
    if not 0 <= number < upload.count:
        why = f"chunk_index is to be 0 to {upload.count - 1}"
        raise ActionError(why, Retcode.BAD_REQUEST)
    if sum(each.size for each in account.uploads.values()) + len(piece) > MAX_FILE:
        raise ActionError(f"files that are on their way have {MAX_FILE} bytes at most")
    upload.pieces.setdefault(number, piece)


def _completed(account: OneBotAccount, name: str, upload: Upload) -> object:
    data = upload.joined()
    try:
        row = account.storage.files.add(data, file_name(upload.name))
    except ValueError as error:
        raise ActionError(f"the file cannot be taken: {error}") from None
    except OSError as error:
        raise ActionError(f"the file cannot be stored: {error.strerror}") from None
    del account.uploads[name]
    sha256 = hashlib.sha256(data).hexdigest()
    details = {"file_path": row.name, "file_size": row.size, "sha256": sha256}
    return {**_progress(name, upload, "file_complete"), **details, "type": "response"}


def _progress(name: str, upload: Upload, status: str) -> dict[str, object]:
    return {
        "type": "stream",
        "stream_id": name,
        "status": status,
        "received_chunks": len(upload.pieces),
        "total_chunks": upload.count,
    }


async def _forget(account: OneBotAccount, _params: dict[str, Any]) -> object:
    account.uploads.clear()
    return None


FUNCTIONS: dict[str, ActionFunction] = {
    "upload_file_stream": _take,
    "clean_stream_temp_file": _forget,
}
