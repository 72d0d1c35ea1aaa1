"""What nobody's client sends: the way in refuses it, and breaks nothing.

A failure of ours would be logged as an error, which fails any test (see `conftest`).
"""

from __future__ import annotations

import asyncio

import pytest
from servers.town import Town

PATHS = (
    "/cgi-bin/login",
    "/cgi-bin/xlogin",
    "/login.html",
    "/check",
    "/getimage",
    "/login",
    "/check_sig",
    "/pt4_auth",
    "/ptqrshow",
    "/ptqrlogin",
    "/logout",
    "/api/getvfwebqq",
)
QUERIES = (
    "",
    "uin=&u=&p=&verifycode=&ptqrtoken=",
    "uin=-1&u=-1&p=x&verifycode=!ABC&ptqrtoken=-2&s=0&l=Z",
    "uin=99999999999999999999&u=99999999999999999999&p=x&verifycode=x&ptqrtoken=9e9",
    "uin=%ff%fe&u=%ff&p=%ff&verifycode=%ff&u1=%ff&s_url=%ff&appid=%ff&ptqrtoken=%ff&s=%ff",
    "uin=10001&u=10001&p=%C3%A9&verifycode=%C3%A9&s_url=http://[&u1=http://[",
    "appid=%22%29%3Balert%281%29&mibao_css=%3C/script%3E&s_url=%22%3E%3Cscript%3E",
    "uin=10001&uin=x&u=10001&u=x&p=x&p=y&verifycode=1&verifycode=2&ptqrtoken=1&ptqrtoken=2",
)


async def _raw(town: Town, path: str, cookie: str, host: str = "ssl.ptlogin2.qq.com") -> str:
    """The head of an answer, and what of the body came with it; the bytes are sent as they are."""
    reader, writer = await asyncio.open_connection("127.0.0.1", town.port)
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    return answer.decode("utf-8", "replace")


@pytest.mark.parametrize("query", QUERIES)
async def test_queries_of_nobodys_client_are_answered_and_nothing_breaks(query):
    async with Town() as town:
        for path in PATHS:
            answer = await _raw(town, f"{path}?{query}", "qrsig=x; verifysession=x; ptwebqq=x")
            assert answer.startswith(("HTTP/1.1 200", "HTTP/1.1 302", "HTTP/1.1 40")), path
            assert "<script>alert" not in answer
            assert '");alert' not in answer


@pytest.mark.parametrize(
    "value", ['"a\\015\\012Set-Cookie: b=c"', '"a\\073 Domain=b"', "é", "x" * 1000, '"', "\\t"]
)
async def test_check_sig_gives_back_no_cookie_that_is_not_ours(value):
    async with Town() as town:
        answer = await _raw(town, "/check_sig", f"ptwebqq={value}; uin={value}", "127.0.0.1")
    assert answer.startswith("HTTP/1.1 302")
    assert "Set-Cookie: ptwebqq=; PATH=/;\r\n" in answer
    assert "Set-Cookie: p_uin=; PATH=/;\r\n" in answer


@pytest.mark.parametrize(
    ("asked", "led_to"),
    [
        ("http://w.qq.com/%0d%0aSet-Cookie:%20b=c", "http://w.qq.com/%0D%0ASet-Cookie:%20b=c"),
        ("http://w.qq.com/%e4%b8%ad?a=%25e4", "http://w.qq.com/%E4%B8%AD?a=%e4"),
        (
            "http%3A%2F%2Fw.qq.com%2Fproxy.html%3Fa%3D1%26b%3D2",
            "http://w.qq.com/proxy.html?a=1&b=2",
        ),
    ],
)
async def test_check_sig_leads_to_an_address_that_fits_into_a_header(asked, led_to):
    async with Town() as town:
        answer = await _raw(town, f"/check_sig?s_url={asked}", "", "ptlogin4.web2.qq.com")
    assert answer.startswith("HTTP/1.1 302")
    assert f"\r\nLocation: {led_to}\r\n" in answer


@pytest.mark.parametrize(
    "path", ["/login", "/login?u=x&p=y&verifycode=z", "/ptqrlogin?ptqrtoken=x"]
)
async def test_a_login_that_cannot_be_read_is_7(path):
    async with Town() as town:
        answer = await _raw(town, path, "qrsig=x")
    words = "很遗憾，网络连接出现异常，请您稍后再试。"
    assert answer.endswith(f"ptuiCB('7','0','','0','{words}', '');\r\n")


@pytest.mark.parametrize("host", ['127.0.0.1"><x', "x@127.0.0.1", "127.0.0.1:99999", "[::1", ""])
async def test_a_host_header_is_given_back_by_its_name_and_port_alone(host):
    async with Town() as town:
        answer = await _raw(town, "/login.html", "", host)
    assert "x@" not in answer
    assert '"><x' not in answer
    assert "99999" not in answer


async def test_a_flood_of_qr_codes_costs_those_of_its_own_address_alone():
    async with Town() as town:
        other = town.server.qr.new("192.0.2.8")
        codes = [town.server.qr.new("192.0.2.7") for _ in range(1100)]
        waiting = town.server.qr.all_waiting()
    assert len(waiting) == 201
    assert {other.id, codes[-1].id} <= {code.id for code in waiting}


@pytest.mark.parametrize("referer", ["http://[", "//", "x" * 1000, "é"])
async def test_a_referer_that_is_no_address_is_refused(referer):
    async with Town() as town:
        cookie = f"a=b\r\nReferer: {referer}"
        answer = await _raw(town, "/api/getvfwebqq?clientid=1", cookie)
    assert answer.endswith('{"retcode":103,"errmsg":"referer"}')
