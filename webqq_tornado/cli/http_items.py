"""Requests as command lines have them: httpie's items, and curl's options."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlencode

import click

from .textfiles import read_bytes_of

__all__ = ["OneShot", "curl_of", "from_curl", "with_items"]

_ITEM = re.compile(r"(?P<name>[^:=@]*)(?P<mark>:=|==|=|:|@)(?P<value>.*)", re.DOTALL)
_FORM_TYPE = "application/x-www-form-urlencoded"


class OneShot(NamedTuple):
    """A request as it is put together.

    Args:
        method: "" for GET, or POST with a body.
        url: absolute.
        headers: pairs.
        body: None for none.
        options: further arguments of `Request`.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def verb(self) -> str:
        """The method that is sent."""
        return self.method or ("GET" if self.body is None else "POST")

    def with_body(self, body: bytes, kind: str) -> OneShot:
        """Return it with a body, and its type unless a header says another one."""
        names = {name.lower() for name, _ in self.headers}
        added = () if "content-type" in names or not kind else (("Content-Type", kind),)
        return self._replace(body=body, headers=(*self.headers, *added))


def with_items(shot: OneShot, items: Sequence[str], *, is_form: bool = False) -> OneShot:
    """Add httpie's items.

    Args:
        shot: to add them to.
        items: `name==value` for the query, `Header:value`, `key=value` and `key:=json` for the
            body, `@FILE` as the body.
        is_form: the body is a form instead of JSON.

    Raises:
        click.UsageError: one of them is none of these.
    """
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    fields: dict[str, Any] = {}
    body: bytes | None = None
    for item in items:
        name, mark, value = _parts(item)
        if mark == "==":
            query.append((name, value))
        elif mark == ":":
            headers.append((name, value.strip()))
        elif mark == "@":
            body = read_bytes_of(value)
        else:
            fields[name] = _json(name, value) if mark == ":=" else value
    if fields and body is not None:
        raise click.UsageError("@FILE is the whole body: give it without key=value and key:=json")
    joint = "&" if "?" in shot.url else "?"
    url = shot.url + (joint + urlencode(query) if query else "")
    shot = shot._replace(url=url, headers=(*shot.headers, *headers))
    if body is not None:
        return shot.with_body(body, "")
    if not fields:
        return shot
    if is_form:
        return shot.with_body(urlencode(fields, doseq=True).encode(), _FORM_TYPE)
    return shot.with_body(json.dumps(fields, ensure_ascii=False).encode(), "application/json")


def _parts(item: str) -> tuple[str, str, str]:
    found = _ITEM.fullmatch(item)
    if found is None or bool(found["name"]) is (found["mark"] == "@"):
        # Not all of it: a part may be a secret.
        begins = re.split("[:=@]", item)[0][:20]
        raise click.UsageError(
            f"item {begins!r}: give name==value, Header:value, key=value, key:=JSON or @FILE"
        )
    return found["name"], found["mark"], found["value"]


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"item {name!r}: what follows := is no JSON: {error}") from None


def curl_of(shot: OneShot) -> str:
    """Return the curl command that sends the same."""
    words = ["curl", "-X", shot.verb, shot.url]
    for name, value in shot.headers:
        words += ["-H", f"{name}: {value}"]
    if shot.body is not None:
        words += ["--data-raw", shot.body.decode("utf-8", "surrogateescape")]
    return shlex.join(words)


class _CurlParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise click.UsageError(f"--from-curl: {message}")


def _curl_parser() -> _CurlParser:
    parser = _CurlParser(prog="curl", add_help=False, allow_abbrev=False)
    parser.add_argument("urls", nargs="*")
    parser.add_argument("--url", action="append", default=[])
    parser.add_argument("-X", "--request", default="")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument(
        *("-d", "--data", "--data-raw", "--data-binary", "--data-ascii"),
        dest="data", action="append", default=[],
    )  # fmt: skip
    parser.add_argument("--json")
    parser.add_argument("-u", "--user")
    parser.add_argument("-A", "--user-agent")
    parser.add_argument("-e", "--referer")
    parser.add_argument("-b", "--cookie")
    parser.add_argument("-x", "--proxy")
    parser.add_argument("-m", "--max-time", type=float)
    for flags in (("-G", "--get"), ("-I", "--head"), ("-k", "--insecure")):
        parser.add_argument(*flags, action="store_true")
    # What changes nothing here: redirects are followed, and bodies inflated, in any case.
    for names in (
        *(("-L", "--location"), ("-s", "--silent"), ("-S", "--show-error"), ("-i", "--include")),
        *(("-v", "--verbose"), ("--compressed",), ("-f", "--fail")),
    ):
        parser.add_argument(*names, action="store_true")
    return parser


def from_curl(command: str) -> OneShot:
    """Return the request that a curl command sends.

    Args:
        command: such as a browser copies.

    Raises:
        click.UsageError: it has an option that is not known here, by name.
    """
    try:
        words = shlex.split(command.replace("\\\n", " "))
    except ValueError as error:
        raise click.UsageError(f"--from-curl: {error}") from None
    known, others = _curl_parser().parse_known_args(words[1:] if words[:1] == ["curl"] else words)
    unknown = [word.partition("=")[0] for word in others if word.startswith("-")]
    if unknown:
        raise click.UsageError(f"--from-curl: {', '.join(unknown)} is not known here: leave it out")
    urls = [*known.urls, *known.url, *others]
    if len(urls) != 1:
        raise click.UsageError(f"--from-curl: give one URL, not {len(urls)}")
    return _with_data(_shot_of(known, urls[0]), known)


def _shot_of(known: argparse.Namespace, url: str) -> OneShot:
    headers = [(name.strip(), value.strip()) for name, _, value in map(_split, known.header)]
    named = (
        ("User-Agent", known.user_agent), ("Referer", known.referer), ("Cookie", known.cookie),
    )  # fmt: skip
    headers += [(name, value) for name, value in named if value is not None]
    options: dict[str, Any] = {}
    if known.user is not None:
        user, _, password = known.user.partition(":")
        options["auth"] = (user, password)
    if known.insecure:
        options["validate_cert"] = False
    if known.proxy is not None:
        options["proxy"] = known.proxy
    if known.max_time is not None:
        options["request_timeout"] = known.max_time
    method = known.request or ("HEAD" if known.head else "")
    return OneShot(method, url, tuple(headers), None, options)


def _split(header: str) -> tuple[str, str, str]:
    return header.partition(":")


def _with_data(shot: OneShot, known: argparse.Namespace) -> OneShot:
    if known.json is not None:
        return shot.with_body(_data(known.json), "application/json")
    if not known.data:
        return shot
    body = b"&".join(map(_data, known.data))
    if known.get:
        joint = "&" if "?" in shot.url else "?"
        return shot._replace(url=f"{shot.url}{joint}{body.decode()}")
    return shot.with_body(body, _FORM_TYPE)


def _data(text: str) -> bytes:
    return read_bytes_of(text[1:]) if text.startswith("@") else text.encode()
