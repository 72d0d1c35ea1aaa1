"""The sign-in of clients of 2013 to 2018, request by request, with `requests` as they used it.

Their addresses, arguments, order, and what they look for in the answers; not their code.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any
from urllib.parse import quote, urlencode

import requests

from webqq_tornado.protocol import hashes

LOGIN_PAGE = (
    "https://ui.ptlogin2.qq.com/cgi-bin/login?daid=164&target=self&style=16&mibao_css=m_webqq"
    "&appid=501004106&enable_qlogin=0&no_verifyimg=1&s_url=http%3A%2F%2Fw.qq.com%2Fproxy.html"
    "&f_url=loginerroralert&strong_login=1&login_state=10&t=20131024001"
)
STATE = (
    "https://ssl.ptlogin2.qq.com/ptqrlogin?{token}webqq_type=10&remember_uin=1&login2qq=1"
    "&aid=501004106&u1=http%3A%2F%2Fw.qq.com%2Fproxy.html%3Flogin2qq%3D1%26webqq_type%3D10"
    "&ptredirect=0&ptlang=2052&daid=164&from_ui=1&pttype=1&dumy=&fp=loginerroralert"
    "&action=0-0-{action}&mibao_css=m_webqq&t=undefined&g=1&js_type=0&js_ver={version}"
    "&login_sig={login_sig}&pt_randsalt=0"
)
REFERER_D1 = "http://d1.web2.qq.com/proxy.html?v=20151105001&callback=1&id=2"
REFERER_S = "http://s.web2.qq.com/proxy.html?v=20130916001&callback=1&id=1"


class OldClient:
    """What they have in common.

    Args:
        session: cookies, and the way to the server.
    """

    def __init__(self, session: requests.Session) -> None:
        self.session = session

    def get(self, url: str, referer: str = LOGIN_PAGE, **options: Any) -> requests.Response:
        headers = {"Referer": referer}
        return self.session.get(url, headers=headers, timeout=90, **options)

    def result(self, url: str, r: object = None, referer: str = REFERER_D1) -> Any:
        """Of a JSON answer; retcode has to be 0."""
        if r is None:
            reply = self.get(url, referer)
        else:
            headers = {"Referer": referer, "Origin": referer.partition("/proxy")[0]}
            data = {"r": r if isinstance(r, str) else json.dumps(r)}
            reply = self.session.post(url, data=data, headers=headers, timeout=90)
        answer = json.loads(reply.content)
        assert answer["retcode"] == 0, answer
        return answer["result"]

    def login2(self, ptwebqq: str) -> Any:
        r = {"ptwebqq": ptwebqq, "clientid": 53999199, "psessionid": "", "status": "online"}
        return self.result("http://d1.web2.qq.com/channel/login2", r)

    def vfwebqq(self, ptwebqq: str) -> str:
        url = (
            f"http://s.web2.qq.com/api/getvfwebqq?ptwebqq={ptwebqq}"
            f"&clientid=53999199&psessionid=&t={random.random()}"
        )
        return str(self.result(url, referer=REFERER_S)["vfwebqq"])

    def friends(self, uin: int, ptwebqq: str, vfwebqq: str) -> list[str]:
        """The nicks."""
        r = {"vfwebqq": vfwebqq, "hash": hashes.eqq_hash(uin, ptwebqq)}
        found = self.result("http://s.web2.qq.com/api/get_user_friends2", r, REFERER_S)
        return [info["nick"] for info in found["info"]]


class QQBot(OldClient):
    """qqbot 2017."""

    def prepare(self) -> None:
        self.session.headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        self.get(LOGIN_PAGE)
        # It begins with cookies of its author's, and asks about a code that it has not shown.
        mine = {"RK": "OfeLBai4FB", "pgv_info": "ssid pgv_pvid=1051433466", "ptcz": "ad3bf14f"}
        self.session.cookies.update({**mine, "qrsig": "hJ9GvNx*oIvLjP5I5dQ19KPa3zwxNI"})
        assert "二维码已失效" in self.state()
        self.session.cookies.pop("qrsig")

    def show(self) -> bytes:
        url = "https://ssl.ptlogin2.qq.com/ptqrshow?appid=501004106&e=0&l=M&s=5&d=72&v=4&t=0.3"
        return self.get(url).content

    def state(self) -> str:
        token = f"ptqrtoken={hashes.hash33(self.session.cookies['qrsig'])}&"
        action = random.random() * 900000 + 1000000
        url = STATE.format(token=token, action=action, version=10141, login_sig="")
        return self.get(url).content.decode()

    def enter(self) -> dict[str, Any]:
        """After the confirmation: who is in, and with whom as friends."""
        text = self.state()
        assert "登录成功" in text
        items = text.split(",")
        qq = int(self.session.cookies["superuin"][1:])
        self.session.get(items[2].strip().strip("'"), timeout=90)
        ptwebqq = self.session.cookies["ptwebqq"]  # fails if it is there for two domains
        vfwebqq = self.vfwebqq(ptwebqq)
        session = self.login2(ptwebqq)
        assert self.session.cookies["skey"]
        url = (
            "http://d1.web2.qq.com/channel/get_online_buddies2?"
            f"vfwebqq={vfwebqq}&clientid=53999199&psessionid={session['psessionid']}&t=0.5"
        )
        self.result(url)
        friends = self.friends(session["uin"], ptwebqq, vfwebqq)
        return {"qq": qq, "nick": items[-1].split("'")[1], "friends": friends}

    def ask_qun(self, url: str, bkn: int | None = None, **data: object) -> dict[str, Any]:
        """One of the lists with public numbers."""
        proof = hashes.bkn(self.session.cookies["skey"]) if bkn is None else bkn
        headers = {"Referer": "http://qun.qq.com/member.html"}
        reply = self.session.post(url, data={**data, "bkn": proof}, headers=headers, timeout=90)
        answer: dict[str, Any] = reply.json()
        return answer


class SmartQQBot(OldClient):
    """SmartQQBot 2016: it sends no token, and logs in by cookies first."""

    def show(self) -> bytes:
        page = self.get(LOGIN_PAGE).text
        self.appid = self._find(r'<input type="hidden" name="aid" value="(\d+)" />', page)
        self.login_sig = self._find(r'g_login_sig=encodeURIComponent\("(.*?)"\)', page)
        self.version = self._find(r'g_pt_version=encodeURIComponent\("(\d+)"\)', page)
        assert self._find(r'g_mibao_css=encodeURIComponent\("(.+?)"\)', page) == "m_webqq"
        url = f"https://ssl.ptlogin2.qq.com/ptqrshow?appid={self.appid}&e=0&l=L&s=8&d=72&v=4"
        return self.get(url).content

    def _find(self, pattern: str, page: str) -> str:
        (found,) = re.findall(pattern, page)
        return str(found)

    def state(self) -> tuple[int, list[str]]:
        url = STATE.format(
            token="", action=1000, version=self.version, login_sig=self.login_sig
        ).replace("&pt_randsalt=0", "")
        text = self.get(url).text
        return int(re.findall(r"\d+", text)[0]), re.findall(r"(http.*?)\'", text)

    def cookie(self, name: str) -> str:
        return next((str(each.value) for each in self.session.cookies if each.name == name), "")

    def enter_by_cookies(self) -> dict[str, Any]:
        ptwebqq = self.cookie("ptwebqq")
        r = f'{{"ptwebqq":"{ptwebqq}","clientid":53999199,"psessionid":"","status":"online"}}'
        session = self.result("http://d1.web2.qq.com/channel/login2", r, REFERER_S)
        vfwebqq = self.vfwebqq(ptwebqq)
        friends = self.friends(session["uin"], ptwebqq, vfwebqq)
        return {"qq": session["uin"], "friends": friends}


class MojoWebqq(OldClient):
    """Mojo-Webqq 2018: https, and what it looks for by number."""

    def show(self) -> bytes:
        self.session.get("http://w.qq.com/", timeout=90)
        page = self.get(LOGIN_PAGE, "http://w.qq.com/").text
        names = "g_pt_version|g_login_sig|g_style|g_mibao_css|g_daid|g_appid"
        self.page = dict(re.findall(rf'var\s*({names})\s*=\s*encodeURIComponent\("(.*?)"\)', page))
        assert self.session.cookies["pt_login_sig"] == self.page["g_login_sig"]
        url = f"https://ssl.ptlogin2.qq.com/ptqrshow?appid={self.page['g_appid']}&e=0&l=M&s=5"
        return self.get(f"{url}&d=72&v=4&t=0.5").content

    def state(self) -> list[str]:
        token = f"ptqrtoken={hashes.hash33(self.session.cookies['qrsig'])}&"
        version = self.page["g_pt_version"]
        url = STATE.format(token=token, action="23-19230", version=version, login_sig="")
        return re.findall("'(.*?)'", self.get(url).text)

    def enter(self, check_sig: str) -> dict[str, Any]:
        account = int(self.session.cookies["uin"][1:])
        self.session.get(check_sig, timeout=90)
        ptwebqq = self.session.cookies["ptwebqq"]
        vfwebqq = self.vfwebqq(ptwebqq)
        session = self.login2(ptwebqq)
        assert session["uin"] == account
        # It copies these two to w.qq.com itself.
        assert {"p_skey", "p_uin"} <= set(self.session.cookies.get_dict(".web2.qq.com"))
        self.known = {"vfwebqq": vfwebqq, "hash": hashes.eqq_hash(account, ptwebqq)}
        return {"qq": account, "friends": self.friends(account, ptwebqq, vfwebqq)}

    def groups(self) -> list[str]:
        """The names; it sends the form of a POST as the query of a GET."""
        query = urlencode({"r": json.dumps(self.known)})
        url = f"https://s.web2.qq.com/api/get_group_name_list_mask2?{query}"
        return [group["name"] for group in self.result(url, referer=REFERER_S)["gnamelist"]]

    def enter_again(self) -> dict[str, Any]:
        """With the cookies of last time."""
        address = "https://ssl.ptlogin2.qq.com/pt4_auth?daid=164&appid=501004106&auth_token=1"
        code, check_sig = re.findall("'(.*?)'", self.get(address).text)
        assert code == "0"
        assert re.match(r"^https?://[^/]+\.qq\.com/check_sig", check_sig)
        s_url = "&regmaster=&aid=501004106&s_url=http%3A%2F%2Fw.qq.com%2Fproxy.html"
        return self.enter(check_sig + s_url)


class SmartQQJava(OldClient):
    """smartqq (Java) 2017: it looks for words, and at the cookies of where it was led to."""

    def show(self) -> bytes:
        url = "https://ssl.ptlogin2.qq.com/ptqrshow?appid=501004106&e=0&l=M&s=5&d=72&v=4&t=0.1"
        return self.session.get(url, timeout=90).content

    def state(self) -> str:
        url = STATE.format(token="", action=2146, version=10184, login_sig="")
        return self.get(url).text

    def enter(self, state: str) -> dict[str, Any]:
        assert "成功" in state
        (url,) = [part for part in state.split("','") if part.startswith("http")]
        reply = self.session.get(url, timeout=90)
        assert reply.url == "http://w.qq.com/proxy.html?login2qq=1&webqq_type=10"
        sent_there = requests.cookies.get_cookie_header(
            self.session.cookies, requests.Request("GET", reply.url).prepare()
        )
        assert sent_there
        ptwebqq = re.findall(r"ptwebqq=(\w+)", sent_there)[0]
        vfwebqq = self.vfwebqq(ptwebqq)
        session = self.login2(ptwebqq)
        assert session["status"] == "online"
        return {"qq": session["uin"], "friends": self.friends(session["uin"], ptwebqq, vfwebqq)}


class SmartQQClient(OldClient):
    """python-smartqq-client 2017: it cuts answers at fixed places, and forgot an ampersand."""

    def show(self) -> bytes:
        url = "https://ssl.ptlogin2.qq.com/ptqrshow?appid=501004106&e=0&l=M&s=5&d=72&v=4&t=0.1"
        return self.session.get(url, timeout=90).content

    def enter(self) -> dict[str, Any]:
        """After the confirmation."""
        token = f"ptqrtoken={hashes.hash33(self.session.cookies['qrsig'])}&"
        data = self.get(STATE.format(token=token, action=1e6, version=10141, login_sig="")).content
        values = data.decode().split(",")
        self.session.get(values[2][1:-1], timeout=90)
        ptwebqq = self.session.cookies.get("ptwebqq")
        url = "http://s.web2.qq.com/api/getvfwebqq?ptwebqq="
        tail = "&clientid=53999199psessionid=&t=0.1"
        vfwebqq = self.result(f"{url}{ptwebqq}{tail}", referer=REFERER_S)["vfwebqq"]
        session = self.login2(ptwebqq)
        friends = self.friends(session["uin"], ptwebqq, vfwebqq)
        return {"qq": session["uin"], "nick": values[-1][2:-5], "friends": friends}


class NodeClient(OldClient):
    """One for Node, 2017: it has no ptwebqq, and says nothing of the type of its login's form.

    Args:
        session: cookies, and the way to the server.
        content_type: of that form; node-smartqq said text/plain.
    """

    def __init__(self, session: requests.Session, content_type: str | None) -> None:
        super().__init__(session)
        self.content_type = content_type

    def show(self) -> bytes:
        url = "https://ssl.ptlogin2.qq.com/ptqrshow?appid=501004106&e=2&l=M&s=3&d=72&v=4&t=0.1"
        return self.session.get(f"{url}&daid=164&pt_3rd_aid=0", timeout=90).content

    def enter(self) -> dict[str, Any]:
        """After the confirmation."""
        token = hashes.hash33(self.session.cookies["qrsig"])
        url = (
            "https://ssl.ptlogin2.qq.com/ptqrlogin?u1=http%3A%2F%2Fw.qq.com%2Fproxy.html"
            f"&ptqrtoken={token}&ptredirect=0&h=1&t=1&g=1&from_ui=1&ptlang=2052&action=0-0-1&"
            "js_ver=10230&js_type=1&login_sig=&pt_uistyle=40&aid=501004106&daid=164&"
        )
        value = r"\s*'(.*?)'"
        found = re.match(
            rf"ptuiCB\({','.join([value] * 6)}\)",
            self.session.get(url, timeout=90).content.decode(),
        )
        assert found
        code, _, check_sig, _, _, nick = found.groups()
        assert code == "0"
        path = check_sig[check_sig.rindex("/") :]
        self.session.get(f"http://ptlogin2.web2.qq.com{path}", allow_redirects=False, timeout=90)
        vfwebqq = self.vfwebqq("")
        r = {"ptwebqq": "", "clientid": 53999199, "psessionid": "", "status": "online"}
        body = quote(f"r={json.dumps(r)}", safe=";,/?:@&=+$#-_.!~*'()")
        headers = {"Referer": REFERER_D1, "Content-Type": self.content_type}
        url = "http://d1.web2.qq.com/channel/login2"
        reply = self.session.post(url, data=body, headers=headers, timeout=90)
        assert reply.request.headers.get("Content-Type") == self.content_type
        session = json.loads(reply.content)["result"]
        friends = self.friends(session["uin"], "", vfwebqq)
        return {"qq": session["uin"], "nick": nick, "friends": friends}


class PyWebQQ(OldClient):
    """pywebqq 2014: a password; it evaluates what is between fixed places."""

    page = LOGIN_PAGE.replace("style=16", "style=5").replace("501004106", "1003903")

    def enter(self, account: int, password: str) -> dict[str, Any]:
        url = (
            f"https://ssl.ptlogin2.qq.com/check?uin={account}&appid=1003903&js_ver=10079&js_type=0"
            "&login_sig=x&u1=http%3A%2F%2Fweb2.qq.com%2Floginproxy.html&r=0.3"
        )
        values = self.get(url, self.page).text.split(",")
        assert values[0][-2:-1] == "0"
        code, salt = values[1][1:-1], values[2].split("'")[1]
        p = hashes.password_hash(password, bytes.fromhex(salt.replace("\\x", "")), code)
        url = (
            f"https://ssl.ptlogin2.qq.com/login?u={account}&p={p}&verifycode={code}&webqq_type=10"
            "&remember_uin=1&login2qq=0&aid=1003903&h=1&ptredirect=0&ptlang=2052&daid=164"
            "&u1=http%3A%2F%2Fweb2.qq.com%2Floginproxy.html%3Flogin2qq%3D0%26webqq_type%3D10"
            "&from_ui=1&pttype=1&dumy=&fp=loginerroralert&action=4-19-23387&mibao_css=m_webqq&t=1"
            "&g=1&js_type=0&js_ver=10079&login_sig=x&pt_uistyle=5"
        )
        text = self.get(url, self.page).content.decode()
        retcode, _, check_sig, _, _, nick = eval(text[6:-3])
        assert retcode == "0"
        answer = self.get(check_sig, self.page, allow_redirects=False)
        assert answer.text.strip() == "0"
        r = {"status": "online", "passwd_sig": "", "clientid": "12345678", "psessionid": None}
        r["ptwebqq"] = self.session.cookies["ptwebqq"]
        referer = "http://d.web2.qq.com/proxy.html?v=20110331002&callback=1&id=3"
        session = self.result("http://d.web2.qq.com/channel/login2", r, referer)
        return {"qq": session["uin"], "nick": nick}


class XhanQQBot(OldClient):
    """xhan/qqbot 2015: cookies cut at the blank by hand, and check_sig by http, without any."""

    def __init__(self, session: requests.Session) -> None:
        super().__init__(session)
        self.lines: list[str] = []  # of Set-Cookie

    def fetch(self, url: str, cookie: str = "", **options: Any) -> requests.Response:
        self.session.cookies.clear()
        headers = {"Cookie": cookie, "Referer": "http://d.web2.qq.com/proxy.html?v=20110331002"}
        method = "POST" if "data" in options else "GET"
        options |= {"headers": headers, "timeout": 90, "allow_redirects": False}
        return self.session.request(method, url, **options)

    def keep(self, reply: requests.Response) -> None:
        self.lines += reply.raw.headers.getlist("Set-Cookie")

    def show(self) -> bytes:
        self.keep(self.fetch(LOGIN_PAGE))
        assert self.state()[0] == "65"  # about a code that it has not shown
        reply = self.fetch("https://ssl.ptlogin2.qq.com/ptqrshow?appid=501004106&e=0&l=M&s=5")
        self.keep(reply)
        return reply.content

    def state(self) -> list[str]:
        url = STATE.format(token="", action=1234567.8, version=10138, login_sig="")
        own = "".join(line.split(" ")[0] for line in self.lines)
        reply = self.fetch(url, f"{own}RK=OfeLBai4FB; superuin=o3136623241; qrsig=hJ9GvNx*oIvLjP5I")
        if lines := reply.raw.headers.getlist("Set-Cookie"):
            self.lines = lines
        return [text[1:-1] for text in re.findall(r"'.*?'", reply.content.decode())]

    def enter(self) -> dict[str, Any]:
        code, _, check_sig, *_ = self.state()
        assert code == "0", (code, self.lines)
        assert check_sig.startswith("http:")  # node's http takes no other
        self.keep(self.fetch(check_sig))
        last = [line for line in self.lines if "ptwebqq" in line][-1]
        r = {"status": "online", "clientid": "12345678", "psessionid": None}
        r["ptwebqq"] = re.sub("ptwebqq=(.*?);.*", r"\1", last)
        form = {"r": json.dumps(r)}
        url = "http://d.web2.qq.com/channel/login2"
        result = json.loads(self.fetch(url, "; ".join(self.lines), data=form).content)["result"]
        r = {"vfwebqq": result["vfwebqq"], "hash": hashes.eqq_hash(result["uin"], r["ptwebqq"])}
        form = {"r": json.dumps(r)}
        url = "http://s.web2.qq.com/api/get_user_friends2"
        found = json.loads(self.fetch(url, "; ".join(self.lines), data=form).content)["result"]
        return {"qq": result["uin"], "friends": [info["nick"] for info in found["info"]]}


class Pual(OldClient):
    """pual_bot 2013 and twqq 2014: a password, and three values from check."""

    page = LOGIN_PAGE.replace("style=16", "style=5").replace("501004106", "1003903")

    def sign(self) -> str:
        html = self.get(self.page).text
        (sig,) = re.findall(r'var g_login_sig=encodeURIComponent\("(.*?)"\);', html)
        return str(sig)

    def check(self, account: int) -> tuple[str, str, bytes]:
        url = (
            f"http://check.ptlogin2.qq.com/check?uin={account}&appid=1003903"
            "&u1=http%3A%2F%2Fweb2.qq.com%2Floginproxy.html"
            f"&login_sig={self.sign()}&js_ver=10040&js_type=0&r=0.2"
        )
        text = self.get(url, self.page).text.strip().rstrip(";")
        values: tuple[str, str, str] = eval(
            text, {"ptui_checkVC": lambda r, vcode, uin: (r, vcode, uin)}
        )
        return values[0], values[1], values[2].encode("latin-1")

    def picture(self, account: int) -> bytes:
        url = f"https://ssl.captcha.qq.com/getimage?aid=1003903&r=0.5&uin={account}"
        return self.session.get(url, timeout=90).content

    def login(self, account: int, p: str, code: str) -> str:
        url = (
            f"https://ssl.ptlogin2.qq.com/login?u={account}&p={p}&verifycode={code}&webqq_type=10"
            "&remember_uin=1&login2qq=1&aid=1003903&h=1&action=-8247&ptredirect=0&ptlang=2052"
            "&u1=http%3A%2F%2Fwww.qq.com%2Floginproxy.html%3Flogin2qq%3D1%26webqq_type%3D10"
            "&from_ui=1&daid=164&pttype=1&dumy=&fp=loginerroralert&mibao_css=m_webqq&t=1&g=1"
            "&js_type=0&js_ver=10040&login_sig="
        )
        return self.get(url, self.page).content.decode().strip().rstrip(";")

    def enter(self, account: int, password: str) -> dict[str, Any]:
        code, vcode, salt = self.check(account)
        assert code == "0"
        text = self.login(account, hashes.password_hash(password, salt, vcode), vcode)
        assert len(eval(text, {"ptuiCB": lambda *values: values})) == 6
        ptwebqq = self.session.cookies.get("ptwebqq", domain=".qq.com")
        (location,) = re.findall(r"ptuiCB\('0','0','(.*)','0',", text)
        while True:
            reply = self.get(location, self.page, allow_redirects=False)
            if reply.status_code != 302:
                break
            location = reply.headers["Location"]
        r = (
            f'{{"status":"online","ptwebqq":"{ptwebqq}","passwd_sig":"",'
            '"clientid":"12345678","psessionid":null}'
        )
        referer = "https://d.web2.qq.com/cfproxy.html?v=20110331002&callback=1"
        reply = self.session.post(
            "http://d.web2.qq.com/channel/login2",
            data={"r": r, "clientid": 12345678, "psessionid": "null"},
            headers={"Referer": referer, "Origin": "http://d.web2.qq.com"},
            timeout=90,
        )
        result = json.loads(reply.content)["result"]
        friends = self.result(
            "http://s.web2.qq.com/api/get_user_friends2",
            {"h": "hello", "vfwebqq": result["vfwebqq"]},
            "http://s.web2.qq.com/proxy.html?v=20110412001&callback=1&id=1",
        )
        return {"qq": result["uin"], "friends": [info["nick"] for info in friends["info"]]}
