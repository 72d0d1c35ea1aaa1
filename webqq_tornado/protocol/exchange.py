"""One request and its reply, described once for both sides.

An `Exchange` has four faces:

========  =======================  ========================
..        what goes to the server  what comes back
========  =======================  ========================
client    `Exchange.request`       `Exchange.parse`
server    `Exchange.read_form`     `Exchange.answer`
========  =======================  ========================

Both columns come from one table of fields, so ``read_form`` of what ``request`` wrote is the
form again, and ``parse`` of what ``answer`` wrote is the reply again.

This is also the door behind which every mistake of the other side becomes a `ProtocolError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import urlencode
from urllib.request import Request

from . import wire
from .endpoints import Endpoints
from .errors import ProtocolError, RefusedError
from .fields import Field, Record
from .wireformat import WEBQQ3_FORMAT, WireFormat

__all__ = ["Call", "Exchange", "Form", "Reply", "json_reply", "list_reply"]

F = TypeVar("F")
R = TypeVar("R")
V = TypeVar("V")


class Form(Generic[F]):
    """The parameters of a request.

    Args:
        model: Dataclass of the values.
        plain: Query parameters, or form fields beside ``r``, in order.
        inner: Fields of the JSON text ``r``; empty if the request has none.
    """

    def __init__(
        self, model: Callable[..., F], *plain: Field, inner: tuple[Field, ...] = ()
    ) -> None:
        self._plain = Record(model, *plain)
        self._inner = Record(model, *inner)
        self._all = Record(model, *inner, *plain)

    def build(self, form: F) -> list[tuple[str, str]]:
        """The parameters, in order."""
        plain = [(name, _text(value)) for name, value in self._plain.build(form).items()]
        if not self._inner.fields:
            return plain
        return [("r", wire.dump(self._inner.build(form))), *plain]

    def parse(self, arguments: Mapping[str, str]) -> F:
        """The values; what ``r`` says counts more than what stands beside it.

        Raises:
            ValueError: A needed value is missing or of another kind.
            RecursionError: ``r`` is nested too deeply.
        """
        values: dict[str, object] = dict(arguments)
        if self._inner.fields:
            values.update(_read_r(arguments.get("r")))
        return self._all.parse(values)


def _read_r(r: str | None) -> dict[str, object]:
    values = wire.load(r, wire.MAX_DEPTH) if r else {}
    if not isinstance(values, dict):
        raise ValueError("r: an object was expected")
    return {name: value for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    return "null" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Reply(Generic[R]):
    """The reply to a request.

    Args:
        parse: From (name of the exchange, text, its wire format) to the value; raises
            `ValueError`, `RecursionError` or `RefusedError`.
        build: The reverse.
    """

    parse: Callable[[str, str, WireFormat], R]
    build: Callable[[R, WireFormat], str]


def json_reply(parse: Callable[[object], R], build: Callable[[R], object]) -> Reply[R]:
    """A reply ``{"retcode":0,"result":...}``; another retcode raises `RefusedError`.

    Args:
        parse: From the result to the value; raises `ValueError`.
        build: The reverse.
    """

    def read(name: str, text: str, _: WireFormat) -> R:
        envelope = wire.parse_envelope(text)
        if envelope.retcode != 0:
            raise RefusedError(name, envelope.retcode, wire.excerpt(envelope.text))
        return parse(envelope.result)

    def write(value: R, wire_format: WireFormat) -> str:
        return wire_format.dump({"retcode": 0, "result": build(value)})

    return Reply(read, write)


def list_reply(record: Record[V]) -> Reply[tuple[V, ...]]:
    """A `json_reply` whose result is a list of records."""
    return json_reply(record.parse_all, record.build_all)


@dataclass(frozen=True, slots=True)
class Call(Generic[F]):
    """One request whose reply is not a text (a picture).

    Args:
        name: For messages and routes, for example ``"login2"``.
        method: ``GET`` or ``POST``.
        host: Name of the attribute of `Endpoints`.
        path: Of the address.
        form: What the request carries.
        referer: Header ``Referer``, which the server checks.
        origin: Header ``Origin`` of a POST, or empty.
    """

    name: str
    method: str
    host: str
    path: str
    form: Form[F]
    referer: str = field(default="", kw_only=True)
    origin: str = field(default="", kw_only=True)

    def request(self, endpoints: Endpoints, form: F) -> Request:
        """The client's request, with its headers and, for a POST, its body.

        Args:
            endpoints: Where to send it.
            form: What it carries.
        """
        address = f"{getattr(endpoints, self.host)}{self.path}"
        encoded = urlencode(self.form.build(form))
        headers = {"Referer": self.referer, "Origin": self.origin}
        sent = {name: value for name, value in headers.items() if value}
        if self.method == "GET":
            return Request(f"{address}?{encoded}", headers=sent)  # noqa: S310
        sent["Content-Type"] = "application/x-www-form-urlencoded"
        return Request(address, encoded.encode(), sent, method=self.method)  # noqa: S310

    def read_form(self, arguments: Mapping[str, str]) -> F:
        """Parse a client's request, for the server.

        Clients differed: a number may come as text, ``psessionid`` as null, and fields that we
        do not know may come, or known ones be left out where `form` has a default.

        Args:
            arguments: Query parameters of a GET, form fields of a POST; one value for a name.

        Raises:
            ProtocolError: A needed value is missing or of another kind.
        """
        try:
            return self.form.parse(arguments)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(self.name, f"request: {_problem(error)}") from None


@dataclass(frozen=True, slots=True)
class Exchange(Call[F], Generic[F, R]):
    """One request and its reply; see the module.

    Args:
        name: For messages and routes, for example ``"login2"``.
        method: ``GET`` or ``POST``.
        host: Name of the attribute of `Endpoints`.
        path: Of the address.
        form: What the request carries.
        reply: What comes back.
        referer: Header ``Referer``, which the server checks.
        origin: Header ``Origin`` of a POST, or empty.
        wire_format: How the server of its dialect writes the reply.

    Example:
        >>> from webqq_tornado.protocol import forms, webqq3
        >>> request = webqq3.GROUP_INFO.request(Endpoints.historical(), forms.GroupInfoForm(7))
        >>> request.full_url
        'http://s.web2.qq.com/api/get_group_info_ext2?gcode=7&cb=undefined&vfwebqq=&t=0'
    """

    reply: Reply[R]
    wire_format: WireFormat = field(default=WEBQQ3_FORMAT, kw_only=True)

    def parse(self, body: bytes) -> R:
        """The client's reading of a reply's body.

        Raises:
            RefusedError: The server answered with a retcode other than 0.
            ProtocolError: The body is not what this exchange brings.
        """
        text = wire.decode(body)
        try:
            return self.reply.parse(self.name, text, self.wire_format)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(self.name, _problem(error), wire.excerpt(text)) from None

    def answer(self, value: R) -> str:
        """The server's body for a value, in the historical wording."""
        return self.reply.build(value, self.wire_format)


def _problem(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
