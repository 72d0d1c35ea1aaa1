"""Limits of bots for today's QQ: options and the TOML file."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from webqq_tornado.cli.onebot_accounts import onebots_meant
from webqq_tornado.cli.onebot_limits import LIMITS, account_options, checked, parsed
from webqq_tornado.cli.settings import _use_config

EXAMPLE = """
pace = [1, 3]
max_bytes = 1000
forward_above = 0
timeout = 5
looks = [0.5, 2]
fail_max = 2
rest = 10.5
max_picture_size = 1000000
picture_types = ["png", "jpg"]
"""


def meant(folder: Path, toml: str, *limits: str):
    """The accounts of a TOML file, and of one --onebot."""
    path = folder / "bots.toml"
    path.write_text(toml)
    with click.Context(click.Command("test")) as context:
        _use_config(context, path)
        return onebots_meant(context, ["ws://a:1"], None, folder, limits)


def test_the_nearest_limit_counts(tmp_path):
    toml = (
        "[onebot_limits]\nrest = 1\nfail_max = 1\ntimeout = 1\n"
        '[[accounts]]\nonebot = "ws://b:1"\n[accounts.onebot_limits]\nfail_max = 3\n'
    )
    given, own = meant(tmp_path, toml, "fail_max=2", "timeout=2")
    assert given.limits == {"rest": 1, "fail_max": 2, "timeout": 2}
    assert own.limits == {"rest": 1, "fail_max": 3, "timeout": 2}


def test_all_limits_reach_the_account(tmp_path):
    (target,) = meant(tmp_path, f"[onebot_limits]{EXAMPLE}")
    assert set(target.limits) == set(LIMITS)
    options = account_options(target.limits)
    limits = options.pop("limits")
    assert (limits.pace, limits.looks, limits.rest) == ((1, 3), (0.5, 2), 10.5)
    assert options == {"max_picture_size": 1000000, "picture_types": ["png", "jpg"]}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("pace = 1", "pace is to be the least and the most seconds"),
        ("pace = [3, 1]", "pace is to be"),
        ("pace = [1, inf]", "pace is to be"),
        ('pace = ["1", "3"]', "pace is to be"),
        ("max_bytes = 3", "max_bytes is to be a number of bytes, 4 or more"),
        ("max_bytes = 4.5", "max_bytes is to be"),
        ("max_bytes = true", "max_bytes is to be"),
        ("timeout = 0", "timeout is to be a number of seconds above 0"),
        ("timeout = nan", "timeout is to be"),
        ("looks = []", "looks is to be"),
        ("fail_max = 0", "fail_max is to be a number of failures"),
        ("rest = -1", "rest is to be"),
        ("max_picture_size = 0", "max_picture_size is to be"),
        ('picture_types = ["tiff"]', "picture_types is to be some of jpg, png"),
        ("paces = [1, 3]", "unknown key 'paces'; known are pace, "),
    ],
)
def test_a_wrong_limit_is_named_with_its_place(tmp_path, line: str, says: str):
    for toml, place in (
        (f"[onebot_limits]\n{line}\n", r"bots.toml, \[onebot_limits\]"),
        (f'[[accounts]]\nonebot = "ws://b:1"\n[accounts.onebot_limits]\n{line}\n', "accounts"),
    ):
        with pytest.raises(click.ClickException, match=place) as refused:
            meant(tmp_path, toml)
        assert says in refused.value.message
    with pytest.raises(click.ClickException, match="--onebot-limit") as refused:
        parsed([line])
    assert says in refused.value.message


@pytest.mark.parametrize("text", ["", "rest", "rest=", "rest=1\nfail_max=1", "=1", "[rest]"])
def test_an_option_that_is_no_limit_says_how_to_write_one(text: str):
    with pytest.raises(click.ClickException, match="--onebot-limit"):
        parsed([text])


def test_limits_that_are_no_table_are_refused():
    with pytest.raises(click.ClickException, match="is to be a table"):
        checked("here", 5)
