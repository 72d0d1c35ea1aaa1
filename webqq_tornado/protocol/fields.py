"""Descriptions of records, used in both directions: parsing a reply and building it.

A `Kind` says how one value is written; a `Field` is a kind with a name on the wire and an
attribute of a model; a `Record` is a list of fields for a model; `Joined` is a model whose
fields are spread over several lists, as the friend list is. Client and server use the same
table, so neither can drift.

Everything here raises `ValueError` with a path to the place ("members: 3: muin is missing");
`webqq_tornado.protocol.exchange` makes a `ProtocolError` of it. The texts never quote a value.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from . import wire
from .codes import Status
from .models.login import Secret

__all__ = [
    "FLAG",
    "INTEGER",
    "LENIENT",
    "MOST_SAFE",
    "NUMERAL",
    "RAW",
    "SECRET",
    "SECRET_OR_NULL",
    "STAT",
    "STATUS",
    "TRUTH",
    "Field",
    "Joined",
    "Kind",
    "Record",
    "Rows",
    "as_object",
    "choice",
    "constant",
    "fixed",
    "raw_json",
    "secret_at",
    "several",
    "text",
    "whole",
]

T = TypeVar("T")

_LEAST, _MOST = -(2**63), 2**63 - 1
MOST_SAFE = 2**53 - 1
"""The largest number that JavaScript, too, holds exactly."""
_DIGITS = re.compile(r"\s{0,9}-?[0-9]{1,19}\s{0,9}", re.ASCII)


class Kind(NamedTuple):
    """How one value is written.

    Args:
        parse: From what JSON or a form gave to the model's value; raises `ValueError`.
        build: The reverse.
        empty_is_missing: Whether an empty text stands for "not given".
        schema: What `parse` takes, as a JSON Schema; empty where clients differed.
    """

    parse: Callable[[object], object]
    build: Callable[..., object]
    empty_is_missing: bool = True
    schema: Mapping[str, object] = {}


def _called(raw: object) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return names.get(type(raw), "null" if raw is None else "a number")


def _integer(raw: object) -> int:
    if type(raw) is int and _LEAST <= raw <= _MOST:  # the plain case first: it is the hot one
        return raw
    is_text = isinstance(raw, str) and _DIGITS.fullmatch(raw)
    if not (is_text or isinstance(raw, int) or (isinstance(raw, float) and raw.is_integer())):
        raise ValueError(f"a number was expected, not {_called(raw)}")
    number = int(raw)  # type: ignore[call-overload]  # one of the three above
    if not _LEAST <= number <= _MOST:
        raise ValueError("the number has more than 64 bits")
    return int(number)


def _lenient(raw: object) -> int:
    try:
        return _integer(raw)
    except ValueError:
        # twqq 2014 sent time.time() as it is: "1384167681.25".
        whole = raw.partition(".")[0] if isinstance(raw, str) else ""
        return int(whole) if _DIGITS.fullmatch(whole) else 0


def _raw(raw: object) -> str:
    if isinstance(raw, str):
        return wire.clean(raw)
    if type(raw) in {int, float}:
        return str(raw)
    raise ValueError(f"a text was expected, not {_called(raw)}")


def _secret(raw: object) -> Secret:
    return Secret(_raw(raw))


def _secret_or_null(raw: object) -> Secret:
    return Secret("" if raw in (None, "null") else _raw(raw))


def _status(raw: object) -> Status:
    return Status.of_word(_raw(raw))


def _stat(raw: object) -> Status:
    return Status.of_code(_integer(raw))


INTEGER = Kind(_integer, int)
"""A number; a text of digits is taken as well."""
NUMERAL = Kind(_integer, str)
"""A number that is written as a text of digits."""
LENIENT = Kind(_lenient, int)
"""A time or a random number that nobody checks: whatever cannot be read is 0."""
FLAG = Kind(lambda raw: _integer(raw) != 0, int)
"""A truth as 0 or 1."""
RAW = Kind(_raw, str, empty_is_missing=False)
"""A text as it is."""
SECRET = Kind(_secret, str, empty_is_missing=False)
"""A token."""
SECRET_OR_NULL = Kind(_secret_or_null, lambda value: str(value) or None, empty_is_missing=False)
"""A token that is null as long as there is none."""
STATUS = Kind(_status, lambda status: status.value)
"""A status as its word."""
STAT = Kind(_stat, lambda status: status.code)
"""A status as its number."""


# --- kinds with bounds: of the page, which is ours ----------------------------------------------


def whole(least: int = 0, most: int = MOST_SAFE) -> Kind:
    """A whole number within bounds; no truth, no fraction, no text.

    Args:
        least: The smallest.
        most: The largest; what JavaScript and SQLite hold exactly, unless given.

    Example:
        >>> whole(1, 9).parse(True)
        Traceback (most recent call last):
        ...
        ValueError: a whole number from 1 to 9 was expected, not a boolean
    """
    expected = f"a whole number from {least} to {most} was expected"

    def parse(raw: object) -> int:
        if type(raw) is not int:
            raise ValueError(f"{expected}, not {_called(raw)}")
        if not least <= raw <= most:
            raise ValueError(expected)
        return raw

    return Kind(parse, int, schema={"type": "integer", "minimum": least, "maximum": most})


#: What no text holds: the end of texts in C, and halves of characters.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def text(most: int, least: int = 0, pattern: str = "") -> Kind:
    """A text of so many characters, all of them whole.

    Args:
        most: The longest.
        least: The shortest.
        pattern: A regular expression for all of it, with ``^`` and ``$``; any text unless given.
    """
    expected = f"a text of {least} to {most} characters was expected"

    def parse(raw: object) -> str:
        if not isinstance(raw, str):
            raise ValueError(f"{expected}, not {_called(raw)}")
        if not least <= len(raw) <= most:
            raise ValueError(expected)
        if _NO_TEXT.search(raw):
            raise ValueError("a text has neither NUL nor half a character")
        if pattern and not re.fullmatch(pattern, raw):
            raise ValueError(f"a text like {pattern} was expected")
        return raw

    schema: dict[str, object] = {"type": "string", "minLength": least, "maxLength": most}
    if pattern:
        schema["pattern"] = pattern
    return Kind(parse, str, empty_is_missing=False, schema=schema)


def choice(*words: str) -> Kind:
    """One of some words."""

    def parse(raw: object) -> str:
        if not isinstance(raw, str) or raw not in words:
            raise ValueError(f"one of {', '.join(words)} was expected")
        return raw

    return Kind(parse, str, schema={"enum": list(words)})


def several(kind: Kind, most: int, least: int = 0) -> Kind:
    """A list of so many values of a kind.

    Args:
        kind: Of each.
        most: The longest.
        least: The shortest.
    """

    def parse(raw: object) -> list[object]:
        if not isinstance(raw, list) or not least <= len(raw) <= most:
            raise ValueError(f"a list of {least} to {most} values was expected")
        return list(_each(kind.parse, raw))

    bounds = {"minItems": least, "maxItems": most}
    return Kind(parse, list, schema={"type": "array", "items": kind.schema, **bounds})


def _truth(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise ValueError(f"true or false was expected, not {_called(raw)}")
    return raw


TRUTH = Kind(_truth, bool, schema={"type": "boolean"})
"""A truth as JSON has it."""


def constant(value: object) -> Kind:
    """A value that is always written and never read."""
    return Kind(lambda raw: raw, lambda _: value)


def _each(parse: Callable[[object], T], raw: object) -> Iterable[T]:
    if not isinstance(raw, list):
        raise ValueError(f"a list was expected, not {_called(raw)}")
    for index, item in enumerate(raw):
        try:
            yield parse(item)
        except ValueError as error:
            raise ValueError(f"{index}: {error}") from None


def as_object(raw: object) -> dict[str, object]:
    """The value if it is a JSON object.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"an object was expected, not {_called(raw)}")
    return raw


def secret_at(name: str) -> Callable[[object], Secret]:
    """A parser of a JSON object that reads the secret under one name.

    Args:
        name: of the attribute, a string on the wire.
    """

    def parse(result: object) -> Secret:
        value = as_object(result).get(name)
        if not isinstance(value, str):
            raise ValueError(f"{name} is missing")
        return Secret(value)

    return parse


def raw_json(value: object) -> str:
    """A value that nobody reads, as JSON text, so that nothing is lost."""
    return wire.dump(value)


class Field(NamedTuple):
    """One value of a record.

    Args:
        name: On the wire.
        kind: How it is written.
        attribute: Of the model; the same name unless given. Optional where the model has a
            default.
        is_read: Whether it is a value of the model (a `constant` is not).
        is_sparse: Whether an empty value is left out when writing.
    """

    name: str
    kind: Kind
    attribute: str = ""
    is_read: bool = True
    is_sparse: bool = False

    @property
    def target(self) -> str:
        """The attribute of the model."""
        return self.attribute or self.name


def fixed(name: str, value: object) -> Field:
    """A parameter that is always the same, and never read."""
    return Field(name, constant(value), is_read=False)


def _required(model: Callable[..., object]) -> frozenset[str]:
    if isinstance(model, type) and dataclasses.is_dataclass(model):
        missing = dataclasses.MISSING
        return frozenset(
            field.name
            for field in dataclasses.fields(model)
            if field.default is missing and field.default_factory is missing
        )
    return frozenset()


class Record(Generic[T]):
    """A JSON object that stands for one value of a model.

    Args:
        model: The dataclass or NamedTuple.
        fields: In the order in which the historical server wrote them.

    Example:
        >>> from webqq_tornado.protocol.models import Category
        >>> record = Record(Category, Field("index", INTEGER), Field("name", RAW))
        >>> record.parse({"index": 1, "name": "a & b"})
        Category(index=1, name='a & b', sort=0)
    """

    def __init__(self, model: Callable[..., T], *fields: Field) -> None:
        self.model = model
        self.fields = fields
        self._read = [field for field in fields if field.is_read]
        self._required = _required(model)

    def parse(self, raw: object) -> T:
        """The model's value of a JSON object; unknown names are passed over.

        Raises:
            ValueError: It is no object, a field is of another kind, or a needed one is missing.
        """
        return self.model(**self.values(as_object(raw)))

    def values(self, raw: Mapping[str, object]) -> dict[str, object]:
        """The attributes of a JSON object."""
        values: dict[str, object] = {}
        for field in self._read:
            value = raw.get(field.name)
            if value is None or (value == "" and field.kind.empty_is_missing):
                if field.target in self._required:
                    raise ValueError(f"{field.name} is missing")
                continue
            try:
                values[field.target] = field.kind.parse(value)
            except ValueError as error:
                raise ValueError(f"{field.name}: {error}") from None
        return values

    def build(self, value: T) -> dict[str, object]:
        """The JSON object of a model's value."""
        built = {}
        for field in self.fields:
            own = getattr(value, field.target) if field.is_read else None
            if own or not field.is_sparse:
                built[field.name] = field.kind.build(own)
        return built

    def parse_all(self, raw: object) -> tuple[T, ...]:
        """The values of a JSON list of such objects.

        Raises:
            ValueError: It is no list, or one of its elements is not as described.
        """
        return tuple(_each(self.parse, raw))

    def build_all(self, values: Iterable[T]) -> list[dict[str, object]]:
        """The reverse of `parse_all`."""
        return [self.build(value) for value in values]

    @property
    def kind(self) -> Kind:
        """The record as the kind of a field."""
        return Kind(self.parse, self.build)


class Rows(NamedTuple):
    """One of the lists that a `Joined` model is spread over.

    Args:
        name: Of the list.
        key: Name of the field that says whom a row is about.
        fields: What else a row says.
        adds: Whether a row adds to the whole; if not, rows about strangers are passed over.
        has_row: Who gets a row when writing.
    """

    name: str
    key: str
    fields: tuple[Field, ...]
    adds: bool = False
    has_row: Callable[..., bool] = lambda _: True


class Joined(Generic[T]):
    """A list of models whose fields are spread over several lists, joined by a number.

    Args:
        model: The dataclass.
        key: Attribute with the number.
        rows: The lists, in the order in which the historical server wrote them.
    """

    def __init__(self, model: Callable[..., T], key: str, *rows: Rows) -> None:
        self.model = model
        self.key = key
        self._rows = [(rows_, Record(dict[str, object], *rows_.fields)) for rows_ in rows]
        self._required = _required(model)

    def parse(self, lists: Mapping[str, object]) -> tuple[T, ...]:
        """The models, in the order of the first list; a list may be missing.

        Raises:
            ValueError: One of the lists is not one, a row is not as described, or no row says
                what a model needs.
        """
        found: dict[int, dict[str, object]] = {}
        for rows, record in self._rows:
            try:
                parsed = list(_each(_row_parser(rows, record), lists.get(rows.name) or []))
            except ValueError as error:
                raise ValueError(f"{rows.name}: {error}") from None
            for number, values in parsed:
                if rows.adds:
                    found.setdefault(number, {self.key: number})
                if number in found:
                    found[number].update(values)
        return tuple(map(self._joined, found.values()))

    def _joined(self, values: dict[str, object]) -> T:
        for name in sorted(self._required - values.keys()):
            raise ValueError(f"{name} is missing")
        return self.model(**values)

    def build(self, models: Sequence[T]) -> dict[str, list[dict[str, object]]]:
        """The lists of the models, by name."""
        return {
            rows.name: [
                {rows.key: getattr(model, self.key), **record.build(model)}  # type: ignore[arg-type]  # any object with the attributes
                for model in models
                if rows.has_row(model)
            ]
            for rows, record in self._rows
        }


def _row_parser(
    rows: Rows, record: Record[dict[str, object]]
) -> Callable[[object], tuple[int, dict[str, object]]]:
    def parse(raw: object) -> tuple[int, dict[str, object]]:
        row = as_object(raw)
        if row.get(rows.key) is None:
            raise ValueError(f"{rows.key} is missing")
        return _integer(row[rows.key]), record.values(row)

    return parse
