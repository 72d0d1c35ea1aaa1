"""A request as a curl command, and back: `--as-curl` and `--from-curl`."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote_plus

import click

from ..engine.body import FilePart, Multipart, pairs_of, with_query
from .http_items import FORM_TYPE, OneShot
from .textfiles import read_bytes_of, read_file_text

__all__ = ["curl_of", "from_curl"]

#: In curl's URLs these stand for several ones, unless -g is given.
_GLOBS = re.compile(r"[\[\]{}]")


# -- to curl --------------------------------------------------------------------------------------


def curl_of(shot: OneShot) -> str:
    """Return the curl command that sends the same request.

    Raises:
        click.UsageError: a command line cannot have the body; names the remedy.
    """
    words = ["curl"]
    # With -X HEAD curl would wait for a body.
    words += ["--head"] if shot.verb == "HEAD" and shot.body is None else ["-X", shot.verb]
    words += ["-g"] if _GLOBS.search(shot.url) else []
    words.append(shot.url)
    for name, value in shot.headers:
        words += ["-H", f"{name}: {value}" if value else f"{name};"]
    for option, value in shot.options.items():
        words += _WORDS[option](value)
    return shlex.join([*words, *_body_words(shot)])


#: curl's options for the other arguments of a request; `_options_of` converts them back.
_WORDS: dict[str, Callable[[Any], list[str]]] = {
    "auth": lambda pair: ["-u", ":".join(pair)],
    "auth_mode": lambda _: ["--digest"],
    "validate_cert": lambda _: ["-k"],
    "proxy": lambda url: ["-x", url],
    "request_timeout": lambda seconds: ["-m", f"{seconds:g}"],
    "connect_timeout": lambda seconds: ["--connect-timeout", f"{seconds:g}"],
    "ca_certs": lambda path: ["--cacert", path],
    "client_cert": lambda path: ["-E", path],
    "client_key": lambda path: ["--key", path],
    "unix_socket": lambda path: ["--unix-socket", path],
    "user_agent": lambda _: ["-H", "User-Agent:"],
    "decompress_response": lambda _: ["-H", "Accept-Encoding:"],
    "http_version": lambda version: [_VERSION_FLAGS[version]],
}
_VERSION_FLAGS: dict[str, str] = {
    "1.0": "--http1.0", "1.1": "--http1.1", "2": "--http2",
    "2-prior-knowledge": "--http2-prior-knowledge", "3": "--http3",
}  # fmt: skip


def _body_words(shot: OneShot) -> Iterator[str]:
    body = shot.body
    if isinstance(body, Multipart):
        yield from _form_words(body)
        return
    if body is None:
        return
    if isinstance(body, Path):
        yield from ("--data-binary", f"@{body}")
    elif b"\0" in body:
        raise click.UsageError(
            "a command line cannot have this body, it has NULs: give it by @FILE"
        )
    else:
        yield from ("--data-raw", body.decode("utf-8", "surrogateescape"))
    if not any(name.lower() == "content-type" for name, _ in shot.headers):
        yield from ("-H", "Content-Type:")  # else curl declares it a form


def _form_words(body: Multipart) -> Iterator[str]:
    for name, value in pairs_of(body.fields):
        text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        yield from ("--form-string", f"{name}={text}")
    for name, part in pairs_of(body.files):
        if isinstance(part.content, bytes):
            raise click.UsageError("curl reads standard input by itself: give the file by its name")
        kind = f";type={part.content_type}" if part.content_type else ""
        yield from (
            "-F",
            f"{name}=@{_quoted(part.content)};filename={_quoted(part.filename)}{kind}",
        )


def _quoted(text: object) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- from curl ------------------------------------------------------------------------------------


class _CurlParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise click.UsageError(f"--from-curl: {message}")


class _Body(argparse.Action):
    """The parts of the body in order, each with its option."""

    def __call__(self, _parser: Any, namespace: Any, value: Any, option: str | None = None) -> None:
        namespace.body.append((option, value))


def _curl_parser() -> _CurlParser:
    parser = _CurlParser(prog="curl", add_help=False, allow_abbrev=False)
    parser.set_defaults(body=[])
    parser.add_argument("urls", nargs="*")
    parser.add_argument("--url", action="append", default=[])
    parser.add_argument("-X", "--request", default="")
    parser.add_argument("-H", "--header", action="append", default=[])
    for names in (
        *(("-d", "--data"), ("--data-raw",), ("--data-binary",), ("--data-ascii",), ("--json",)),
        *(("--data-urlencode",), ("-F", "--form"), ("--form-string",), ("-T", "--upload-file")),
    ):
        parser.add_argument(*names, dest="body", action=_Body)
    for flag, dest in _WITH_VALUE.items():
        parser.add_argument(*flag.split(), dest=dest)
    for seconds in (("-m", "--max-time"), ("--connect-timeout",)):
        parser.add_argument(*seconds, type=float)
    for flags in (("-G", "--get"), ("-I", "--head"), ("-k", "--insecure"), ("--digest",)):
        parser.add_argument(*flags, action="store_true")
    for version, flag in _VERSION_FLAGS.items():
        parser.add_argument(flag, dest="http_version", action="store_const", const=version)
    # Without effect here: redirects are followed, and bodies inflated, in any case.
    for names in (
        *(("-L", "--location"), ("-s", "--silent"), ("-S", "--show-error"), ("-i", "--include")),
        *(("-v", "--verbose"), ("--compressed",), ("-f", "--fail"), ("-g", "--globoff")),
        *(("-N", "--no-buffer"), ("--basic",), ("-#", "--progress-bar"), ("--fail-with-body",)),
    ):
        parser.add_argument(*names, action="store_true")
    return parser


_WITH_VALUE = {
    "-u --user": "user", "-A --user-agent": "user_agent", "-e --referer": "referer",
    "-b --cookie": "cookie", "-x --proxy": "proxy", "-r --range": "range",
    "--oauth2-bearer": "bearer", "--cacert": "ca_certs", "-E --cert": "client_cert",
    "--key": "client_key", "--unix-socket": "unix_socket",
}  # fmt: skip


def from_curl(command: str) -> OneShot:
    """Return the request that a curl command sends.

    Args:
        command: as a browser copies it.

    Raises:
        click.UsageError: it has an unsupported option, which is named.
    """
    try:
        words = shlex.split(_ANSI_C.sub(_plainly_quoted, command.replace("\\\n", " ")))
    except ValueError as error:
        raise click.UsageError(f"--from-curl: {error}") from None
    known, others = _curl_parser().parse_known_args(words[1:] if words[:1] == ["curl"] else words)
    unknown = [word.partition("=")[0] for word in others if word.startswith("-")]
    if unknown:
        raise click.UsageError(f"--from-curl: {', '.join(unknown)} is not known here: leave it out")
    urls = [*known.urls, *known.url, *others]
    if len(urls) != 1:
        raise click.UsageError(f"--from-curl: give one URL, not {len(urls)}")
    url = urls[0] if "://" in urls[0] else f"http://{urls[0]}"
    return _with_data(_shot_of(known, url), known)


#: Text of bash that a browser copies where a line break or an exclamation mark is in it, behind
#: all that is quoted otherwise.
_ANSI_C = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\$'((?:\\.|[^'\\])*)'", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))", re.DOTALL
)
_CONTROLS = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v",
}  # fmt: skip


def _plainly_quoted(found: re.Match[str]) -> str:
    return found[0] if found[1] is None else shlex.quote(_ESCAPE.sub(_unescaped, found[1]))


def _unescaped(found: re.Match[str]) -> str:
    *codes, octal, letter = found.groups()
    for code in codes:
        if code is not None:
            return chr(min(int(code, 16), 0x10FFFF))
    return chr(int(octal, 8)) if octal is not None else _CONTROLS.get(letter, letter)


def _shot_of(known: argparse.Namespace, url: str) -> OneShot:
    headers: list[tuple[str, str]] = []
    options = _options_of(known)
    for line in known.header:
        name, colon, value = line.partition(":")
        if colon and not value.strip():
            options.update(_unset(name.strip()))
        else:
            headers.append((name.strip().rstrip(";"), value.strip()))
    named = {
        "User-Agent": known.user_agent,
        "Referer": known.referer,
        "Cookie": known.cookie,
        "Range": known.range and f"bytes={known.range}",
        "Authorization": known.bearer and f"Bearer {known.bearer}",
    }
    headers += [(name, value) for name, value in named.items() if value is not None]
    if known.cookie is not None and "=" not in known.cookie:
        raise click.UsageError("--from-curl: -b names a file: give the cookies, as name=value")
    method = known.request or ("HEAD" if known.head else "")
    return OneShot(method, url, tuple(headers), None, options)


def _unset(name: str) -> dict[str, object]:
    unset: dict[str, dict[str, object]] = {
        "user-agent": {"user_agent": ""},
        "accept-encoding": {"decompress_response": False},
    }
    return unset.get(name.lower(), {})


def _options_of(known: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if known.user is not None:
        user, _, password = known.user.partition(":")
        options["auth"] = (user, password)
    if known.digest:
        options["auth_mode"] = "digest"
    if known.insecure:
        options["validate_cert"] = False
    given = {
        "proxy": known.proxy,
        "request_timeout": known.max_time,
        **{
            name: getattr(known, name)
            for name in (
                *("connect_timeout", "ca_certs", "client_cert", "client_key", "unix_socket"),
                "http_version",
            )
        },
    }
    options.update((name, value) for name, value in given.items() if value is not None)
    return options


def _with_data(shot: OneShot, known: argparse.Namespace) -> OneShot:
    given: list[tuple[str, str]] = known.body
    kinds = {"-F" if option in _OF_FORMS else option for option, _ in given}
    if not given:
        return shot
    if "-F" in kinds and len(kinds) > 1:
        raise click.UsageError("--from-curl: -F is a body of its own: give it without -d")
    if "-F" in kinds:
        return shot.with_body(_multipart(given), None)
    if kinds & {"-T", "--upload-file"}:
        return _uploaded(shot, given)
    body = _data(given)
    if known.get and isinstance(body, bytes):
        return shot._replace(url=with_query(shot.url, body.decode()))
    if "--json" not in kinds:
        return shot.with_body(body, None if _says_no_type(known) else FORM_TYPE)
    names = {name.lower() for name, _ in shot.headers}
    accepts = () if "accept" in names else (("Accept", "application/json"),)
    return shot._replace(headers=(*shot.headers, *accepts)).with_body(body, "application/json")


_OF_FORMS = frozenset({"-F", "--form", "--form-string"})


def _says_no_type(known: argparse.Namespace) -> bool:
    lines = (line.partition(":") for line in known.header)
    return any(name.strip().lower() == "content-type" for name, colon, _ in lines if colon)


def _uploaded(shot: OneShot, given: list[tuple[str, str]]) -> OneShot:
    if len(given) > 1:
        raise click.UsageError("--from-curl: -T is the whole body: give it alone")
    path = given[0][1]
    body = Path(path) if Path(path).is_file() else read_bytes_of(path)
    # curl appends the file's name to a URL that ends in a slash.
    url = shot.url + Path(path).name if shot.url.endswith("/") else shot.url
    return shot._replace(method=shot.method or "PUT", url=url).with_body(body, None)


def _data(given: list[tuple[str, str]]) -> bytes | Path:
    option, value = given[0]
    if len(given) == 1 and option in ("--data-binary", "--json") and Path(value[1:]).is_file() \
            and value.startswith("@"):  # fmt: skip
        return Path(value[1:])  # unchanged, of any size
    # Several of --json are one text, see curl(1).
    joint = b"" if option == "--json" else b"&"
    return joint.join(_piece(*one) for one in given)


def _piece(option: str, text: str) -> bytes:
    if option == "--data-urlencode":
        return _url_encoded(text).encode()
    if option == "--data-raw" or not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    data = read_bytes_of(text[1:])
    # curl(1): -d drops these from a file, --data-binary does not.
    return data if option in ("--data-binary", "--json") else data.translate(None, b"\r\n\0")


def _url_encoded(text: str) -> str:
    """An argument in the forms of curl(1): content, =content, name=content, @file, name@file."""
    mark = re.search("[=@]", text)
    if mark is None:
        return quote_plus(text)
    name, value = text[: mark.start()], text[mark.end() :]
    value = read_file_text(value) if mark[0] == "@" else value
    return f"{name}={quote_plus(value)}" if name else quote_plus(value)


def _multipart(given: list[tuple[str, str]]) -> Multipart:
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, FilePart]] = []
    for option, text in given:
        name, _, value = text.partition("=")
        if option == "--form-string" or value[:1] not in ("@", "<"):
            if option != "--form-string" and ";type=" in value:
                raise click.UsageError(
                    f"--from-curl: -F {name}: a type is for files alone here: leave out ;type="
                )
            fields.append((name, value))
            continue
        path, said = _of_part(value[1:])
        if value.startswith("<"):
            fields.append((name, read_file_text(path)))
            continue
        content = Path(path) if Path(path).is_file() else read_bytes_of(path)
        filename = said.get("filename", Path(path).name)
        files.append((name, FilePart(content, filename, said.get("type", ""))))
    return Multipart(tuple(fields), tuple(files))


_WORD = r'(?:"((?:\\.|[^"\\])*)"|([^;]*))'


def _of_part(text: str) -> tuple[str, dict[str, str]]:
    """The path of a file in a form, and what is said of it: type, filename."""
    path, *others = (
        (key, re.sub(r"\\(.)", r"\1", quoted) if quoted else plain)
        for key, quoted, plain in re.findall(rf"(?:^|;)\s*(?:(type|filename)=)?{_WORD}", text)
    )
    return path[1], dict(others)
