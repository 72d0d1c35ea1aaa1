"""Record what a flow says and hears as HAR 1.2, and play it to the same flow without a network.

>>> with HARRecorder(stream, "flow.har"):
...     await stream.launch()
>>> Flow(replay=HARReplay("flow.har")).run()

The file opens in a browser's developer tools. Secrets do not go into it: credentials, cookies'
values, and what stands under a name such as "password" or "token" in a URL, a header, a form or
JSON; `engine.secrets` has the names. All else is written as it was, byte by byte.

The format is that of http://www.softwareishard.com/blog/har-12-spec/; names that begin with "_"
are ours, as it allows.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple

from .engine.body import Multipart
from .engine.chain import Chain
from .engine.closing import ClosedByBlock
from .engine.errors import (
    ConnectError,
    ProtocolError,
    ReplayError,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
)
from .engine.harfile import decoded, entries_of
from .engine.matching import Field, Key, Matcher, asked_url, fields_of, header_of
from .engine.request import Request
from .engine.response import Response
from .engine.secrets import MASK, Masker, codec_of, declared_codec
from .engine.stream import HTTPStream
from .engine.transport.replay import Answer
from .files import replaced_file

__all__ = ["MASK", "Answer", "HARRecorder", "HARReplay"]

_VERSIONS = {10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2", 30: "HTTP/3"}
#: Errors that are played again as what they were.
_ERRORS: Mapping[str, type[StreamError]] = {
    kind.__name__: kind
    for kind in (ConnectError, ProtocolError, ResolveError, StreamError, TLSError, TimeoutError)
}
_OK, _NOT_MODIFIED = 200, 304
_CONDITIONS = frozenset({"if-none-match", "if-modified-since", "if-match", "if-range"})


# -- recording ----------------------------------------------------------------------------------


class HARRecorder(ClosedByBlock):
    """Writes each exchange of a stream to a HAR 1.2 file, redirects that were followed, too.

    Bodies that go to a sink or come as a stream are not kept. The file is written in one step when
    the block is left, or by `save`; only its owner may read it.

    What stood under the name of a secret, and looks random, is masked elsewhere in the file, too:
    a token in the page that has handed it out.

    Args:
        stream: whose exchanges.
        path: of the file.
        secrets: texts that are not to be in it wherever they stand, in any of the usual encodings,
            such as a password.
        max_body_size: bytes of a body that are kept; a larger one is left out.

    Example:
        >>> with HARRecorder(stream, "flow.har", secrets=[password]):
        ...     await stream.launch()
    """

    def __init__(
        self,
        stream: HTTPStream,
        path: str | os.PathLike[str],
        *,
        secrets: Iterable[str] = (),
        max_body_size: int = 2**20,
    ) -> None:
        self._path = Path(path)
        self._masker = Masker(secrets)
        self._max_body_size = max_body_size
        self._entries: list[dict[str, Any]] = []
        self._stop = stream.observe(self._on_exchange)

    def close(self) -> None:
        """Record no more, and write the file."""
        self._stop()
        self.save()

    def save(self) -> None:
        """Write the file as it is now.

        Raises:
            OSError: it cannot be written.
        """
        learned = self._masker.learned_pattern()
        creator = json.dumps({"name": "webqq_tornado", "version": "1"})
        with replaced_file(self._path) as file:
            file.write(f'{{"log": {{"version": "1.2", "creator": {creator}, "pages": [],\n')
            file.write('"entries": [')
            for number, entry in enumerate(self._entries):
                file.write(",\n" if number else "\n")
                file.write(_written(entry, learned))
            file.write("\n]}}\n")

    def _on_exchange(self, chain: Chain, request: Request, outcome: Response | Exception) -> None:
        seconds = outcome.request_time if isinstance(outcome, Response) else 0.0
        started = datetime.datetime.fromtimestamp(time.time() - seconds, datetime.timezone.utc)
        entry: dict[str, Any] = {
            "startedDateTime": started.isoformat(timespec="milliseconds"),
            "time": round(seconds * 1000, 3),
            "request": self._request(request, outcome),
            "response": self._response(outcome),
            "cache": {},
            "timings": _timings(outcome),
            "comment": self._masker.text(f"chain {chain.name}, step {chain.steps}"),
            "_resourceType": "fetch",  # else Chromium's DevTools guess from the media type
        }
        self._entries.append(entry)

    def _request(self, request: Request, outcome: Response | Exception) -> dict[str, Any]:
        mask, url = self._masker, asked_url(request.url)
        pairs = request.header_pairs
        if not header_of(pairs, "Host"):
            pairs = (("Host", request.host), *pairs)
        said: dict[str, Any] = {
            "method": request.method,
            "url": mask.url(url),
            "httpVersion": _version(outcome),
            "cookies": [],
            "headers": [_pair(name, mask.header(name, value)) for name, value in pairs],
            "queryString": [_pair(*one) for one in mask.query(url)],
            "headersSize": -1,
            "bodySize": len(request.body) if isinstance(request.body, bytes) else -1,
        }
        if isinstance(request.body, (bytes, Multipart)):
            said["postData"] = self._posted(request.body, header_of(pairs, "Content-Type"))
        elif request.body is not None:
            said["comment"] = "the body was no bytes, and is not kept"
        else:
            said["bodySize"] = 0
        return said

    def _posted(self, body: bytes | Multipart, content_type: str) -> dict[str, Any]:
        if isinstance(body, Multipart):
            params = [_param(field) for field in fields_of(body, self._masker)]
            return {"mimeType": content_type or "multipart/form-data", "params": params}
        masked = self._masker.body(body, content_type)
        return {"mimeType": content_type, **_text(masked, "", "_")}

    def _response(self, outcome: Response | Exception) -> dict[str, Any]:
        mask = self._masker
        if not isinstance(outcome, Response):
            # Without the chain, which is another one when it is played.
            why = mask.text(getattr(outcome, "message", str(outcome)))
            return {**_NO_RESPONSE, "_error": why, "_kind": type(outcome).__name__}
        pairs = list(outcome.headers.items())
        return {
            "status": outcome.status,
            "statusText": mask.text(outcome.reason),
            "httpVersion": _version(outcome),
            "cookies": _cookies(value for name, value in pairs if name.lower() == "set-cookie"),
            "headers": [_pair(name, mask.header(name, str(value))) for name, value in pairs],
            "content": self._content(outcome),
            "redirectURL": mask.header("Location", str(outcome.headers.get("Location", ""))),
            "headersSize": -1,
            "bodySize": -1,
        }

    def _content(self, response: Response) -> dict[str, Any]:
        content_type = str(response.headers.get("Content-Type", ""))
        content: dict[str, Any] = {"size": len(response.body), "mimeType": content_type}
        if response.request.is_streamed or len(response.body) > self._max_body_size:
            return {**content, "comment": "the body is not kept"}
        body = self._masker.body(response.body, content_type)
        return {**content, **_text(body, content_type)}


def _written(entry: Mapping[str, Any], learned: re.Pattern[str] | None) -> str:
    """An entry as JSON, without secrets that were known only after it."""
    text = json.dumps(entry, ensure_ascii=False, indent=1)
    if learned is None:
        return text
    content = entry["response"]["content"]
    if content.get("encoding") == "base64":
        raw = base64.b64decode(content["text"]).decode("latin-1")
        if (masked := learned.sub(MASK, raw)) != raw:
            code = base64.b64encode(masked.encode("latin-1")).decode()
            text = text.replace(content["text"], code)
    return learned.sub(MASK, text)


_NO_RESPONSE: Mapping[str, Any] = {
    "status": 0,
    "statusText": "",
    "httpVersion": "",
    "cookies": [],
    "headers": [],
    "content": {"size": 0, "mimeType": ""},
    "redirectURL": "",
    "headersSize": -1,
    "bodySize": -1,
}


# -- playing ------------------------------------------------------------------------------------


class HARReplay:
    """Answers the requests of a flow from a HAR file: for `HTTPStream(replay=...)`.

    A request is found by method, URL and body, with secrets masked as the recorder does. Where the
    same was asked several times, the answers come in the order in which it was. Redirects are
    followed from entry to entry, as they are over the network. A body that is in a file beside
    this one (Playwright's `content: "attach"`) is read there; one that was not kept is empty.

    Args:
        path: of a HAR file: the recorder's, or a browser's.
        secrets: as they were given to the recorder.
        ignore: names of query and form parameters that are different each time.
        pace: how fast, compared with the recording: 1 as slow, 0 at once.
        repeats: the last answer to the same request is given again when it is asked more often.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no HAR.

    Example:
        >>> stream = HTTPStream(replay=HARReplay("flow.har", ignore={"t"}))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        secrets: Iterable[str] = (),
        ignore: Collection[str] = (),
        pace: float = 0.0,
        repeats: bool = False,
    ) -> None:
        self._matcher = Matcher(Masker(secrets, ignore))
        self._pace = pace
        self._repeats = repeats
        self._path = path
        self._found: defaultdict[Key, int] = defaultdict(int)
        self._answers: dict[Key, list[Answer | _Failure]] = {}
        entries = entries_of(Path(path))
        for number, entry in enumerate(entries, 1):
            try:
                key, outcome = _key(entry["request"], self._matcher), _outcome(entry)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} is no HAR file: entry {number}: {error!r}") from error
            self._answers.setdefault(key, []).append(outcome)
        self._answers = {key: _without_aborted(every) for key, every in self._answers.items()}

    @property
    def unasked(self) -> list[str]:
        """Methods and URLs that were recorded, and not asked for again."""
        return [
            f"{key.method} {key.url}"
            for key, answers in self._answers.items()
            for _ in answers[self._found[key] :]
        ]

    def answer(self, request: Request) -> Answer | StreamError:
        """See `engine.replay.Recording`."""
        key = self._known_key(request)
        answers, number = self._answers.get(key, []), self._found[key]
        if self._repeats and answers:
            number = min(number, len(answers) - 1)
        if number >= len(answers):
            return self._unknown(request, key, len(answers))
        self._found[key] = number + 1
        answer = answers[number]
        if isinstance(answer, _Failure):
            return answer.kind(answer.message, request=request)
        if answer.status == _NOT_MODIFIED and not _is_conditional(request):
            answer = _whole(answer, answers)
        return answer._replace(delay=answer.delay * self._pace)

    def _known_key(self, request: Request) -> Key:
        keys = self._matcher.keys_of(request)
        for key in keys:
            if key in self._answers:
                return key
        return next((known for known in self._answers if known.fits(keys[0])), keys[0])

    def _unknown(self, request: Request, key: Key, known: int) -> ReplayError:
        why = f"it was asked {known} times only" if known else "it was never asked"
        same = (f"{one.method} {one.url}" for one in self._answers if one.method == key.method)
        others = list(dict.fromkeys(same))[:3]
        hint = f"; there is {', '.join(others)}" if others and not known else ""
        return ReplayError(
            f"{key.method} {key.url} is not in {self._path}: {why}{hint}", request=request
        )


class _Failure(NamedTuple):
    """The error of a request without a response."""

    kind: type[StreamError]
    message: str
    is_ours: bool


def _key(request: Mapping[str, Any], matcher: Matcher) -> Key:
    """The key under which a recorded request is found."""
    posted = request.get("postData") or {}
    method, url, text = str(request["method"]), request["url"], str(posted.get("text") or "")
    if not isinstance(url, str):
        raise TypeError(f"its URL is {url!r}")
    if not text and posted.get("params"):
        return matcher.recorded_fields(method, url, map(_field, posted["params"]))
    is_base64 = "base64" in (posted.get("_encoding"), posted.get("encoding"))
    headers = [(str(one["name"]), str(one["value"])) for one in request.get("headers") or ()]
    content_type = str(posted.get("mimeType") or header_of(headers, "Content-Type"))
    body = decoded(text) if is_base64 else None
    if body is None:
        body = text.encode("utf-8", "surrogatepass")
    return matcher.recorded_key(method, url, body, content_type)


def _field(param: Mapping[str, Any]) -> Field:
    if param.get("fileName"):
        return Field(str(param["name"]), str(param.get("_sha256", "")), str(param["fileName"]))
    return Field(str(param["name"]), str(param.get("value") or ""))


def _outcome(entry: Mapping[str, Any]) -> Answer | _Failure:
    """The recorded response or error of a request."""
    response = entry["response"]
    status = int(response["status"])
    if status <= 0:
        kind = _ERRORS.get(response.get("_kind", ""), StreamError)
        why = str(response.get("_error") or "no answer was recorded")
        return _Failure(kind, why, "_kind" in response)
    headers = tuple(_header_lines(response))
    return Answer(
        status,
        headers,
        _body(response["content"], headers),
        max(0.0, float(entry.get("time", 0.0))) / 1000,
        str(response.get("statusText") or ""),
    )


def _header_lines(response: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The headers as they came: browsers have pseudo-headers, and join lines of one name."""
    lines = [
        (str(one["name"]), line.strip(" \t\r"))
        for one in response["headers"]
        for line in str(one["value"]).split("\n")
        if not str(one["name"]).startswith(":")
    ]
    yield from lines
    if response.get("redirectURL") and not header_of(lines, "Location"):
        yield "Location", str(response["redirectURL"])


def _body(content: Mapping[str, Any], headers: Iterable[tuple[str, str]]) -> bytes:
    """The body's bytes, decompressed: text is in the charset that the headers say."""
    text = str(content.get("text") or "")
    if str(content.get("encoding", "")).lower() == "base64" and (body := decoded(text)) is not None:
        return body
    return _encoded(text, header_of(headers, "Content-Type") or str(content.get("mimeType", "")))


def _encoded(text: str, content_type: str) -> bytes:
    try:
        return text.encode(declared_codec(content_type) or "utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _without_aborted(answers: list[Answer | _Failure]) -> list[Answer | _Failure]:
    """Drop requests that a browser has cancelled, if the same one has a response."""
    whole = [one for one in answers if isinstance(one, Answer) or one.is_ours]
    return whole or answers


def _is_conditional(request: Request) -> bool:
    return any(name.lower() in _CONDITIONS for name, _ in request.header_pairs)


def _whole(answer: Answer, answers: Iterable[Answer | _Failure]) -> Answer:
    """Replace a recorded 304 by the full response, which the browser had in its cache."""
    others = (one for one in answers if isinstance(one, Answer) and one.status == _OK)
    cached = next(others, answer)
    body = answer.body or cached.body
    return cached._replace(status=_OK, reason="OK", body=body) if body else answer


def _pair(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def _param(field: Field) -> dict[str, str]:
    if not field.filename:
        return _pair(field.name, field.value)
    return {"name": field.name, "fileName": field.filename, "_sha256": field.value}


def _text(body: bytes, content_type: str, prefix: str = "") -> dict[str, str]:
    """A body as HAR has it: text if that can be undone, else base64."""
    text = body.decode(codec_of(body, content_type))
    if _encoded(text, content_type) == body:
        return {"text": text}
    return {"text": base64.b64encode(body).decode(), f"{prefix}encoding": "base64"}


def _version(outcome: Response | Exception) -> str:
    return _VERSIONS.get(outcome.version, "") if isinstance(outcome, Response) else ""


def _cookies(headers: Iterable[str]) -> list[dict[str, str]]:
    cookies: SimpleCookie = SimpleCookie()
    for header in headers:
        try:
            cookies.load(header)
        except CookieError:
            continue  # it is among the headers as it was
    return [{"name": name, "value": MASK} for name in cookies]


def _timings(outcome: Response | Exception) -> dict[str, float]:
    """Milliseconds of the phases; -1 for those that there were none of."""
    if not isinstance(outcome, Response):
        return {"send": 0, "wait": 0, "receive": 0}
    times = {name: seconds * 1000 for name, seconds in outcome.time_info.items()}
    opened = times["connect"] > 0
    connected = max(times["connect"], times["appconnect"])
    phases = {
        "blocked": -1,
        "dns": times["namelookup"] if opened else -1,
        "connect": connected - times["namelookup"] if opened else -1,
        "ssl": times["appconnect"] - times["connect"] if times["appconnect"] else -1,
        "send": max(0.0, times["pretransfer"] - connected),
        "wait": max(0.0, times["starttransfer"] - times["pretransfer"]),
        "receive": max(0.0, times["total"] - times["starttransfer"]),
    }
    return {name: round(value, 3) for name, value in phases.items()}
