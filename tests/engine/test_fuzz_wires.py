"""The same as `test_fuzz` of what is no plain request: Tornado's client, event streams, web
sockets, TLS, HTTP/2. FUZZ_SECONDS are shared by them.
"""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from servers.fuzz import End, FuzzServer
from servers.fuzzwire import HTTP2, Frames, Mangler, WebSockets, Wire
from servers.raw import raw_server
from servers.ws import BINARY, CONT, PING, TEXT, accepting, closing, frame

from engine import fuzz_wires as wires
from engine.fuzz_play import Arena
from engine.test_fuzz import SECONDS, fuzz
from webqq_tornado import HTTPStream

_SHARE = 1 / 6

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120 + 3 * SECONDS),
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
    pytest.mark.usefixtures("caplog"),
]


@contextlib.contextmanager
def counting(arena: Arena, what: str) -> Iterator[Any]:
    """The arena, to the end of its examples, whose number is printed."""
    try:
        yield arena
    finally:
        arena.close()
        sys.__stdout__.write(
            f"\nfuzz, {what}: {arena.examples} examples, {arena.requests} requests\n"
        )


def _context(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def test_tornados_client_is_told_of_each_fetch_once(tmp_path: Path):
    with counting(Arena(tmp_path), "Tornado's client") as arena:
        play = wires.play_client
        fuzz(wires.client_plans, lambda plan: arena.play(lambda: play(arena, plan)), 60, _SHARE)


def test_event_streams_and_json_lines_give_what_came(tmp_path: Path):
    with counting(Arena(tmp_path), "event streams") as arena:
        play = wires.play_drips
        fuzz(wires.drips(), lambda plan: arena.play(lambda: play(arena, plan)), 60, _SHARE)


def test_web_sockets_end_once_whatever_the_server_says(tmp_path: Path):
    with counting(Arena(tmp_path, WebSockets()), "WebSockets") as arena:
        play = wires.play_socket
        fuzz(wires.socket_plans, lambda plan: arena.play(lambda: play(arena, plan)), 60, _SHARE)


def test_tls_that_is_cut_or_changed_anywhere_answers_no_other_request(tmp_path: Path):
    with counting(wires.Behind(tmp_path, FuzzServer(), _context()), "TLS") as arena:
        play = wires.play_wired
        fuzz(wires.tls_plans, lambda plan: arena.play(lambda: play(arena, plan)), 40, _SHARE)


@pytest.mark.parametrize("over", ["clear text", "TLS"])
def test_http_2_in_disorder_ends_each_chain_once(tmp_path: Path, over: str):
    tls = _context("h2") if over == "TLS" else None
    version = "2" if tls else "2-prior-knowledge"
    with counting(wires.Behind(tmp_path, HTTP2(), tls), f"HTTP/2 over {over}") as arena:

        def run(plan: wires.Wired) -> None:
            arena.play(lambda: wires.play_wired(arena, plan, http_version=version))

        fuzz(wires.http2_plans, run, 40, _SHARE)


_SAID = (
    frame(TEXT, b"one"),
    frame(TEXT, b"tw", fin=False) + frame(PING, b"?") + frame(CONT, b"o"),
    frame(BINARY, b"three"),
    closing(1000, b"so long"),
)


#: Bytes of the answer to a handshake.
_HANDSHAKE = len(accepting(b"\r\nSec-WebSocket-Key: key\r\n\r\n"))


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET, End.HALF])
async def test_a_web_socket_that_is_cut_at_any_byte_ends_as_one_that_was(end: End):
    behind = WebSockets()
    behind.said = Frames(b"".join(_SAID))
    most = 0
    async with raw_server(behind) as url, HTTPStream() as stream:
        mangler = Mangler(int(url.rpartition(":")[2]))
        async with raw_server(mangler) as mangled:
            for cut in range(_HANDSHAKE + len(behind.said.data)):
                mangler.wires.append(Wire(cut, end))
                heard, errors = [], []
                request = mangled.replace("http", "ws")
                await stream.add_request(request, heard.append, errback=errors.append)
                assert [one.data for one in heard] == ["one", "two", b"three"][: len(heard)]
                assert len(errors) == 1, cut
                most = max(most, len(heard))
    assert most == 3
