"""The commands about one account: login, logout, send, contacts, history, status, chat."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..client.client import Client
from ..client.contacts import Contact, kind_of, name_of
from ..client.receipt import Receipt, SendError
from ..files import FileError
from ..protocol.codes import Status
from ..protocol.models import Discussion, Friend, Group
from .accounts_online import contact_meant, online
from .console import in_one_line, printable
from .faces import with_faces
from .param_types import SOME_SECONDS, TEXT
from .running import run_coroutine
from .tables import show_table
from .targets import (
    AccountTarget,
    account_and_screen,
    account_options,
    complete_names,
    json_option,
    print_json,
)
from .textfiles import standard_input

__all__ = ["contact_meant", "contacts", "login", "logout", "send", "status"]

_STATUSES = [status.value for status in Status if status is not Status.UNKNOWN]


@click.command()
@account_options
@click.pass_context
def login(context: click.Context, /, **choices: Any) -> None:
    """Log in and save the session, so that other commands need no password.

    \b
    Examples:
      python -m webqq_tornado login --server http://127.0.0.1:8100 --account 10001
      python -m webqq_tornado login --qr
    """  # noqa: D301 - click reads the backspace
    who, screen = account_and_screen(context, choices)

    async def run() -> str:
        async with online(who) as client:
            return f"{client.nick or client.account} ({client.account}) is logged in at {who.url}."

    screen.say(printable(run_coroutine(run())))


@click.command()
@account_options
@click.pass_context
def logout(context: click.Context, /, **choices: Any) -> None:
    """Log out: end the saved session.

    \b
    Example:
      python -m webqq_tornado logout
    """  # noqa: D301 - the same
    who, screen = account_and_screen(context, choices)
    if not who.session_file.exists():
        raise click.ClickException(f"no session of {who.account} is kept for {who.url}")

    async def run() -> None:
        async with online(who) as client:
            await client.logout()

    run_coroutine(run())
    screen.say(f"{who.account} is logged out of {who.url}.")


# -- send ---------------------------------------------------------------------------------------


@click.command()
@click.argument("target", type=TEXT, shell_complete=complete_names)
@click.argument("words", type=TEXT, nargs=-1, required=True, metavar="TEXT...")
@click.option(
    "--timeout",
    type=SOME_SECONDS,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds to wait until the server accepts it.",
)
@json_option
@account_options
@click.pass_context
def send(context: click.Context, /, target: str, words: tuple[str, ...], **choices: Any) -> None:
    """Send TEXT to TARGET: the name or QQ number of a friend, group or discussion.

    TEXT of - is read from standard input; [微笑] and the like become faces. The exit code is 0
    once the server has taken the message, and only then. Keys of --json: to, kind, messages (a
    long text goes in several), time (Unix).

    \b
    Examples:
      python -m webqq_tornado send Bot "how are you?"
      date | python -m webqq_tornado send Playground -
    """  # noqa: D301 - click reads the backspace
    timeout, is_json = choices.pop("timeout"), choices.pop("is_json")
    who, screen = account_and_screen(context, choices)
    text = _given_text() if words == ("-",) else " ".join(words)
    if not text.strip():
        raise click.UsageError("there is nothing to send")

    async def run() -> Receipt:
        async with online(who) as client:
            contact = await contact_meant(client, target)
            return await asyncio.wait_for(client.send(contact, with_faces(text)), timeout)

    receipt = run_coroutine(_sent(run(), target, timeout))
    if is_json:
        print_json(_receipt_json(receipt))
    else:
        pieces = f" in {len(receipt.content)} messages" if len(receipt.content) > 1 else ""
        screen.say(printable(f"Sent to {name_of(receipt.contact)}{pieces}."))


def _given_text() -> str:
    try:
        return standard_input().rstrip("\n")
    except FileError as error:
        raise click.UsageError(str(error)) from None


async def _sent(sending: Any, target: str, timeout: float) -> Receipt:
    try:
        receipt: Receipt = await sending
    except asyncio.TimeoutError:
        raise click.ClickException(
            f"not sent to {target} within {timeout:g} s; it waits in the outbox, and is sent the "
            "next time that this account is online"
        ) from None
    except SendError as error:
        raise click.ClickException(printable(str(error))) from None
    return receipt


def _receipt_json(receipt: Receipt) -> dict[str, Any]:
    return {
        "to": name_of(receipt.contact),
        "kind": kind_of(receipt.contact).value,
        "messages": len(receipt.content),
        "time": receipt.time,
    }


# -- contacts -----------------------------------------------------------------------------------


@click.command()
@click.option(
    "--search",
    type=TEXT,
    default="",
    metavar="WORD",
    help="Only contacts with this in a name or number.",
)
@json_option
@account_options
@click.pass_context
def contacts(context: click.Context, /, search: str, **choices: Any) -> None:
    """List friends, groups and discussions.

    Keys of a line of JSON: kind (friend, group, discussion, stranger), number (0 if not known),
    name, status and category (friends; else null), members (groups and discussions; else null).

    \b
    Example:
      python -m webqq_tornado contacts --search bo
    """  # noqa: D301 - the same
    is_json = choices.pop("is_json")
    who, screen = account_and_screen(context, choices)

    async def run() -> list[dict[str, Any]]:
        async with online(who) as client:
            found = client.search(search) if search else list(client.contacts)
            for contact in found:
                await client.number_of(contact)
            return [_contact_json(client, contact) for contact in found]

    rows = run_coroutine(run())
    if search and not rows:
        raise click.ClickException(printable(f"nobody has {search!r} in a name or number"))
    if is_json:
        print_json(*rows)
    elif rows:
        titles = ("Kind", "Number", "Name", "Status", "Heading or members")
        show_table(screen, titles, [_shown(row) for row in rows])
    else:
        screen.say("Nobody yet: add friends on the server's page.", style="dim")


def _shown(row: dict[str, Any]) -> list[str]:
    last = row["category"] if row["kind"] == "friend" else row["members"]
    shown = (row["kind"], row["number"] or "", row["name"], row["status"], last)
    return ["" if value is None else str(value) for value in shown]


def _contact_json(client: Client, contact: Contact) -> dict[str, Any]:
    known = client.contacts
    row: dict[str, Any] = {
        "kind": kind_of(contact).value,
        "number": known.number(contact),
        "name": name_of(contact),
        "status": None,
        "category": None,
        "members": None,
    }
    if isinstance(contact, Friend):
        row["status"] = known.status_of(contact).value
        row["category"] = known.categories.get(contact.category, "我的好友")
    elif isinstance(contact, (Group, Discussion)):
        row["members"] = len(known.members(contact))
    return row


# -- status -------------------------------------------------------------------------------------


@click.command()
@click.argument("new_status", required=False, type=click.Choice(_STATUSES), metavar="[STATUS]")
@json_option
@account_options
@click.pass_context
def status(context: click.Context, /, new_status: str | None, **choices: Any) -> None:
    """Show the account and its unsent messages, or set its STATUS.

    STATUS is online, away, busy, callme, silent, hidden or offline. It lasts as long as the
    session. Keys of --json: account, nick, server, dialect (webqq3, smartqq), status, friends,
    friends_online, groups, discussions, waiting_to_be_sent.

    \b
    Examples:
      python -m webqq_tornado status
      python -m webqq_tornado status away
    """  # noqa: D301 - the same
    is_json = choices.pop("is_json")
    who, screen = account_and_screen(context, choices)

    async def run() -> dict[str, Any]:
        async with online(who) as client:
            if new_status:
                await client.set_status(Status.of_word(new_status))
            return _status_json(who, client, new_status)

    found = run_coroutine(run())
    if is_json:
        print_json(found)
        return
    width = max(map(len, found))
    for name, value in found.items():
        label = name.replace("_", " ").ljust(width + 1)
        screen.pieces((label, "dim"), in_one_line(str(value)))


def _status_json(who: AccountTarget, client: Client, new_status: str | None) -> dict[str, Any]:
    current = new_status or (client.session.status.value if client.session else "offline")
    online_now = [friend for friend in client.friends.values() if _is_there(client, friend)]
    return {
        "account": client.account,
        "nick": client.nick,
        "server": who.url,
        "dialect": who.dialect.name,
        "status": current,
        "friends": len(client.friends),
        "friends_online": len(online_now),
        "groups": len(client.groups),
        "discussions": len(client.contacts.discussions),
        "waiting_to_be_sent": client.outbox_size,
    }


def _is_there(client: Client, friend: Friend) -> bool:
    return client.contacts.status_of(friend) is not Status.OFFLINE
