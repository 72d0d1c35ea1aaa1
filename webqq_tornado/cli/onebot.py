"""The commands `onebot ...`: a look at an implementation of OneBot 11."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from ..client.onebot.check import Findings
from ..client.onebot.check import check as look_at
from ..engine.stream import HTTPStream
from .console import Screen, printable, show_logs
from .onebot_accounts import given_token
from .param_types import SOME_SECONDS, TEXT
from .running import run_coroutine
from .settings import options
from .targets import json_option, print_json

__all__ = ["check", "onebot"]


@click.group()
def onebot() -> None:
    """Look at an implementation of OneBot 11: NapCat, LLBot, Lagrange ...

    \b
    Example:
      python -m webqq_tornado onebot check ws://127.0.0.1:3001 --token-file token
    """  # noqa: D301 - click reads the backspace


@onebot.command()
@click.argument("url", type=TEXT)
@click.option(
    "--timeout",
    type=SOME_SECONDS,
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds for the connection, and for each answer.",
)
@json_option
@options("token_file", "verbose")
@click.pass_context
def check(
    context: click.Context, /, url: str, timeout: float, token_file: Path | None, **choices: Any
) -> None:
    """Connect to URL, and say what is there; nothing is sent to anybody.

    URL is as for --onebot: ws://HOST:3001, reverse://ADDRESS:PORT, http://HOST:3000 ... The exit
    code is 0 if a bot can work with it, else 1. Keys of --json: url, problem (empty if it was
    reached), implementation, protocol, account, nick, online (null if it does not say), token,
    is_first_lifecycle, format (array, string), skew (seconds), friends, groups, lacks (action: what
    is lost), warnings, is_good.

    \b
    Examples:
      python -m webqq_tornado onebot check ws://127.0.0.1:3001 --token-file token
      python -m webqq_tornado onebot check reverse://127.0.0.1:8080 --timeout 60
    """  # noqa: D301 - click reads the backspace
    show_logs(Screen(is_error=True), choices["verbose"])
    token = given_token(context, token_file)

    async def run() -> Findings:
        async with HTTPStream() as stream:
            return await look_at(stream, url, token, timeout=timeout)

    try:
        findings = run_coroutine(run())
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from None
    if choices["is_json"]:
        print_json({**dataclasses.asdict(findings), "is_good": findings.is_good})
    else:
        _show(findings, Screen())
    raise SystemExit(0 if findings.is_good else 1)


def _show(findings: Findings, screen: Screen) -> None:
    if findings.problem:
        problem = findings.problem.removeprefix(findings.url).removeprefix(": ").strip()
        screen.say(printable(f"{findings.url}: {problem}"), style="yellow")
        return
    rows = _rows(findings)
    width = max(len(title) for title, _ in rows)
    for title, words in rows:
        screen.pieces((title.ljust(width + 2), "dim"), printable(words))


def _rows(findings: Findings) -> list[tuple[str, str]]:
    online = {True: "online", False: "OFFLINE", None: "online or not: it does not say"}
    protocol = f" ({findings.protocol})" if findings.protocol else ""
    account = f"{findings.account} ({findings.nick}), {online[findings.online]}"
    if not findings.account:
        account = "it does not say whose it is"
    groups = "1 group" if findings.groups == 1 else f"{findings.groups} groups"
    friends = "1 friend" if findings.friends == 1 else f"{findings.friends} friends"
    rows: list[tuple[str, str]] = [
        ("implementation", f"{findings.implementation}{protocol}"),
        ("account", account),
        ("contacts", f"{friends}, {groups}"),
        ("token", findings.token),
        ("messages", _format(findings.format)),
        ("clock", _skew(findings.skew)),
    ]
    rows += [("lacks", f"{action}: {words}") for action, words in findings.lacks.items()]
    rows += [("warning", words) for words in findings.warnings]
    return [*rows, ("", "A bot can work with it." if findings.is_good else "A bot cannot.")]


def _format(kind: str) -> str:
    known = {"array": "arrays", "string": "CQ strings, which are read as well"}
    return known.get(kind, "none was seen, so their format is not known")


def _skew(skew: float | None) -> str:
    if skew is None:
        return "nothing with a time came"
    return "as ours" if abs(skew) < 2 else f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
