"""Pictures as the clients of 2011 to 2015 sent and fetched them (webqq-core 2013, pywebqq 2014).

To a friend: `upload_offline_pic`, then a message with ["offpic", path, name, size]. To a group:
`get_gface_sig2`, `cface_upload`, then one with ["cface", "group", name]. What came is fetched by
`get_offpic2`, `get_cface2` and `get_group_pic`.
"""

from __future__ import annotations

import json
import re
import secrets

from tornado.httputil import HTTPFile, HTTPServerRequest, parse_body_arguments
from tornado.web import stream_request_body

from ...protocol import wire
from ..downloads import write_file
from ..handlers import SESSION_GONE, Handler, LargeBody, Refusal
from ..hub import PollSession
from ..storage import TooLarge

__all__ = ["ROUTES"]

#: Bytes of an upload: QQ took pictures of 1 MiB from the web; a photograph of today has more.
_LARGEST = 8 * 1024**2
_STORED = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,8}")


@stream_request_body
class _UploadHandler(LargeBody):
    """Stores a picture from a form (multipart/form-data)."""

    largest = _LARGEST
    #: Possible names of the field with the picture.
    fields = ("file", "custom_face")

    def post(self) -> None:
        """Store the picture; the response calls a script of the page with the form."""
        form, files = _parsed(self.request, self.received)
        found = next((files[name][0] for name in self.fields if files.get(name)), None)
        session = self.server.hub.find(form.get("vfwebqq", ""), "vfwebqq") or self.server.hub.find(
            self.get_cookie("ptwebqq", ""), "ptwebqq"
        )
        self.set_header("Content-Type", "text/html; charset=utf-8")
        if session is None or session.kicked is not None or found is None:
            self.write(self.refusal("not login" if found else "no file"))
            return
        self.spend("upload", session.account)
        try:
            row = self.server.storage.files.add(found["body"], found["filename"], is_picture=True)
        except (TooLarge, ValueError) as error:
            self.write(self.refusal(str(error)))
            return
        self.write(self.success(row.name, row.size, found["filename"], form))

    def success(self, name: str, size: int, given: str, form: dict[str, str]) -> str:
        """The response for a stored picture."""
        raise NotImplementedError

    def refusal(self, why: str) -> str:
        """The response for a refused picture, with the reason."""
        raise NotImplementedError


class OfflinePictureHandler(_UploadHandler):
    """`upload_offline_pic`: for a friend."""

    def success(self, name: str, size: int, given: str, form: dict[str, str]) -> str:
        """CallbackSendPic with the path."""
        values = {
            "retcode": 0,
            "result": "OK",
            "progress": 100,
            "filesize": str(size),
            "fileid": form.get("fileid", "1"),
            "filename": given,
            "filepath": f"/{name}",
        }
        return _script("callbackSendPic", values)

    def refusal(self, why: str) -> str:
        """CallbackSendPic with a retcode."""
        return _script("callbackSendPic", {"retcode": 1, "result": why, "progress": 0})


class CustomFaceHandler(_UploadHandler):
    """`cface_upload`: for a group."""

    def success(self, name: str, size: int, given: str, form: dict[str, str]) -> str:
        """CallbackSendPicGroup with the name."""
        return _script("callbackSendPicGroup", {"ret": 0, "msg": name})

    def refusal(self, why: str) -> str:
        """CallbackSendPicGroup with a code."""
        return _script("callbackSendPicGroup", {"ret": -1, "msg": why})


def _script(function: str, values: dict[str, object]) -> str:
    # Escaped: "<" could end the script.
    text = json.dumps(values).replace("<", "\\u003c")
    call = f"parent.EQQ.Model.ChatMsg.{function}({text});"
    return f"<head><script type=\"text/javascript\">document.domain='qq.com';{call}</script></head>"


def _parsed(
    request: HTTPServerRequest, body: bytes
) -> tuple[dict[str, str], dict[str, list[HTTPFile]]]:
    arguments: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    parse_body_arguments(
        request.headers.get("Content-Type", ""),
        body,
        arguments,
        files,
    )
    named = {name: texts[-1].decode("utf-8", "replace") for name, texts in arguments.items()}
    return named, files


class PictureHandler(Handler):
    """`get_offpic2`, `get_cface2`, `get_group_pic`: the picture of a message."""

    async def get(self) -> None:
        """Return the bytes of the picture."""
        arguments = (self.get_query_argument(name, "") for name in ("file_path", "guid", "pic"))
        name = next((found[0] for found in map(_STORED.search, arguments) if found), "")
        row = self.server.storage.files.get(name)
        path = self.server.storage.files.path(name) if row else None
        if row is None or path is None:
            raise Refusal(404, "There is no such picture")
        await write_file(self, row, path)


class FaceKeyHandler(Handler):
    """`get_gface_sig2`: key and signature for messages with pictures to groups."""

    def get(self) -> None:
        """Return random ones, which this server does not check."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        session = self._session()
        if session is None or session.kicked is not None:
            self.write(wire.build_refusal(SESSION_GONE))
            return
        values = {"reply": 0, "gface_key": secrets.token_hex(8), "gface_sig": secrets.token_hex(48)}
        self.write(wire.dump({"retcode": 0, "result": values}))

    def _session(self) -> PollSession | None:
        return self.server.hub.find(self.get_query_argument("psessionid", ""))


ROUTES: tuple[tuple[str, type[Handler]], ...] = (
    (r"/ftn_access/upload_offline_pic", OfflinePictureHandler),
    (r"/cgi-bin/cface_upload", CustomFaceHandler),
    (r"/channel/get_offpic2|/channel/get_cface2|/cgi-bin/get_group_pic", PictureHandler),
    (r"/channel/get_gface_sig2", FaceKeyHandler),
)
