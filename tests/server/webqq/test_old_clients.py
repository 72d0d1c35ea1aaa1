"""Clients of 2013 to 2018 sign in at the historical hosts, which lead to our server."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import urllib3.util.connection
import zxingcpp
from PIL import Image
from servers.oldclients import (
    MojoWebqq,
    NodeClient,
    Pual,
    PyWebQQ,
    QQBot,
    SmartQQBot,
    SmartQQClient,
    SmartQQJava,
    XhanQQBot,
)
from servers.processes import running
from servers.town import PASSWORD

ANN, BOB, EVE = 10001, 10002, 10003
SQUARE = 20001


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with running("servers.webqq", str(tmp_path_factory.mktemp("server"))) as server:
        yield server


@pytest.fixture
def url(server: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{server['port']}"


@pytest.fixture
def session(server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[requests.Session]:
    """What a hosts file, ports 80 and 443, and the CA do: all hosts are the server."""
    ports = {80: server["port"], 443: server["tls_port"]}
    connect = urllib3.util.connection.create_connection

    def connect_to_server(address: tuple[str, int], *args: Any, **options: Any) -> Any:
        return connect(("127.0.0.1", ports[address[1]]), *args, **options)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect_to_server)
    with requests.Session() as session:
        session.trust_env = False
        session.verify = server["authority"]
        yield session


class Phone:
    """Scans QR codes for somebody who is signed in on the page."""

    def __init__(self, url: str, account: int = ANN) -> None:
        self.url = url
        self.opener = urllib.request.build_opener()
        answer = self._post("/page/signin", {"account": account, "password": PASSWORD})
        self.opener.addheaders = [("Authorization", f"Bearer {json.loads(answer)['token']}")]

    def scan(self, picture: bytes) -> str:
        (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))
        (identifier,) = parse_qs(urlsplit(found.text).query)["qr"]
        self.opener.open(f"{self.url}/page/qr?id={identifier}", timeout=90).close()
        return identifier

    def decide(self, identifier: str, confirm: bool = True) -> None:
        self._post("/page/qr", {"id": identifier, "confirm": confirm})

    def _post(self, path: str, body: object) -> bytes:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with self.opener.open(request, timeout=90) as answer:
            said: bytes = answer.read()
        return said


@pytest.fixture
def phone(url: str) -> Phone:
    return Phone(url)


def test_qqbot_of_2017_signs_in(session: requests.Session, phone: Phone) -> None:
    client = QQBot(session)
    client.prepare()
    picture = client.show()
    assert "二维码未失效" in client.state()
    identifier = phone.scan(picture)
    assert "二维码认证中" in client.state()
    phone.decide(identifier)
    assert client.enter() == {"qq": ANN, "nick": "Ann", "friends": ["Bob"]}


def test_qqbot_shows_a_new_code_when_it_was_refused(
    session: requests.Session, phone: Phone
) -> None:
    client = QQBot(session)
    client.prepare()
    phone.decide(phone.scan(client.show()), confirm=False)
    assert "二维码已失效" in client.state()
    phone.decide(phone.scan(client.show()))
    assert client.enter()["qq"] == ANN


QUN = "http://qun.qq.com/cgi-bin/qun_mgr"


@pytest.fixture
def qqbot(session: requests.Session, phone: Phone) -> QQBot:
    """One that has signed in."""
    client = QQBot(session)
    client.prepare()
    phone.decide(phone.scan(client.show()))
    client.enter()
    return client


def test_qqbot_asks_for_the_numbers_of_friends(qqbot: QQBot) -> None:
    answer = qqbot.ask_qun(f"{QUN}/get_friend_list")
    assert answer == {"ec": 0, "result": {"0": {"mems": [{"name": "Bob", "uin": BOB}]}}}


def test_qqbot_asks_for_the_numbers_of_groups_and_members(qqbot: QQBot) -> None:
    answer = qqbot.ask_qun(f"{QUN}/get_group_list")
    assert answer == {"ec": 0, "create": [{"gc": SQUARE, "gn": "Square", "owner": ANN}]}
    answer = qqbot.ask_qun(f"{QUN}/search_group_members", gc=SQUARE, st=0, end=2000, sort=0)
    found = {(member["uin"], member["nick"], member["role"]) for member in answer["mems"]}
    assert found == {(ANN, "Ann", 0), (BOB, "Bob", 2), (EVE, "Eve", 2)}
    assert {str(member["lv"]["level"]) for member in answer["mems"]} <= set(answer["levelname"])
    assert answer["ec"] == 0
    assert answer["count"] == answer["search_count"] == 3


def test_qqbot_of_2018_asks_for_members_elsewhere(qqbot: QQBot) -> None:
    url = "https://qinfo.clt.qq.com/cgi-bin/qun_info/get_group_members_new"
    answer = qqbot.ask_qun(url, gc=SQUARE, u=ANN)
    assert answer["ec"] == 0
    assert answer["owner"] == ANN
    assert answer["friends"] == [BOB]
    assert {(each["u"], each["n"]) for each in answer["mems"]} == {
        (ANN, "Ann"),
        (BOB, "Bob"),
        (EVE, "Eve"),
    }


@pytest.mark.parametrize("path", ["search_group_members", "get_group_list", "get_friend_list"])
def test_qun_tells_nothing_without_proof(qqbot: QQBot, path: str) -> None:
    assert qqbot.ask_qun(f"{QUN}/{path}", bkn=1, gc=SQUARE) == {"ec": 4}


@pytest.mark.parametrize("group", ["", "x", "999", "9" * 30])
def test_qun_tells_nothing_of_other_groups(qqbot: QQBot, group: str) -> None:
    assert qqbot.ask_qun(f"{QUN}/search_group_members", gc=group)["ec"] == 7


def test_smartqqbot_of_2016_signs_in_and_again_by_its_cookies(
    session: requests.Session, phone: Phone
) -> None:
    client = SmartQQBot(session)
    picture = client.show()
    assert client.state() == (66, [])
    identifier = phone.scan(picture)
    assert client.state() == (67, [])
    phone.decide(identifier)
    code, urls = client.state()
    assert code == 0
    client.get(urls[0])
    for _ in range(2):
        assert client.enter_by_cookies() == {"qq": ANN, "friends": ["Bob"]}


def test_mojo_webqq_of_2018_signs_in_and_again_by_its_cookies(
    session: requests.Session, phone: Phone
) -> None:
    client = MojoWebqq(session)
    identifier = phone.scan(client.show())
    assert client.state()[0] == "67"
    phone.decide(identifier)
    code, _, check_sig, _, _, nick = client.state()
    assert (code, nick) == ("0", "Ann")
    for _ in range(2):
        assert client.enter(check_sig) == {"qq": ANN, "friends": ["Bob"]}
    assert client.enter_again() == {"qq": ANN, "friends": ["Bob"]}
    assert client.groups() == ["Square"]


def test_smartqq_in_java_signs_in(session: requests.Session, phone: Phone) -> None:
    client = SmartQQJava(session)
    identifier = phone.scan(client.show())
    assert "成功" not in client.state()
    phone.decide(identifier)
    assert client.enter(client.state()) == {"qq": ANN, "friends": ["Bob"]}


def test_xhan_qqbot_of_2015_signs_in(session: requests.Session, phone: Phone) -> None:
    client = XhanQQBot(session)
    phone.decide(phone.scan(client.show()))
    assert client.enter() == {"qq": ANN, "friends": ["Bob"]}


def test_pual_bot_of_2013_signs_in_by_password(session: requests.Session) -> None:
    assert Pual(session).enter(ANN, PASSWORD) == {"qq": ANN, "friends": ["Bob"]}


def test_pywebqq_of_2014_signs_in_by_password(session: requests.Session) -> None:
    assert PyWebQQ(session).enter(ANN, PASSWORD) == {"qq": ANN, "nick": "Ann"}


def test_python_smartqq_client_of_2017_signs_in(session: requests.Session, phone: Phone) -> None:
    client = SmartQQClient(session)
    phone.decide(phone.scan(client.show()))
    assert client.enter() == {"qq": ANN, "nick": "Ann", "friends": ["Bob"]}


@pytest.mark.parametrize("content_type", [None, "text/plain;charset=UTF-8"])
def test_clients_for_node_of_2017_sign_in(
    session: requests.Session, phone: Phone, content_type: str | None
) -> None:
    client = NodeClient(session, content_type)
    phone.decide(phone.scan(client.show()))
    assert client.enter() == {"qq": ANN, "nick": "Ann", "friends": ["Bob"]}


def test_twqq_of_2014_meets_a_captcha_and_reads_it_wrong(session: requests.Session) -> None:
    client = Pual(session)
    for _ in range(3):
        _, vcode, _ = client.check(BOB)
        assert client.login(BOB, "0" * 32, vcode).startswith("ptuiCB('3'")
    assert client.check(BOB)[0] == "1"
    assert client.picture(BOB).startswith(b"\xff\xd8\xff")
    assert client.login(BOB, "0" * 32, "xxxx").startswith("ptuiCB('4','0','','0','您输入的验证码")


def test_the_page_at_w_qq_com_leads_to_the_login_page(session: requests.Session) -> None:
    client = SmartQQBot(session)
    (address,) = [client._find(r'\.src = "(.+?)"', client.get("http://w.qq.com/login.html").text)]
    page = client.get(f"{address}0").text
    assert client._find(r'var g_appid =encodeURIComponent\("(\d+)"\);', page) == "501004106"
