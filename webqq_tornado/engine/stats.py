"""Counters of a stream."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Stats"]


class Stats(NamedTuple):
    """A snapshot; see `HTTPStream.stats`. Counts are since the stream was made.

    The chain of `launch` and `run`, which only holds those of `begin` together, is not counted.

    Args:
        chains: alive now.
        in_flight: requests sent and not answered yet.
        queued: requests that wait for their turn.
        paused: requests that wait because their chain is paused.
        delayed: chains that wait for their next link's time.
        started: chains begun.
        done: chains that ended by themselves.
        failed: chains that ended with an error.
        cancelled: chains that were cancelled.
        requests: sent.
        responses: received, of any status.
        errors: requests that ended without a response.
        retries: links that were tried again.
        received: bytes of bodies, decompressed, that were kept for a reader.
        elapsed: seconds since the stream was made.
        lanes: groups of up to 128 transfers that libcurl looks at together.

    Example:
        >>> stream.stats().in_flight
        3
    """

    chains: int = 0
    in_flight: int = 0
    queued: int = 0
    paused: int = 0
    delayed: int = 0
    started: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    requests: int = 0
    responses: int = 0
    errors: int = 0
    retries: int = 0
    received: int = 0
    elapsed: float = 0.0
    lanes: int = 0
