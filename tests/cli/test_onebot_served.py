"""Accounts that programs drive: options and tables of the TOML file."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from servers.town import Town

from webqq_tornado.cli.main import main
from webqq_tornado.cli.onebot_served import ServedOptions, configure, served_accounts
from webqq_tornado.cli.settings import read_config
from webqq_tornado.server.onebot.settings import OneBotSettings, Reverse


def served(tmp_path: Path, toml: str, given: ServedOptions = ServedOptions()):  # noqa: B008
    path = tmp_path / "webqq.toml"
    path.write_text(toml)
    context = click.Context(main, info_name="webqq_tornado")
    for key, value in read_config(path).items():
        if key == "onebot_accounts":
            context.meta["webqq_tornado.cli.settings.onebot_accounts"] = value
    return served_accounts(context, given)


def test_a_table_has_all_settings_of_an_account(tmp_path: Path):
    (tmp_path / "token").write_text("s3cret\nrest\n")
    toml = f"""
        [[onebot_accounts]]
        account = 10001
        token_file = "{tmp_path}/token"
        format = "string"
        port = 5700
        reverse = ["ws://127.0.0.1:8080/onebot/v11/ws"]
        post = [{{ url = "http://127.0.0.1:8080/", secret = "key" }}]
    """
    found = served(tmp_path, toml)[10001]
    assert (found.token, found.format, found.port) == ("s3cret", "string", 5700)
    assert found.reverse == (Reverse("ws://127.0.0.1:8080/onebot/v11/ws"),)
    assert found.post[0].secret == "key"
    assert "s3cret" not in repr(found)
    assert "key" not in repr(found)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "account = N"),
        ("account = 0", "account = N"),
        ("account = 1\nformat = 5", 'format is to be "array" or "string"'),
        ("account = 1\nformaat = 5", "unknown key 'formaat'; known are"),
        ('account = 1\nreverse = ["http://a/"]', "no URL with ws or wss"),
        ('account = 1\nreverse = [{url = "ws://a/", role = "X"}]', "role is to be"),
        ("account = 1\npost = 5", "post is to be a list"),
        ("account = 1\nheartbeat = 5", "heartbeat is to be 0 or a number from 1000"),
        ("account = 1\nkeep = -1", "keep is to be"),
        ('account = 1\ntoken = "a b"', "without blanks"),
        ('account = 1\ntoken_file = "/none"', "no such file"),
        ('account = 1\nis_on = "yes"', "is_on is to be true or false"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, line: str, why: str):
    with pytest.raises(click.ClickException, match=why):
        served(tmp_path, f"[[onebot_accounts]]\n{line}\n")


def test_options_are_for_the_accounts_that_they_name(tmp_path: Path):
    given = ServedOptions((10001, 10002), None, ("ws://127.0.0.1/ws",))
    found = served(tmp_path, "", given)
    assert set(found) == {10001, 10002}
    with pytest.raises(click.UsageError, match="--onebot-account"):
        served(tmp_path, "", given._replace(accounts=()))


async def test_an_account_that_is_not_there_is_named():
    async with Town() as town:
        with pytest.raises(click.ClickException, match="there is no account 5"):
            configure(town.server, {5: OneBotSettings()})
        (line,) = configure(town.server, {town.bob: OneBotSettings()})
        assert line.endswith(f"/onebot/{town.bob}/")
