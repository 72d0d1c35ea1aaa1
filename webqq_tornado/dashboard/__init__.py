"""A live page of what a stream does: chains, rates, latencies, failures, a timeline of each chain.

Mount `handlers` in a Tornado application, or let `serve` open a port on loopback, as the command
``run --dashboard`` does. Until then a stream records nothing.
"""

from __future__ import annotations

from .handlers import Dashboard, handlers, serve

__all__ = ["Dashboard", "handlers", "serve"]
