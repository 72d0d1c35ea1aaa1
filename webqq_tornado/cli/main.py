"""The command and its subcommands, each of which is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from .. import __version__
from .lazy_group import CommandGroup, LazyCommand, load
from .settings import hand_down, options

__all__ = ["main"]

EPILOG = """\
Each option is also a variable (WEBQQ_SERVER for --server) and a key (server) of the TOML file
that --config or WEBQQ_CONFIG names; what is nearest to the command wins. The password is a
variable and a key alone, and so is a token. A table [[accounts]] has account, password or
password_file or qr, and may have server and plugin; or onebot, token or token_file, and plugin.

\b
Exit codes:
  0    it is done; a server, bot or prompt was ended
  1    it did not work; a line on standard error says why
       (none where nobody reads the output: `| head`)
  2    wrong usage; a line says what to give
  130  another command was ended by Ctrl-C (143: SIGTERM)"""

SECTIONS = {
    "QQ": {
        "chat": LazyCommand("chat", "Chat at the prompt, with TARGET to begin with."),
        "send": LazyCommand("account", "Send TEXT to TARGET."),
        "contacts": LazyCommand("account", "List friends, groups and discussions."),
        "history": LazyCommand("history", "Show and search the message history."),
        "status": LazyCommand("account", "Show the account and its unsent messages."),
        "login": LazyCommand("account", "Log in and save the session."),
        "logout": LazyCommand("account", "Log out: end the saved session."),
        "confirm": LazyCommand("confirm", "Sign in the client that shows the newest QR code."),
        "password": LazyCommand("password", "Change the password of --account."),
        "onebot": LazyCommand("onebot", "Look at an implementation of OneBot 11."),
    },
    "Flows": {
        "new": LazyCommand("new", "Write NAME.py, a bot or flow to begin with, and its test."),
        "run": LazyCommand("run", "Run a flow of your own."),
        "monitor": LazyCommand("flows", "Check URLs over and over."),
        "sync": LazyCommand("flows", "Fetch a list in pages from URL into PATH."),
        "job": LazyCommand("flows", "Submit a job to URL, and wait until it is done."),
        "mirror": LazyCommand("flows", "Keep copies of the URLs in LIST."),
        "journal": LazyCommand("journal", "Show how far the flow of the journal FILE is."),
    },
    "HTTP": {
        "http": LazyCommand("http", "Send one request, and print the response."),
        "shell": LazyCommand("http", "Send one request, and look at its response in Python."),
    },
    "Server": {
        "serve": LazyCommand("serve", "Run the server alone."),
    },
}


@click.group(
    cls=CommandGroup,
    sections=SECTIONS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@options(
    *("server", "account", "password_file", "qr", "open_pictures"),
    *("onebot", "token_file", "onebot_limit", "plugin", "reload", "owner", "at_most_once"),
    *("state_dir", "port", "address", "verbose"),
)
@click.version_option(__version__, prog_name="webqq_tornado")
@click.pass_context
def main(context: click.Context, /, **choices: Any) -> None:
    """A local QQ for bot developers: a WebQQ server, a bot on it, and you at the prompt.

    Without a command, all three start here. With --server, only a bot, which logs in there as
    --account; with several (or tables [[accounts]] in the file), a bot for each. With --onebot, a
    bot for an account of today's QQ, which NapCat or the like holds.

    \b
    Examples:
      python -m webqq_tornado
      python -m webqq_tornado --server http://127.0.0.1:8100 --account 10001
      python -m webqq_tornado --onebot ws://127.0.0.1:3001 --plugin hello.py
      python -m webqq_tornado send Bot "how are you?"
      python -m webqq_tornado COMMAND --help
    """  # noqa: D301 - click reads the backspace
    if context.invoked_subcommand is not None:
        hand_down(context)
    else:
        load("serve", "start")(context, **choices)
