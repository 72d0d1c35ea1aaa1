"""One request of the command line, built from httpie's items."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import click

from ..engine.body import FilePart, Multipart, with_query
from .exact_json import dump_exact, load_exact
from .textfiles import read_bytes_of, read_file_text

__all__ = ["FORM_TYPE", "Kind", "OneShot", "with_items"]

FORM_TYPE = "application/x-www-form-urlencoded"
_JSON_TYPE = "application/json"
#: Separators of name and value; of those that begin first the longest wins.
_MARKS = (":=@", "==@", "=@", ":@", ":=", "==", "=", ":", "@")
#: A backslash before a separator makes it a part of the name.
_ITEM = re.compile(
    rf"(?P<name>(?:\\[:=@]|[^:=@])*)(?P<mark>{'|'.join(_MARKS)})(?P<value>.*)", re.DOTALL
)
#: A name of a nested place in JSON: `a[b][0]`, `a[]`, `[b]`.
_PLACE = re.compile(r"(?P<root>[^\[\]\\]*)(?P<steps>(?:\[[^\[\]\\]*\])+)")
#: The highest index of a list: a higher one is a mistake, and would only take memory.
_LAST_PLACE = 9_999
_HOW = "give name==value, Header:value, key=value, key:=JSON, key@FILE or @FILE"


class Kind(NamedTuple):
    """The form of a body made of fields.

    Args:
        is_form: a form instead of JSON.
        is_multipart: a form in parts, even without files.
    """

    is_form: bool = False
    is_multipart: bool = False


_JSON = Kind()


class OneShot(NamedTuple):
    """A request under construction.

    Args:
        method: "" for GET, or POST with a body.
        url: absolute.
        headers: pairs.
        body: None for none; a file is read while it is sent.
        options: further arguments of `Request`.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Path | Multipart | None = None
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def verb(self) -> str:
        """The method to send."""
        return self.method or ("GET" if self.body is None else "POST")

    def with_body(self, body: bytes | Path | Multipart, kind: str | None) -> OneShot:
        """Return a copy with a body, and its type unless a header has another one."""
        names = {name.lower() for name, _ in self.headers}
        added = () if "content-type" in names or not kind else (("Content-Type", kind),)
        return self._replace(body=body, headers=(*self.headers, *added))


class _Item(NamedTuple):
    name: str
    mark: str
    value: str


def with_items(shot: OneShot, items: Sequence[str], kind: Kind = _JSON) -> OneShot:
    r"""Add httpie's items.

    ======================= ====================================================================
    `name==value`           in the query
    `Header:value`          a header; `Header:` sends none of that name, `Header;` an empty one
    `key=value`             a text in the body, which is JSON or a form
    `key:=JSON`             another value in it
    `key@FILE`              a file of a form in parts; `key@FILE;type=image/png`
    `@FILE`                 the body
    `name==@FILE` and so on the value is the text, or JSON, of a file
    `a[b][]=1`              in JSON: {"a": {"b": ["1"]}}; `a[0]`, `[]`, `[key]` likewise
    ======================= ====================================================================

    A backslash before `:`, `=` or `@` makes it a part of the name. A file called `-` is standard
    input.

    Args:
        shot: the request so far.
        items: see above.
        kind: of the body made of fields; with a file it is a form in parts.

    Raises:
        click.UsageError: an item has none of these forms, or a file cannot be read.
    """
    query: list[tuple[str, str]] = []
    fields: list[_Item] = []
    files: list[tuple[str, FilePart]] = []
    body: str | None = None
    headers = list(shot.headers)
    for text in items:
        item = _item(text)
        if item.mark.startswith("=="):
            query.append((item.name, _text_of(item)))
        elif item.mark in (":", ":@", ";"):
            shot = _with_header(shot, headers, item)
        elif item.mark != "@":
            fields.append(item)
        elif item.name:
            files.append((item.name, _file_part(item.value)))
        else:
            body = item.value
    shot = shot._replace(url=with_query(shot.url, urlencode(query)), headers=tuple(headers))
    if body is None:
        return _with_fields(shot, fields, files, kind)
    if fields or files:
        raise click.UsageError("@FILE is the whole body: give it without key=value and key@FILE")
    return shot.with_body(_body(body), mimetypes.guess_type(body)[0])


def _item(text: str) -> _Item:
    found = _ITEM.fullmatch(text)
    if found is None and text.endswith(";") and len(text) > 1:
        return _Item(text[:-1], ";", "")
    if found is None or not (found["name"] or found["mark"] == "@"):
        # Not the whole item: a part may be a secret.
        raise click.UsageError(f"item {re.split('[:=@]', text)[0][:20]!r}: {_HOW}")
    return _Item(re.sub(r"\\([:=@])", r"\1", found["name"]), found["mark"], found["value"])


def _text_of(item: _Item) -> str:
    return read_file_text(item.value) if item.mark.endswith("@") else item.value


#: Headers that the transport adds, and the options of `Request` that suppress them.
_UNSET: dict[str, tuple[str, object]] = {
    "user-agent": ("user_agent", ""),
    "accept-encoding": ("decompress_response", False),
}
_ALWAYS_SENT = frozenset({"accept", "host"})


def _with_header(shot: OneShot, headers: list[tuple[str, str]], item: _Item) -> OneShot:
    name, value = item.name, _text_of(item).strip()
    if value or item.mark == ";":
        headers.append((name, value))
        return shot
    lower = name.lower()
    if lower in _ALWAYS_SENT:
        raise click.UsageError(f"item {name!r}: this header is always sent: give it a value")
    headers[:] = [pair for pair in headers if pair[0].lower() != lower]
    option = _UNSET.get(lower)
    return shot if option is None else shot._replace(options={**shot.options, option[0]: option[1]})


def _file_part(value: str) -> FilePart:
    path, mark, kind = value.rpartition(";type=")
    if not mark:
        path, kind = value, ""
    content = _body(path)
    return FilePart(content, Path(path).name, kind or mimetypes.guess_type(path)[0] or "")


def _body(path: str) -> bytes | Path:
    """A file that is read while it is sent; what has no size, such as a pipe, is read now."""
    return Path(path) if Path(path).is_file() else read_bytes_of(path)


def _with_fields(
    shot: OneShot, fields: Sequence[_Item], files: list[tuple[str, FilePart]], kind: Kind
) -> OneShot:
    if files or (fields and kind.is_multipart):
        return shot.with_body(Multipart(tuple(_pairs(fields)), tuple(files)), None)
    if not fields:
        return shot
    if kind.is_form:
        return shot.with_body(urlencode(list(_pairs(fields))).encode(), FORM_TYPE)
    return shot.with_body(dump_exact(_nested(fields)).encode(), _JSON_TYPE)


def _pairs(fields: Iterable[_Item]) -> Iterable[tuple[str, str]]:
    for item in fields:
        if item.mark.startswith(":="):
            _json(item)  # invalid JSON is refused in a form, too
        yield item.name, _text_of(item)


def _json(item: _Item) -> Any:
    try:
        return load_exact(_text_of(item))
    except ValueError as error:
        raise click.UsageError(
            f"item {item.name!r}: what follows {item.mark} is no JSON: {error}"
        ) from None


# -- nested JSON ----------------------------------------------------------------------------------


def _nested(fields: Iterable[_Item]) -> Any:
    root: Any = None
    for item in fields:
        value = _json(item) if item.mark.startswith(":=") else _text_of(item)
        root = _placed(root, _steps(item.name), value, item.name)
    return root


def _steps(name: str) -> list[str | int | None]:
    """The path to a place: keys, indices of lists, and None for the end of a list."""
    found = _PLACE.fullmatch(name)
    if found is None:
        return [name]
    root: list[str | int | None] = [found["root"]] if found["root"] else []
    inner = re.findall(r"\[([^\]]*)\]", found["steps"])
    return [*root, *(int(one) if one.isdecimal() else one or None for one in inner)]


def _placed(tree: Any, steps: Sequence[str | int | None], value: Any, name: str) -> Any:
    """Return the tree with a value at the end of a path."""
    if not steps:
        return value
    step, *further = steps
    if isinstance(step, str):
        tree = {} if tree is None else tree
        if isinstance(tree, dict):
            tree[step] = _placed(tree.get(step) if further else None, further, value, name)
            return tree
    else:
        tree = [] if tree is None else tree
        if isinstance(tree, list):
            at = len(tree) if step is None else step
            if at > _LAST_PLACE:
                raise click.UsageError(f"item {name!r}: a list has places up to {_LAST_PLACE}")
            tree.extend([None] * (at + 1 - len(tree)))
            tree[at] = _placed(tree[at] if further else None, further, value, name)
            return tree
    held = "an object" if isinstance(tree, dict) else "a list" if isinstance(tree, list) \
        else "a value"  # fmt: skip
    raise click.UsageError(f"item {name!r}: an earlier item has made {held} of what it is in")
