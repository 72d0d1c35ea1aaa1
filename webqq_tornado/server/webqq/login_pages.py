"""Pages of the login, from which clients read values.

Each line is matched by the regular expression of a client: pual_bot 2013, twqq 2014 and
pidgin-lwqq 2013 (g_login_sig, once), SmartQQBot 2015 and 2016 (aid, g_appid, g_pt_version,
g_mibao_css), Mojo-Webqq 2018 (all of them).
"""

from __future__ import annotations

import re
import secrets
from html import escape

from ...protocol import endpoints, forms, webqq3
from ..handlers import Answer, ExchangeHandler, Handler

__all__ = ["ANSWERS", "LoginFrameHandler", "LoginProxyHandler", "VersionHandler"]

#: Version of the login's scripts, as of 2017 (qqbot 2017); clients send it back as js_ver.
_JS_VERSION = "10141"
_PAGE = """<!DOCTYPE html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<title>QQ登录</title>
<script type="text/javascript">
var g_pt_version=encodeURIComponent("{version}");
var g_login_sig=encodeURIComponent("{login_sig}");
var g_style=encodeURIComponent("{style}");
var g_mibao_css=encodeURIComponent("{mibao_css}");
var g_daid=encodeURIComponent("{daid}");
var g_appid =encodeURIComponent("{appid}");
</script>
</head>
<body>
<form id="loginform" name="loginform" method="get" action="">
<input type="hidden" name="aid" value="{appid}" />
<input type="hidden" name="u1" value="{s_url}" />
</form>
</body>
</html>
"""
_FRAME = """<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>SmartQQ</title></head>
<body>
<iframe id="login" frameborder="0"></iframe>
<script type="text/javascript">
document.getElementById("login").src = "{address}";
</script>
</body>
</html>
"""
_FRAME_QUERY = (
    "daid=164&target=self&style=16&mibao_css=m_webqq&appid=501004106&enable_qlogin=0"
    "&no_verifyimg=1&s_url=http%3A%2F%2Fw.qq.com%2Fproxy.html&f_url=loginerroralert"
    "&strong_login=1&login_state=10&t=2013102400"
)


def _login_page(handler: ExchangeHandler, _form: forms.LoginPageForm) -> str:
    """The login page of either dialect, with the values of its query."""
    login_sig = secrets.token_urlsafe(48)
    handler.set_domain_cookie("pt_login_sig", login_sig, "ptlogin2.qq.com")
    handler.set_domain_cookie("pt_clientip", secrets.token_hex(8), "ptlogin2.qq.com")
    handler.set_header("Content-Type", "text/html; charset=utf-8")
    return _PAGE.format(
        version=_JS_VERSION,
        login_sig=login_sig,
        style=_plain_argument(handler, "style", "16"),
        mibao_css=_plain_argument(handler, "mibao_css", "m_webqq"),
        daid=_plain_argument(handler, "daid", str(endpoints.DAID)),
        appid=_plain_argument(handler, "appid", str(endpoints.SMARTQQ_APP_ID)),
        s_url=escape(handler.get_query_argument("s_url", "")),
    )


def _plain_argument(handler: Handler, name: str, default: str) -> str:
    """A plain word of the query; any other value is replaced: it would be written into a script."""
    value = handler.get_query_argument(name, default)
    return value if re.fullmatch(r"\w{1,32}", value, re.ASCII) else default


class LoginFrameHandler(Handler):
    """w.qq.com/login.html: SmartQQBot 2015 found the login page's address there, without its 0."""

    def get(self) -> None:
        """The page around the login page."""
        address = self.address_of("ui.ptlogin2.qq.com", f"/cgi-bin/login?{_FRAME_QUERY}")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(_FRAME.format(address=address))


class LoginProxyHandler(Handler):
    """The last page of the redirects; no client reads it."""

    def get(self) -> None:
        """An empty page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")


class VersionHandler(Handler):
    """The version of the login's scripts (pidgin-lwqq 2013)."""

    def get(self) -> None:
        """Return the version as JavaScript."""
        self.set_header("Content-Type", "application/x-javascript; charset=utf-8")
        self.write(f"ptuiV({_JS_VERSION});")


ANSWERS: dict[object, Answer] = {webqq3.LOGIN_PAGE.name: _login_page}
