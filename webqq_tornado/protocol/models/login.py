"""Replies of the login, and the open session."""

from __future__ import annotations

from dataclasses import dataclass

from ..codes import LoginResult, QRState, Status

__all__ = [
    "NO_SECRET",
    "CheckReply",
    "LoginReply",
    "Secret",
    "Session",
]


class Secret(str):
    """A text that is not shown in a repr: a token, a cookie, a hash.

    Example:
        >>> Secret("8f0d...")
        Secret('***')
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')" if self else "Secret('')"


#: Where there is none.
NO_SECRET = Secret()


@dataclass(frozen=True, slots=True)
class CheckReply:
    """Reply to ``check``, before a password login.

    Args:
        needs_captcha: Whether a picture must be solved first.
        code: The verify code to use, or, with a captcha, the captcha's handle (``cap_cd``).
        salt: The QQ number as 8 bytes, big endian: the password hash's salt.
        session: ``ptvfsession`` of the late variant, else empty.
        is_random_salt: ``isRandSalt`` of the late variant.
    """

    needs_captcha: bool
    code: str
    salt: bytes
    session: Secret = NO_SECRET
    is_random_salt: bool = False


@dataclass(frozen=True, slots=True)
class LoginReply:
    """Reply to ``login`` (``ptuiCB``).

    Args:
        code: The first value; see `result`.
        url: Where to go next (carries a signature), empty when refused.
        text: The server's words, for example ``登录成功!``.
        nick: The account's nick, empty when refused.
    """

    code: int
    url: Secret = NO_SECRET
    text: str = ""
    nick: str = ""

    @property
    def result(self) -> LoginResult:
        """The code's meaning after a login by password."""
        return LoginResult.of_code(self.code)

    @property
    def qr_state(self) -> QRState:
        """The code's meaning while one waits for a QR code to be scanned."""
        return QRState.of_code(self.code)


@dataclass(frozen=True, slots=True)
class Session:
    """Reply to ``login2``: an open session.

    Args:
        uin: One's own uin.
        psessionid: Goes into every request to the d host.
        vfwebqq: Goes into every request to the s host.
        status: The status the session began with.
        cip: The client's address as a number.
        index: Number of the server's link.
        port: Port of the server's link.
        user_state: A number that no client used.
        f: The same.
    """

    uin: int
    psessionid: Secret
    vfwebqq: Secret = NO_SECRET
    status: Status = Status.ONLINE
    cip: int = 0
    index: int = 0
    port: int = 0
    user_state: int = 0
    f: int = 0
