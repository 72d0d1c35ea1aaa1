"""Log in, poll with the session's cookies, and log in again whenever the server asks for it.

Start the service, then the flow::

    python -m webqq_tornado.examples.api
    python -m webqq_tornado run webqq_tornado.examples.login_poll:Mailbox ann
"""

from __future__ import annotations

from typing import Any

from webqq_tornado import AuthError, HTTPStream, Link, Next, Response
from webqq_tornado.auth import LoginAuth

__all__ = ["Mailbox"]


class Mailbox(HTTPStream):
    """Look into one user's mailbox now and then.

    Args:
        user: name to log in with.
        url: of the service.
        interval: seconds between two looks.
        looks: number of looks.
        options: of `HTTPStream`.
    """

    def __init__(
        self,
        user: str = "ann",
        url: str = "http://127.0.0.1:8200",
        interval: float = 0.5,
        looks: int = 3,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.user, self.url = user, url
        self.interval, self.looks = interval, looks

    def begin(self) -> Next:
        """Start with the mailbox: the session logs in before the first request goes out."""
        session = self.session(self.user, auth=LoginAuth(self.login))
        return Next(f"{self.url}/mail", self.read, session=session)

    def login(self) -> Link:
        """Give the first link of the login."""
        form = {"user": self.user, "password": "secret"}
        return self.make_post_request(f"{self.url}/login", form), self.check_login

    def check_login(self, response: Response) -> None:
        """Refuse a login that did not work."""
        if response.status != 200:
            raise AuthError(f"{self.user}: the login was refused with status {response.status}")

    def read(self, response: Response) -> Link:
        """Show the mailbox, and come back later."""
        mailbox = response.json()
        print(f"{mailbox['user']}: {mailbox['unread']} unread")
        self.looks -= 1
        return (response.request, self.read, self.interval) if self.looks else None


if __name__ == "__main__":
    print(Mailbox().run(strict=True))
