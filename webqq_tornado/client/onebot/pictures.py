"""Pictures of messages, fetched at once: their URLs last for hours (NC: `nc_get_rkey`)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...engine.errors import StreamError
from ...engine.request import Request
from ...files import replace_bytes
from ...onebot.v11.actions import Answer
from ...onebot.v11.values import Fields, as_text
from ...protocol.models.content import Attachment, Content
from ..store import Store
from .transport import ActionFailed

if TYPE_CHECKING:
    from ...engine.stream import HTTPStream

__all__ = ["PICTURE_TYPES", "PictureError", "PictureFile", "Pictures"]

logger = logging.getLogger("webqq_tornado.webqq")

#: First bytes of the types that are kept, and the ends of their names.
_TYPES = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
)
#: Names of all types.
PICTURE_TYPES = ("jpg", "png", "gif", "webp", "bmp")
#: Seconds for one, and how many are fetched at once.
_TIMEOUT, _AT_ONCE = 30.0, 4
#: Pictures that wait to be fetched; further ones are left until somebody wants them.
_MOST = 200


class PictureError(Exception):
    """A picture cannot be had: says which, and why."""


class PictureFile(NamedTuple):
    """A picture.

    Args:
        data: its bytes.
        suffix: ``.png``, ``.jpg``, ``.gif``, ``.webp`` or ``.bmp``, by its first bytes.
        path: where it is kept; None without a store.
    """

    data: bytes
    suffix: str
    path: Path | None = None


class Caller(Protocol):
    """The part of an account that pictures use."""

    name: str
    account: int
    stream: HTTPStream
    store: Store | None

    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """Send an action; return the answer, whatever it says."""


class Pictures:
    """The pictures of an account's messages; kept beside its store, by their hash.

    Args:
        caller: whose.
        max_size: bytes of one.
        types: names of those that are kept; one of another type is refused.
    """

    def __init__(self, caller: Caller, max_size: int, types: Iterable[str] = PICTURE_TYPES) -> None:
        self._caller, self._max_size, self._types = caller, max_size, frozenset(types)
        if unknown := self._types.difference(PICTURE_TYPES):
            raise ValueError(
                f"no picture types {sorted(unknown)}; there are {', '.join(PICTURE_TYPES)}"
            )
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[PictureFile]] = {}

    def fetch_all(self, content: Content) -> None:
        """Begin to fetch the pictures of a message, if there is a store to keep them.

        Args:
            content: of the message.
        """
        if self._caller.store is None:
            return
        for part in content.parts:
            if not (isinstance(part, Attachment) and part.kind == "image"):
                continue
            if len(self._tasks) >= _MOST:
                logger.info("%s: %d pictures wait already: more of them are fetched when they are"
                            " wanted", self._caller.name, _MOST)  # fmt: skip
                return
            self._begin(part)

    async def get(self, part: Attachment) -> PictureFile:
        """A picture: as it is kept, else fetched now.

        Args:
            part: of a message.

        Raises:
            PictureError: it is too large, not a picture, or gone.
        """
        task = self._begin(part)
        return await asyncio.shield(task)

    def close(self) -> None:
        """Fetch none any more."""
        for task in tuple(self._tasks.values()):
            task.cancel()

    def _begin(self, part: Attachment) -> asyncio.Task[PictureFile]:
        key = part.file or part.url
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.get_running_loop().create_task(self._get(key, part))
            task.add_done_callback(lambda done: self._on_done(key, done))
        return task

    def _on_done(self, key: str, task: asyncio.Task[PictureFile]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("%s: %s", self._caller.name, error)

    async def _get(self, key: str, part: Attachment) -> PictureFile:
        if part.size > self._max_size:
            raise PictureError(self._words(part, f"it has {part.size} bytes"))
        kept = self._kept(key)
        if kept is not None:
            return kept
        async with self._turn:
            data = await self._data(part)
        suffix = _suffix(data)
        if not suffix:
            raise PictureError(self._words(part, "it is no JPEG, PNG, GIF, WebP or BMP"))
        if suffix[1:] not in self._types:
            wanted = ", ".join(sorted(self._types)) or "none"
            raise PictureError(self._words(part, f"it is {suffix[1:]}, and wanted are {wanted}"))
        return self._keep(key, data, suffix)

    def _words(self, part: Attachment, why: str) -> str:
        shown = part.name or part.file[:60]
        return f"the picture {shown} is not fetched: {why}; the limit is {self._max_size} bytes"

    # -- the bytes -----------------------------------------------------------------------------

    async def _data(self, part: Attachment) -> bytes:
        if part.file.startswith("base64://"):
            return _decoded(part.file.removeprefix("base64://"))
        if part.url.startswith(("http://", "https://")):
            try:
                return await self._fetched(part.url)
            except PictureError:
                if not part.file:
                    raise
        return await self._asked_for(part)

    async def _fetched(self, url: str) -> bytes:
        request = Request(url, max_body_size=self._max_size)
        try:
            response = await self._caller.stream.fetch(request, timeout=_TIMEOUT)
        except (StreamError, ValueError) as error:
            raise PictureError(f"a picture cannot be fetched: {error}") from error
        if not response.ok:
            raise PictureError(f"a picture cannot be fetched: HTTP {response.status}")
        return response.body

    async def _asked_for(self, part: Attachment) -> bytes:
        """Ask for a new URL, or the bytes: the old one has expired, or there was none."""
        try:
            answer = await self._caller.answer_to("get_image", {"file": part.file}, _TIMEOUT)
        except ActionFailed as error:
            raise PictureError(self._words(part, str(error))) from error
        data: Mapping[str, object] = answer.data if isinstance(answer.data, dict) else {}
        if encoded := as_text(data.get("base64")):
            return _decoded(encoded)
        for name in ("url", "file"):
            url = as_text(data.get(name))
            if url.startswith(("http://", "https://")) and url != part.url:
                return await self._fetched(url)
        raise PictureError(self._words(part, f"its URL does not work, and get_image: {answer}"))

    # -- the store -----------------------------------------------------------------------------

    @property
    def _namespace(self) -> str:
        return f"onebot pictures {self._caller.account}"

    @property
    def folder(self) -> Path | None:
        """The folder of stored pictures; None without a store on disk."""
        store = self._caller.store
        if store is None or str(store.path) == ":memory:":
            return None
        return store.path.with_name(f"{store.path.name}-pictures")

    def _kept(self, key: str) -> PictureFile | None:
        store, folder = self._caller.store, self.folder
        name = store.get(self._namespace, key) if store is not None else None
        if folder is None or not isinstance(name, str) or os.sep in name:
            return None
        path = folder / name
        try:
            return PictureFile(path.read_bytes(), path.suffix, path)
        except OSError:
            return None

    def _keep(self, key: str, data: bytes, suffix: str) -> PictureFile:
        store, folder = self._caller.store, self.folder
        if store is None or folder is None:
            return PictureFile(data, suffix)
        path = folder / f"{hashlib.sha256(data).hexdigest()}{suffix}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            replace_bytes(path, data)
        except OSError as error:
            logger.warning("%s: a picture cannot be kept: %s", self._caller.name, error)
            return PictureFile(data, suffix)
        store.put(self._namespace, key, path.name)
        return PictureFile(data, suffix, path)


def _suffix(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for start, suffix in _TYPES if data.startswith(start)), "")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise PictureError(f"a picture in base64 makes no sense: {error}") from error
