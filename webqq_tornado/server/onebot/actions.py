"""All actions that the server does, by name; every other one is answered with 1404."""

from __future__ import annotations

from . import files, messages, people, rooms, system, uploads
from .account import Deed

__all__ = ["DEEDS"]

DEEDS: dict[str, Deed] = {
    **messages.DEEDS,
    **people.DEEDS,
    **rooms.DEEDS,
    **files.DEEDS,
    **system.DEEDS,
    **uploads.DEEDS,
}
