"""Log in, poll and answer until SIGTERM; log in again whenever the server asks for it.

python -m webqq_tornado.examples.api & python -m webqq_tornado.examples.login_poll ann
"""

import sys
from collections.abc import Iterator

from webqq_tornado import HTTPStream, Link, Response
from webqq_tornado.auth import LoginAuth


class Mailbox(HTTPStream):
    """Answers what comes into one user's mailbox."""

    def __init__(self, user: str = "ann", url: str = "http://127.0.0.1:8200") -> None:
        super().__init__(base_url=url, auth=LoginAuth(self.login))
        self.user = user

    def login(self) -> Link:
        return self.post("login", form={"user": self.user, "password": "secret"})

    def begin(self) -> Link:
        return self.get("mail", self.read)

    def read(self, response: Response) -> Iterator[Link]:
        for message in response.json()["messages"]:
            print(f"{self.user} answers {message!r}", flush=True)
            yield self.post("mail", form={"text": f"You wrote: {message}"})
        yield response.request, self.read, 0.5


if __name__ == "__main__":
    Mailbox(*sys.argv[1:]).run()
