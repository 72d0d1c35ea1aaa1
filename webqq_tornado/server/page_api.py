"""What the page in the browser talks to: JSON over HTTP, and a WebSocket for what is new."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import mimetypes
from importlib import resources
from typing import Any, NoReturn

from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..protocol.codes import LoginResult, Status
from ..protocol.faces import FACES
from .handlers import Handler
from .messages import is_too_long
from .site import Site
from .storage import Account, Conversation, Nonce, StoredMessage, load_content, plain_parts

__all__ = ["ROUTES", "PageHandler", "refuse"]

logger = logging.getLogger("webqq_tornado.server")

COOKIE = "webqq_page"
#: News that may wait for a page that does not read; it is then closed and comes again.
MAX_BACKLOG = 1000
#: Seconds between two pings of a page; one that does not answer is closed.
PING_SECONDS = 30
TEXT_BYTES = 720
#: Seconds for which a page may send a message again; its nonces are random.
FOREVER = 2**40
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE = resources.files(__package__).joinpath("page")


def refuse(status: int, why: str) -> NoReturn:
    """End a request of the page with a status and the reason that the page shows."""
    raise HTTPError(status, reason=why)


class PageHandler(Handler):
    """A request of the page."""

    def set_default_headers(self) -> None:
        """The page loads from here only, and nobody frames it."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _CSP)
        self.set_header("Referrer-Policy", "no-referrer")

    def me(self) -> Account:
        """Who is signed in.

        Raises:
            HTTPError: 401, nobody.
        """
        account = self.server.page_account(self.get_cookie(COOKIE) or "")
        if account is None:
            refuse(401, "Sign in first")
        return account

    def json(self) -> dict[str, Any]:
        """The body of a POST; what a foreign page could send without asking is refused.

        Raises:
            HTTPError: 400, 403 or 415.
        """
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.is_own(origin):
            refuse(403, "Requests from other pages are refused")
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            refuse(415, "Send JSON with Content-Type application/json")
        try:
            value = json.loads(self.request.body)
        except (ValueError, RecursionError):
            refuse(400, "The body is not JSON")
        if not isinstance(value, dict):
            refuse(400, "The body is not a JSON object")
        return value

    def is_own(self, origin: str) -> bool:
        """Whether a page of ours asks."""
        return origin in {f"{scheme}://{self.request.host}" for scheme in ("http", "https")}

    def field(self, body: dict[str, Any], name: str, kind: type) -> Any:
        """A part of the body.

        Raises:
            HTTPError: 400, it is missing or of another kind.
        """
        value = body.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            refuse(400, f"{name} is missing or malformed")
        return value

    def sign_in(self, account: Account) -> None:
        """Give the browser its cookie."""
        token = self.server.new_page_session(account.number)
        self.set_cookie(COOKIE, token, httponly=True, samesite="Lax", expires_days=30)

    def conversation(self, text: str, me: Account) -> Conversation:
        """The thread that the page names.

        Raises:
            HTTPError: 404, there is none such for this account.
        """
        kind, _, digits = text.partition(":")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else 0
        storage = self.server.storage
        if kind == "friend" and storage.are_friends(me.number, number):
            return Conversation(kind, number)
        if kind == "group" and storage.is_member(number, me.number):
            return Conversation(kind, number)
        refuse(404, "There is no such conversation")


class IndexHandler(PageHandler):
    """The page itself."""

    def get(self) -> None:
        """index.html."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(_PAGE.joinpath("index.html").read_bytes())


class StaticHandler(PageHandler):
    """Its style, scripts and icon."""

    def get(self, name: str) -> None:
        """One file of the package."""
        names = {entry.name for entry in _PAGE.iterdir()}
        if name not in names:
            refuse(404, "There is no such file")
        self.set_header("Content-Type", mimetypes.guess_type(name)[0] or "text/plain")
        self.set_header("Cache-Control", "no-cache")
        self.write(_PAGE.joinpath(name).read_bytes())


class TokenHandler(PageHandler):
    """The link that the command prints."""

    def get(self) -> None:
        """Sign in, once."""
        account = self.server.use_token(self.get_query_argument("token", ""))
        if account is None:
            self.redirect("/?notice=link-used")
            return
        self.sign_in(account)
        logger.info("%d signed in on the page", account.number)
        self.redirect("/")


class SignInHandler(PageHandler):
    """Sign in by password."""

    def post(self) -> None:
        """Answers with who it is."""
        body = self.json()
        number, password = self.field(body, "account", int), self.field(body, "password", str)
        digest = hashlib.md5(password.encode("utf-8", "replace")).digest()
        outcome = self.server.gate.by_password(number, digest)
        if outcome is LoginResult.REFUSED:
            refuse(429, "Too many wrong passwords: wait a minute")
        if isinstance(outcome, LoginResult):
            refuse(403, "Wrong account or password")
        self.sign_in(outcome)
        logger.info("%d signed in on the page", outcome.number)
        self.write({"self": person(outcome)})


class RegisterHandler(PageHandler):
    """A new account."""

    def post(self) -> None:
        """Answers with who it is, signed in."""
        body = self.json()
        nick, password = self.field(body, "nick", str), self.field(body, "password", str)
        try:
            account = self.server.storage.create_account(nick, password)
        except ValueError as error:
            refuse(400, str(error))
        self.sign_in(account)
        logger.info("%d (%s) registered", account.number, account.nick)
        self.write({"self": person(account)})


class SignOutHandler(PageHandler):
    """Sign out."""

    def post(self) -> None:
        """This browser's session is over, and its open pages with it."""
        self.json()
        self.server.end_page_session(self.get_cookie(COOKIE) or "")
        self.clear_cookie(COOKIE)
        self.set_status(204)


class StateHandler(PageHandler):
    """Everything that the page begins with."""

    def get(self) -> None:
        """Who, and with whom."""
        me = self.me()
        storage = self.server.storage
        friends = [self._friend(me, friend) for friend in storage.friends(me.number)]
        groups = [group_view(self, me, row.number) for row in storage.groups(me.number)]
        self.write(
            {
                "self": person(me),
                "conversations": friends + groups,
                "faces": {str(number): name for number, name in FACES.items()},
                "limits": {"text_bytes": TEXT_BYTES},
            }
        )

    def _friend(self, me: Account, friend: Account) -> dict[str, object]:
        return friend_view(self, me, friend)


def friend_view(handler: PageHandler, me: Account, friend: Account) -> dict[str, object]:
    """A conversation with a friend, as the page lists it."""
    status = handler.server.channel.status_of(friend.number)
    thread = _thread_view(handler, me, Conversation("friend", friend.number))
    return {**thread, "name": friend.nick, "status": status.value}


def group_view(handler: PageHandler, me: Account, number: int) -> dict[str, object]:
    """A conversation in a group, as the page lists it."""
    storage, channel = handler.server.storage, handler.server.channel
    group = storage.group(number)
    members = [
        {**person(member), "card": card, "status": channel.status_of(member.number).value}
        for member, card in storage.members(number)
    ]
    thread = _thread_view(handler, me, Conversation("group", number))
    return {**thread, "name": group.name if group else str(number), "members": members}


def _thread_view(
    handler: PageHandler, me: Account, conversation: Conversation
) -> dict[str, object]:
    storage = handler.server.storage
    last, _ = storage.history(me.number, conversation, limit=1)
    return {
        "id": identifier(conversation),
        "kind": conversation.kind,
        "number": conversation.number,
        "unread": storage.unread(me.number, conversation),
        "last": message_view(handler.server.storage, me.number, last[0]) if last else None,
    }


class MessagesHandler(PageHandler):
    """The messages of a conversation."""

    def get(self) -> None:
        """Some of them, oldest first."""
        me = self.me()
        conversation = self.conversation(self.get_query_argument("conversation", ""), me)
        try:
            before = int(self.get_query_argument("before", str(2**62)))
            limit = min(max(int(self.get_query_argument("limit", "50")), 1), 200)
        except ValueError:
            refuse(400, "before and limit are numbers")
        storage = self.server.storage
        messages, more = storage.history(me.number, conversation, min(max(before, 0), 2**62), limit)
        views = [message_view(storage, me.number, message) for message in messages]
        self.write({"messages": views, "more": more})

    def post(self) -> None:
        """Send one."""
        me, body = self.me(), self.json()
        conversation = self.conversation(self.field(body, "conversation", str), me)
        nonce = self.field(body, "nonce", str) if "nonce" in body else None
        if nonce is not None and not (nonce.isascii() and len(nonce) <= 64):
            refuse(400, "nonce is at most 64 ASCII characters")
        try:
            content = load_content(body.get("content"))
        except ValueError as error:
            refuse(400, str(error))
        if not content.parts or not content.text.strip():
            refuse(400, "A message has some content")
        if is_too_long(content):
            refuse(413, "The message is too long")
        marked = Nonce(f"page:{nonce}", FOREVER) if nonce else None
        message = self.server.channel.send(me.number, conversation, content, nonce=marked)
        self.write({"message": message_view(self.server.storage, me.number, message)})


class ReadHandler(PageHandler):
    """Marks messages as read."""

    def post(self) -> None:
        """Up to one, on all pages of the account."""
        me, body = self.me(), self.json()
        conversation = self.conversation(self.field(body, "conversation", str), me)
        message = self.field(body, "message", int)
        if not 0 <= message < 2**62:
            refuse(400, "message is the number of a message")
        self.server.storage.mark_seen(me.number, conversation, message)
        for page in tuple(self.server.pages):
            if page.account == me.number:
                page.push(
                    {"type": "read", "conversation": identifier(conversation), "message": message}
                )
        self.set_status(204)


class FriendsHandler(PageHandler):
    """Makes friends."""

    def post(self) -> None:
        """By QQ number, at once."""
        me, body = self.me(), self.json()
        number = self.field(body, "account", int)
        friend = self.server.storage.account(number)
        if friend is None:
            refuse(404, f"There is no account {number}")
        try:
            is_new = self.server.storage.befriend(me.number, number)
        except ValueError as error:
            refuse(400, str(error))
        if not is_new:
            refuse(409, f"{friend.nick} is a friend already")
        self.server.channel.contacts_changed({me.number, number})
        self.write({"conversation": friend_view(self, me, friend)})


class GroupsHandler(PageHandler):
    """Makes groups."""

    def post(self) -> None:
        """Of oneself and others."""
        me, body = self.me(), self.json()
        name, members = self.field(body, "name", str), self.field(body, "members", list)
        if not all(type(member) is int for member in members) or len(members) > 500:
            refuse(400, "members is a list of at most 500 QQ numbers")
        try:
            group = self.server.storage.create_group(name, me.number, members)
        except ValueError as error:
            refuse(400, str(error))
        self.server.channel.contacts_changed({me.number, *members})
        self.write({"conversation": group_view(self, me, group.number)})


class LiveHandler(WebSocketHandler, PageHandler):
    """Tells an open page what is new. A `channel.Listener`."""

    account = 0
    token = ""
    remote_ip = ""

    def check_origin(self, origin: str) -> bool:
        """Only our own page."""
        return self.is_own(origin)

    def initialize(self, server: Site) -> None:
        """Called by Tornado with the route's arguments."""
        super().initialize(server)
        self.writes: set[asyncio.Future[None]] = set()

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Refuse before the handshake who is not signed in."""
        self.me()
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        """Listen."""
        self.token = self.get_cookie(COOKIE) or ""
        self.account = self.me().number
        self.remote_ip = self.request.remote_ip or ""
        self.server.pages.add(self)
        self.server.channel.add_listener(self)

    def on_close(self) -> None:
        """Listen no more."""
        self.server.pages.discard(self)
        self.server.channel.remove_listener(self)

    def on_message(self, message: str | bytes) -> None:
        """The page says nothing here; what comes all the same is dropped."""

    def tell_message(self, message: StoredMessage) -> None:
        """See `channel.Listener`."""
        view = message_view(self.server.storage, self.account, message)
        self.push({"type": "message", "message": view})

    def tell_status(self, account: int, status: Status) -> None:
        """See `channel.Listener`."""
        self.push({"type": "status", "account": account, "status": status.value})

    def tell_typing(self, account: int) -> None:
        """See `channel.Listener`."""
        self.push({"type": "typing", "account": account})

    def tell_contacts(self) -> None:
        """See `channel.Listener`."""
        self.push({"type": "state"})

    def push(self, value: dict[str, object]) -> None:
        """Send to the page, unless it has stopped reading."""
        if self.ws_connection is None or self.ws_connection.is_closing():
            return
        if len(self.writes) >= MAX_BACKLOG:
            self.close(1013, "reads too slowly")
            return
        write = asyncio.ensure_future(self._write(value))
        self.writes.add(write)
        write.add_done_callback(self.writes.discard)

    async def _write(self, value: dict[str, object]) -> None:
        try:
            await self.write_message(value)
        except WebSocketClosedError:
            return  # it comes again and asks for the state


def person(account: Account) -> dict[str, object]:
    """An account as the page has it."""
    return {"account": account.number, "nick": account.nick}


def identifier(conversation: Conversation) -> str:
    """A conversation's name on the page."""
    return f"{conversation.kind}:{conversation.number}"


def message_view(storage: Any, me: int, message: StoredMessage) -> dict[str, object]:
    """A message as the page has it."""
    sender = storage.account(message.sender)
    return {
        "id": message.id,
        "conversation": identifier(message.conversation_for(me)),
        "from": person(sender) if sender else {"account": message.sender, "nick": "?"},
        "mine": message.sender == me,
        "time": message.time,
        "content": plain_parts(message.content),
    }


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = (
    (r"/", IndexHandler),
    (r"/page/static/([\w.-]+)", StaticHandler),
    (r"/signin", TokenHandler),
    (r"/page/signin", SignInHandler),
    (r"/page/register", RegisterHandler),
    (r"/page/signout", SignOutHandler),
    (r"/page/state", StateHandler),
    (r"/page/messages", MessagesHandler),
    (r"/page/read", ReadHandler),
    (r"/page/friends", FriendsHandler),
    (r"/page/groups", GroupsHandler),
    (r"/page/live", LiveHandler),
)
