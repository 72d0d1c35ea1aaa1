"""No secret of a whole job is in its recording, its log or its errors."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from servers.town import PASSWORD, Ear, Town

from webqq_tornado.client import Client, Endpoints, LoginError, login
from webqq_tornado.har import HARRecorder
from webqq_tornado.protocol.models import FriendMessage, Secret
from webqq_tornado.server import authentication


class Overheard:
    """All that was secret, and all that was said about the requests."""

    def __init__(self) -> None:
        self.secrets: set[str] = {PASSWORD}
        self.said: list[str] = []

    def watch(self, town: Town) -> None:
        def hear(chain: object, request: object, outcome: object) -> None:
            self.said += map(repr, (chain, request, outcome))
            self.said += map(str, (request, outcome))

        town.stream.observe(hear)

    def take_cookies(self, *clients: Client) -> None:
        for client in clients:
            self.secrets |= {cookie.value or "" for cookie in client._context.identity.cookiejar}


@pytest.fixture
def overheard(monkeypatch: pytest.MonkeyPatch) -> Overheard:
    heard = Overheard()

    def new(cls: type[Secret], value: str = "") -> Secret:
        heard.secrets.add(str(value))
        return str.__new__(cls, value)

    monkeypatch.setattr(Secret, "__new__", new)
    monkeypatch.setattr(login, "QR_SECONDS", 0.01)
    return heard


Job = Callable[[Town], "tuple[Client, Client, Ear]"]


def by_password(town: Town) -> tuple[Client, Client, Ear]:
    """WebQQ 3: Ann meets a captcha."""

    def read(_picture: bytes) -> str:
        session = ann._context.identity.cookiejar.get("verifysession")
        return town.server.authenticator.captchas.text(session or "")

    ann = Client(town.stream, town.ann, PASSWORD, Endpoints.at(town.server.url), on_captcha=read)
    town.clients.append(ann)
    return ann, *town.client(town.bob)


def by_qr_code(town: Town) -> tuple[Client, Client, Ear]:
    """SmartQQ."""
    ann, _ = town.smart_client(town.confirm_as(town.ann))
    return ann, *town.smart_client(town.confirm_as(town.bob))


async def talk(town: Town, ann: Client, bob: Client, ear: Ear) -> None:
    """Log in, write to a friend and to a stranger, whose signature is asked for, and log out."""
    await ann.login()
    await bob.login()
    await ann.send(ann.find("Bob"), "hello")
    await ear.next(FriendMessage)
    await bob.send(bob.find("Eve"), "psst")
    await ann.logout()
    await bob.logout()


@pytest.mark.parametrize("job", [by_password, by_qr_code], ids=lambda job: job.__name__)
async def test_no_secret_of_the_main_job_is_written_logged_or_raised(
    job: Job, overheard: Overheard, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    async with Town() as town:
        for _ in range(authentication.CAPTCHA_AFTER):
            await town.visitor(town.ann).login("wrong")
        caplog.clear()
        overheard.watch(town)
        with HARRecorder(town.stream, tmp_path / "job.har"):
            await talk(town, *job(town))
            with pytest.raises(LoginError) as refused:
                await town.client(town.eve, "wrong")[0].login()
        overheard.take_cookies(*town.clients)
        await town.server.close()
        overheard.said += [str(refused.value), repr(refused.value)]
    har = (tmp_path / "job.har").read_text()
    assert len(json.loads(har)["log"]["entries"]) > 20
    assert len(overheard.secrets) > 10
    everything = "\n".join([har, caplog.text, *overheard.said])
    found = [
        secret for secret in overheard.secrets if len(secret) > 5 and is_in(secret, everything)
    ]
    assert not found


def is_in(secret: str, text: str) -> bool:
    """Whether it is there, as it is or encoded."""
    credentials = base64.b64encode(f"ann:{secret}".encode()).decode().rstrip("=")[6:-1]
    forms = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], credentials}
    return any(form in text for form in (*forms, *(form.lower() for form in forms)))
