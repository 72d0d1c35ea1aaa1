"""Record what a flow says and hears as HAR 1.2, and play it to the same flow without a network.

    with HARRecorder(stream, "flow.har"):
        ...
    Flow(replay=HARReplay("flow.har")).run()

The file opens in a browser's developer tools. Secrets do not go into it: credentials, cookies'
values, and what stands under a name such as "password" or "token" in an address, a form or JSON.

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
from collections.abc import Collection, Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from .engine.chain import Chain
from .engine.errors import (
    ConnectError,
    ProtocolError,
    ReplayError,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
)
from .engine.inflow import is_replaced
from .engine.replay import Answer
from .engine.request import Request
from .engine.response import Response
from .engine.stream import HTTPStream

__all__ = ["MASK", "HARRecorder", "HARReplay"]

#: What stands in the place of a secret.
MASK = "***"
_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token"}
)
_SECRET_NAME = re.compile(
    r"pass|pwd|token|secret|sig|api_?key|auth|sess|cred|verif|cookie|webqq|^p$|^code$",
    re.IGNORECASE,
)
_FORM, _JSON = "application/x-www-form-urlencoded", "json"
_VERSIONS = {10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2", 30: "HTTP/3"}
#: Errors that are played again as what they were.
_ERRORS: Mapping[str, type[StreamError]] = {
    kind.__name__: kind
    for kind in (ConnectError, ProtocolError, ResolveError, StreamError, TLSError, TimeoutError)
}


class Masker:
    """Puts `MASK` in the place of secrets.

    Args:
        secrets: texts that are secret wherever they stand.
        ignore: names of query and form parameters that are different each time, and mean nothing.
    """

    def __init__(self, secrets: Iterable[str] = (), ignore: Collection[str] = ()) -> None:
        self._secrets = sorted((one for one in secrets if one), key=len, reverse=True)
        self._ignored = frozenset(ignore)

    def text(self, text: str) -> str:
        """Without the secrets that were named."""
        for secret in self._secrets:
            text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
        return text

    def header(self, name: str, value: str) -> str:
        """A header's value."""
        if name.lower() in {"cookie", "set-cookie"}:
            first, semicolon, rest = value.partition(";")
            pairs = value.split(";") if name.lower() == "cookie" else [first]
            masked = ";".join(pair.partition("=")[0] + "=" + MASK for pair in pairs)
            return masked + (semicolon + rest if name.lower() == "set-cookie" else "")
        if name.lower() in _SECRET_HEADERS:
            scheme, space, _ = value.partition(" ")
            return scheme + space + MASK if space else MASK
        return self.url(value) if name.lower() in {"location", "referer"} else self.text(value)

    def pairs(self, text: str) -> list[tuple[str, str]]:
        """The parameters of a query or form."""
        return [
            (name, MASK if self._hides(name, value) else self.text(value))
            for name, value in parse_qsl(text, keep_blank_values=True)
        ]

    def _hides(self, name: str, value: str) -> bool:
        return name in self._ignored or bool(value and _SECRET_NAME.search(name))

    def url(self, url: str) -> str:
        """An address."""
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        query = urlencode(self.pairs(parts.query), safe="*") if parts.query else ""
        return parts._replace(netloc=netloc, path=self.text(parts.path), query=query).geturl()

    def body(self, body: bytes, kind: str) -> bytes:
        """A form, JSON, or anything else."""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return body
        if kind == _FORM:
            return urlencode(self.pairs(text), safe="*").encode()
        if kind.endswith(_JSON):
            try:
                return json.dumps(self._value("", json.loads(text)), ensure_ascii=False).encode()
            except (ValueError, RecursionError):
                pass
        return self.text(text).encode()

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._value(key, one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._value(name, one) for one in value]
        if isinstance(value, str):
            return MASK if self._hides(name, value) else self.text(value)
        return value


class HARRecorder:
    """Writes each exchange of a stream to a HAR 1.2 file.

    Bodies that go to a sink or come as a stream are not kept. The file is written in one step when
    the block is left, or by `save`.

    Args:
        stream: whose exchanges.
        path: of the file.
        secrets: texts that are not to be in it wherever they stand, such as a password.
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

    def __enter__(self) -> HARRecorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Record no more, and write the file."""
        self._stop()
        self.save()

    def save(self) -> None:
        """Write the file as it is now.

        Raises:
            OSError: it can not be written.
        """
        log = {
            "version": "1.2",
            "creator": {"name": "webqq_tornado", "version": "1"},
            "pages": [],
            "entries": self._entries,
        }
        is_new = is_replaced(self._path)  # /dev/stdout is not
        draft = self._path.with_name(self._path.name + ".new") if is_new else self._path
        draft.write_text(json.dumps({"log": log}, ensure_ascii=False, indent=1), encoding="utf-8")
        if is_new:
            draft.replace(self._path)

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
        if isinstance(outcome, Response) and outcome.url != request.url:
            entry["_url"] = self._masker.url(outcome.url)
        self._entries.append(entry)

    def _request(self, request: Request, outcome: Response | Exception) -> dict[str, Any]:
        mask = self._masker
        headers = [("Host", request.host), *request.header_pairs]
        said: dict[str, Any] = {
            "method": request.method,
            "url": mask.url(request.url),
            "httpVersion": _version(outcome),
            "cookies": [],
            "headers": [_pair(name, mask.header(name, value)) for name, value in headers],
            "queryString": [_pair(*one) for one in mask.pairs(urlsplit(request.url).query)],
            "headersSize": -1,
            "bodySize": len(request.body) if isinstance(request.body, bytes) else -1,
        }
        if isinstance(request.body, bytes):
            kind = _kind(dict(_lowered(request.header_pairs)).get("content-type", ""))
            text = _text(mask.body(request.body, kind))
            said["postData"] = {"mimeType": kind, "params": [], "text": text}
        elif request.body is not None:
            said["comment"] = "the body was no bytes, and is not kept"
        else:
            said["bodySize"] = 0
        return said

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
            "redirectURL": mask.url(str(outcome.headers.get("Location", ""))),
            "headersSize": -1,
            "bodySize": -1,
        }

    def _content(self, response: Response) -> dict[str, Any]:
        kind = response.headers.get_content_type() if response.headers.get("Content-Type") else ""
        content: dict[str, Any] = {"size": len(response.body), "mimeType": kind}
        if response.request.is_streamed or len(response.body) > self._max_body_size:
            return {**content, "comment": "the body is not kept"}
        body = self._masker.body(response.body, kind)
        try:
            return {**content, "text": body.decode()}
        except UnicodeDecodeError:
            return {**content, "text": base64.b64encode(body).decode(), "encoding": "base64"}


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


class HARReplay:
    """Answers the requests of a flow from a HAR file: for `HTTPStream(replay=...)`.

    A request is found by method, address and body, with secrets masked as the recorder does. Where
    the same was asked several times, the answers come in their order.

    Args:
        path: of a HAR file: the recorder's, or a browser's.
        secrets: as they were given to the recorder.
        ignore: names of query and form parameters that are different each time.
        pace: how fast, compared with the recording: 1 as slow, 0 at once.
        repeats: the last answer to the same request is given again when it is asked more often.

    Raises:
        OSError: the file can not be read.
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
        self._masker = Masker(secrets, ignore)
        self._pace = pace
        self._repeats = repeats
        self._path = path
        self._found: defaultdict[tuple[str, str, bytes], int] = defaultdict(int)
        self._answers: defaultdict[tuple[str, str, bytes], list[Answer | _Failure]]
        self._answers = defaultdict(list)
        try:
            entries = list(json.loads(Path(path).read_text(encoding="utf-8-sig"))["log"]["entries"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no HAR file: {error!r}") from error
        for number, entry in enumerate(entries, 1):
            try:
                self._answers[self._key_of_entry(entry["request"])].append(_outcome(entry))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} is no HAR file: entry {number}: {error!r}") from error

    @property
    def unasked(self) -> list[str]:
        """Methods and addresses that were recorded, and not asked for again."""
        return [
            f"{method} {url}"
            for (method, url, body), answers in self._answers.items()
            for _ in answers[self._found[method, url, body] :]
        ]

    def answer(self, request: Request) -> Answer | StreamError:
        """See `engine.replay.Recording`."""
        key = self._key(request)
        answers, number = self._answers.get(key, []), self._found[key]
        if self._repeats and answers:
            number = min(number, len(answers) - 1)
        if number >= len(answers):
            return self._unknown(request, key, len(answers))
        self._found[key] = number + 1
        answer = answers[number]
        if isinstance(answer, _Failure):
            return answer.kind(answer.message, request=request)
        return answer._replace(url=answer.url or request.url, delay=answer.delay * self._pace)

    def _key(self, request: Request) -> tuple[str, str, bytes]:
        kind = _kind(dict(_lowered(request.header_pairs)).get("content-type", ""))
        body = request.body if isinstance(request.body, bytes) else b""
        said = _text(self._masker.body(body, kind)).encode()
        return request.method, self._masker.url(request.url), said

    def _key_of_entry(self, request: Mapping[str, Any]) -> tuple[str, str, bytes]:
        posted = request.get("postData", {})
        body = str(posted.get("text", "")).encode()
        kind = _kind(str(posted.get("mimeType", "")))
        return request["method"], self._masker.url(request["url"]), self._masker.body(body, kind)

    def _unknown(self, request: Request, key: tuple[str, str, bytes], known: int) -> ReplayError:
        method, url, _ = key
        why = f"it was asked {known} times only" if known else "it was never asked"
        others = [f"{m} {u}" for m, u, _ in self._answers if m == method][:3]
        hint = f"; there is {', '.join(others)}" if others and not known else ""
        return ReplayError(f"{method} {url} is not in {self._path}: {why}{hint}", request=request)


class _Failure(NamedTuple):
    """That there was no answer."""

    kind: type[StreamError]
    message: str


def _outcome(entry: Mapping[str, Any]) -> Answer | _Failure:
    """What came of a recorded request."""
    response = entry["response"]
    status = int(response["status"])
    if not status:
        kind = _ERRORS.get(response.get("_kind", ""), StreamError)
        return _Failure(kind, str(response.get("_error", "no answer was recorded")))
    return Answer(
        status,
        tuple((str(one["name"]), str(one["value"])) for one in response["headers"]),
        _body(response["content"]),
        str(entry.get("_url", "")),
        max(0.0, float(entry.get("time", 0.0))) / 1000,
        str(response.get("statusText", "")),
    )


def _pair(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def _lowered(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in pairs]


def _text(body: bytes) -> str:
    """A request's body, for which HAR has text alone."""
    return body.decode("utf-8", "replace")


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


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


def _body(content: Mapping[str, Any]) -> bytes:
    text = str(content.get("text", ""))
    return base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()
