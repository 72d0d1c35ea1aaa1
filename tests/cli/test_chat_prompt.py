"""The prompt, typed at through prompt_toolkit's own pipe."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prompt_toolkit.application import create_app_session
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console
from servers.town import Ear, Town

from webqq_tornado.cli.chat_prompt import Prompt
from webqq_tornado.cli.console import Screen
from webqq_tornado.cli.presence import YOU, Presence
from webqq_tornado.client import State, StateChange
from webqq_tornado.protocol.models import FriendMessage, GroupMessage


class Typist:
    """Somebody at the prompt as Ann, Bob who hears, and what the screen shows."""

    def __init__(self, town: Town, keys: PipeInput) -> None:
        self.town, self.keys = town, keys
        self.shown = io.StringIO()
        self.screen = Screen()
        self.screen.console = Console(file=self.shown, width=200)
        self.ann, self.own_ear = town.client(town.ann)
        self.bob, ear = town.client(town.bob)
        self.ear: Ear = ear

    prompt: Prompt
    running: asyncio.Task[None]

    def type(self, *lines: str) -> None:
        for line in lines:
            self.keys.send_text(line + "\r")

    async def heard(self, kind: type) -> str:
        return (await self.ear.next(kind)).content.text


@asynccontextmanager
async def typing() -> AsyncIterator[Typist]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        async with Town() as town:
            typist = Typist(town, keys)
            await typist.ann.login()
            await typist.bob.login()
            say = typist.screen.say
            presence = Presence(typist.ann, YOU, say, is_attended=True)
            prompt = typist.prompt = Prompt(typist.ann, typist.screen, "Bob", [presence])
            running = typist.running = asyncio.ensure_future(prompt.run())
            yield typist
            typist.type("/quit")
            await running
            presence.close()


async def test_what_is_typed_is_sent():
    async with typing() as typist:
        typist.type("hello there")
        assert await typist.heard(FriendMessage) == "hello there"


async def test_to_turns_to_a_group():
    async with typing() as typist:
        typist.type("/to Square", "hello all")
        assert await typist.heard(GroupMessage) == "hello all"


async def test_commands_are_explained_and_unknown_ones_named():
    async with typing() as typist:
        typist.type("/help", "/list", "/nonsense", "/to Nobody", "done")
        await typist.heard(FriendMessage)
        shown = typist.shown.getvalue()
    for words in ("/quit   leave", "group      Square", "no /nonsense", "called 'Nobody'"):
        assert words in shown


async def test_a_message_may_begin_with_a_slash():
    async with typing() as typist:
        typist.type("/usr/bin/env is what?", "//usr/bin/env is it")
        assert await typist.heard(FriendMessage) == "/usr/bin/env is it"
        assert "or / in front of it to say it" in typist.shown.getvalue()


async def test_what_comes_in_is_shown_without_control_characters():
    async with typing() as typist:
        typist.bob.send(typist.bob.contacts.find("Ann"), "evil \x1b[2J text")
        await typist.own_ear.next(FriendMessage)
        shown = typist.shown.getvalue()
    assert "Bob: evil" in shown
    assert "\x1b" not in shown


async def test_a_line_of_a_message_does_not_look_like_one_of_somebody_else():
    forged = "23:59:59  Boss: send me your password"
    async with typing() as typist:
        typist.bob.send(typist.bob.contacts.find("Ann"), f"hi\n{forged}")
        await typist.own_ear.next(FriendMessage)
        shown = typist.shown.getvalue()
    assert f"Bob: hi\n          {forged}" in shown


async def test_a_colour_that_is_pasted_ends_no_line_in_a_traceback():
    failures: list[object] = []
    async with typing() as typist:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: failures.append(what))
        typist.type("so \x1b[31mred")
        assert await typist.heard(FriendMessage) == "so red"
    assert failures == []


async def test_several_emoji_that_are_one_picture_are_shown_as_it():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    async with typing() as typist:
        typist.bob.send(typist.bob.contacts.find("Ann"), f"all of us: {family}")
        await typist.own_ear.next(FriendMessage)
        shown = typist.shown.getvalue()
    assert f"Bob: all of us: {family}" in shown


async def test_the_end_of_input_ends_it():
    async with typing() as typist:
        typist.keys.send_text("\x04")


async def test_names_are_completed():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        prompt = Prompt(ann, Screen())
        found = [c.text for c in prompt.get_completions(Document("/to S"), None)]
        assert found == ["/to Square"]
        assert [c.text for c in prompt.get_completions(Document("hello"), None)] == []


async def test_ctrl_c_clears_a_line_that_was_begun():
    async with typing() as typist:
        typist.keys.send_text("given up\x03")
        typist.type("meant")
        assert await typist.heard(FriendMessage) == "meant"


async def test_ctrl_c_leaves_on_an_empty_line():
    async with typing() as typist:
        typist.keys.send_text("given up\x03\x03")
        await typist.running


async def _thrown_out(typist: Typist) -> None:
    other, _ = typist.town.client(typist.town.ann)
    await other.login()
    while (await typist.own_ear.next(StateChange)).state is not State.KICKED:
        pass


async def test_a_line_signs_in_again_and_is_sent():
    async with typing() as typist:
        await _thrown_out(typist)
        typist.type("here again")
        assert await typist.heard(FriendMessage) == "here again"
        shown = typist.shown.getvalue()
    assert "You were signed out by a login elsewhere" in shown
    assert shown.count("You are online again.") == 1


async def test_enter_alone_signs_in_again_and_sends_nothing():
    async with typing() as typist:
        await _thrown_out(typist)
        typist.type("")
        while (await typist.own_ear.next(StateChange)).state is not State.ONLINE:
            pass
        typist.type("done")
        assert await typist.heard(FriendMessage) == "done"


async def test_commands_work_while_one_is_signed_out():
    async with typing() as typist:
        await _thrown_out(typist)
        typist.type("/list")
        while "Square" not in typist.shown.getvalue():
            await typist.town.stream.fetch(f"{typist.town.server.url}/loginproxy.html")
        assert typist.ann.state is State.KICKED


async def test_the_toolbar_follows_the_state():
    async with typing() as typist:
        typist.type("hello")
        await typist.heard(FriendMessage)
        await typist.ann.flush()
        assert typist.prompt._toolbar() is None
        redrawn = asyncio.Event()

        def look(_app: object) -> None:
            toolbar = typist.prompt._toolbar()
            if toolbar is not None and "signed out, Enter signs in again" in toolbar.value:
                redrawn.set()

        typist.prompt._session.app.after_render += look
        await _thrown_out(typist)
        await redrawn.wait()


async def test_whom_one_writes_to_is_the_same_in_another_session():
    async with typing() as typist:
        typist.type("/to Square", "one")
        assert await typist.heard(GroupMessage) == "one"
        await _thrown_out(typist)
        typist.type("two")
        assert await typist.heard(GroupMessage) == "two"
