"""The page's requests about the OneBot 11 settings of the user's account."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..onebot.settings import OneBotSettings, Post, Reverse, SettingsError
from .api import PageHandler, refuse, sentence

if TYPE_CHECKING:
    from ..onebot.service import OneBotState

__all__ = ["ROUTES"]


class OneBotHandler(PageHandler):
    """OneBot settings of the user's account."""

    server: OneBotState

    def get(self) -> None:
        """Return the settings that the page shows, and the address for programs."""
        me, _ = self.me(), self.query()
        settings = self.server.onebot.settings(me.number)
        running = self.server.onebot.accounts.get(me.number)
        scheme = "wss" if self.request.protocol == "https" else "ws"
        self.write(
            {
                "is_on": settings.is_on and running is not None,
                "token": settings.token,
                "format": settings.format,
                "heartbeat": settings.heartbeat,
                "reports_own": settings.reports_own,
                "reverse": [each.url for each in settings.reverse],
                "post": [each.url for each in settings.post],
                "secret": next((each.secret for each in settings.post), ""),
                "connections": sum(each.is_open for each in running.connections) if running else 0,
                "url": f"{scheme}://{self.netloc}/onebot/{me.number}/",
            }
        )

    def post(self) -> None:
        """Change settings; ports and access to local files are set by the operator alone."""
        me, body = self.me(), self.json()
        before = self.server.onebot.settings(me.number)
        secret = body.pop("secret", None)
        try:
            given = OneBotSettings.parse(body)
            changed = replace(before, **{name: getattr(given, name) for name in body})
            changed = _with_tokens(before, changed, secret)
            self.server.onebot.configure(me.number, changed)
        except SettingsError as error:
            refuse(400, sentence(error))
        except OSError as error:
            refuse(409, sentence(error))
        self.set_status(204)


def _with_tokens(
    before: OneBotSettings, changed: OneBotSettings, secret: str | None
) -> OneBotSettings:
    """The settings with the parts of an address that the page does not show."""
    known: dict[str, Reverse] = {each.url: each for each in before.reverse}
    secrets = {each.url: each.secret for each in before.post}
    return replace(
        changed,
        reverse=tuple(known.get(each.url, each) for each in changed.reverse),
        post=tuple(
            Post(each.url, secrets.get(each.url, "") if secret is None else secret)
            for each in changed.post
        ),
    )


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = ((r"/page/onebot", OneBotHandler),)
