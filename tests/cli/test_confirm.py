"""`python -m webqq_tornado confirm` against a server that runs elsewhere."""

from __future__ import annotations

import http.cookiejar
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.processes import running
from servers.town import PASSWORD

from webqq_tornado.cli.pictures import qr_number
from webqq_tornado.protocol.hashes import hash33

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("servers.webqq", str(tmp_path_factory.mktemp("server"))) as server:
        yield f"http://127.0.0.1:{server['port']}"


class QRClient:
    """A program that shows a QR code."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.opener.addheaders = [("User-Agent", name)]
        self.number = qr_number(self._get("/ptqrshow?appid=501004106&t=0.1"))

    @property
    def state(self) -> str:
        (qrsig,) = [cookie.value for cookie in self.jar if cookie.name == "qrsig"]
        return self._get(f"/ptqrlogin?ptqrtoken={hash33(qrsig or '')}&action=0-0-1").decode()

    def _get(self, path: str) -> bytes:
        with self.opener.open(self.url + path, timeout=90) as answer:
            reply: bytes = answer.read()
        return reply


def confirm(
    url: str, tmp_path: Path, *options: str, account: int = 10001, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "password"
    file.write_text(f"{password}\n", encoding="utf-8")
    command = [sys.executable, "-m", "webqq_tornado", "confirm", "--server", url]
    command += ["--account", str(account), "--password-file", str(file), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_the_newest_client_is_let_in(url: str, tmp_path: Path) -> None:
    older, newer = QRClient(url, "older"), QRClient(url, "newer 1.0")
    done = confirm(url, tmp_path)
    assert (done.stdout, done.returncode) == (
        "The client at 127.0.0.1 (newer 1.0) is signed in as Ann (10001).\n",
        0,
    )
    assert "'登录成功！', 'Ann');" in newer.state
    assert older.state.startswith("ptuiCB('66'")
    confirm(url, tmp_path, "--refuse")


def test_a_code_is_named_by_the_number_below_it(url: str, tmp_path: Path) -> None:
    older, newer = QRClient(url, "older"), QRClient(url, "newer")
    done = confirm(url, tmp_path, "--number", older.number)
    assert "'登录成功！', 'Ann');" in older.state
    assert newer.state.startswith("ptuiCB('66'")
    assert f"(older) shows the number {older.number}." in done.stderr
    confirm(url, tmp_path, "--refuse")


def test_a_number_that_no_code_has_is_named(url: str, tmp_path: Path) -> None:
    client = QRClient(url, "some")
    other = "10" if client.number != "10" else "11"
    done = confirm(url, tmp_path, "--number", other)
    assert done.stderr.startswith(f"Error: no QR code with the number {other} waits at {url}")
    assert done.returncode == 1
    confirm(url, tmp_path, "--refuse")


def test_a_client_can_be_refused(url: str, tmp_path: Path) -> None:
    client = QRClient(url, "some")
    done = confirm(url, tmp_path, "--refuse")
    assert done.stdout == "The client at 127.0.0.1 (some) was refused.\n"
    assert client.state.startswith("ptuiCB('65'")


def test_it_waits_for_a_code_when_told_to(url: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    command = [sys.executable, "-m", "webqq_tornado", "confirm", "--server", url, "--verbose"]
    command += ["--account", "10001", "--password-file", str(file), "--wait", "20"]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, **both) as process:
        assert process.stdout
        while "/page/qr" not in process.stdout.readline():  # it has looked in vain
            assert process.poll() is None
        client = QRClient(url, "late")
        assert "is signed in as Ann" in process.stdout.read()
    assert "'登录成功！'" in client.state


def test_where_no_code_waits_it_says_so(url: str, tmp_path: Path) -> None:
    done = confirm(url, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: no QR code waits at {url}: let the client show one")


def test_a_wrong_password_is_told(url: str, tmp_path: Path) -> None:
    done = confirm(url, tmp_path, password="wrong")
    assert done.stderr == f"Error: {url} says: Wrong account or password\n"
    assert done.returncode == 1


def test_a_file_that_is_given_counts_more_than_a_password_that_is_known(
    url: str, tmp_path: Path
) -> None:
    known = {"account": 10001, "password": PASSWORD, "nick": "Ann"}
    accounts = json.dumps({"bot": known, "user": known})
    (tmp_path / "accounts.json").write_text(accounts, encoding="utf-8")
    (tmp_path / "server.url").write_text(url, encoding="utf-8")
    done = confirm(url, tmp_path, "--state-dir", str(tmp_path), password="wrong")
    assert done.stderr == f"Error: {url} says: Wrong account or password\n"


def test_where_no_server_listens_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = confirm("http://127.0.0.1:9", tmp_path)
    assert "start a server with `python -m webqq_tornado serve`" in done.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--server", "127.0.0.1:8100"], "give a URL such as http://127.0.0.1:8100"),
        ([], "give --account N"),
    ],
)
def test_what_is_missing_is_named(options: list[str], complaint: str, tmp_path: Path) -> None:
    account = ["--account", "1"] if options else []
    command = [sys.executable, "-m", "webqq_tornado", "confirm", *account, *options]
    command += ["--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert complaint in done.stderr
    assert done.returncode == 2
