"""The historical hosts: what an old client asks for, and a hosts file leads here."""

from __future__ import annotations

import textwrap

__all__ = ["HISTORICAL_HOSTS", "hosts_lines", "is_historical"]

#: Those that the clients of 2012 to 2018 have built in.
HISTORICAL_HOSTS = (
    "w.qq.com",
    "web.qq.com",
    "web2.qq.com",
    "d.web2.qq.com",
    "d1.web2.qq.com",
    "s.web2.qq.com",
    "ptlogin2.qq.com",
    "check.ptlogin2.qq.com",
    "ssl.ptlogin2.qq.com",
    "ui.ptlogin2.qq.com",
    "xui.ptlogin2.qq.com",
    "ptlogin2.web2.qq.com",
    "ptlogin4.web2.qq.com",
    "captcha.qq.com",
    "ssl.captcha.qq.com",
    "pinghot.qq.com",
    "up.web2.qq.com",
    "weboffline.ftn.qq.com",
    "qun.qq.com",
    "qinfo.clt.qq.com",
)


#: Characters of the names in one line.
_WIDTH = 64

_HISTORICAL = frozenset(HISTORICAL_HOSTS)


def is_historical(host: str) -> bool:
    """Return True for a historical host; other names of qq.com belong to a living domain.

    Example:
        >>> is_historical("d.web2.qq.com"), is_historical("mail.qq.com")
        (True, False)
    """
    return host in _HISTORICAL


def hosts_lines(address: str = "127.0.0.1") -> list[str]:
    """The lines of a hosts file that lead them all to an address.

    Example:
        >>> hosts_lines()[0]
        '127.0.0.1 w.qq.com web.qq.com web2.qq.com d.web2.qq.com'
    """
    # Some systems take no long lines, and neither do terminals.
    names = textwrap.wrap(" ".join(HISTORICAL_HOSTS), _WIDTH, break_on_hyphens=False)
    return [f"{address} {line}" for line in names]
