"""A WebQQ-compatible server: the embedded default, a local QQ for bot developers.

>>> from webqq_tornado.server import Storage, WebQQServer
>>> server = WebQQServer(Storage("server.db"))

Reading order: `app` has the routes, whose handlers share a `state`; `webqq.signin` logs clients
in by `authentication`; `hub` delivers to the `sessions` that poll (`webqq.messages`) and to the
pages (`web.live`); `storage` keeps it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .app import PortTaken, WebQQServer
    from .onebot.settings import OneBotSettings
    from .storage import Storage, StorageError
    from .tls import certificates

__all__ = [
    "OneBotSettings",
    "PortTaken",
    "Storage",
    "StorageError",
    "WebQQServer",
    "certificates",
]

#: Where the public names are.
_MODULES = {
    "app": "PortTaken WebQQServer",
    "onebot.settings": "OneBotSettings",
    "storage": "Storage StorageError",
    "tls": "certificates",
}

if TYPE_CHECKING:
    _MODULE_OF: dict[str, str]
else:  # where type checkers would take any name for one of ours
    _MODULE_OF, __getattr__, __dir__ = lazy_names(globals(), _MODULES)
