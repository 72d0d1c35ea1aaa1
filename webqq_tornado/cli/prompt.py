"""The prompt on a terminal: what is typed is sent as a message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.patch_stdout import patch_stdout

from ..flows.client import Client, Happening, SendError
from ..flows.contacts import Contact, name_of
from ..flows.outbox import Receipt
from ..protocol.models import FriendMessage, Group, GroupMessage
from .console import Screen, printable

__all__ = ["Prompt"]

HELP = (
    "Type a message and press Enter. Besides:",
    "  /to NAME   write to another friend or group    /list   who there is",
    "  /help      this                                /quit   leave",
)


class Prompt(Completer):
    """Chat at the terminal.

    Args:
        client: in whose name.
        screen: where what comes in is shown.
        to: name of whom to write to first.
    """

    def __init__(self, client: Client, screen: Screen, to: str = "") -> None:
        self._client = client
        self._screen = screen
        self._target: Contact | None = client.contacts.find(to) if to else None
        if self._target is None:
            self._target = next(iter(client.contacts.friends.values()), None)
        client.on_event(self._on_event)

    async def run(self) -> None:
        """Read lines until /quit, the end of input, or Ctrl-C."""
        session: PromptSession[str] = PromptSession(completer=self, complete_while_typing=False)
        with patch_stdout(raw=True):
            while True:
                try:
                    line = await session.prompt_async(self._label, handle_sigint=False)
                except (EOFError, KeyboardInterrupt):
                    return
                if line.strip() == "/quit":
                    return
                self._obey(line.strip())

    def get_completions(self, document: Document, _event: object) -> Iterable[Completion]:
        """Names after /to, and the commands."""
        text = document.text_before_cursor
        names = [name_of(contact) for contact in self._contacts()]
        choices = (
            [f"/to {name}" for name in names]
            if text.startswith("/to ")
            else ["/to ", "/list", "/help", "/quit"]
        )
        for choice in choices:
            if text.startswith("/") and choice.startswith(text):
                yield Completion(choice, start_position=-len(text))

    def _label(self) -> str:
        return f"{printable(name_of(self._target)) if self._target else 'nobody'} > "

    def _contacts(self) -> list[Contact]:
        contacts = self._client.contacts
        return [*contacts.friends.values(), *contacts.groups.values()]

    def _obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if not line:
            return
        if word == "/to":
            self._turn_to(rest)
        elif word == "/list":
            for contact in self._contacts():
                kind = "group " if isinstance(contact, Group) else "friend"
                self._screen.say(f"  {kind}  {printable(name_of(contact))}")
        elif word == "/help":
            self._screen.say(*HELP)
        elif word.startswith("/"):
            self._screen.say(f"There is no {word}; try /help", style="yellow")
        else:
            self._send(line)

    def _turn_to(self, name: str) -> None:
        found = self._client.contacts.find(name)
        if found is None:
            self._screen.say(f"Nobody is called {name!r}; see /list", style="yellow")
        else:
            self._target = found

    def _send(self, text: str) -> None:
        if self._target is None:
            self._screen.say(
                "There is nobody to write to; add a friend on the page", style="yellow"
            )
            return
        self._client.send(self._target, text).add_done_callback(self._report)

    def _report(self, receipt: asyncio.Future[Receipt]) -> None:
        error = None if receipt.cancelled() else receipt.exception()
        if isinstance(error, SendError):
            self._screen.say(str(error), style="bold red")

    def _on_event(self, event: Happening) -> None:
        if isinstance(event, FriendMessage) and event.sender != self._client.account:
            self._screen.chat(self._client.sender_name(event), event.content.text)
        elif isinstance(event, GroupMessage) and event.sender != self._client.account:
            group = self._client.contacts.groups.get(event.gid)
            where = name_of(group) if group else str(event.gid)
            self._screen.chat(self._client.sender_name(event), event.content.text, where)
