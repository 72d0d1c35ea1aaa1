"""Our client meets a captcha of our server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from servers.town import PASSWORD, Town

from webqq_tornado.client import Client, Endpoints, LoginError, State
from webqq_tornado.server import authentication


async def _suspect(town: Town) -> None:
    """Somebody has tried wrong passwords."""
    for _ in range(authentication.CAPTCHA_AFTER):
        await town.visitor(town.ann).login("wrong")


def _client(
    town: Town, on_captcha: Callable[[bytes], Any] | None, password: str = PASSWORD
) -> Client:
    client = Client(
        town.stream, town.ann, password, Endpoints.at(town.server.url), on_captcha=on_captcha
    )
    town.clients.append(client)
    return client


def _reader(town: Town, client: list[Client]) -> Callable[[bytes], str]:
    """Somebody who reads what is on the picture."""

    def read(picture: bytes) -> str:
        assert picture.startswith(b"\xff\xd8\xff")
        session = client[0]._context.identity.cookiejar.get("verifysession")
        return town.server.authenticator.captchas.text(session or "")

    return read


async def test_a_captcha_that_is_read_lets_one_in():
    async with Town() as town:
        await _suspect(town)
        clients: list[Client] = []
        clients.append(_client(town, _reader(town, clients)))
        await clients[0].login()
        assert clients[0].state is State.ONLINE


async def test_who_reads_may_take_time_and_small_letters_will_do():
    async with Town() as town:
        await _suspect(town)
        clients: list[Client] = []
        read = _reader(town, clients)

        async def slowly(picture: bytes) -> str:
            await town.stream.fetch(town.server.url)
            return f" {read(picture).lower()}\n"

        clients.append(_client(town, slowly))
        await clients[0].login()
        assert clients[0].state is State.ONLINE


async def test_a_wrong_answer_is_followed_by_another_picture():
    async with Town() as town:
        await _suspect(town)
        clients: list[Client] = []
        read, pictures = _reader(town, clients), []

        def read_badly(picture: bytes) -> str:
            pictures.append(picture)
            return "????" if len(pictures) < 3 else read(picture)

        clients.append(_client(town, read_badly))
        await clients[0].login()
        assert len(set(pictures)) == 3


async def test_wrong_answers_for_ever_are_an_error():
    async with Town() as town:
        await _suspect(town)
        asked = []
        with pytest.raises(LoginError, match="验证码"):
            await _client(town, lambda picture: asked.append(picture) or "????").login()
        assert len(asked) == 5


async def test_a_wrong_password_is_told_apart_from_a_wrong_answer():
    async with Town() as town:
        await _suspect(town)
        clients: list[Client] = []
        clients.append(_client(town, _reader(town, clients), "wrong"))
        with pytest.raises(LoginError, match="wrong password"):
            await clients[0].login()


async def test_without_anybody_to_read_it_the_error_says_what_to_give():
    async with Town() as town:
        await _suspect(town)
        with pytest.raises(LoginError, match="on_captcha="):
            await _client(town, None).login()


async def test_one_who_fails_to_read_fails_the_login():
    async with Town() as town:
        await _suspect(town)

        def fail(picture: bytes) -> str:
            raise ValueError("cannot see")

        with pytest.raises(ValueError, match="cannot see"):
            await _client(town, fail).login()
