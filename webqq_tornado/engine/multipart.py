"""A `Multipart` body in libcurl's form: files are read by libcurl when it sends them."""

from __future__ import annotations

import os

import pycurl

from .forms import FilePart, Multipart, pairs_of

__all__ = ["build_mime"]


def build_mime(easy: pycurl.Curl, body: Multipart) -> pycurl.CurlMime:
    """The body for one handle, to be set as MIMEPOST and closed when it was sent.

    Raises:
        pycurl.error: a file can not be read.
    """
    mime = pycurl.CurlMime(easy)
    for name, value in pairs_of(body.fields):
        part = mime.addpart()
        part.name(name.encode(errors="surrogateescape"))
        part.data(value if isinstance(value, bytes) else value.encode())
    for name, file in pairs_of(body.files):
        part = mime.addpart()
        part.name(name.encode(errors="surrogateescape"))
        _fill(part, name, file)
    return mime


def _fill(part: pycurl.CurlMimePart, name: str, file: FilePart) -> None:
    if isinstance(file.content, bytes):
        part.data(file.content)
        part.filename((file.filename or name).encode(errors="surrogateescape"))
    else:
        part.filedata(os.fsencode(file.content))
        if file.filename:
            part.filename(file.filename.encode(errors="surrogateescape"))
    if file.content_type:
        part.type(file.content_type.encode(errors="surrogateescape"))
