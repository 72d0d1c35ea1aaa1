"""Bodies that are not just bytes: forms, files in forms, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

__all__ = ["FilePart", "Multipart", "form_body", "json_body", "pairs_of"]

_T = TypeVar("_T")


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
        fields: pairs of name and value, or a mapping.
        files: pairs of name and `FilePart`, or a mapping.

    Example:
        >>> body = Multipart((("user", "ann"),), (("file", FilePart(b"x", "x.txt")),))
        >>> request = Request("http://example.org/", body=body)
    """

    fields: Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]] = ()
    files: Mapping[str, FilePart] | Sequence[tuple[str, FilePart]] = ()


def form_body(
    params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | bytes,
) -> tuple[bytes, str]:
    """Form fields as a body and its content type. Values that are lists are sent repeatedly.

    Bytes and text are taken as they are.
    """
    if isinstance(params, str):
        params = params.encode()
    if not isinstance(params, bytes):
        params = urlencode(list(pairs_of(params)), doseq=True).encode()
    return params, "application/x-www-form-urlencoded"


def pairs_of(given: Mapping[str, _T] | Iterable[tuple[str, _T]]) -> Iterable[tuple[str, _T]]:
    """What was given as pairs or as a mapping, as pairs."""
    return given.items() if isinstance(given, Mapping) else given


def json_body(value: object) -> tuple[bytes, str]:
    """A value as JSON in UTF-8, and its content type.

    Raises:
        TypeError: the value has no JSON form.
    """
    return json.dumps(value, ensure_ascii=False).encode(), "application/json"
