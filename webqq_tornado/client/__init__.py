"""One QQ account online: contacts, history, messages in and out.

By WebQQ it is a `Client`, by OneBot 11 (today's QQ, which NapCat or the like holds) a
`OneBotAccount`; a bot works with both.

Reading order: `client` joins the parts, which share a `context`; `session` decides when the
chains of `login` run; `poll` is the poll loop, whose messages go through `inbox` (recorded once)
and `incoming` (acknowledged); `delivery` finds the contact of a message that is sent, and its
`outbox` sends it. `directory` knows contacts across sessions, and `store` is the file.

>>> from webqq_tornado import HTTPStream
>>> from webqq_tornado.client import Client, Endpoints
>>> stream = HTTPStream()
>>> client = Client(stream, 10001, "password", Endpoints.at("http://127.0.0.1:8100"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from ..protocol.dialect import SMARTQQ, WEBQQ3, Dialect
    from ..protocol.endpoints import Endpoints
    from ..protocol.models import At, Attachment, Content, Face, Reply, Secret
    from .address import Kind
    from .client import Client
    from .contacts import Contact, Stranger
    from .history import Entry
    from .incoming import IncomingMessage
    from .login import LoginError, PasswordNeeded, WrongPassword
    from .lookup import ContactError
    from .onebot.account import OneBotAccount
    from .onebot.limits import SendLimits
    from .onebot.listener import Listener
    from .onebot.transport import ActionFailed, OutcomeUnknown
    from .receipt import Receipt, SendError
    from .state import LOGGED_IN, LOGGED_OUT, State, StateChange
    from .store import Store, StoreError

__all__ = [
    "LOGGED_IN",
    "LOGGED_OUT",
    "SMARTQQ",
    "WEBQQ3",
    "ActionFailed",
    "At",
    "Attachment",
    "Client",
    "Contact",
    "ContactError",
    "Content",
    "Dialect",
    "Endpoints",
    "Entry",
    "Face",
    "IncomingMessage",
    "Kind",
    "Listener",
    "LoginError",
    "OneBotAccount",
    "OutcomeUnknown",
    "PasswordNeeded",
    "Receipt",
    "Reply",
    "Secret",
    "SendError",
    "SendLimits",
    "State",
    "StateChange",
    "Store",
    "StoreError",
    "Stranger",
    "WrongPassword",
]

#: Where the public names are.
_MODULES = {
    "client": "Client",
    "state": "State StateChange LOGGED_IN LOGGED_OUT",
    "incoming": "IncomingMessage",
    "login": "LoginError PasswordNeeded WrongPassword",
    "receipt": "Receipt SendError",
    "lookup": "ContactError",
    "address": "Kind",
    "contacts": "Contact Stranger",
    "history": "Entry",
    "store": "Store StoreError",
    ".protocol.dialect": "SMARTQQ WEBQQ3 Dialect",
    ".protocol.endpoints": "Endpoints",
    ".protocol.models": "At Attachment Content Face Reply Secret",
    "onebot.account": "OneBotAccount",
    "onebot.listener": "Listener",
    "onebot.limits": "SendLimits",
    "onebot.transport": "ActionFailed OutcomeUnknown",
}

if TYPE_CHECKING:
    _MODULE_OF: dict[str, str]
else:  # where type checkers would take any name for one of ours
    _MODULE_OF, __getattr__, __dir__ = lazy_names(globals(), _MODULES)
