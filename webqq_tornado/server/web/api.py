"""JSON API of the page in the browser; events reach the page through `live`."""

from __future__ import annotations

import logging
import math
import mimetypes
from collections.abc import Callable
from importlib import resources
from typing import Any, NoReturn

from ...protocol import wire
from ...protocol.codes import LoginResult
from ...protocol.faces import FACES
from ...protocol.fields import MOST_SAFE
from ...protocol.hashes import password_digest
from ...protocol.models.content import Content
from ..handlers import Handler, Refusal
from ..hub import is_too_long
from ..sending import NotAllowed, check_may_send, settled
from ..storage import ROOM_KINDS, Account, Conversation, Nonce, StoredMessage, content_text
from ..storage.files import MAX_FILE
from ..storage.sessions import PLACE_SECONDS
from ..throttle import Place
from .schema import Operation, operation_of
from .views import conversations, group_requests, identifier, message_view, person

__all__ = ["ROUTES", "PageHandler", "refuse", "sentence"]

logger = logging.getLogger("webqq_tornado.server")

#: Cookie that identifies a browser at its next sign-in, see `throttle`; it gives no access.
DEVICE_COOKIE = "webqq_device"
TEXT_BYTES = 720
#: Messages of one response at most.
MOST_AT_ONCE = 200
#: Characters of a new password. Older passwords may be shorter, and stay valid.
MIN_PASSWORD, MAX_PASSWORD = 8, 128
#: Seconds in which the page may resend a message; its nonces are random.
FOREVER = 2**40
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{0} wss://{0}; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_PAGE = resources.files(__package__).joinpath("static")


def refuse(status: int, why: str, retry_after: int = 0) -> NoReturn:
    """Refuse a request of the page, with the reason that the page shows.

    Args:
        status: of HTTP.
        why: a sentence for the user.
        retry_after: seconds before the next attempt.

    Raises:
        Refusal: always.
    """
    raise Refusal(status, why, retry_after)


def sentence(error: Exception) -> str:
    """The message of an error with a capital letter, as the page shows it."""
    text = str(error)
    return text[:1].upper() + text[1:]


class PageHandler(Handler):
    """A request of the page.

    Its session is a token that its script sends in a header. A cookie would also go to every other
    port of the host (RFC 6265, 8.5), and with requests of other pages.

    Attributes:
        number: of the account that is signed in; 0 before `me` is called.
    """

    number = 0

    def set_default_headers(self) -> None:
        """Restrict the page to resources of this server, and forbid frames."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _CSP.format(self.netloc))
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Referrer-Policy", "no-referrer")

    @property
    def credential(self) -> str:
        """The token of the page's session; "" without one."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    @property
    def place(self) -> Place:
        """Origin of the request: its address, and the browser of the last sign-in there."""
        return Place(self.request.remote_ip or "", self.get_cookie(DEVICE_COOKIE, "") or "")

    def me(self) -> Account:
        """The account that is signed in.

        Raises:
            Refusal: 401, no account.
        """
        account = self.server.page_account(self.credential)
        if account is None:
            refuse(401, "Sign in first")
        self.number = account.number
        return account

    def json(self) -> dict[str, Any]:
        """The body of a POST, checked by `schema`; a request of another page is refused.

        Raises:
            Refusal: 400, 403 or 415.
        """
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.is_own(origin):
            refuse(403, "Requests from other pages are refused")
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            refuse(415, "Send JSON with Content-Type application/json")
        try:
            value = wire.load(self.request.body.decode("utf-8-sig"), wire.MAX_DEPTH)
        except UnicodeDecodeError:
            refuse(400, "The body is not UTF-8")
        except (ValueError, RecursionError) as error:
            refuse(400, f"The body is not JSON: {error}")
        if not isinstance(value, dict):
            refuse(400, "The body is not a JSON object")
        return self._read(lambda operation: operation.read(value))

    def query(self) -> dict[str, Any]:
        """The query of a GET, checked by `schema`.

        Raises:
            Refusal: 400, a field is missing or invalid.
        """
        texts = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        return self._read(lambda operation: operation.read_query(texts))

    def _read(self, read: Callable[[Operation], dict[str, Any]]) -> dict[str, Any]:
        operation = operation_of(str(self.request.method), self.request.path)
        try:
            fields = read(operation)
        except ValueError as error:
            refuse(400, str(error))
        if operation.quota:
            self.spend(operation.quota, self.number)
        return fields

    def is_own(self, origin: str) -> bool:
        """Return True if an origin is a page of this server."""
        return origin in {f"{scheme}://{self.request.host}" for scheme in ("http", "https")}

    def new_password(self, body: dict[str, Any], name: str) -> str:
        """The new password of a request, at least 8 characters (NIST SP 800-63B, 5.1.1.2).

        Raises:
            Refusal: 400, it is too short or too long.
        """
        password: str = body[name]
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            refuse(400, f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
        return password

    def proved(self, number: int, password: str, otherwise: str) -> Account:
        """The account, if the password is right.

        Args:
            number: QQ number.
            password: in plain text.
            otherwise: message for a wrong password.

        Raises:
            Refusal: 403, it is wrong; 429, too many were wrong, with the time to wait.
        """
        authenticator, place = self.server.authenticator, self.place
        outcome = authenticator.by_password(number, place, password_digest(password))
        if outcome is LoginResult.REFUSED:
            wait = max(1, math.ceil(authenticator.wait(number, place)))
            refuse(429, f"Too many wrong passwords: try again in {wait} s", wait)
        if isinstance(outcome, LoginResult):
            refuse(403, otherwise)
        return outcome

    def sign_in(self, account: Account) -> None:
        """Start a session, end the browser's former one; respond with account and token."""
        self.server.end_page_session(self.credential)
        token = self.server.new_page_session(account.number)
        self.set_cookie(
            DEVICE_COOKIE,
            self.server.authenticator.know(account.number, self.place),
            path="/page/",
            expires_days=PLACE_SECONDS / 86400,
            httponly=True,
            samesite="Strict",
            secure=self.request.protocol == "https",
        )
        logger.info("%d signed in on the page", account.number)
        self.write({"self": person(account), "token": token})

    def conversation(self, text: str, me: Account) -> Conversation:
        """The conversation of an identifier.

        Raises:
            Refusal: 404, this account has no such conversation.
        """
        kind, _, digits = text.partition(":")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else 0
        storage = self.server.storage
        is_theirs: dict[str, Callable[[], bool]] = {
            "friend": lambda: storage.friends.are_friends(me.number, number),
            "group": lambda: self._is_in(me, "group", number),
            "discussion": lambda: self._is_in(me, "discussion", number),
            "session": lambda: bool(self.origin(me, number)),
        }
        if kind not in is_theirs or not is_theirs[kind]():
            refuse(404, "There is no such conversation")
        return Conversation(kind, number)

    def _is_in(self, me: Account, kind: str, number: int) -> bool:
        storage = self.server.storage
        return storage.rooms.is_member(number, me.number) and storage.rooms.kind(number) == kind

    def origin(self, me: Account, other: int) -> int:
        """A room that two accounts who are not friends share; 0 if there is none."""
        storage = self.server.storage
        if other == me.number or storage.accounts.get(other) is None:
            return 0
        written = storage.messages.session_origin(me.number, other)
        return written or storage.rooms.shared(me.number, other)


class IndexHandler(PageHandler):
    """The page itself."""

    def get(self) -> None:
        """index.html."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(_PAGE.joinpath("index.html").read_bytes())


class StaticHandler(PageHandler):
    """The page's style sheet, scripts and icon."""

    def get(self, name: str) -> None:
        """One file of the package."""
        names = {entry.name for entry in _PAGE.iterdir()}
        if name not in names:
            refuse(404, "There is no such file")
        self.set_header("Content-Type", mimetypes.guess_type(name)[0] or "text/plain")
        self.set_header("Cache-Control", "no-cache")
        self.write(_PAGE.joinpath(name).read_bytes())


class SignInHandler(PageHandler):
    """Signs in by password, or by the token of a link that the command has printed."""

    def post(self) -> None:
        """Return the account and the token of the session."""
        body = self.json()
        self.sign_in(self._by_link(body) if "link" in body else self._by_password(body))

    def _by_link(self, body: dict[str, Any]) -> Account:
        account = self.server.use_token(body["link"])
        if account is None:
            refuse(403, "This sign-in link was already used, or is too old")
        return account

    def _by_password(self, body: dict[str, Any]) -> Account:
        if not {"account", "password"} <= body.keys():
            refuse(400, "account and password are needed, or link")
        return self.proved(body["account"], body["password"], "Wrong account or password")


class RegisterHandler(PageHandler):
    """Registers an account."""

    def post(self) -> None:
        """Return the new account, signed in, and the token of the session."""
        body = self.json()
        nick, password = body["nick"], self.new_password(body, "password")
        try:
            account = self.server.storage.accounts.create(nick, password)
        except ValueError as error:
            refuse(400, str(error))
        logger.info("%d (%s) registered", account.number, account.nick)
        self.sign_in(account)


class SignOutHandler(PageHandler):
    """Ends sessions."""

    def post(self) -> None:
        """End this browser's session with its open pages, or all sessions of the account."""
        if self.json().get("everywhere"):
            me = self.me().number
            self.server.sign_out_everywhere(me)
            logger.info("%d signed out everywhere", me)
        self.server.end_page_session(self.credential)
        self.set_status(204)


class PasswordHandler(PageHandler):
    """Changes the user's own password."""

    def post(self) -> None:
        """Change the password; all other sessions of the account end."""
        me, body = self.me(), self.json()
        password = self.new_password(body, "new")
        self.proved(me.number, body["current"], "The current password is wrong")
        if password == body["current"]:
            refuse(400, "The new password is the same as the current one")
        self.server.authenticator.change_password(me.number, password, self.place)
        self.server.sign_out_everywhere(me.number, but=self.credential)
        logger.info("%d changed the password", me.number)
        self.set_status(204)


class StateHandler(PageHandler):
    """The state with which the page starts."""

    def get(self) -> None:
        """Return the account and its contacts."""
        me, _ = self.me(), self.query()
        storage = self.server.storage
        headings = storage.friends.headings(me.number)
        requests = storage.friends.requests(me.number)
        self.write(
            {
                "self": person(me),
                "lnick": me.lnick,
                "conversations": conversations(self.server, me.number),
                "headings": [heading._asdict() for heading in headings],
                "requests": [request._asdict() for request in requests],
                "group_requests": group_requests(self.server, me.number),
                "faces": {str(number): name for number, name in FACES.items()},
                "limits": {"text_bytes": TEXT_BYTES, "file_bytes": MAX_FILE},
            }
        )


class MessagesHandler(PageHandler):
    """The messages of a conversation."""

    def get(self) -> None:
        """Return messages, oldest first: those before or after one, else the newest."""
        me, query = self.me(), self.query()
        conversation = self.conversation(query["conversation"], me)
        limit, storage = min(query.get("limit", 50), MOST_AT_ONCE), self.server.storage
        if "after" in query:
            found = storage.messages.history_after(me.number, conversation, query["after"], limit)
        else:
            before = query.get("before", MOST_SAFE)
            found = storage.messages.history(me.number, conversation, before, limit)
        messages, more = found
        views = [message_view(self.server, me.number, message) for message in messages]
        self.write({"messages": views, "more": more})

    def post(self) -> None:
        """Send a message."""
        me, body = self.me(), self.json()
        conversation = self.conversation(body["conversation"], me)
        nonce = body.get("nonce")
        content = self._checked(me, conversation, body["content"])
        if not content.parts or not content_text(content).strip():
            refuse(400, "The message is empty")
        if is_too_long(content):
            refuse(413, "The message is too long")
        marked = Nonce(f"page:{nonce}", FOREVER) if nonce else None
        is_temporary = conversation.kind == "session"
        room = self.origin(me, conversation.number) if is_temporary else 0
        message = self.server.hub.send(me.number, conversation, content, nonce=marked, room=room)
        self.write({"message": message_view(self.server, me.number, message)})

    def _checked(self, me: Account, conversation: Conversation, content: Content) -> Content:
        storage = self.server.storage
        try:
            check_may_send(storage, me.number, conversation)
            return settled(storage, me.number, conversation, content)
        except NotAllowed as error:
            refuse(403, sentence(error))
        except ValueError as error:
            refuse(400, str(error))


class RecallHandler(PageHandler):
    """Recalls a message."""

    def post(self) -> None:
        """Recall the user's own message within two minutes, or one in a group that they lead."""
        me, body = self.me(), self.json()
        message = self.server.storage.messages.get(body["message"])
        if message is None or not self._sees(me, message):
            refuse(404, "There is no such message")
        try:
            self.server.groups.recall(message, me.number)
        except NotAllowed as error:
            refuse(403, sentence(error))
        except ValueError as error:
            refuse(400, str(error))
        self.set_status(204)

    def _sees(self, me: Account, message: StoredMessage) -> bool:
        if message.kind in ROOM_KINDS:
            return self.server.storage.rooms.is_member(message.target, me.number)
        return me.number in (message.sender, message.target)


class PokeHandler(PageHandler):
    """Pokes a user."""

    def post(self) -> None:
        """Poke a friend, or a member of a group."""
        me, body = self.me(), self.json()
        conversation = self.conversation(body["conversation"], me)
        group = conversation.number if conversation.kind == "group" else 0
        try:
            self.server.groups.poke(me.number, body["account"], group)
        except NotAllowed as error:
            refuse(403, sentence(error))
        except ValueError as error:
            refuse(404, str(error))
        self.set_status(204)


class ReadHandler(PageHandler):
    """Marks messages as read."""

    def post(self) -> None:
        """Mark all up to a message as read, on all pages of the account."""
        me, body = self.me(), self.json()
        conversation = self.conversation(body["conversation"], me)
        message = body["message"]
        self.server.storage.messages.mark_seen(me.number, conversation, message)
        for page in tuple(self.server.pages):
            if page.account == me.number:
                page.push(
                    {"type": "read", "conversation": identifier(conversation), "message": message}
                )
        self.set_status(204)


class TypingHandler(PageHandler):
    """Reports to a friend that the user is typing."""

    def post(self) -> None:
        """Report typing in a conversation with a friend; strangers and rooms get no report."""
        me, body = self.me(), self.json()
        conversation = self.conversation(body["conversation"], me)
        if conversation.kind == "friend":
            self.server.hub.typing(me.number, conversation.number)
        self.set_status(204)


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = (
    (r"/", IndexHandler),
    (r"/page/static/([\w.-]+)", StaticHandler),
    (r"/signin", IndexHandler),  # the script reads the link's token from the address
    (r"/page/signin", SignInHandler),
    (r"/page/register", RegisterHandler),
    (r"/page/signout", SignOutHandler),
    (r"/page/password", PasswordHandler),
    (r"/page/state", StateHandler),
    (r"/page/messages", MessagesHandler),
    (r"/page/recall", RecallHandler),
    (r"/page/poke", PokeHandler),
    (r"/page/read", ReadHandler),
    (r"/page/typing", TypingHandler),
)
