"""Where the service lives: base addresses of its hosts, and the Referers it checks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

__all__ = [
    "APP_ID",
    "DAID",
    "LOGIN_REFERER",
    "ORIGIN_D",
    "ORIGIN_S",
    "REFERER_D",
    "REFERER_POLL",
    "REFERER_S",
    "REFERER_WEB",
    "SMARTQQ_APP_ID",
    "SMARTQQ_LOGIN_REFERER",
    "SMARTQQ_ORIGIN_D",
    "SMARTQQ_REFERER_D",
    "SMARTQQ_REFERER_S",
    "Endpoints",
]

APP_ID = 1003903
"""``appid`` and ``aid`` of WebQQ 3 (pual_bot 2013, twqq 2014)."""

ORIGIN_D = "http://d.web2.qq.com"
ORIGIN_S = "http://s.web2.qq.com"
REFERER_D = f"{ORIGIN_D}/proxy.html?v=20110331002&callback=1&id=3"
REFERER_POLL = f"{ORIGIN_D}/proxy.html?v=20110331002&callback=1&id=2"
REFERER_S = f"{ORIGIN_S}/proxy.html?v=20110412001&callback=1&id=3"
"""twqq 2014; pual_bot 2013 sent id=1."""
REFERER_WEB = "http://web.qq.com/"
LOGIN_REFERER = (
    "https://ui.ptlogin2.qq.com/cgi-bin/login?daid=164&target=self&style=5&mibao_css=m_webqq"
    f"&appid={APP_ID}&enable_qlogin=0&no_verifyimg=1"
    "&s_url=http%3A%2F%2Fweb2.qq.com%2Floginproxy.html&f_url=loginerroralert&strong_login=1"
    "&login_state=10&t=20130723001"
)
"""The address of the login page, Referer of the requests to ptlogin2 (twqq 2014)."""


DAID = 164
SMARTQQ_APP_ID = 501004106
"""``appid`` and ``aid`` of SmartQQ (qqbot 2017, Mojo-Webqq 2018)."""

SMARTQQ_ORIGIN_D = "http://d1.web2.qq.com"
SMARTQQ_REFERER_D = f"{SMARTQQ_ORIGIN_D}/proxy.html?v=20151105001&callback=1&id=2"
SMARTQQ_REFERER_S = f"{ORIGIN_S}/proxy.html?v=20130916001&callback=1&id=1"
SMARTQQ_LOGIN_REFERER = (
    f"https://ui.ptlogin2.qq.com/cgi-bin/login?daid={DAID}&target=self&style=16"
    f"&mibao_css=m_webqq&appid={SMARTQQ_APP_ID}&enable_qlogin=0&no_verifyimg=1"
    "&s_url=http%3A%2F%2Fw.qq.com%2Fproxy.html&f_url=loginerroralert&strong_login=1"
    "&login_state=10&t=20131024001"
)
"""The address of SmartQQ's login page, Referer of the requests to ptlogin2 (qqbot 2017)."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base addresses of the hosts of one server, scheme included, without a slash at the end.

    Args:
        check: ``check.ptlogin2.qq.com``.
        ssl: ``ssl.ptlogin2.qq.com``: login.
        ui: ``ui.ptlogin2.qq.com``: the login page.
        captcha: ``ssl.captcha.qq.com``.
        d: ``d.web2.qq.com``, in SmartQQ ``d1.web2.qq.com``: session, poll and send.
        s: ``s.web2.qq.com``: contacts.
        web: ``web.qq.com``: heartbeat.
        ptlogin: ``ptlogin2.qq.com``: logout of SmartQQ.

    Example:
        >>> Endpoints.at("http://127.0.0.1:8100").d
        'http://127.0.0.1:8100'
    """

    check: str
    ssl: str
    ui: str
    captcha: str
    d: str
    s: str
    web: str
    ptlogin: str

    @classmethod
    def historical(cls) -> Endpoints:
        """The hosts of WebQQ 3, 2012 to 2014."""
        return cls(
            check="http://check.ptlogin2.qq.com",
            ssl="https://ssl.ptlogin2.qq.com",
            ui="https://ui.ptlogin2.qq.com",
            captcha="https://ssl.captcha.qq.com",
            d=ORIGIN_D,
            s=ORIGIN_S,
            web="http://web.qq.com",
            ptlogin="https://ptlogin2.qq.com",
        )

    @classmethod
    def smartqq(cls) -> Endpoints:
        """The hosts of SmartQQ, 2015 to 2018."""
        return replace(cls.historical(), d=SMARTQQ_ORIGIN_D, web="http://w.qq.com")

    @classmethod
    def at(cls, base: str) -> Endpoints:
        """All hosts on one bare address; no path of one is a path of another.

        Args:
            base: For example ``http://127.0.0.1:8100``.
        """
        address = base.rstrip("/")
        return cls(*[address] * len(fields(cls)))
