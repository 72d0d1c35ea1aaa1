"""Bodies that are not just bytes: forms, files in forms, JSON, and what is read when it is sent."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import reprlib
import weakref
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from enum import Enum
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias, TypeVar, Union
from urllib.parse import parse_qsl, urlencode

from .errors import StreamError

__all__ = [
    "NOT_BINARY",
    "BodySource",
    "FilePart",
    "Files",
    "Multipart",
    "Params",
    "Source",
    "body_of",
    "checked_multipart",
    "end_of",
    "form_body",
    "form_fields",
    "form_query",
    "is_source",
    "json_body",
    "pairs_of",
    "size_of",
    "source_of",
    "start_of",
    "with_query",
]

#: Where a body comes from: the path of a file, an open binary file, an iterable of bytes, sync
#: or async, or a function that returns one of these for each time the body is sent.
Source: TypeAlias = Union[
    "os.PathLike[str]", IO[bytes], Iterable[bytes], AsyncIterable[bytes], Callable[[], Any]
]

#: Of a query or a form: a list stands for several values of one name, None for none, True for true.
Params: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]

_T = TypeVar("_T")
#: Error for a file that yields text.
NOT_BINARY = "a file to upload is opened in binary mode ('rb')"


class FilePart(NamedTuple):
    """A file in a multipart body.

    Args:
        content: bytes, or the path of a file that libcurl reads when it sends.
        filename: the name sent to the server; by default the path's last part. Quotes and
            line breaks in it are escaped as browsers do: %22, %0D, %0A.
        content_type: by default guessed by libcurl from the name. One with a line break is
            refused by `Request`.

    Example:
        >>> FilePart(b"a,b", "table.csv", "text/csv").filename
        'table.csv'
    """

    content: bytes | os.PathLike[str]
    filename: str = ""
    content_type: str = ""

    def __repr__(self) -> str:
        return f"<FilePart {self.filename!r} {self.content_type}>"


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

    def __repr__(self) -> str:
        return f"<Multipart of {len(self.fields)} fields and {len(self.files)} files>"


#: Of a form, by field name: bytes, the path of a file, or a `FilePart`. Pairs may have several
#: files of one name.
Files: TypeAlias = Union[
    "Mapping[str, FilePart | bytes | os.PathLike[str]]",
    "Iterable[tuple[str, FilePart | bytes | os.PathLike[str]]]",
]


def with_query(url: str, query: str) -> str:
    """Return the URL with more in its query, behind what it has and before its fragment.

    Args:
        url: absolute or relative.
        query: escaped; "" adds nothing.

    Example:
        >>> with_query("/list?page=2#end", "size=9")
        '/list?page=2&size=9#end'
    """
    if not query:
        return url
    base, mark, fragment = url.partition("#")
    joint = "?" if "?" not in base else "" if base.endswith(("?", "&")) else "&"
    return base + joint + query + mark + fragment


def body_of(
    json: object = None, form: Params | str | bytes | None = None, files: Files | None = None
) -> tuple[bytes | Multipart, str]:
    """Return the body that one of these makes, and its content type ("" of a `Multipart`).

    Args:
        json: a value to send as JSON.
        form: fields, or a form that is encoded already.
        files: files of a multipart form, whose fields `form` has.

    Raises:
        ValueError: two of them exclude each other, or a value has no such form.
        TypeError: json has no JSON form.
    """
    # None stands for no body at all: JSON's null is body=b"null".
    if json is not None and (form or files):
        raise ValueError("json is a body of its own: give it without form fields and files")
    if files:
        return _multipart(form or (), files), ""
    return json_body(json) if json is not None else form_body(b"" if form is None else form)


def _multipart(fields: Params | str | bytes, files: Files) -> Multipart:
    if isinstance(fields, (str, bytes)):
        raise ValueError("with files, form fields are a mapping or pairs, not a body")
    return Multipart(
        tuple(
            (name if isinstance(name, str) else name.decode(), one)
            for name, one in form_fields(fields)
        ),
        tuple(
            (name, file if isinstance(file, FilePart) else FilePart(file))
            for name, file in _checked_files(files)
        ),
    )


def _checked_files(files: Any) -> Iterable[tuple[str, Any]]:
    try:
        return [(name, file) for name, file in pairs_of(files)]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"files are a mapping, or pairs of field name and file, not {_kind(files)}"
        ) from error


def form_body(
    params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | bytes,
) -> tuple[bytes, str]:
    """Form fields as a body and its content type, see `form_query`.

    Bytes and text are taken as they are.
    """
    if isinstance(params, str):
        params = params.encode()
    if not isinstance(params, bytes):
        params = form_query(params).encode()
    return params, "application/x-www-form-urlencoded"


def form_query(params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str) -> str:
    """Names and values as the query of a URL, or the body of a form.

    Lists and other iterables stand for several values of one name, None is left out; True and False
    are true and false, as in JSON. Text is taken for what is encoded already, with or without the
    "?" before it.

    Raises:
        ValueError: a value is a mapping, or a list in a list, which a query has no form for.
    """
    if isinstance(params, str):
        return params.removeprefix("?").replace("#", "%23")  # which would begin the fragment
    pairs = list(form_fields(params))
    try:
        return urlencode(pairs)
    except UnicodeEncodeError as error:
        wrong = next(name for name, value in pairs if _is_broken(name) or _is_broken(value))
        raise ValueError(f"{wrong!r} has half of a surrogate pair in its name or value") from error


def form_fields(
    params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str,
) -> Iterator[tuple[str | bytes, str | bytes]]:
    """The pairs of a form: one for each of several values, none for None.

    Raises:
        ValueError: as `form_query`; or they are no pairs.
    """
    if isinstance(params, str):
        params = parse_qsl(params.removeprefix("?"), keep_blank_values=True)
    for name, value in _checked_pairs(params):
        is_list = _is_several(value) and not isinstance(value, Mapping)
        for one in value if is_list else (value,):
            if _is_several(one):
                kind = "mapping" if isinstance(one, Mapping) else "list in a list"
                raise ValueError(f"{name!r} is a {kind}, of which a form has none: json= sends it")
            if one is not None:
                yield _form_text(name), _form_text(one)


def _checked_pairs(params: Any) -> list[tuple[Any, Any]]:
    try:
        pairs = list(pairs_of(params))
        if all(len(pair) == 2 and not isinstance(pair, (str, bytes)) for pair in pairs):
            return pairs
    except TypeError:
        pass
    raise ValueError(
        "params and form fields are a mapping, or pairs of name and value, "
        f"not {reprlib.repr(params) if isinstance(params, list) else _kind(params)}"
    )


def _is_several(value: object) -> bool:
    """True of an iterable, unless it is text or bytes; of a mapping only keys would be sent."""
    return isinstance(value, Iterable) and not isinstance(
        value, (str, bytes, bytearray, memoryview, Enum)
    )


def _form_text(value: object) -> str | bytes:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return str(value)


def _is_broken(value: str | bytes) -> bool:
    return isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value)


def pairs_of(given: Mapping[str, _T] | Iterable[tuple[str, _T]]) -> Iterable[tuple[str, _T]]:
    """Pairs of a mapping or of an iterable of pairs."""
    return given.items() if isinstance(given, Mapping) else given


def json_body(value: object) -> tuple[bytes, str]:
    """A value as JSON in UTF-8, and its content type.

    Raises:
        TypeError: the value has no JSON form.
        ValueError: nor has NaN or an infinity in it, or what contains itself.
    """
    try:
        # `allow_nan` would send NaN and Infinity, which JSON has not (RFC 8259, 6).
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ValueError("json is nested too deeply: send fewer levels") from error
    except TypeError as error:
        raise TypeError(
            f"json cannot be sent: {error}; body=json.dumps(value, default=str) makes text of it"
        ) from error
    except ValueError as error:
        remedy = (
            "; JSON has none (RFC 8259, 6): send None, or text" if "float" in str(error) else ""
        )
        raise ValueError(f"json cannot be sent: {error}{remedy}") from error
    try:
        return text.encode(), "application/json"
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say, but UTF-8 cannot
        return json.dumps(value).encode(), "application/json"


# -- what may be in a multipart body --------------------------------------------------------------


def checked_multipart(body: Multipart) -> Multipart:
    """The body as tuples, which can be sent again.

    Raises:
        ValueError: a part of it is none that can be sent; names it.
    """
    try:
        # Tuples: an iterator of parts would be used up by the first sending.
        fields, files = tuple(pairs_of(body.fields)), tuple(pairs_of(body.files))
        names = [name for name, _ in (*fields, *files)]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "fields and files of a Multipart body are mappings, or pairs of name and value"
        ) from error
    for name in names:
        _check_text("the name of a part", name)
    return Multipart(
        tuple((name, _checked_field(name, value)) for name, value in fields),
        tuple((name, _checked_file(name, file)) for name, file in files),
    )


_LINE_BREAK = re.compile(r"[\r\n]")


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{what} in a Multipart body is text, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{what} in a Multipart body has NUL in it")
    _check_encodable(what, value, "surrogateescape")  # as the names of files come from the system


def _checked_field(name: str, value: Any) -> str | bytes:
    if isinstance(value, str):
        _check_encodable(f"field {name!r}", value, "strict")
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise ValueError(
        f"field {name!r} of a Multipart body is text or bytes, not {type(value).__name__}"
    )


def _check_encodable(what: str, value: str, errors: str) -> None:
    try:
        value.encode(errors=errors)
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} in a Multipart body has half of a surrogate pair") from error


def _checked_file(name: str, file: Any) -> FilePart:
    if not isinstance(file, FilePart):
        raise ValueError(f"file {name!r} of a Multipart body is a FilePart, not {_kind(file)}")
    content, filename, content_type = file
    # The caller may change these before they are sent, or sent again.
    if isinstance(content, (bytearray, memoryview)):
        content = bytes(content)
    if not isinstance(content, (bytes, os.PathLike)):
        raise ValueError(
            f"file {name!r} of a Multipart body is bytes or a pathlib.Path, not {_kind(content)}"
            f"{_hint(content)}"
        )
    _check_text(f"filename of {name!r}", filename)
    _check_text(f"content_type of {name!r}", content_type)
    # It would end the header in its part, and begin another.
    if _LINE_BREAK.search(content_type):
        raise ValueError(f"content_type of {name!r} has a line break in it: {content_type!r}")
    return FilePart(content, filename, content_type)


def _hint(content: object) -> str:
    """The way that other clients have, and what it is here."""
    if isinstance(content, tuple):
        return ": FilePart(content, filename, content_type) has what a tuple has elsewhere"
    if isinstance(content, list):
        return ": for several files of one name give files=[(name, file), (name, file)]"
    if isinstance(content, str):
        return ": of a path give pathlib.Path(path), of text text.encode()"
    if hasattr(content, "read"):
        return ": give its path, pathlib.Path(file.name), or what it holds, file.read()"
    return ""


def _kind(value: object) -> str:
    return type(value).__name__


def is_source(body: object) -> bool:
    """Return True for a body that is not held in memory."""
    kinds = (os.PathLike, io.IOBase, Iterable, AsyncIterable, BodySource)
    return isinstance(body, kinds) or hasattr(body, "read") or callable(body)


def source_of(body: Any) -> Any:
    """The body as a request keeps it: with its place, if there is one that sending it moves on.

    Args:
        body: see `Source`.

    Raises:
        TypeError: it is a file that is open for text.
        ValueError: it is a file that is closed.
    """
    if isinstance(body, io.TextIOBase):
        raise TypeError(NOT_BINARY)
    # What has a place is moved on by sending; a path or a list begins anew by itself.
    return BodySource(body) if _is_function(body) or _has_place(body) else body


def size_of(source: Any) -> int | None:
    """Bytes in a body, if a file on disk can tell.

    Args:
        source: what `source_of` gave.
    """
    if isinstance(source, os.PathLike):
        path = Path(source)
        return path.stat().st_size if path.is_file() else None
    return source.size if isinstance(source, BodySource) else None


class BodySource:
    """An open file, an iterator, or a function that returns such a body: sending moves it on.

    What is sent again is to be what was sent first. So each sending of a file begins where it
    stood when the request was made, or when the function gave it; an iterator, or a file that
    cannot go back, is sent once.

    Args:
        given: file, iterator or function.

    Raises:
        ValueError: the file is closed.
    """

    def __init__(self, given: Any) -> None:
        self._function: Callable[[], Any] | None = given if _is_function(given) else None
        self._body = given  # not of a function: it makes a new one each time, and may close it
        self._last: weakref.ref[Any] | None = None  # what the function gave last
        self._start = None if self._function is not None else start_of(given)
        self._is_used = False

    @property
    def size(self) -> int | None:
        """Bytes from where it begins to its end, if it is a file that can tell."""
        if self._start is None or self._function is not None:
            return None
        # Where it stands now, which need not be where it began.
        place = self._body.tell()
        size = end_of(self._body) - self._start
        self._body.seek(place)
        return size

    @property
    def is_replayable(self) -> bool:
        """True if the body can be sent a second time."""
        return self._function is not None or self._start is not None

    @property
    def again(self) -> Callable[[], Any] | None:
        """Gives it anew, if a function does."""
        return None if self._function is None else lambda: self.begin()[0]

    def begin(self) -> tuple[Any, int | None]:
        """The body to send now, and the place in its file where it begins, if it has one.

        Raises:
            StreamError: it is used up.
            ValueError: as `BodySource`, of what the function gave.
        """
        body = self._body if self._function is None else self._from(self._function)
        if self._start is None and _has_place(body):
            # A generator that has run to its end yields an empty body, and no error.
            if self._is_used or _is_spent(body):
                kind = "open file that cannot go back" if hasattr(body, "read") else "iterator"
                raise StreamError(
                    f"the body was an {kind}, and is used up: give body= a path, or a function "
                    "that returns a new one each time"
                )
            self._is_used = True
        return body, self._start

    def _from(self, function: Callable[[], Any]) -> Any:
        body = function()
        if self._last is None or self._last() is not body:  # a new one, as it should be
            self._start, self._is_used = start_of(body), False
            try:
                # An id might be that of a later object, and a strong reference would keep the body
                # open.
                self._last = weakref.ref(body)
            except TypeError:  # such as a list, which has no place
                self._last = None
        return body


def _is_function(body: object) -> bool:
    return callable(body) and not hasattr(body, "read")


def _has_place(body: object) -> bool:
    return hasattr(body, "read") or isinstance(body, (Iterator, AsyncIterator))


def _is_spent(body: object) -> bool:
    if inspect.isgenerator(body):
        return body.gi_frame is None
    return inspect.isasyncgen(body) and body.ag_frame is None


def start_of(body: Any) -> int | None:
    """Position of a file, if it can be rewound to it.

    Raises:
        ValueError: it is closed.
    """
    if not hasattr(body, "read"):
        return None
    if getattr(body, "closed", False):
        raise ValueError("the file to upload is closed: send it before, or give its path")
    return int(body.tell()) if _is_seekable(body) else None


def end_of(file: IO[bytes]) -> int:
    """Position of a file's end, where it stands afterwards."""
    file.seek(0, os.SEEK_END)  # which returns nothing in files that are not Python's own
    return int(file.tell())


def _is_seekable(file: IO[bytes]) -> bool:
    says = getattr(file, "seekable", None)
    # A SpooledTemporaryFile says nothing before Python 3.11, nor do uploads of web frameworks.
    return bool(says()) if says is not None else hasattr(file, "seek") and hasattr(file, "tell")
