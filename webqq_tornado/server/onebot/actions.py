"""All actions that the server does, by name; every other one is answered with 1404."""

from __future__ import annotations

from . import files, messages, people, rooms, system, uploads
from .account import ActionFunction

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[str, ActionFunction] = {
    **messages.FUNCTIONS,
    **people.FUNCTIONS,
    **rooms.FUNCTIONS,
    **files.FUNCTIONS,
    **system.FUNCTIONS,
    **uploads.FUNCTIONS,
}
