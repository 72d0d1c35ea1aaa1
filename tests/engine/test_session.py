"""Sessions and their cookies."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.cookiejar
import stat
import time
import tracemalloc
import weakref
from pathlib import Path

import pycurl
import pytest
from servers.raw import answer, raw_server, saying
from servers.web import Web

from webqq_tornado import ClosedError, CookieJar, HTTPStream, Limits, LinkError, Next, Request
from webqq_tornado.auth import BasicAuth
from webqq_tornado.engine.session import Session


async def _cookies(stream: HTTPStream, url: str, session: Session | None = None) -> str:
    """The Cookie header that the server gets."""
    told = (await stream.fetch(f"{url}/echo", session=session)).json()
    return dict(told["headers"]).get("Cookie", "")


async def test_cookies_are_kept_and_sent_again(web: Web):
    async with HTTPStream() as stream:
        await stream.fetch(f"{web.http}/set-cookie?line=a=1&line=b=2;path=/echo")
        assert sorted((await _cookies(stream, web.http)).split("; ")) == ["a=1", "b=2"]
        assert stream.cookiejar.get("a") == "1"
        assert {cookie.name for cookie in stream.cookiejar} == {"a", "b"}
        assert len(stream.cookiejar) == 2


async def test_cookies_set_on_the_way_are_kept(web: Web):
    """A redirect that sets one, and the chain's next link."""
    read = []
    async with HTTPStream() as stream:
        url = f"{web.http}/set-cookie?line=a=1"
        await stream.add_request(url, lambda _: (f"{web.http}/echo", read.append))
    assert dict(read[0].json()["headers"])["Cookie"] == "a=1"


async def test_sessions_keep_their_cookies_apart(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        for name in ("a", "b"):
            session = stream.session(name)
            await stream.fetch(f"{web.http}/set-cookie?line=who={name}", session=session)
        for name in ("a", "b", "a"):
            assert await _cookies(stream, web.http, stream.session(name)) == f"who={name}"
        assert await _cookies(stream, web.http) == ""
        assert stream.session("a") is stream.session("a")


async def test_many_sessions_in_flight_at_once_keep_their_cookies_apart(web: Web):
    told = []
    async with HTTPStream() as stream:
        for n in range(50):
            session = stream.session(str(n))

            def read(response, n=n):
                told.append((n, dict(response.json()["headers"]).get("Cookie")))

            url = f"{web.http}/set-cookie?line=n={n}"
            link = (f"{web.http}/echo", read)
            stream.add_request(url, lambda _, link=link: link, session=session)
    assert sorted(told) == [(n, f"n={n}") for n in range(50)]


async def test_streams_keep_their_cookies_apart(web: Web):
    async with HTTPStream() as one, HTTPStream() as other:
        await one.fetch(f"{web.http}/set-cookie?line=a=1")
        assert await _cookies(other, web.http) == ""
        assert await _cookies(one, web.http) == "a=1"


async def test_a_cookie_header_of_ones_own_joins_those_of_the_session(web: Web):
    async with HTTPStream() as stream:
        stream.cookiejar.set("a", "1", domain="127.0.0.1")
        request = Request(f"{web.http}/echo", headers={"Cookie": "b=2"})
        told = dict((await stream.fetch(request)).json()["headers"])
    assert "b=2" in told["Cookie"]


async def test_cookies_go_where_they_belong(web: Web):
    jar_lines = [
        ("here", {"domain": "example.org"}),
        ("there", {"domain": "example.com"}),
        ("path", {"domain": "example.org", "path": "/elsewhere"}),
        ("secure", {"domain": "example.org", "secure": True}),
        ("old", {"domain": "example.org", "expires": int(time.time()) - 10}),
        ("new", {"domain": "example.org", "expires": int(time.time()) + 1000}),
        ("exact", {"domain": "example.org", "subdomains": False}),
    ]
    # No name is looked up: the server is behind a unix socket, whatever it is called.
    async with HTTPStream(defaults={"unix_socket": web.unix}) as stream:
        for name, arguments in jar_lines:
            stream.cookiejar.set(name, "x", **arguments)
        exact = await _cookies(stream, "http://example.org")
        below = await _cookies(stream, "http://w.example.org")
    assert {part.split("=")[0] for part in exact.split("; ")} == {"here", "new", "exact"}
    assert {part.split("=")[0] for part in below.split("; ")} == {"here", "new"}


async def test_secure_cookies_go_over_tls_and_to_this_machine(web: Web):
    async with HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        stream.cookiejar.set("secure", "x", domain="127.0.0.1", secure=True)
        assert await _cookies(stream, web.https) == "secure=x"
        assert await _cookies(stream, web.http) == "secure=x"


@pytest.mark.parametrize("line", ["a=1; domain=example.org", "a=1; domain=com", "a=1; domain=1"])
async def test_a_server_sets_no_cookies_for_others(web: Web, line):
    async with HTTPStream() as stream:
        await stream.fetch(f"{web.http}/set-cookie?line={line}".replace(" ", "%20"))
        assert len(stream.cookiejar) == 0


async def test_a_server_deletes_its_cookie(web: Web):
    async with HTTPStream() as stream:
        await stream.fetch(f"{web.http}/set-cookie?line=a=1")
        await stream.fetch(f"{web.http}/set-cookie?line=a=%3Bmax-age=0")
        assert await _cookies(stream, web.http) == ""


@pytest.mark.parametrize("raw", [b"a=\xe5\x90\x8d", b"a=\xff\xfe", b"\xe5=1", b'a="quoted"', b"a="])
async def test_a_cookie_of_any_bytes_can_be_looked_at(raw):
    said = saying(answer(b"", b"Set-Cookie: " + raw))
    async with raw_server(said) as url, HTTPStream() as stream:
        await stream.fetch(url)
        assert len(stream.cookiejar) == 1
        assert len(list(stream.cookiejar)) == 1
        assert repr(stream.cookiejar) == "<CookieJar 1 cookies>"


# -- the end of a session -------------------------------------------------------------------


async def test_a_session_that_is_closed_ends_its_chains_and_no_other(web: Web):
    async with HTTPStream() as stream:
        ann, bob = stream.session("ann"), stream.session("bob")
        ended = [stream.add_request(f"{web.http}/hold/ann{n}", session=ann) for n in range(3)]
        ended.append(stream.add_request(web.http, delay=1000, session=ann))
        ended.append(stream.add_request(f"ws{web.http[4:]}/hold/ws", session=ann))
        lasts = stream.add_request(f"{web.http}/hold/bob", session=bob)
        for place in ("ann2", "ws", "bob"):
            await stream.fetch(f"{web.http}/arrived/{place}")
        ann.close()
        ann.close()
        for chain in ended:
            with pytest.raises(ClosedError, match="'ann'"):
                await chain
        assert stream.chains == {lasts}
        await stream.fetch(f"{web.http}/release/bob")
        await lasts


async def test_the_name_of_a_session_that_was_closed_is_that_of_another(web: Web):
    async with HTTPStream() as stream:
        old = stream.session("ann", auth=BasicAuth("ann", "x"))
        await stream.fetch(f"{web.http}/set-cookie?line=a=1", session=old)
        old.close()
        new = stream.session("ann")
        assert new is not old
        assert new.auth is None
        assert await _cookies(stream, web.http, new) == ""


async def test_nothing_is_sent_in_a_session_that_was_closed(web: Web):
    async with HTTPStream() as stream:
        session = stream.session("ann")
        session.close()
        with pytest.raises(LinkError, match="'ann' is closed"):
            stream.add_request(web.http, session=session)
        chain = stream.add_request(web.http, lambda _: Next(web.http, session=session))
        chain._is_quiet = True  # who awaits it hears of it
        with pytest.raises(LinkError, match="'ann' is closed"):
            await chain


async def test_a_reader_may_close_its_own_session(web: Web):
    async with HTTPStream() as stream:
        session = stream.session("ann")

        def read(response):
            session.close()
            return web.http

        chain = stream.add_request(web.http, read, session=session)
        with pytest.raises(ClosedError):
            await chain
        assert chain.steps == 1


async def test_a_chain_of_another_session_hears_that_those_below_it_have_ended(web: Web):
    heard = []
    async with HTTPStream() as stream:
        session = stream.session("ann")

        def fan_out(_response):
            yield Next(f"{web.http}/hold/below-of-a-session", None, session=session)
            yield Next(web.http, heard.append)

        chain = stream.add_request(web.http, fan_out)
        await stream.fetch(f"{web.http}/arrived/below-of-a-session")
        session.close()
        with contextlib.suppress(ClosedError):
            await chain
        assert len(heard) == 1


async def test_the_streams_own_session_ends_with_it():
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="with the stream"):
            stream.add_request("http://127.0.0.1:9/", delay=1000).session.close()
        for chain in stream.chains:
            chain.cancel()


async def test_a_session_that_is_over_is_freed(web: Web):
    """Also where its handles are idle, or its transfer has ended and was not told yet."""
    async with HTTPStream() as stream:
        sessions = weakref.WeakSet()
        for n in range(5):
            session = stream.session(str(n))
            sessions.add(session)
            await asyncio.gather(*[stream.fetch(web.http, session=session) for _ in range(3)])
            stream.add_request(web.http, lambda _, own=session: own.close(), session=session)
            stream.add_request(web.http, session=session)
            await stream.drain()
        del session
        gc.collect()
        assert not sessions
        assert (await stream.fetch(web.http)).status == 200


async def test_a_session_that_is_over_is_freed_where_sessions_are_limited(web: Web):
    async with HTTPStream(limits=Limits(per_session=2)) as stream:
        sessions = weakref.WeakSet()
        for n in range(3):
            session = stream.session(str(n))
            sessions.add(session)
            await asyncio.gather(*[stream.fetch(web.http, session=session) for _ in range(3)])
            held = [stream.add_request(f"{web.http}/hold/s", session=session) for _ in range(3)]
            session.close()
            assert all(chain.done for chain in held)
        del session, held
        gc.collect()
        assert not sessions


async def test_a_session_weighs_little_until_it_is_used():
    async with HTTPStream() as stream:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for n in range(100):
            stream.session(str(n))
        assert tracemalloc.get_traced_memory()[0] - before < 100 * 1024
        assert all(session.cookiejar._share is None for session in stream._sessions.values())
        tracemalloc.stop()


# -- the jar alone --------------------------------------------------------------------------


def test_a_cookie_is_set_found_and_replaced():
    jar = CookieJar()
    jar.set("a", "1", domain="qq.com")
    jar.set("a", "2", domain="qq.com")
    jar.set("a", "3", domain="w.qq.com")
    assert len(jar) == 2
    assert jar.get("a", domain="qq.com") == "2"
    assert jar.get("a", domain="w.qq.com") == "3"
    assert jar.get("missing") is None
    assert jar.get("missing", "x") == "x"
    jar.clear()
    assert len(jar) == 0
    jar.close()


@pytest.mark.parametrize("part", ["name", "value", "domain", "path"])
@pytest.mark.parametrize("mark", ["\t", "\r", "\n", "\0"])
def test_a_cookie_with_a_line_break_is_refused(part, mark):
    jar = CookieJar()
    parts = {"name": "a", "value": "1", "domain": "qq.com", "path": "/"}
    parts[part] += mark + "x"
    with pytest.raises(ValueError, match="tab or line break"):
        jar.set(**parts)
    assert len(jar) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"domain": ""}, {"domain": "."}, {"name": "a\x7f"}, {"value": "\x01"},
        {"name": "__Secure-a"}, {"name": "__Host-a", "secure": True},
        {"name": "__Host-a", "secure": True, "subdomains": False, "path": "/x"},
    ],
)  # fmt: skip
def test_a_cookie_that_libcurl_would_drop_is_refused(wrong):
    with pytest.raises(ValueError, match="cookie"):
        CookieJar().set(**{"name": "a", "value": "1", "domain": "qq.com", **wrong})


def test_a_cookie_with_a_prefix_is_set():
    jar = CookieJar()
    jar.set("__Host-a", "1", domain="qq.com", secure=True, subdomains=False)
    assert jar.header_for("https://qq.com/") == "__Host-a=1"


def test_a_domain_outside_ascii_is_known_by_its_idna_form():
    jar = CookieJar()
    jar.set("a", "1", domain="bücher.test")
    assert jar.header_for("http://www.xn--bcher-kva.test/") == "a=1"


@pytest.mark.parametrize("expires", [-1, 1, 1000])
def test_a_cookie_that_is_over_deletes_the_one_that_was(expires):
    jar = CookieJar()
    jar.set("a", "1", domain="qq.com")
    jar.set("a", "", domain="qq.com", expires=expires)
    assert len(jar) == 0


def test_a_cookie_may_have_a_value_outside_ascii():
    jar = CookieJar()
    jar.set("nick", "名", domain="qq.com")
    assert jar.get("nick") == "名"


def test_a_cookie_may_have_an_empty_value():
    jar = CookieJar()
    jar.set("a", "", domain="qq.com")
    assert jar.get("a") == ""


def test_a_cookie_of_http_cookiejar_keeps_all_it_has():
    theirs = _cookie("a", "1", "qq.com", expires=int(time.time()) + 1000, secure=True)
    jar = CookieJar()
    jar.set_cookie(theirs)
    (ours,) = jar
    for part in ("name", "value", "path", "expires", "secure"):
        assert getattr(ours, part) == getattr(theirs, part)
    assert ours.domain.lstrip(".") == "qq.com"
    assert not ours.discard


def _cookie(
    name: str, value: str, domain: str, *, expires: int | None = None, secure: bool = False
) -> http.cookiejar.Cookie:
    return http.cookiejar.Cookie(
        0, name, value, None, False, domain, False, domain.startswith("."), "/", True, secure,
        expires, expires is None, None, None, {},
    )  # fmt: skip


# -- files ----------------------------------------------------------------------------------


def _full_jar() -> CookieJar:
    jar = CookieJar()
    jar.set("session", "s", domain="qq.com")
    jar.set("lasting", "l=1", domain="w.qq.com", expires=2_000_000_000, path="/p")
    jar.set("hidden", "h", domain="qq.com", expires=2_000_000_000, http_only=True, secure=True)
    jar.set("empty", "", domain="qq.com", expires=2_000_000_000)
    jar.set("exact", "e", domain="qq.com", expires=2_000_000_000, subdomains=False)
    return jar


def _facts(jar) -> set:
    return {
        (c.name, c.value or "", c.domain, c.path, c.expires or 0, bool(c.secure))
        for c in jar
    }  # fmt: skip


def test_cookies_are_saved_and_loaded(tmp_path: Path):
    jar, copy = _full_jar(), CookieJar()
    jar.save(tmp_path / "cookies.txt")
    copy.load(tmp_path / "cookies.txt")
    assert _facts(copy) == _facts(jar)
    assert {c.name for c in copy if c.has_nonstandard_attr("HttpOnly")} == {"hidden"}


def test_the_mozilla_jar_reads_what_is_saved(tmp_path: Path):
    jar = _full_jar()
    jar.save(tmp_path / "cookies.txt")
    theirs = http.cookiejar.MozillaCookieJar()
    theirs.load(str(tmp_path / "cookies.txt"), ignore_discard=True, ignore_expires=True)
    assert _facts(theirs) == _facts(jar)


def test_the_mozilla_jar_keeps_session_cookies_that_were_saved(tmp_path: Path):
    jar = _full_jar()
    jar.save(tmp_path / "cookies.txt")
    theirs = http.cookiejar.MozillaCookieJar()
    theirs.load(str(tmp_path / "cookies.txt"), ignore_discard=True)
    assert "session" in {cookie.name for cookie in theirs}


def test_what_the_mozilla_jar_saved_is_read(tmp_path: Path):
    theirs = http.cookiejar.MozillaCookieJar()
    theirs.set_cookie(_cookie("session", "s", ".qq.com"))
    theirs.set_cookie(_cookie("lasting", "l", ".qq.com", expires=2_000_000_000, secure=True))
    theirs.save(str(tmp_path / "cookies.txt"), ignore_discard=True)
    jar = CookieJar()
    jar.load(tmp_path / "cookies.txt")
    assert _facts(jar) == _facts(theirs)


async def test_a_round_trip_through_files_keeps_a_login(web: Web, tmp_path: Path):
    async with HTTPStream() as stream:
        await stream.fetch(f"{web.http}/set-cookie?line=a=1")
        stream.cookiejar.save(tmp_path / "cookies.txt")
    async with HTTPStream() as stream:
        stream.cookiejar.load(tmp_path / "cookies.txt")
        assert await _cookies(stream, web.http) == "a=1"


def test_a_file_of_cookies_is_its_owners_alone(tmp_path: Path):
    path = tmp_path / "cookies.txt"
    path.write_text("old")
    path.chmod(0o644)
    _full_jar().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {each.name for each in tmp_path.iterdir()} == {"cookies.txt"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_cookies_with_a_byte_order_mark_are_loaded(tmp_path: Path, encoding: str):
    path = tmp_path / "cookies.txt"
    path.write_bytes("qq.com\tFALSE\t/\tFALSE\t0\ta\t1\r\n".encode(encoding))
    jar = CookieJar()
    jar.load(path)
    assert [(cookie.domain, cookie.name, cookie.value) for cookie in jar] == [("qq.com", "a", "1")]


@pytest.mark.parametrize("line", ["nonsense", "qq.com\tFALSE\t/\tFALSE\t0\tb\t2\0"])
def test_a_file_that_is_no_cookie_file_is_refused_and_adds_nothing(tmp_path: Path, line: str):
    path = tmp_path / "cookies.txt"
    path.write_text(f"qq.com\tFALSE\t/\tFALSE\t0\ta\t1\n{line}\n")
    jar = CookieJar()
    with pytest.raises(ValueError, match=r"cookies\.txt, line 2"):
        jar.load(path)
    assert len(jar) == 0


def test_cookies_that_have_expired_are_not_loaded(tmp_path: Path):
    path = tmp_path / "cookies.txt"
    path.write_text("qq.com\tFALSE\t/\tFALSE\t1000\ta\t1\n")
    jar = CookieJar()
    jar.load(path)
    assert len(jar) == 0


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\xa0", "\xff"])
async def test_a_cookie_of_any_characters_is_saved_and_loaded(tmp_path: Path, mark):
    said = saying(answer(b"", b"Set-Cookie: a=x" + mark.encode() + b"y"))
    async with raw_server(said) as url, HTTPStream() as stream:
        await stream.fetch(url)
        stream.cookiejar.save(tmp_path / "cookies.txt")
        jar = CookieJar()
        jar.load(tmp_path / "cookies.txt")
        assert jar.get("a") == stream.cookiejar.get("a") == f"x{mark}y"


def test_libcurl_reads_what_is_saved(tmp_path: Path):
    jar = _full_jar()
    jar.save(tmp_path / "cookies.txt")
    theirs = pycurl.Curl()
    theirs.setopt(pycurl.COOKIEFILE, str(tmp_path / "cookies.txt"))
    theirs.setopt(pycurl.COOKIELIST, "RELOAD")
    names = {line.split("\t")[5] for line in theirs.getinfo(pycurl.INFO_COOKIELIST)}
    assert names == {"session", "lasting", "hidden", "empty", "exact"}


@pytest.mark.parametrize(
    "line",
    [
        b".qq.com\tTRUE\t/\tFALSE\t0\ta\t1\r",
        b"\xef\xbb\xbf# Netscape HTTP Cookie File\n#HttpOnly_.qq.com\tTRUE\t/\tFALSE\t0\ta\t1",
        b".qq.com\tTRUE\tFALSE\t0\ta\t1",
        b".qq.com\tTRUE\t/\tFALSE\t0\ta",
        b"Set-Cookie: a=1; domain=qq.com",
        b"# one\n\n  \n\r\n.qq.com\tTRUE\t/\tFALSE\t\ta\t1\n\n",
    ],
)
def test_all_that_libcurl_reads_is_loaded(tmp_path: Path, line):
    path = tmp_path / "cookies.txt"
    path.write_bytes(line)
    jar = CookieJar()
    jar.load(path)
    assert [(cookie.name, cookie.domain) for cookie in jar] == [("a", ".qq.com")]


def test_many_header_lines_in_a_file_are_loaded(tmp_path: Path):
    path = tmp_path / "cookies.txt"
    path.write_text("".join(f"Set-Cookie: n{n}=1; domain=qq.com\n" for n in range(120)))
    jar = CookieJar()
    jar.load(path)
    assert len(jar) == 120


@pytest.mark.parametrize(
    "line",
    ["x.test\tTRUE\t/\tFALSE\tsoon\ta\t1", "x.test", "Set-Cookie: a=1",
     "x.test\tTRUE\t/\tFALSE\t0\t__Host-a\t1", "x.test\tTRUE\t/\tFALSE\t0\ta\x01\t1"],
)  # fmt: skip
def test_a_line_that_libcurl_passes_over_is_refused(tmp_path: Path, line):
    path = tmp_path / "cookies.txt"
    path.write_text(f"# ours\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        CookieJar().load(path)


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "cookies.txt").mkdir()
    with pytest.raises(OSError, match=r"cookies\.txt"):
        _full_jar().save(tmp_path / "cookies.txt")
    assert [each.name for each in tmp_path.iterdir()] == ["cookies.txt"]


def test_a_link_to_a_file_stays_one(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path / "cookies.txt")
    _full_jar().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "cookies.txt").is_file()


async def test_a_jar_that_is_closed_overwrites_no_file(tmp_path: Path):
    async with HTTPStream() as stream:
        stream.cookiejar.set("a", "1", domain="qq.com")
    (tmp_path / "cookies.txt").write_text("# ours\n")
    with pytest.raises(ClosedError, match="save"):
        stream.cookiejar.save(tmp_path / "cookies.txt")
    assert (tmp_path / "cookies.txt").read_text() == "# ours\n"


def test_a_missing_file_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        CookieJar().load(tmp_path / "nothing")


def test_it_shows_no_cookie():
    jar = CookieJar()
    jar.set("skey", "swordfish", domain="qq.com")
    assert repr(jar) == "<CookieJar 1 cookies>"
    session = Session("mine")
    assert "'mine'" in repr(session)
    session.close()


async def test_the_session_of_add_request_counts_before_that_of_its_link(web: Web):
    async with HTTPStream() as stream:
        one, other = stream.session("A"), stream.session("B")
        chains = []
        link = Next(web.http, lambda response: chains.append(chain.session), session=one)
        chain = stream.add_request(link, session=other)
        await chain
        chain = stream.add_request(link)
        await chain
        assert chains == [other, one]


@pytest.mark.parametrize("domain", ["qq.com", ".qq.com", "QQ.com"])
async def test_a_cookie_is_found_by_its_domain_however_that_is_written(domain: str):
    async with HTTPStream() as stream:
        stream.cookiejar.set("skey", "@abc", domain="qq.com")
        assert stream.cookiejar.get("skey", domain=domain) == "@abc"
        assert stream.cookiejar.get("skey", domain="other.com") is None
