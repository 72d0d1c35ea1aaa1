"""Matching of requests with recorded ones: by method, URL and body, without secrets.

What is compared is raw: two queries that decode to the same text are two. Secrets are masked on
both sides, so requests that differ in nothing else are the same. Fragments and credentials in URLs
are not sent, and do not count; nor does the boundary of a multipart body.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias, Union
from urllib.parse import parse_qsl, urlsplit

from .body import FilePart, Multipart, pairs_of
from .request import Request
from .scanning import parts_of
from .secrets import FORM, MASK, Masker, boundary_of, codec_of, kind_of
from .urls import normal_url

__all__ = ["Field", "Key", "Matcher", "asked_url", "fields_of", "header_of"]

#: A masked value, as a client sends it: escaped.
_ESCAPED_MASK = "%2A%2A%2A"
#: Secrets that a `Masker` learns, see there.
_LEARNED = r"(?:(?=[^\s&/]*\d)[\w.~+@=!%-]{16,}|\*{3})"
_FILENAME = re.compile(r"""\bfilename="((?:[^"\\]|\\.)*)\"""", re.IGNORECASE)


class Field(NamedTuple):
    """A field of a form or of a multipart body.

    Args:
        name: of the field.
        value: its text, without secrets; of a file the SHA-256 of its content, "" if not known.
        filename: "" if it is no file.
    """

    name: str
    value: str
    filename: str = ""


_Body: TypeAlias = Union[str, "tuple[Field, ...]"]


class Key(NamedTuple):
    """The comparison key of a request; equal for requests that match."""

    method: str
    url: str
    body: _Body = ""

    def fits(self, other: Key) -> bool:
        """Return True if another request differs only in values that the recorder knows as secrets.

        That is masked also where it stands without a name, maybe in a request before it was known.

        Args:
            other: of a request that is asked for now.
        """
        if not isinstance(self.body, str) or not isinstance(other.body, str):
            return False
        pairs = ((self.url, other.url), (self.body, other.body))
        return self.method == other.method and all(
            mine == given or (MASK in mine and _pattern_of(mine).fullmatch(given))
            for mine, given in pairs
        )


@functools.lru_cache(maxsize=256)
def _pattern_of(text: str) -> re.Pattern[str]:
    # All of it is literal but the masks, which may stand for any secret.
    return re.compile(re.escape(text).replace(re.escape(MASK), _LEARNED))


class Matcher:
    """Makes the keys of requests.

    Args:
        masker: of secrets, and of parameters that do not count.
    """

    def __init__(self, masker: Masker) -> None:
        self._masker = masker

    def keys_of(self, request: Request) -> list[Key]:
        """The keys under which a request may have been recorded, the most exact first.

        Args:
            request: that is asked for now.
        """
        content_type = header_of(request.header_pairs, "Content-Type")
        url = self._url(request.url)
        if isinstance(request.body, Multipart):
            return [Key(request.method, url, fields_of(request.body, self._masker))]
        # Others are read when they are sent, and an iterator only once: they count as empty.
        body = request.body if isinstance(request.body, bytes) else b""
        keys = [Key(request.method, url, self._body(body, content_type))]
        if kind_of(content_type) == FORM:  # some recorders keep the decoded fields alone
            # Latin-1 has a character for each byte: no body is refused.
            pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True)
            fields = tuple(Field(name, self._masker.value(name, value)) for name, value in pairs)
            keys.append(Key(request.method, url, fields))
        return keys

    def recorded_key(self, method: str, url: str, body: bytes, content_type: str) -> Key:
        """The key of a request of which there is the body as it was sent.

        Args:
            method: in any case.
            url: absolute; one that cannot be sent is taken as it is.
            body: b"" if there was none.
            content_type: the header.
        """
        return Key(method.upper(), self._recorded_url(url), self._body(body, content_type))

    def recorded_fields(self, method: str, url: str, fields: Iterable[Field]) -> Key:
        """The key of a request of which there are the decoded fields.

        Args:
            method: in any case.
            url: absolute.
            fields: of its form.
        """
        masked = (
            field if field.filename else Field(field.name, self._masker.value(*field[:2]))
            for field in fields
        )
        return Key(method.upper(), self._recorded_url(url), tuple(masked))

    def _recorded_url(self, url: str) -> str:
        try:
            return self._url(normal_url(url))
        except ValueError:
            return url  # of an extension, or of another scheme: nobody asks for it here

    def _url(self, url: str) -> str:
        return self._masker.url(asked_url(url)).replace(_ESCAPED_MASK, MASK)

    def _body(self, body: bytes, content_type: str) -> _Body:
        if kind_of(content_type).startswith("multipart/"):
            return tuple(self._parts(body, content_type))
        text = self._masker.body(body, content_type).decode("latin-1")
        return text.replace(_ESCAPED_MASK, MASK)

    def _parts(self, body: bytes, content_type: str) -> Iterator[Field]:
        codec = codec_of(body, content_type)
        text = body.decode(codec)
        for part in parts_of(text, boundary_of(content_type)):
            content, filename = text[part.start : part.end], _FILENAME.search(part.head)
            if filename:
                # Back by the same codec: the bytes are those that were sent.
                yield Field(part.name, _digest(content.encode(codec)), filename[1])
            else:
                yield Field(part.name, self._masker.value(part.name, content))


def fields_of(body: Multipart, masker: Masker) -> tuple[Field, ...]:
    """The fields of a multipart body that libcurl puts together.

    Args:
        body: of a request.
        masker: of secrets.
    """
    fields = (
        (name, value.decode(codec_of(value, "")) if isinstance(value, bytes) else value)
        for name, value in pairs_of(body.fields)
    )
    return (
        *(Field(name, masker.value(name, value)) for name, value in fields),
        *(_field_of_file(name, file) for name, file in pairs_of(body.files)),
    )


def _field_of_file(name: str, file: FilePart) -> Field:
    if isinstance(file.content, bytes):
        return Field(name, _digest(file.content), file.filename or name)
    return Field(name, "", file.filename or Path(os.fspath(file.content)).name)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def asked_url(url: str) -> str:
    """The part of a URL that a server is asked for: without credentials and fragment.

    Args:
        url: absolute.
    """
    before = url.partition("#")[0]
    netloc = urlsplit(before).netloc
    # Once: the same text may come again in the path.
    return before.replace(netloc, netloc.rpartition("@")[2], 1) if "@" in netloc else before


def header_of(pairs: Iterable[tuple[str, str]], name: str) -> str:
    """The value of a header, "" if there is none.

    Args:
        pairs: of names and values.
        name: in any case.
    """
    return next((value for one, value in pairs if one.lower() == name.lower()), "")
