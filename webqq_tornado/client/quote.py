"""`Quote`: the message that another one answers."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.models.content import Content

__all__ = ["Quote"]


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that another one answers (OneBot).

    Args:
        id: its number, as the `Reply` has it.
        sender: QQ number of who had written it.
        name: of them, if it is known.
        content: of it.
        time: of it: Unix time in seconds.

    Example:
        >>> @bot.command("translate")
        ... def translate(message):
        ...     if message.quote is not None:
        ...         message.reply(message.quote.text[::-1])
    """

    id: int
    sender: int
    name: str
    content: Content
    time: int = 0

    @property
    def text(self) -> str:
        """Plain text of the content."""
        return self.content.text
