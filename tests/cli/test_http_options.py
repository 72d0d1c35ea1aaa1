"""What the shared options add to requests, and to which."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from webqq_tornado import Request
from webqq_tornado.auth import Auth
from webqq_tornado.cli.http_options import HTTPOptions, http_options, take_http_options

HERE, THERE = "http://here.test/a", "http://there.test/"


def given(*words: str) -> HTTPOptions:
    """The options of a command line."""
    found = []

    @click.command()
    @http_options()
    def command(**choices: object) -> None:
        found.append(take_http_options(choices))

    result = CliRunner().invoke(command, words)
    assert result.exit_code == 0, result.output
    return found[0]


def sent(options: HTTPOptions, url: str, *hosts: str) -> Request:
    auth = options.stream_arguments(hosts)["auth"]
    assert isinstance(auth, Auth)
    return auth.apply(Request(url, headers={"Accept": "a/b", "X-Mine": "1"}))


def test_a_header_goes_everywhere_and_a_secret_one_to_the_hosts_that_were_named():
    options = given("-H", "Accept: text/x", "-H", "X-Api-Key: swordfish")
    here, there = sent(options, HERE, HERE), sent(options, THERE, HERE)
    assert dict(here.header_pairs) == {"Accept": "text/x", "X-Mine": "1", "X-Api-Key": "swordfish"}
    assert dict(there.header_pairs) == {"Accept": "text/x", "X-Mine": "1"}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_credentials_come_from_the_first_line_of_a_file(tmp_path: Path, mark: str, end: str):
    file = tmp_path / "secret"
    file.write_text(f"{mark}ann:sw:ord{end}", newline="")
    here = sent(given("--basic-file", str(file)), HERE, HERE)
    assert (here.auth_username, here.auth_password) == ("ann", "sw:ord")
    bearer = given("--bearer-file", str(file))
    assert ("Authorization", "Bearer ann:sw:ord") in sent(bearer, HERE, HERE).header_pairs
    there = sent(bearer, THERE, HERE)
    assert "Authorization" not in dict(there.header_pairs)


def test_without_a_named_host_they_are_for_the_first_that_is_asked():
    auth = given("-H", "Authorization: x").stream_arguments()["auth"]
    assert "Authorization" in dict(auth.apply(Request(HERE)).header_pairs)
    assert "Authorization" not in dict(auth.apply(Request(THERE)).header_pairs)


def test_headers_may_stand_in_a_file(tmp_path: Path):
    file = tmp_path / "headers"
    file.write_text("Accept: text/x\n\nX-Two: 2\n")
    assert given("-H", f"@{file}").headers == (("Accept", "text/x"), ("X-Two", "2"))


def test_the_rest_are_arguments_of_a_stream(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("")
    words = ("--ca", str(tmp_path / "ca.pem"), "--proxy", "", "--timeout", "3", "--retries", "0")
    assert given(*words).stream_arguments() == {
        "retry": None,
        "defaults": {
            "ca_certs": str(tmp_path / "ca.pem"),
            "proxy": "",
            "request_timeout": 3.0,
            "connect_timeout": 3.0,
        },
    }
    assert given("--retries", "2").stream_arguments()["retry"] is not None
    assert given().stream_arguments() == {"defaults": {}}
