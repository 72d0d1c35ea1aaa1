"""The prompt on a terminal: lines are sent as messages."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import HTML
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.patch_stdout import patch_stdout

from ..client.client import Client
from ..client.contacts import Contact, Message, kind_of, name_of
from ..client.lookup import ContactError
from ..client.receipt import Receipt, SendError
from ..client.state import ClientEvent
from ..client.store import StoreError
from ..engine.errors import StreamError
from ..protocol.codes import Status
from ..protocol.errors import ProtocolError
from ..protocol.models import Content, Discussion, Friend, Group
from .console import Screen, in_one_line, printable, show_entries
from .faces import with_faces
from .presence import Presence

__all__ = ["HELP", "Prompt"]

HELP = (
    "Type a message and press Enter; [微笑] and the like become faces. Besides:",
    "  /to NAME      write to another friend, group or discussion (Tab completes)",
    "  /list         who there is       /who          the members of this group",
    "  /history [N]  what was said      /help         this      /quit   leave",
    "  //TEXT        say /TEXT          Alt+Enter     a new line",
    "Ctrl-C clears the line; on an empty one it leaves, as Ctrl-D does.",
)
#: Earlier messages shown when the contact changes.
_SHOWN = 8
#: Exceptions of looking up a name or number.
_NOBODY = (ContactError, SendError, StreamError, ProtocolError)
_DOTS = {Status.ONLINE: ("● ", "green"), Status.OFFLINE: ("○ ", "dim")}


class Prompt(Completer):
    """Chat at the terminal.

    Args:
        client: of the account.
        screen: shows received messages.
        to: first recipient: a contact, a name or a QQ number.
        presences: of all accounts that Enter signs in again, the client's own first.
        has_bell: whether each message rings the bell.
    """

    def __init__(
        self,
        client: Client,
        screen: Screen,
        to: Contact | str | int = "",
        presences: Sequence[Presence] = (),
        *,
        has_bell: bool = False,
    ) -> None:
        self._client = client
        self._screen = screen
        self._has_bell = has_bell
        self._unread: Counter[str] = Counter()
        self._presences = presences
        self._target: Contact | None = None
        self._to: str | int = ""
        if isinstance(to, (str, int)):
            self._to = to
        else:
            self._switch_to(to)
        self._session: PromptSession[str] | None = None
        client.on_event(self._on_event)

    async def run(self) -> None:
        """Read lines until /quit, the end of input, or Ctrl-C on an empty line."""
        session = self._session = PromptSession(
            completer=self,
            complete_while_typing=False,
            bottom_toolbar=self._toolbar,
            key_bindings=_KEYS,
        )
        await self._choose_target()
        self._show_history(_SHOWN)
        with patch_stdout(raw=True):
            while True:
                try:
                    line = await session.prompt_async(self._label, handle_sigint=False)
                except (EOFError, KeyboardInterrupt):
                    return
                if line.split()[:1] == ["/quit"]:
                    return
                # The next line goes to the contact that this one chooses, after its look-up.
                await self._take(line.strip())

    async def _take(self, line: str) -> None:
        """Execute a line; an error of the disk does not end the prompt."""
        try:
            if await self._is_ready_for(line):
                await self._obey(line)
        except (StoreError, sqlite3.Error) as error:
            self._screen.say(printable(str(error)), style="bold red")

    async def _is_ready_for(self, line: str) -> bool:
        """Sign in again the account that a line needs; an empty line signs in all."""
        if _is_command(line):
            return True
        wanted = self._presences[:1] if line else self._presences
        signed_in = [await presence.sign_in() for presence in wanted]
        await self._choose_target()
        return all(signed_in)

    async def _choose_target(self) -> None:
        """Choose the first recipient once there are contacts, in each session."""
        contacts = list(self._client.contacts)
        if not contacts or self._target in contacts:
            return
        if self._to:
            with contextlib.suppress(*_NOBODY):
                self._switch_to(await self._client.resolve(self._to))
                return
        if self._target is None:
            self._switch_to(contacts[0])

    def _switch_to(self, target: Contact) -> None:
        """Write to a contact from now on; remember its address for other sessions."""
        self._target = target
        self._to = self._client.contacts.number(target) or name_of(target)

    def get_completions(self, document: Document, _event: object) -> Iterable[Completion]:
        """Names after /to, and the commands."""
        text = document.text_before_cursor
        names = [name_of(contact) for contact in self._client.contacts]
        choices = (
            [f"/to {name}" for name in names]
            if text.startswith("/to ")
            else ["/to ", "/list", "/who", "/history", "/help", "/quit"]
        )
        for choice in choices:
            if text.startswith("/") and choice.casefold().startswith(text.casefold()):
                yield Completion(choice, start_position=-len(text))

    # -- around the line -----------------------------------------------------------------------

    def _label(self) -> str:
        return f"{in_one_line(name_of(self._target)) if self._target else 'nobody'} > "

    def _toolbar(self) -> HTML | None:
        """Senders of unread messages, and accounts that are offline; None if there are neither."""
        parts = [f"{name} ({count})" for name, count in self._unread.most_common()]
        shown = ["unread: " + ", ".join(map(in_one_line, parts))] if parts else []
        shown += filter(None, (presence.trouble for presence in self._presences))
        if self._client.outbox_size:
            shown.append(f"{self._client.outbox_size} to be sent")
        return HTML("{}").format("   ".join(shown)) if shown else None

    # -- lines ----------------------------------------------------------------------------------

    async def _obey(self, line: str) -> None:
        if not line:
            return
        if not _is_command(line):
            self._send(line.removeprefix("/") if line.startswith("//") else line)
            return
        word, rest = (*line.split(maxsplit=1), "")[:2]
        command = _COMMANDS.get(word)
        if command is None:
            hint = f"There is no {in_one_line(word)}; try /help, or / in front of it to say it"
            self._screen.say(hint, style="yellow")
            return
        result = command(self, rest)
        if inspect.isawaitable(result):
            await result

    async def _turn_to(self, name: str) -> None:
        try:
            found = await self._client.resolve(name)
        except _NOBODY as error:
            self._screen.say(printable(self._why_not(name, error)), style="yellow")
            return
        self._switch_to(found)
        self._unread.pop(name_of(found), None)
        self._show_history(_SHOWN)

    def _why_not(self, name: str, error: Exception) -> str:
        """Reason why a name matches no contact."""
        if not isinstance(error, ContactError) or error.candidates:
            return str(error)
        near = ", ".join(name_of(one) for one in self._client.search(name)[:8])
        hint = f"did you mean {near}?" if name and near else "see /list"
        return f"Nobody is called {name!r}; {hint}"

    def _list(self, word: str) -> None:
        found = self._client.search(word) if word else list(self._client.contacts)
        for contact in found:
            dot, style = "  ", ""
            if isinstance(contact, Friend):
                status = self._client.contacts.status_of(contact)
                dot, style = _DOTS.get(status, ("◐ ", "yellow"))
            unread = self._unread[name_of(contact)]
            count = f"  ({unread} unread)" if unread else ""
            kind = f"{kind_of(contact).value:<10} "
            self._screen.pieces("  ", (dot, style), kind, in_one_line(name_of(contact)), count)
        if not found:
            self._screen.say("Nobody.", style="dim")

    def _who(self, _rest: str) -> None:
        target = self._target
        if not isinstance(target, (Group, Discussion)):
            self._screen.say("That is for groups and discussions.", style="yellow")
            return
        names = [in_one_line(member.name) for member in self._client.contacts.members(target)]
        self._screen.say(f"  {', '.join(names)}")

    def _history(self, rest: str) -> None:
        self._show_history(int(rest) if rest.isdecimal() and int(rest) else 30)

    def _help(self, _rest: str) -> None:
        self._screen.say(*HELP)

    def _show_history(self, limit: int) -> None:
        store, target = self._client.store, self._target
        if store is None or target is None:
            return
        with_ = self._client.contacts.number(target) or name_of(target)
        show_entries(
            self._screen, store.history(self._client.account, with_=with_, limit=min(limit, 1000))
        )

    def _send(self, text: str) -> None:
        if self._target is None:
            self._screen.say(
                "There is nobody to write to; add a friend on the page", style="yellow"
            )
            return
        content: Content = with_faces(text)
        self._client.send(self._target, content).add_done_callback(self._report)

    def _report(self, receipt: asyncio.Future[Receipt]) -> None:
        error = None if receipt.cancelled() else receipt.exception()
        if isinstance(error, SendError):
            self._screen.say(printable(str(error)), style="bold red")
        self._redraw()  # the toolbar counts waiting messages

    # -- messages -------------------------------------------------------------------------------

    def _on_event(self, event: ClientEvent) -> None:
        self._redraw()
        if not isinstance(event, Message) or self._client.is_own(event):
            return
        contact = self._client.contact_of(event)
        name, is_shared = name_of(contact), isinstance(contact, (Group, Discussion))
        if self._target is None or name != name_of(self._target):
            self._unread[name] += 1
        who = self._client.sender_name(event)
        self._screen.chat(who, event.content.text, name if is_shared else "")
        if self._has_bell:
            self._screen.console.bell()

    def _redraw(self) -> None:
        """Redraw the toolbar, which else happens at a key press."""
        if self._session is not None:
            self._session.app.invalidate()


def _is_command(line: str) -> bool:
    """Return True if a line is a command; "//" begins a message with "/"."""
    return line.startswith("/") and not line.startswith("//")


_KEYS = KeyBindings()


@_KEYS.add("c-c")
def _on_interrupt(event: KeyPressEvent) -> None:
    """Clear the line; leave on an empty one."""
    if event.current_buffer.text:
        event.current_buffer.reset()
    else:
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")


@_KEYS.add(Keys.Vt100MouseEvent)
def _on_mouse(_event: KeyPressEvent) -> None:
    """Ignore the event: a pasted colour sequence looks like one, and would fail as one."""


_COMMANDS: dict[str, Callable[[Prompt, str], object]] = {
    "/to": Prompt._turn_to,
    "/list": Prompt._list,
    "/who": Prompt._who,
    "/history": Prompt._history,
    "/help": Prompt._help,
}
