"""Groups of commands that are imported when they are called; the ends of commands.

`--help` shows names and first lines from a table, so that it imports no command: the server, the
prompt and pictures take longer to import than most commands to run.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, NoReturn

import click

from .errors import end_interrupted, one_line
from .stdio import flush_output, mute_output, prepare_streams

__all__ = ["CommandGroup", "LazyCommand"]


class LazyCommand(NamedTuple):
    """A command that is imported when it is called.

    Args:
        module: of this package, with the command under its name.
        help: first line of the command's own help.
    """

    module: str
    help: str


class CommandGroup(click.Group):
    """A group of commands in sections; each error ends in one line and an exit code.

    Args:
        sections: by title, the commands by name.
        arguments: of `click.Group`.
    """

    def __init__(
        self, *arguments: Any, sections: Mapping[str, Mapping[str, LazyCommand]], **others: Any
    ) -> None:
        super().__init__(*arguments, **others)
        self.sections = sections
        self._table = {name: one for section in sections.values() for name, one in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the sections."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command with a name."""
        return load(self._table[cmd_name].module, cmd_name) if cmd_name in self._table else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the one that may have been meant."""
        if args[0] not in self._table and not args[0].startswith("-"):
            near = get_close_matches(args[0], self._table, 1)
            hint = f"did you mean {near[0]}?" if near else "see --help for all there are"
            ctx.fail(f"No such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        width = max(map(len, self._table))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), one.help) for name, one in section.items()])

    def main(self, args: Sequence[str] | None = None, *others: Any, **more: Any) -> NoReturn:
        """Run the command line; end the process with its exit code."""
        prepare_streams()
        try:
            code = self._run(args, more)
            flush_output()
        except BrokenPipeError:  # `| head` has ended, which is no error
            code = 1
            mute_output()
        except (KeyboardInterrupt, EOFError, click.Abort):
            end_interrupted()
        except Exception as error:
            line = one_line(error)
            if line is None:
                raise
            mute_output()
            code = _shown(click.ClickException(line))
        sys.exit(code)

    def _run(self, args: Sequence[str] | None, more: dict[str, Any]) -> int:
        try:
            result = super().main(args, **{**more, "standalone_mode": False})
        except click.ClickException as error:
            return _shown(error)
        return result if isinstance(result, int) else 0


def load(module: str, name: str) -> Any:
    """Import a module of this package now and return one of its names."""
    return getattr(importlib.import_module(f".{module}", __package__), name)


def _shown(error: click.ClickException) -> int:
    error.show()
    return error.exit_code
