"""All settings in one table: each is an option, a variable and a key of the TOML file.

What is given nearest to the command wins: option, then variable, then file, then default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import platformdirs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["SETTINGS", "Setting", "options", "read_config"]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_STATE_DIR = Path(platformdirs.user_state_dir("webqq_tornado", appauthor=False))


class Setting(NamedTuple):
    """One setting.

    Args:
        key: in the TOML file; the option is --key with dashes, the variable WEBQQ_KEY.
        help: for --help.
        type: what click makes of it.
        default: if it is given nowhere.
        metavar: how --help calls its value.
        is_option: False for what must not stand on a command line.
    """

    key: str
    help: str
    type: Any = str
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
        Setting("server", "Connect to this WebQQ server instead of starting one.", metavar="URL"),
        Setting("account", "QQ number to log in with, with --server.", int, metavar="N"),
        Setting("password", "Its password; asked for if it is nowhere.", is_option=False),
        Setting(
            "password_file",
            "File whose first line is the password.",
            click.Path(path_type=Path),
            metavar="FILE",
        ),
        Setting("qr", "Log in by QR code, as SmartQQ did, not by password.", bool, False),
        Setting(
            "plugin",
            "File, package or module with handlers for the bot; may be given more than once.",
            click.Path(path_type=Path),
            (),
            "FILE",
        ),
        Setting("reload", "Load plugins again when their files change.", bool, False),
        Setting(
            "owner",
            "QQ number that owns the bot, by default yours where all starts here; may be given"
            " more than once.",
            int,
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
        Setting("port", "Port of the server started here; 8100 or the next free one.", int),
        Setting("address", "Address that it listens on.", default="127.0.0.1"),
        Setting("tls", "Serve https as well, with certificates of a local CA.", bool, False),
        Setting("tls_port", "Port for https; 8443 or the next free one.", int),
        Setting("verbose", "Show each request, without secrets.", bool, False),
    )
}


def options(*keys: str) -> Callable[[F], F]:
    """A decorator that gives a command the options of these settings, and --config."""

    def decorate(command: F) -> F:
        for key in reversed(keys):
            setting = SETTINGS[key]
            if setting.is_option:
                command = _option(setting)(command)
        return _config_option(command)

    return decorate


def _option(setting: Setting) -> Callable[[F], F]:
    name = "--" + setting.key.replace("_", "-")
    common: dict[str, Any] = {
        "default": setting.default,
        "envvar": setting.variable,
        "help": setting.help,
        "show_envvar": True,
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
    show_envvar=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _option, path: _use_config(context, path),
    help=f"TOML file with any of the keys {', '.join(SETTINGS)}.",
)


def _use_config(context: click.Context, path: Path | None) -> None:
    if path is not None:
        context.default_map = {**(context.default_map or {}), **read_config(path)}


def read_config(path: Path) -> Mapping[str, Any]:
    """The settings of a TOML file.

    Raises:
        click.ClickException: it can not be read, is not TOML, or has an unknown key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.ClickException(f"config file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"config file {path} is not TOML: {error}") from None
    unknown = sorted(set(values) - set(SETTINGS))
    if unknown:
        known = ", ".join(SETTINGS)
        raise click.ClickException(
            f"config file {path} has an unknown key {unknown[0]!r}; known are {known}"
        )
    for key in ("plugin", "owner"):
        if key in values and not isinstance(values[key], list):
            values[key] = [values[key]]
    return values
