"""What a flow said and heard, written as HAR 1.2, and played to it again."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest
from servers.scripted import Asked, Say, scripted
from tenacity import wait_none

from webqq_tornado import (
    ConnectError,
    FilePart,
    HTTPStream,
    Multipart,
    ReplayError,
    Request,
    Response,
    StreamError,
)
from webqq_tornado.har import MASK, Answer, HARRecorder, HARReplay
from webqq_tornado.retry import Retry

PASSWORD = "correct horse"


def shop(asked: Asked) -> Say:
    """Login, a list that changes, a picture."""
    if asked.path.startswith("/login"):
        headers = {"Set-Cookie": "sid=s3cr3t; Path=/", "Content-Type": "application/json"}
        return Say(200, b'{"token": "t0k3n", "name": "Ann"}', headers)
    if asked.path == "/picture":
        return Say(200, b"\x89PNG\xff", {"Content-Type": "image/png"})
    return Say(200, b"list %d" % asked.number, {"Content-Type": "text/plain"})


class Flow(HTTPStream):
    """Logs in, asks twice for the list, then for the picture."""

    def __init__(self, base: str, **arguments) -> None:
        super().__init__(**arguments)
        self.base = base
        self.heard: list[tuple[int, bytes]] = []

    def begin(self):
        form = {"user": "ann", "password": PASSWORD}
        yield self.make_post_request(f"{self.base}/login?api_key=abc&page=1", form), self.logged_in

    def logged_in(self, response):
        self.heard.append((response.status, response.body))
        return f"{self.base}/list", self.listed

    def listed(self, response):
        self.heard.append((response.status, response.body))
        if len(self.heard) < 3:
            return response.request, self.listed
        return f"{self.base}/picture", self.seen

    def seen(self, response):
        self.heard.append((response.status, response.body))


async def recorded(path: Path, **arguments) -> Flow:
    async with scripted(shop) as server, Flow(server.url) as flow:
        with HARRecorder(flow, path, **arguments):
            await flow.launch()
        return flow


@pytest.fixture
def har(tmp_path: Path) -> Path:
    return tmp_path / "flow.har"


async def test_every_exchange_is_an_entry_with_all_that_har_wants(har: Path):
    flow = await recorded(har)
    log = json.loads(har.read_text())["log"]
    assert log["version"] == "1.2"
    assert set(log["creator"]) >= {"name", "version"}
    assert [entry["request"]["method"] for entry in log["entries"]] == ["POST", "GET", "GET", "GET"]
    for entry in log["entries"]:
        started = datetime.datetime.fromisoformat(entry["startedDateTime"])
        assert abs(started.timestamp() - datetime.datetime.now().timestamp()) < 60
        assert entry["time"] >= 0
        assert entry["cache"] == {}
        assert entry["_resourceType"] == "fetch"
        assert set(entry["request"]) >= {
            *("method", "url", "httpVersion", "cookies", "headers", "queryString"),
            *("headersSize", "bodySize"),
        }
        assert set(entry["response"]) >= {
            *("status", "statusText", "httpVersion", "cookies", "headers", "content"),
            *("redirectURL", "headersSize", "bodySize"),
        }
        assert entry["response"]["httpVersion"] == "HTTP/1.1"
        assert set(entry["timings"]) >= {"send", "wait", "receive"}
        spent = sum(
            value for name, value in entry["timings"].items() if value > 0 and name != "ssl"
        )
        assert spent == pytest.approx(entry["time"], abs=0.02)
    texts = [entry["response"]["content"].get("text") for entry in log["entries"]]
    assert texts[1:3] == [body.decode() for _, body in flow.heard[1:3]]
    assert log["entries"][3]["response"]["content"]["encoding"] == "base64"


async def test_no_secret_is_written(har: Path):
    await recorded(har)
    text = har.read_text()
    for secret in (PASSWORD, "correct+horse", "s3cr3t", "t0k3n", "abc"):
        assert secret not in text, secret
    login = json.loads(text)["log"]["entries"][0]
    assert login["request"]["url"].endswith(f"/login?api_key={MASK}&page=1")
    assert login["request"]["postData"]["text"] == f"user=ann&password={MASK}"
    assert login["response"]["cookies"] == [{"name": "sid", "value": MASK}]
    assert json.loads(login["response"]["content"]["text"]) == {"token": MASK, "name": "Ann"}


async def test_credentials_in_headers_and_addresses_are_not_written(har: Path):
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        headers = {
            "Authorization": "Bearer hush1",
            "Cookie": "a=hush2; b=hush3",
            "X-Api-Key": "hush4",
        }
        url = server.url.replace("http://", "http://me:hush5@") + "/x?sign=hush6&y=hush7"
        with HARRecorder(stream, har, secrets=["hush7"]):
            await stream.fetch(Request(url, headers=headers))
    text = har.read_text()
    assert "hush" not in text
    assert f"Bearer {MASK}" in text
    assert f"a={MASK}; b={MASK}" in text


async def test_named_secrets_are_nowhere(har: Path):
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        with HARRecorder(stream, har, secrets=["hush1"]):
            await stream.add_request(server.url, name="hush1")
            with pytest.raises(ConnectError):
                await stream.fetch("http://127.0.0.1:1/hush1?q=hush1")
    assert "hush1" not in har.read_text()


async def test_a_body_that_is_no_text_is_found_again(har: Path):
    async with scripted(lambda asked: Say(200, b"taken")) as server, HTTPStream() as stream:
        with HARRecorder(stream, har):
            await stream.fetch(Request(server.url, body=b"\xff\0\xfe"))
    async with HTTPStream(replay=HARReplay(har)) as again:
        assert (await again.fetch(Request(server.url, body=b"\xff\0\xfe"))).body == b"taken"


async def test_a_replay_has_no_web_sockets(har: Path):
    await recorded(har)
    async with HTTPStream(replay=HARReplay(har)) as again:
        with pytest.raises(ReplayError, match="WebSocket"):
            await again.fetch("ws://127.0.0.1:1/")


async def test_the_same_flow_hears_the_same_without_a_network(har: Path):
    first = await recorded(har)
    async with Flow(first.base, replay=HARReplay(har)) as again:
        await again.launch()
        assert again.heard[1:] == first.heard[1:]
        assert json.loads(again.heard[0][1])["name"] == "Ann"
        assert again.cookiejar.get("sid") == MASK
        assert again.stats().requests == 4


async def test_what_was_not_asked_again_can_be_told(har: Path):
    first = await recorded(har)
    replay = HARReplay(har)
    async with HTTPStream(replay=replay) as stream:
        await stream.fetch(f"{first.base}/list")
    assert [one.rpartition("/")[2] for one in replay.unasked] == [
        f"login?api_key={MASK}&page=1",
        "list",
        "picture",
    ]


async def test_what_was_not_recorded_is_an_error_that_names_it(har: Path):
    first = await recorded(har)
    async with HTTPStream(replay=HARReplay(har)) as stream:
        with pytest.raises(ReplayError, match=r"/other is not in .* never asked; there is GET"):
            await stream.fetch(f"{first.base}/other")
        await stream.fetch(f"{first.base}/picture")
        with pytest.raises(ReplayError, match="asked 1 times only"):
            await stream.fetch(f"{first.base}/picture")


async def test_the_last_answer_may_be_repeated(har: Path):
    first = await recorded(har)
    async with HTTPStream(replay=HARReplay(har, repeats=True)) as stream:
        texts = [(await stream.fetch(f"{first.base}/list")).text for _ in range(4)]
    assert texts == ["list 1", "list 2", "list 2", "list 2"]


async def test_parameters_that_change_may_be_ignored(har: Path):
    async with scripted(lambda asked: Say(200, b"ok")) as server, HTTPStream() as stream:
        with HARRecorder(stream, har):
            await stream.fetch(f"{server.url}/poll?t=0.123&id=1")
    async with HTTPStream(replay=HARReplay(har, ignore={"t"})) as stream:
        assert (await stream.fetch(f"{server.url}/poll?t=0.456&id=1")).text == "ok"
        with pytest.raises(ReplayError):
            await stream.fetch(f"{server.url}/poll?t=0.456&id=2")


async def test_errors_and_retries_are_recorded_and_played(har: Path):
    def script(asked: Asked) -> Say:
        if asked.number == 0:
            # On a connection that was used before libcurl itself would try again.
            return Say(503, b"", {"Connection": "close"})
        return Say(200, None if asked.number == 1 else b"well")

    retry = Retry(wait=wait_none())
    async with scripted(script) as server, HTTPStream(retry=retry) as stream:
        with HARRecorder(stream, har):
            await stream.fetch(server.url)
            with pytest.raises(ConnectError):
                await stream.fetch("http://127.0.0.1:1/", retry=lambda attempt: None)
    async with HTTPStream(retry=retry, replay=HARReplay(har)) as stream:
        response = await stream.fetch(server.url)
        assert response.text == "well"
        assert [type(one.outcome).__name__ for one in response.retried] == [
            "Response",
            "ProtocolError",
        ]
        with pytest.raises(ConnectError, match="Connection refused"):
            await stream.fetch("http://127.0.0.1:1/", retry=lambda attempt: None)


def moved(asked: Asked) -> Say:
    """/ leads to /there with a cookie, /there has another one."""
    if asked.path == "/":
        return Say(302, b"moved", {"Location": "/there?token=hush", "Set-Cookie": "a=1; Path=/"})
    return Say(200, b"there", {"Set-Cookie": "b=2; Path=/"})


async def test_each_redirect_is_an_entry_and_leads_where_it_did(har: Path):
    async with scripted(moved) as server, HTTPStream() as stream:
        with HARRecorder(stream, har):
            await stream.fetch(f"{server.url}/")
    entries = json.loads(har.read_text())["log"]["entries"]
    assert [entry["request"]["url"].removeprefix(server.url) for entry in entries] == [
        "/",
        f"/there?token={MASK}",
    ]
    assert [entry["response"]["status"] for entry in entries] == [302, 200]
    assert entries[0]["response"]["redirectURL"] == f"/there?token={MASK}"
    async with HTTPStream(replay=HARReplay(har)) as stream:
        response = await stream.fetch(f"{server.url}/")
        assert (response.url, response.text) == (f"{server.url}/there?token={MASK}", "there")
        assert [hop.status for hop in response.history] == [302]
        assert {cookie.name for cookie in stream.cookiejar} == {"a", "b"}


async def test_a_redirect_that_is_not_followed_is_the_answer(har: Path):
    async with scripted(moved) as server, HTTPStream() as stream:
        request = Request(f"{server.url}/", follow_redirects=False)
        with HARRecorder(stream, har):
            await stream.fetch(request)
    async with HTTPStream(replay=HARReplay(har, repeats=True)) as stream:
        response = await stream.fetch(request)
        assert (response.status, response.body) == (302, b"moved")
        with pytest.raises(ReplayError, match=r"/there\?token=\*\*\* is not in .* never asked"):
            await stream.fetch(f"{server.url}/")


async def test_a_sink_gets_nothing_of_a_redirect(har: Path):
    async with scripted(moved) as server, HTTPStream() as stream:
        with HARRecorder(stream, har):
            await stream.fetch(f"{server.url}/")
    log = json.loads(har.read_text())
    log["log"]["entries"][0]["response"]["content"]["text"] = "moved"
    har.write_text(json.dumps(log))
    taken: list[bytes] = []
    async with HTTPStream(replay=HARReplay(har, repeats=True)) as stream:
        await stream.fetch(Request(f"{server.url}/", sink=taken.append))
        async with stream.open(f"{server.url}/") as response:
            assert b"".join([chunk async for chunk in response.stream]) == b"there"
    assert taken == [b"there"]


async def test_streams_and_sinks_are_played_too(har: Path, tmp_path: Path):
    first = await recorded(har)
    async with HTTPStream(replay=HARReplay(har, repeats=True)) as stream:
        async with stream.open(f"{first.base}/list") as response:
            assert b"".join([chunk async for chunk in response.stream]) == b"list 1"
        taken: list[bytes] = []
        await stream.fetch(Request(f"{first.base}/list", sink=taken.append))
        await stream.fetch(Request(f"{first.base}/picture", sink=tmp_path / "picture"))
    assert taken == [b"list 2"]
    assert (tmp_path / "picture").read_bytes() == b"\x89PNG\xff"


async def test_the_pace_may_be_the_recorded_one(har: Path):
    await recorded(har)
    log = json.loads(har.read_text())
    for entry in log["log"]["entries"]:
        entry["time"] = 40.0
    har.write_text(json.dumps(log))
    base = log["log"]["entries"][1]["request"]["url"].removesuffix("/list")
    async with HTTPStream(replay=HARReplay(har, pace=1.0)) as stream:
        response = await stream.fetch(f"{base}/list")
        assert response.request_time == pytest.approx(0.04)
        assert stream.stats().elapsed >= 0.04


async def test_a_chain_can_be_cancelled_before_its_answer(har: Path):
    first = await recorded(har)
    async with HTTPStream(replay=HARReplay(har)) as stream:
        chain = stream.add_request(f"{first.base}/list", print)
        assert chain.cancel()


@pytest.mark.parametrize("text", ["", "{}", '{"log": {}}', '{"log": {"entries": [{}]}}', "[1]"])
def test_what_is_no_har_is_refused(har: Path, text):
    har.write_text(text)
    with pytest.raises(ValueError, match="no HAR"):
        HARReplay(har)


async def test_large_and_streamed_bodies_are_left_out(har: Path):
    async with scripted(lambda asked: Say(200, b"x" * 100)) as server, HTTPStream() as stream:
        with HARRecorder(stream, har, max_body_size=10):
            await stream.fetch(server.url)
    content = json.loads(har.read_text())["log"]["entries"][0]["response"]["content"]
    assert (content["size"], "text" in content) == (100, False)


# -- recordings and readers that go wrong ---------------------------------------------------------


async def test_a_reader_may_go_on_from_a_streamed_answer(har: Path):
    first = await recorded(har)
    async with HTTPStream(replay=HARReplay(har, repeats=True)) as stream:
        request = Request(f"{first.base}/list", stream=True)
        chain = stream.add_request(request, lambda _: (f"{first.base}/picture", lambda _: None))
        assert (await chain).body == b"\x89PNG\xff"
        assert stream.stats().in_flight == 0


async def test_a_chain_may_be_cancelled_in_a_streamed_answer(har: Path):
    first = await recorded(har)
    async with HTTPStream(replay=HARReplay(har, repeats=True)) as stream:
        request = Request(f"{first.base}/list", stream=True)
        chain = stream.add_request(request, lambda _: chain.cancel())
        with pytest.raises(asyncio.CancelledError):
            await chain
        assert stream.stats().in_flight == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry.pop("response"),
        lambda entry: entry["response"].pop("headers"),
        lambda entry: entry["response"].pop("content"),
        lambda entry: entry["response"].update(status="OK"),
        lambda entry: entry["response"].update(content={"_file": "../secret.txt"}),
        lambda entry: entry.update(time=None),
        lambda entry: entry["request"].update(url=None),
        lambda entry: entry["response"]["headers"].append({"name": "X"}),
    ],
)
async def test_an_entry_that_cannot_be_played_is_told_before_it_is(har: Path, spoil):
    await recorded(har)
    log = json.loads(har.read_text())
    spoil(log["log"]["entries"][1])
    har.write_text(json.dumps(log))
    with pytest.raises(ValueError, match=r"no HAR.*entry 2"):
        HARReplay(har)


async def test_a_recording_goes_to_where_a_link_leads(har: Path):
    har.symlink_to(har.with_name("file"))
    await recorded(har)
    assert har.is_symlink()
    assert len(json.loads(har.with_name("file").read_text())["log"]["entries"]) == 4


async def test_a_recording_that_raises_is_the_error_of_its_link():
    class Broken:
        def answer(self, request):
            raise LookupError("nothing was recorded")

    async with HTTPStream(replay=Broken()) as stream:
        with pytest.raises(LookupError):
            await asyncio.wait_for(stream.fetch("http://a.test/"), 60)
        assert stream.stats().in_flight == 0


async def test_a_recording_that_cannot_be_written_is_not_lost(har: Path):
    async with scripted(shop) as server, HTTPStream() as stream:
        recorder = HARRecorder(stream, har.parent / "none" / "flow.har")
        await stream.fetch(f"{server.url}/list")
        with pytest.raises(OSError, match="none"):
            recorder.save()
        (har.parent / "none").mkdir()
        recorder.save()
    assert len(json.loads((har.parent / "none" / "flow.har").read_text())["log"]["entries"]) == 1


# -- as it was, but for its secrets ----------------------------------------------------------------


async def _recorded(har: Path, *requests: str | Request, **say: Any) -> list[dict[str, Any]]:
    """The entries of what a server has answered; by default with the path that was asked for."""

    def script(asked: Asked) -> Say:
        return Say(**{"body": asked.path.encode(), **say})

    async with scripted(script) as server, HTTPStream() as stream:
        with HARRecorder(stream, har):
            for request in requests:
                if isinstance(request, str):
                    await stream.fetch(server.url + request)
                else:
                    await stream.fetch(
                        request.replace(url=request.url.replace("http://s", server.url))
                    )
    return json.loads(har.read_text())["log"]["entries"]


async def _played(har: Path, *requests: str | Request) -> list[bytes]:
    base = json.loads(har.read_text())["log"]["entries"][0]["request"]["url"].rpartition("/")[0]
    async with HTTPStream(replay=HARReplay(har)) as stream:
        return [
            (
                await stream.fetch(
                    base + one
                    if isinstance(one, str)
                    else one.replace(url=one.url.replace("http://s", base))
                )
            ).body
            for one in requests
        ]


async def test_urls_are_written_as_they_were_sent_and_found_again(har: Path):
    asked = ("/?q=%C4%E3&flag&x=", "/?q=%ba%c3&flag&x=", "/?q=%BA%C3&flag&x=", "/?q=1&flag=&x#f")
    entries = await _recorded(har, *asked)
    urls = [entry["request"]["url"].partition("/?")[2] for entry in entries]
    assert urls == [one.removeprefix("/?").partition("#")[0] for one in asked]
    assert entries[0]["request"]["queryString"][0] == {"name": "q", "value": "\u4f60"}
    again = await _played(har, *reversed(asked))
    assert again == [one.partition("#")[0].encode() for one in reversed(asked)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 12345678901234567.89, "rate": 1.10}\n',
        b'{"a": 1, "a": 2}',
        b'[1E400, "\\u00e9\\/", NaN]\r\n',
        "\ufeff[1]".encode(),
        '["\u8aa0"]'.encode("gbk"),
        b"\x89PNG\xff",
        b"",
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=gb2312", "image/png", ""])
async def test_bodies_are_played_byte_by_byte(har: Path, body: bytes, kind: str):
    requests = [
        Request("http://s/", method="POST", body=body, headers={"Content-Type": kind}),
        Request("http://s/", method="POST", body=body + b"!", headers={"Content-Type": kind}),
    ]
    await _recorded(har, *requests, body=body, headers={"Content-Type": kind} if kind else {})
    assert await _played(har, *reversed(requests)) == [body, body]


async def test_text_in_a_declared_charset_can_be_read_in_the_file(har: Path):
    body, headers = "你".encode("gbk"), {"Content-Type": "text/html; charset=gb2312"}
    (entry,) = await _recorded(har, "/", body=body, headers=headers)
    assert entry["response"]["content"]["text"] == "你"
    assert await _played(har, "/") == [body]


def _form(body: bytes) -> Request:
    kind = "application/x-www-form-urlencoded"
    return Request("http://s/", body=body, headers={"Content-Type": kind})


ALIKE = [
    ("/?token=abc&n=1", "/?token=def&n=1"),
    (
        _form(b"r=%7B%22ptwebqq%22%3A%22abc%22%7D&n=1"),
        _form(b"r=%7B%22ptwebqq%22%3A%22d%22%7D&n=1"),
    ),
    (
        Request("http://s/", body=b'{"password": "a", "n": 1.0}'),
        Request("http://s/", body=b'{"password": "b", "n": 1.0}'),
    ),
    (
        Request("http://s/", body=Multipart({"a": "b", "pwd": "x"}, {"f": FilePart(b"1", "f")})),
        Request("http://s/", body=Multipart({"a": "b", "pwd": "y"}, {"f": FilePart(b"1", "f")})),
    ),
]
OTHERS = [
    ("/?token=abc&n=1", "/?token=abc&n=2"),
    ("/?p=1", "/?p=2"),
    ("/?q=%C4%E3", "/?q=%BA%C3"),
    (
        _form(b"r=%7B%22ptwebqq%22%3A%22abc%22%7D&n=1"),
        _form(b"r=%7B%22ptwebqq%22%3A%22abc%22%7D&n=2"),
    ),
    (
        Request("http://s/", body=b'{"password": "a", "n": 1.0}'),
        Request("http://s/", body=b'{"password": "a", "n": 1.00}'),
    ),
    (Request("http://s/", body=b"\xff\xfe1"), Request("http://s/", body=b"\xfe\xff1")),
    (
        Request("http://s/", body=Multipart({"a": "b"}, {"f": FilePart(b"1", "f")})),
        Request("http://s/", body=Multipart({"a": "b"}, {"f": FilePart(b"2", "f")})),
    ),
    (
        Request("http://s/", body=Multipart({"a": "b"})),
        Request("http://s/", body=Multipart({"a": "c"})),
    ),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
async def test_requests_that_differ_in_secrets_only_are_the_same(har: Path, one, other):
    await _recorded(har, one, body=b"found")
    assert await _played(har, other) == [b"found"]


@pytest.mark.parametrize(("one", "other"), OTHERS)
async def test_requests_that_differ_in_anything_else_are_not(har: Path, one, other):
    await _recorded(har, one)
    with pytest.raises(ReplayError, match="never asked"):
        await _played(har, other)


async def test_a_multipart_body_is_found_whoever_has_put_it_together(har: Path):
    sent = (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n1\r\n--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    await _recorded(har, Request("http://s/", body=sent, headers={"Content-Type": kind}))
    assert await _played(
        har, Request("http://s/", body=Multipart({"a": "b"}, {"f": FilePart(b"1", "f.txt")}))
    )
    await _recorded(
        har, Request("http://s/", body=Multipart({"a": "b"}, {"f": FilePart(b"1", "f.txt")}))
    )
    again = Request(
        "http://s/", body=sent.replace(b"--x", b"--y"), headers={"Content-Type": kind[:-1] + "y"}
    )
    assert await _played(har, again)


async def test_a_secret_that_is_known_later_is_masked_where_it_was_handed_out(har: Path):
    token = "0123456789abcdef0123"

    def script(asked: Asked) -> Say:
        headers = {
            "Content-Type": "text/html; charset=gbk" if asked.path == "/page" else "image/png"
        }
        return Say(200, f"<i>你 {token}".encode("gbk"), headers)

    asked = ("/page", "/raw", f"/at/{token}/x", f"/use?token={token}")
    async with scripted(script) as server, HTTPStream() as stream:
        with HARRecorder(stream, har):
            for path in asked:
                await stream.fetch(server.url + path)
    assert token not in har.read_text()
    pages = await _played(har, *asked)
    assert pages[0] == pages[1] == f"<i>你 {MASK}".encode("gbk")


async def test_an_error_is_written_without_secrets(har: Path):
    async with HTTPStream() as stream:
        with HARRecorder(stream, har):
            with pytest.raises(ConnectError):
                await stream.fetch("http://127.0.0.1:1/?token=hush1&n=2")
    assert "hush1" not in har.read_text()
    assert "token=***&n=2: connecting" in har.read_text()


# -- the file --------------------------------------------------------------------------------------


async def test_only_the_owner_may_read_the_file(har: Path):
    har.write_text("older")
    har.chmod(0o644)
    draft = har.parent / ".flow.har.abc.new"
    draft.write_text("of a crash")
    os.utime(draft, (0, 0))
    await _recorded(har, "/")
    assert har.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in har.parent.iterdir()] == ["flow.har"]


async def test_what_cannot_be_written_leaves_the_file_as_it_was(har: Path, monkeypatch):
    har.write_text("older")
    async with HTTPStream() as stream:
        recorder = HARRecorder(stream, har)
        recorder._entries.append({"not": {"JSON"}})
        with pytest.raises(TypeError):
            recorder.close()
    assert har.read_text() == "older"
    assert [path.name for path in har.parent.iterdir()] == ["flow.har"]


# -- other recorders -------------------------------------------------------------------------------


def _entry(url: str = "http://h.example/", status: int = 200, **changes: Any) -> dict[str, Any]:
    """An entry as a browser writes it; "request__url" and the like change what is in it."""
    content = {"size": 2, "mimeType": "text/plain", "text": "ok"}
    response = {"status": status, "statusText": "", "headers": [], "content": content}
    entry: dict[str, Any] = {
        "startedDateTime": "2026-01-01T00:00:00.000Z",
        "time": 1.0,
        "request": {"method": "GET", "url": url, "headers": []},
        "response": {**response, "redirectURL": ""},
    }
    for path, value in changes.items():
        *parts, last = path.split("__")
        place = entry
        for part in parts:
            place = place[part]
        place[last] = value
    return entry


async def _answers(har: Path, *entries: dict[str, Any], **options: Any) -> list[Response]:
    """What is played for each entry, in their order."""
    har.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    async with HTTPStream(replay=HARReplay(har)) as stream:
        return [
            await stream.fetch(Request(entry["request"]["url"], **options)) for entry in entries
        ]


@pytest.mark.parametrize("has_location", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_browsers_redirects_are_followed(har: Path, status: int, has_location: bool):
    lines = [{"name": "location", "value": "/b"}] if has_location else []
    first = _entry(
        "http://h.example/a",
        status,
        response__headers=lines,
        response__redirectURL="http://h.example/b",
    )
    har.write_text(json.dumps({"log": {"entries": [first, _entry("http://h.example/b")]}}))
    async with HTTPStream(replay=HARReplay(har)) as stream:
        response = await stream.fetch("http://h.example/a")
        assert (response.status, response.url, response.text) == (200, "http://h.example/b", "ok")


async def test_pseudo_headers_and_joined_lines_of_a_browser(har: Path):
    lines = [
        {"name": ":status", "value": "200"},
        {"name": "set-cookie", "value": "a=1; Path=/\nb=2; Path=/"},
        {"name": "x-name", "value": "你"},
    ]
    (response,) = await _answers(har, _entry(response__headers=lines))
    assert response.headers.get_all("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert response.headers.keys() == ["set-cookie", "set-cookie", "x-name"]
    assert response.headers["X-Name"].encode("latin-1").decode() == "你"


async def test_a_body_that_is_decoded_already_is_not_decoded_again(har: Path):
    lines = [{"name": "content-encoding", "value": "br"}, {"name": "content-length", "value": "9"}]
    (response,) = await _answers(har, _entry(response__headers=lines))
    assert response.body == b"ok"


async def test_text_is_played_in_the_charset_that_the_headers_say(har: Path):
    lines = [{"name": "content-type", "value": "text/html; charset=GB2312"}]
    entry = _entry(response__headers=lines, response__content__text="你好")
    (response,) = await _answers(har, entry)
    assert (response.body, response.text) == ("你好".encode("gbk"), "你好")


async def test_base64_and_missing_bodies(har: Path):
    entries = [
        _entry("http://h.example/1", response__content={"text": "/w==", "encoding": "base64"}),
        _entry("http://h.example/2", response__content={"size": 12345, "mimeType": "text/plain"}),
        _entry("http://h.example/3", response__content={"size": 0, "text": None}),
    ]
    responses = await _answers(har, *entries)
    assert [response.body for response in responses] == [b"\xff", b"", b""]


async def test_text_that_is_called_base64_and_is_none_is_text(har: Path):
    """Firefox has written it so (bug 1762313); base64 may lack its padding, and have line ends."""
    texts = ["<p>hello, ünï!", "YWJj\r\nZA", "a b", "/w"]
    entries = [
        _entry(f"http://h.example/{number}", response__content={"text": text, "encoding": "base64"})
        for number, text in enumerate(texts)
    ]
    responses = await _answers(har, *entries)
    assert [response.body for response in responses] == [
        "<p>hello, ünï!".encode(),
        b"abcd",
        b"a b",
        b"\xff",
    ]


@pytest.mark.parametrize(
    "times",
    [
        ("2026-01-01T00:00:02.000Z", "2026-01-01T00:00:01.999Z"),
        ("2026-01-01T01:00:02+01:00", "2026-01-01T00:00:01.25Z"),
        ("2026-01-01T00:00:02.0000001Z", "2026-01-01T00:00:02.0000000Z"),
        ("2026-01-01T00:00:02", "2026-01-01T00:00:01.9999999"),
    ],
)
async def test_answers_to_the_same_come_in_the_order_in_which_it_was_asked(har: Path, times):
    """HAR 1.2 has a reader sort the entries: some writers have them by their end, or by host."""
    last, first = (_entry(startedDateTime=one, response__statusText=one) for one in times)
    responses = await _answers(har, last, first)
    assert [response.reason for response in responses] == [times[1], times[0]]


async def test_entries_without_a_time_come_as_they_stand(har: Path):
    entries = [
        _entry(startedDateTime="2026-01-01T00:00:02Z", response__statusText="1"),
        _entry(startedDateTime="", response__statusText="2"),
        _entry(startedDateTime="2026-01-01T00:00:01Z", response__statusText="3"),
    ]
    assert [response.reason for response in await _answers(har, *entries)] == ["1", "2", "3"]


async def test_bodies_that_playwright_has_put_into_files_are_played(har: Path):
    (har.parent / "0a1b.bin").write_bytes(b"\xff\0")
    (har.parent / "asked.txt").write_bytes(b"n=1")
    entry = _entry(
        request__method="POST",
        request__postData={"mimeType": "text/plain", "_file": "asked.txt"},
        response__content={"mimeType": "text/plain", "_file": "0a1b.bin"},
    )
    lost = _entry("http://h.example/lost", response__content={"size": 2, "_file": "lost.bin"})
    har.write_text(json.dumps({"log": {"entries": [entry, lost]}}))
    async with HTTPStream(replay=HARReplay(har)) as stream:
        request = Request("http://h.example/", body=b"n=1")
        assert (await stream.fetch(request)).body == b"\xff\0"
        assert (await stream.fetch("http://h.example/lost")).body == b""


async def test_what_a_browser_has_given_up_is_passed_over_if_it_came_later(har: Path):
    aborted = _entry(status=0, response___error="net::ERR_ABORTED")
    alone = _entry("http://h.example/other", status=-1, response___error="net::ERR_BLOCKED")
    har.write_text(json.dumps({"log": {"entries": [aborted, _entry(), alone]}}))
    async with HTTPStream(replay=HARReplay(har)) as stream:
        assert (await stream.fetch("http://h.example/")).text == "ok"
        with pytest.raises(StreamError, match="net::ERR_BLOCKED"):
            await stream.fetch("http://h.example/other")


async def test_a_browsers_cache_is_played_as_if_there_were_none(har: Path):
    empty = {"size": 0, "mimeType": ""}
    entries = [
        _entry(),
        _entry(status=304, response__content=empty),
        _entry("http://h.example/text", status=304),
        _entry("http://h.example/lost", status=304, response__content=empty),
        _entry("http://h.example/memory", _fromCache="memory"),
    ]
    seen = [(one.status, one.body) for one in await _answers(har, *entries)]
    assert seen == [(200, b"ok"), (200, b"ok"), (200, b"ok"), (304, b""), (200, b"ok")]
    (response,) = await _answers(har, entries[2], headers={"If-None-Match": '"1"'})
    assert response.status == 304


async def test_forms_that_are_kept_decoded_are_found(har: Path):
    params = [{"name": "user", "value": "än n"}, {"name": "password", "value": "hush"}]
    posted = {"mimeType": "application/x-www-form-urlencoded", "params": params}
    entry = _entry(request__method="POST", request__postData=posted)
    har.write_text(json.dumps({"log": {"entries": [entry]}}))
    async with HTTPStream(replay=HARReplay(har)) as stream:
        request = stream.make_post_request("http://h.example/", {"user": "än n", "password": "x"})
        assert (await stream.fetch(request)).text == "ok"


async def test_urls_that_are_no_requests_of_ours_do_no_harm(har: Path):
    strange = [
        _entry(url) for url in ("data:text/plain,1", "blob:null/1", "chrome://a", "http://[")
    ]
    har.write_text(json.dumps({"log": {"entries": [*strange, _entry("HTTP://H.example:80")]}}))
    async with HTTPStream(replay=HARReplay(har)) as stream:
        assert (await stream.fetch("http://h.example/")).text == "ok"


async def test_a_function_answers_instead_of_a_network():
    seen = []

    def answer(request: Request) -> Answer | ConnectError:
        seen.append(request.url)
        if request.url.endswith("/a"):
            return Answer(302, (("Location", "/b"), ("Set-Cookie", "a=1")))
        return Answer.of_json({"n": 1}) if request.url.endswith("/b") else ConnectError("closed")

    async with HTTPStream(replay=answer) as stream:
        response = await stream.get("http://h/a")
        assert (response.json(), response.url) == ({"n": 1}, "http://h/b")
        assert stream.cookiejar.get("a") == "1"
        with pytest.raises(ConnectError, match="closed"):
            await stream.get("http://h/c")
    assert seen == ["http://h/a", "http://h/b", "http://h/c"]


async def test_a_function_that_gives_no_answer_is_told_so():
    async with HTTPStream(replay=lambda request: {"n": 1}) as stream:
        with pytest.raises(TypeError, match="with dict: it is an Answer"):
            await stream.get("http://h/a")


async def test_an_answer_that_cannot_be_told_is_the_links_error():
    def cancel(chunk: bytes) -> None:
        raise asyncio.CancelledError

    async with HTTPStream(replay=lambda _: Answer(200, (("A", "1"),), b"body")) as stream:
        with pytest.raises(RuntimeError, match="was cancelled"):
            await stream.get("http://h/a", sink=cancel)
    async with HTTPStream(replay=lambda _: Answer(200, ("A",))) as stream:  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="unpack"):
            await stream.get("http://h/a")


@pytest.mark.parametrize("make", [asyncio.sleep, lambda _: asyncio.ensure_future(asyncio.sleep(0))])
async def test_a_sink_that_wants_to_be_waited_for_is(make):
    taken: list[str] = []

    def sink(chunk: bytes):
        waited = asyncio.ensure_future(make(0))
        waited.add_done_callback(lambda _: taken.append("taken"))
        return waited

    async with HTTPStream(replay=lambda _: Answer(200, (), b"body")) as stream:
        await stream.get("http://h/a", sink=sink)
    assert taken == ["taken"]


async def test_what_a_sinks_awaitable_raises_is_the_links_error():
    async def sink(chunk: bytes) -> None:
        raise KeyError("in the sink")

    async with HTTPStream(replay=lambda _: Answer(200, (), b"body")) as stream:
        with pytest.raises(KeyError):
            await stream.get("http://h/a", sink=sink)


async def test_a_chain_that_waits_for_its_sink_can_be_cancelled():
    is_asked, ended = asyncio.Event(), []

    async def sink(chunk: bytes) -> None:
        is_asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("sink")

    async with HTTPStream(replay=lambda _: Answer(200, (), b"body")) as stream:
        chain = stream.add_request(Request("http://h/a", sink=sink))
        await is_asked.wait()
        assert chain.cancel()
        await asyncio.sleep(0)
        assert stream.stats().in_flight == 0
    assert ended == ["sink"]
