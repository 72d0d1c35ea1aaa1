"""All settings in one table: each is an option, a variable and a key of the TOML file.

The nearest to the command wins: option, then variable, then file, then default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import platformdirs
from click.core import ParameterSource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from ..files import FileError, read_text
from .param_types import ADDRESS, PORT, QQ_NUMBER, TEXT

__all__ = [
    "SETTINGS",
    "AccountTable",
    "Setting",
    "account_tables",
    "hand_down",
    "limits_table",
    "options",
    "read_config",
    "served_tables",
]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_STATE_DIR = Path(platformdirs.user_state_dir("webqq_tornado", appauthor=False))


class Setting(NamedTuple):
    """One setting.

    Args:
        key: in the TOML file; the option is --key with dashes, the variable WEBQQ_KEY.
        help: for --help.
        type: of click.
        default: if it is not given.
        metavar: name of its value in --help.
        is_option: False for secrets, which must not be on a command line.
    """

    key: str
    help: str
    type: Any = TEXT
    default: Any = None
    metavar: str | None = None
    is_option: bool = True

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"WEBQQ_{self.key.upper()}"


SETTINGS = {
    setting.key: setting
    for setting in (
        Setting("server", "WebQQ server elsewhere, not the one here.", metavar="URL"),
        Setting("account", "QQ number to log in with.", QQ_NUMBER, (), metavar="N"),
        Setting("password", "Its password; asked for if it is nowhere.", is_option=False),
        Setting(
            "password_file",
            "File whose first line is the password.",
            click.Path(path_type=Path),
            metavar="FILE",
        ),
        Setting(
            "onebot",
            "OneBot 11 implementation (NapCat ...) whose account the bot uses; may be given more"
            " than once. ws://HOST:3001; reverse://ADDRESS:PORT, where it connects to us;"
            " http://HOST:3000 (SSE), http+poll://, http+post://HOST:3000?listen=PORT.",
            TEXT,
            (),
            "URL",
        ),
        Setting("token", "Token of the implementation.", is_option=False),
        Setting(
            "token_file",
            "File whose first line is the token of the implementation.",
            click.Path(path_type=Path),
            metavar="FILE",
        ),
        Setting(
            "onebot_limit",
            "Limit of such an account, as pace=[1,3], rest=30 or max_picture_size=1000000; may be"
            " given more than once.",
            TEXT,
            (),
            "KEY=VALUE",
        ),
        Setting(
            "onebot_account",
            "QQ number here that programs may drive by OneBot 11; may be given more than once.",
            QQ_NUMBER,
            (),
            "N",
        ),
        Setting(
            "onebot_token_file",
            "File whose first line is the token that these programs show.",
            click.Path(path_type=Path),
            metavar="FILE",
        ),
        Setting(
            "onebot_reverse",
            "WebSocket of such a program that the server connects to; may be given more than once.",
            TEXT,
            (),
            "URL",
        ),
        Setting(
            "onebot_post",
            "Address of such a program that events are posted to; may be given more than once.",
            TEXT,
            (),
            "URL",
        ),
        Setting("qr", "Log in by QR code, as SmartQQ did, not by password.", bool, False),
        Setting("open_pictures", "Open QR codes and captchas in a viewer as well.", bool, False),
        Setting(
            "plugin",
            "File, package or module with handlers for the bot; may be given more than once.",
            click.Path(path_type=Path),
            (),
            "FILE",
        ),
        Setting("reload", "Load plugins again when their files change.", bool, False),
        Setting(
            "at_most_once",
            "After a crash, leave out messages that the bot was handling, instead of handling them"
            " again.",
            bool,
            False,
        ),
        Setting(
            "owner",
            "QQ number that owns the bot, by default yours where all starts here; may be given"
            " more than once.",
            QQ_NUMBER,
            (),
            "N",
        ),
        Setting(
            "state_dir",
            "Where accounts and messages are kept.",
            click.Path(path_type=Path),
            DEFAULT_STATE_DIR,
            "DIR",
        ),
        Setting(
            "port", "Port of the server started here; 8100 or the next free one.", PORT, metavar="N"
        ),
        Setting("address", "Address that it listens on.", ADDRESS, "127.0.0.1", metavar="ADDRESS"),
        Setting("tls", "Serve https as well, with certificates of a local CA.", bool, False),
        Setting("tls_port", "Port for https; 8443 or the next free one.", PORT, metavar="N"),
        Setting("verbose", "Show each request, without secrets.", bool, False),
    )
}


class AccountTable(NamedTuple):
    """One of the tables [[accounts]] in a TOML file; its fields are the keys.

    Args:
        account: QQ number; 0 for the account that scans the QR code.
        server: as the setting; None takes that.
        password: of the account.
        password_file: as the setting.
        qr: as the setting.
        plugin: for this account's bot alone.
        onebot: URLs of an implementation of OneBot 11, several for one account; then there is no
            server and no password, and the QQ number may be left out.
        token: of the implementation.
        token_file: as the setting.
        onebot_limits: of this account alone, see `onebot_limits`.
    """

    account: int = 0
    server: str | None = None
    password: str | None = None
    password_file: Path | None = None
    qr: bool = False
    plugin: tuple[Path, ...] = ()
    onebot: tuple[str, ...] = ()
    token: str | None = None
    token_file: Path | None = None
    onebot_limits: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<AccountTable {self.account}>"


def options(*keys: str) -> Callable[[F], F]:
    """A decorator that adds the options of these settings, and --config, to a command."""

    def decorate(command: F) -> F:
        for key in reversed(keys):
            setting = SETTINGS[key]
            if setting.is_option:
                command = _option(setting)(command)
        return _config_option(command)

    return decorate


class _Option(click.Option):
    """An option whose variable is named in errors, not in each line of --help."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return f"{super().get_error_hint(ctx)} (variable {self.envvar})"

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        is_given_before = ctx.parent is not None and _is_given(ctx.parent, self.name or "")
        return None if is_given_before else super().resolve_envvar_value(ctx)


def _option(setting: Setting) -> Callable[[F], F]:
    name = "--" + setting.key.replace("_", "-")
    common: dict[str, Any] = {
        "cls": _Option,
        "default": setting.default,
        "envvar": setting.variable,
        "help": setting.help,
        "show_default": setting.default not in (None, (), False),
    }
    if setting.type is bool:
        return click.option(name, is_flag=True, **common)
    is_many = isinstance(setting.default, tuple)
    return click.option(
        name, type=setting.type, metavar=setting.metavar, multiple=is_many, **common
    )


_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="WEBQQ_CONFIG",
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=lambda context, _option, path: _use_config(context, path),
    help="TOML file of settings.",
)

#: Where a context keeps the tables [[accounts]], and [[onebot_accounts]].
_TABLES, _SERVED = f"{__name__}.accounts", f"{__name__}.onebot_accounts"
#: And where the table [onebot_limits].
_LIMITS = f"{__name__}.onebot_limits"


def _use_config(context: click.Context, path: Path | None) -> None:
    if path is not None:
        values = dict(read_config(path))
        context.meta[_TABLES] = values.pop("accounts", ())
        context.meta[_SERVED] = values.pop("onebot_accounts", ())
        context.meta[_LIMITS] = values.pop("onebot_limits", {})
        context.default_map = {**(context.default_map or {}), **values}


def account_tables(context: click.Context) -> Sequence[AccountTable]:
    """The tables [[accounts]] of the TOML file; none without one."""
    tables: Sequence[AccountTable] = context.meta.get(_TABLES, ())
    return tables


def served_tables(context: click.Context) -> Sequence[Mapping[str, Any]]:
    """The tables [[onebot_accounts]] of the TOML file; none without one."""
    tables: Sequence[Mapping[str, Any]] = context.meta.get(_SERVED, ())
    return tables


def limits_table(context: click.Context) -> Mapping[str, Any]:
    """The table [onebot_limits] of the TOML file; empty without one."""
    table: Mapping[str, Any] = context.meta.get(_LIMITS, {})
    return table


def hand_down(context: click.Context) -> None:
    """Pass options before a command, and the TOML file's keys, on to the command."""
    given = {name: value for name, value in context.params.items() if _is_given(context, name)}
    values = {**(context.default_map or {}), **given}
    context.default_map = {context.invoked_subcommand or "": values}


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def read_config(path: Path) -> Mapping[str, Any]:
    """The settings of a TOML file.

    Raises:
        click.ClickException: it cannot be read, is not TOML, or has an unknown key or a value
            of the wrong type.
    """
    values = _toml(path)
    where = f"config file {path}"
    _check_keys(where, values, (*SETTINGS, *_ARRAYS, _LIMITS_KEY))
    if _LIMITS_KEY in values:
        values[_LIMITS_KEY] = _limits(f"{where}, [{_LIMITS_KEY}]", values[_LIMITS_KEY])
    for key in _LISTS:
        if key in values and not isinstance(values[key], list):
            values[key] = [values[key]]
    _check_types(where, {key: value for key, value in values.items() if key in SETTINGS})
    if "onebot_accounts" in values:
        values["onebot_accounts"] = _plain_tables(where, "onebot_accounts", values)
    if "accounts" in values:
        values["accounts"] = _tables(f"{where}, [[accounts]]", values["accounts"])
    return values


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path, "config file"))
    except FileError as error:
        raise click.ClickException(str(error)) from None
    except RecursionError:
        raise click.ClickException(
            f"config file {path} is not TOML: it is nested too deeply"
        ) from None
    except ValueError as error:  # of tomllib, or an integer with too many digits
        raise click.ClickException(f"config file {path} is not TOML: {error}") from None


def _check_keys(where: str, values: Iterable[str], known: Sequence[str]) -> None:
    for key in sorted(set(values) - set(known)):
        raise click.ClickException(
            f"{where} has an unknown key {key!r}; known are {', '.join(known)}"
        )


def _limits(where: str, values: object) -> dict[str, Any]:
    from .onebot_limits import checked  # noqa: PLC0415 - it brings the client

    return checked(where, values)


#: The key of the table of limits, for all accounts by OneBot, or in one of theirs.
_LIMITS_KEY = "onebot_limits"
#: The keys that are arrays of tables.
_ARRAYS = ("accounts", "onebot_accounts")


def _tables(where: str, values: object) -> tuple[AccountTable, ...]:
    tables = _plain_tables(where, "accounts", {"accounts": values})
    return tuple(_table(where, value) for value in tables)


def _plain_tables(where: str, key: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    tables = values[key]
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise click.ClickException(f"{where}: write one table [[{key}]] for each account")
    return tuple(tables)


def _check_types(where: str, values: Mapping[str, Any]) -> None:
    """Refuse values of the wrong type: click expects texts of a command line."""
    for key, value in values.items():
        kind, says = _kind_of(SETTINGS[key])
        for each in value if isinstance(value, list) and key in _LISTS else [value]:
            if type(each) is not kind:
                raise click.ClickException(f"{where}: {key} is to be {says}")
            if isinstance(each, str) and "\0" in each:
                raise click.ClickException(f"{where}: {key} has a zero character in it")


def _kind_of(setting: Setting) -> tuple[type, str]:
    """The TOML type of a setting, and its name."""
    if setting.type is bool:
        return bool, "true or false"
    if isinstance(setting.type, click.IntRange):
        return int, "a number"
    return str, "a text in quotes"


#: The keys that may be given more than once.
_LISTS = frozenset(key for key, setting in SETTINGS.items() if isinstance(setting.default, tuple))


def _table(where: str, values: dict[str, Any]) -> AccountTable:
    _check_keys(where, values, AccountTable._fields)
    _check_types(where, {key: value for key, value in values.items() if key != _LIMITS_KEY})
    limits = values.get(_LIMITS_KEY)
    if limits is not None:
        _limits(f"{where}, {_LIMITS_KEY}", limits)
    number = values.get("account", 0)
    if (
        isinstance(number, list)
        or number > QQ_NUMBER.max
        or number < (0 if values.get("qr") or values.get("onebot") else 1)
    ):
        raise click.ClickException(
            f"{where}: give account = N, qr = true, or onebot = URL, in each table"
        )
    paths = tuple(map(Path, _several(values.get("plugin", []))))
    files = {key: values.get(key) for key in ("password_file", "token_file")}
    return AccountTable(
        **{
            **values,
            "plugin": paths,
            "onebot": tuple(_several(values.get("onebot", []))),
            **{key: file and Path(file) for key, file in files.items()},
        }
    )


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
