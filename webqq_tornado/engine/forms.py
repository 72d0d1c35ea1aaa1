"""Bodies that are not just bytes: forms, files in forms, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

__all__ = ["FilePart", "Multipart", "form_body", "json_body"]


class FilePart(NamedTuple):
    """A file in a multipart body.

    Args:
        content: bytes, or the path of a file that libcurl reads when it sends.
        filename: the name that the server is told; by default the path's last part.
        content_type: by default guessed by libcurl from the name.

    Example:
        >>> FilePart(b"a,b", "table.csv", "text/csv").filename
        'table.csv'
    """

    content: bytes | os.PathLike[str]
    filename: str = ""
    content_type: str = ""


class Multipart(NamedTuple):
    """A multipart/form-data body: form fields first, then files.

    Args:
        fields: pairs of name and value.
        files: pairs of name and `FilePart`.

    Example:
        >>> body = Multipart((("user", "ann"),), (("file", FilePart(b"x", "x.txt")),))
        >>> request = Request("http://example.org/", body=body)
    """

    fields: tuple[tuple[str, str | bytes], ...] = ()
    files: tuple[tuple[str, FilePart], ...] = ()


def form_body(
    params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | bytes,
) -> tuple[bytes, str]:
    """Form fields as a body and its content type. Values that are lists are sent repeatedly.

    Bytes and text are taken as they are.
    """
    if isinstance(params, str):
        params = params.encode()
    if not isinstance(params, bytes):
        pairs = params.items() if isinstance(params, Mapping) else params
        params = urlencode(list(pairs), doseq=True).encode()
    return params, "application/x-www-form-urlencoded"


def json_body(value: object) -> tuple[bytes, str]:
    """A value as JSON in UTF-8, and its content type.

    Raises:
        TypeError: the value has no JSON form.
    """
    return json.dumps(value, ensure_ascii=False).encode(), "application/json"
