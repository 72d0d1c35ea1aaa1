"""`Connection`: where a client's server is, what it speaks, and as whom the client speaks to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..engine.request import Request
from ..protocol.models.login import NO_SECRET, Secret, Session

if TYPE_CHECKING:
    from ..protocol.dialect import Dialect
    from ..protocol.endpoints import Endpoints
    from ..protocol.exchange import Call

__all__ = ["Connection"]

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Connection:
    """A client's connection to its server, as a value: a login or a new cookie makes another one.

    Args:
        endpoints: addresses of the server.
        dialect: exchanges that the server understands.
        clientid: number that the client picked for itself.
        session: what login2 returned; None while the client is logged out.
        ptwebqq: latest value of that cookie.

    Example:
        >>> connection = Connection(Endpoints.at("http://127.0.0.1:8100"), WEBQQ3, clientid=1)
        >>> connection.request(webqq3.CHECK, forms.CheckForm(10001)).url
        'http://127.0.0.1:8100/check?uin=10001&appid=1003903&r='
    """

    endpoints: Endpoints
    dialect: Dialect
    clientid: int
    session: Session | None = None
    ptwebqq: Secret = NO_SECRET

    @property
    def open_session(self) -> Session:
        """The session, for chains that end with it.

        Raises:
            RuntimeError: the client is logged out.
        """
        if self.session is None:
            raise RuntimeError("a request of a session was built after its end")
        return self.session

    def request(self, exchange: Call[F], form: F) -> Request:
        """The request of an exchange to this server.

        Args:
            exchange: one of `dialect`, or of the module of its login.
            form: values that the request carries.
        """
        return Request.of(exchange.request(self.endpoints, form))
