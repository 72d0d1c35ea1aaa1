"""The lanes of a transport: which one takes a transfer, and when one is closed again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

import pycurl

from ..eventloop import descriptor_limit
from .lane import LANE_CONNECTIONS, LANE_TRANSFERS, Lane

if TYPE_CHECKING:
    from .curl import Transport
    from .transfer import Transfer

__all__ = ["LanePool"]

#: Seconds after which a lane that nobody uses is closed, with its idle connections. Within
#: nginx's and Apache's own keep-alive (75 s and 5 s), and what libcurl trusts (118 s).
IDLE_SECONDS = 60.0
#: Lanes beyond those that are needed for the number of transfers, so that names are looked up.
_MORE_LANES = 32
#: Descriptors of a lane that are no connections.
_LANE_DESCRIPTORS = 4


class LanePool:
    """Opens lanes as transfers need them, and closes those that nobody uses.

    Args:
        transport: of the lanes.
        release_sockets: of it, before libcurl closes any.

    Attributes:
        lanes: that are open.
    """

    def __init__(self, transport: Transport, release_sockets: Callable[[], None]) -> None:
        self._transport = transport
        self._release_sockets = release_sockets
        self._descriptors = descriptor_limit()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self.lanes: list[Lane] = []

    def close(self) -> None:
        """Close all lanes."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for lane in self.lanes:
            lane.close()
        self.lanes.clear()

    def lane_for(self, transfer: Transfer, url: str, lane: Lane | None) -> Lane:
        """Return the lane for a transfer: the given one if that has room and takes it.

        Args:
            transfer: that is to go out.
            url: of it.
            lane: where the last one of its conversation was.

        Raises:
            pycurl.error: there is none, and no file descriptor for another one.
        """
        end = url.find("/", 8)
        origin = url[:end] if end > 0 else url
        is_usable = (
            lane is not None
            and not lane.is_closed
            and lane.active < LANE_TRANSFERS
            and lane.public_only is transfer.public_only
        )
        if lane is None or not is_usable or not lane.takes(origin):
            lane = self._lane_that_takes(origin, public_only=transfer.public_only)
        if origin in lane.hosts:
            lane.last_url = url
        else:
            lane.begin_lookup(origin)
            transfer.looked_up = origin
        return lane

    def _lane_that_takes(self, origin: str, *, public_only: bool) -> Lane:
        lanes = [lane for lane in self.lanes if lane.public_only is public_only]
        having_room = [lane for lane in lanes if lane.active < LANE_TRANSFERS]
        for lane in having_room:
            if lane.takes(origin):
                return lane
        needed = self._transport.active // LANE_TRANSFERS + 1
        if having_room and len(self.lanes) >= needed + _MORE_LANES:
            return having_room[-1]
        try:
            return self._new_lane(public_only=public_only)
        except pycurl.error:
            if not lanes:
                raise
            # One more in a lane that is full is slower, and no error.
            return min(lanes, key=lambda lane: lane.active)

    def _new_lane(self, *, public_only: bool) -> Lane:
        lane = Lane(self._transport, public_only=public_only)
        self.lanes.append(lane)
        self._share_connections()
        if self._sweep_timer is None:
            self._sweep_timer = self._transport.call_later(IDLE_SECONDS, self._sweep)
        return lane

    def _share_connections(self) -> None:
        """Idle connections are kept as far as the limit on file descriptors allows."""
        lanes = len(self.lanes)
        for lane in self.lanes:
            share = self._descriptors // lanes - _LANE_DESCRIPTORS
            lane.keep(max(1, min(LANE_CONNECTIONS, share)))

    def _sweep(self) -> None:
        """Close lanes that nobody has used for a while, and with them their connections."""
        self._sweep_timer = None
        self._release_sockets()
        now = monotonic()
        for lane in [lane for lane in self.lanes if not lane.active]:
            if lane.idle_since + IDLE_SECONDS <= now:
                self.lanes.remove(lane)
                lane.close()
        if self.lanes:
            self._share_connections()
            idle_since = min(
                (lane.idle_since for lane in self.lanes if not lane.active), default=now
            )
            delay = max(IDLE_SECONDS / 4, idle_since + IDLE_SECONDS - now)
            self._sweep_timer = self._transport.call_later(delay, self._sweep)
