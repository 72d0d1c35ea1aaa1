"""What a flow said and heard, written as HAR 1.2, and played to it again."""

from __future__ import annotations

import asyncio
import datetime
import json
from pathlib import Path

import pytest
from servers.scripted import Asked, Say, scripted
from tenacity import wait_none

from webqq_tornado import ConnectError, HTTPStream, ReplayError, Request
from webqq_tornado.har import MASK, HARRecorder, HARReplay
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
        with pytest.raises(ReplayError, match="web socket"):
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


async def test_redirects_lead_where_they_did(har: Path):
    def script(asked: Asked) -> Say:
        return Say(302, b"", {"Location": "/there"}) if asked.path == "/" else Say(200, b"there")

    async with scripted(script) as server, HTTPStream() as stream:
        with HARRecorder(stream, har):
            await stream.fetch(f"{server.url}/")
    async with HTTPStream(replay=HARReplay(har)) as stream:
        response = await stream.fetch(f"{server.url}/")
        assert (response.url, response.text) == (f"{server.url}/there", "there")


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
        lambda entry: entry["response"]["content"].update(text="A", encoding="base64"),
        lambda entry: entry.update(time=None),
        lambda entry: entry["request"].update(url=None),
        lambda entry: entry["response"]["headers"].append({"name": "X"}),
    ],
)
async def test_an_entry_that_can_not_be_played_is_told_before_it_is(har: Path, spoil):
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


async def test_a_recording_that_can_not_be_written_is_not_lost(har: Path):
    async with scripted(shop) as server, HTTPStream() as stream:
        recorder = HARRecorder(stream, har.parent / "none" / "flow.har")
        await stream.fetch(f"{server.url}/list")
        with pytest.raises(OSError, match="none"):
            recorder.save()
        (har.parent / "none").mkdir()
        recorder.save()
    assert len(json.loads((har.parent / "none" / "flow.har").read_text())["log"]["entries"]) == 1
