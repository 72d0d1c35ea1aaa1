"""The program without a command, server, bot and prompt in one; and `serve`, the server alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..server.hosts import hosts_lines
from .console import Screen, show_logs
from .local_server import refuse_second_start
from .running import run_coroutine
from .settings import account_tables, options

__all__ = ["ONEBOT_KEYS", "serve", "start"]

#: Settings of programs that drive accounts of the server, in the order of `ServedOptions`.
ONEBOT_KEYS = ("onebot_account", "onebot_token_file", "onebot_reverse", "onebot_post")

SERVE_HELP = f"""Run the server alone. Accounts are made on its page.

A client that can be given an address takes the one that is shown. One of 2012 to 2018 that has
Tencent's hosts built in is pointed here in three steps:

1. Let its hosts file (/etc/hosts) lead there:

\b
{chr(10).join("  " + line for line in hosts_lines())}

2. Serve on the ports that it asks for:

\b
  python -m webqq_tornado serve --port 80 --tls --tls-port 443

Linux gives these to everybody after `sudo sysctl net.ipv4.ip_unprivileged_port_start=80`.

3. Let it trust tls/ca.pem in the state directory, the certificate of a CA that --tls makes once
and that can sign for these hosts and loopback alone:

\b
  Python, requests  REQUESTS_CA_BUNDLE=ca.pem
  Python, Perl      SSL_CERT_FILE=ca.pem      (Mojolicious: MOJO_CA_FILE)
  curl              CURL_CA_BUNDLE=ca.pem
  Java              keytool -importcert -cacerts -alias webqq -file ca.pem

QR codes are confirmed on the page, or with `python -m webqq_tornado confirm --account N`.
"""


def start(context: click.Context, **choices: Any) -> None:
    """Start server, bot and prompt; or a bot for each account on a server elsewhere.

    Args:
        context: of the main command.
        choices: its options.

    Raises:
        click.UsageError: the account or the server is missing.
    """
    screen = Screen()
    show_logs(screen, choices.pop("verbose"))
    tables = account_tables(context)
    onebot, token_file = choices.pop("onebot"), choices.pop("token_file")
    limits = choices.pop("onebot_limit")
    is_webqq_named = choices["account"] or choices["qr"] or any(not one.onebot for one in tables)
    is_onebot_named = onebot or any(one.onebot for one in tables)
    is_anybody_named = is_webqq_named or is_onebot_named
    is_here = choices["server"] is None and not any(table.server for table in tables)
    is_here &= not is_onebot_named
    if is_here and is_anybody_named:
        raise click.UsageError("give --server URL too: where to log in")
    if is_here:
        refuse_second_start(choices["state_dir"])
    elif not is_anybody_named:
        raise click.UsageError("--server needs --account, or --qr: whom to log in as")
    # Imports of server, bot and prompt take longer than all checks above.
    from .onebot_accounts import onebots_meant  # noqa: PLC0415
    from .onebot_served import ServedOptions, served_accounts  # noqa: PLC0415
    from .start import BotOptions, ServerOptions, chat_elsewhere, chat_here  # noqa: PLC0415
    from .targets import account_targets  # noqa: PLC0415

    given = (choices.pop(key) for key in ("plugin", "owner", "reload", "at_most_once"))
    bot = BotOptions(*given)
    port, address = choices.pop("port"), choices.pop("address")
    if is_here:
        served = served_accounts(context, ServedOptions())
        here = ServerOptions(port, address, choices["state_dir"], served=served)
        run_coroutine(chat_here(here, bot, screen))
    else:
        onebots = onebots_meant(context, onebot, token_file, choices["state_dir"], limits)
        everyone = account_targets(context, **choices) if is_webqq_named else []
        run_coroutine(chat_elsewhere(everyone, bot, screen, onebots))


@click.command(help=SERVE_HELP, short_help="Run the server alone.")
@options(
    "state_dir",
    "port",
    "address",
    "tls",
    "tls_port",
    *ONEBOT_KEYS,
    "verbose",
)
@click.pass_context
def serve(  # noqa: D103 - SERVE_HELP
    context: click.Context, /, state_dir: Path, port: int | None, address: str, **rest: Any
) -> None:
    refuse_second_start(state_dir)
    from .onebot_served import ServedOptions, served_accounts  # noqa: PLC0415
    from .start import ServerOptions  # noqa: PLC0415 - it brings server, bot and prompt
    from .start import serve as serve_alone  # noqa: PLC0415

    screen = Screen()
    show_logs(screen, rest["verbose"])
    has_tls = rest["tls"] or rest["tls_port"] is not None
    served = served_accounts(context, ServedOptions(*(rest[key] for key in ONEBOT_KEYS)))
    wanted = ServerOptions(port, address, state_dir, has_tls, rest["tls_port"], served)
    run_coroutine(serve_alone(wanted, screen))
