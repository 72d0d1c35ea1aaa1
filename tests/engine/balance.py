"""What holds of the numbers of any stream, at any time when none of its code runs."""

from __future__ import annotations

from webqq_tornado import HTTPStream
from webqq_tornado.engine.chain import State
from webqq_tornado.engine.transport.curl import Transport


def assert_is_balanced(stream: HTTPStream) -> None:
    """Each chain has ended once or is alive, and what is counted is what chains hold."""
    stats, alive = stream.stats(), stream.chains
    assert stats.started == stats.done + stats.failed + stats.cancelled + stats.chains, stats
    assert stats.chains == sum(chain._number > 0 for chain in alive), (stats, alive)
    sent = [chain for chain in alive if chain._transfer is not None or chain._socket is not None]
    assert stats.in_flight == len(sent), (stats, alive)
    assert stats.delayed == sum(chain.state is State.DELAYED for chain in alive), (stats, alive)
    assert alive.issuperset(stream._runner.queue), (stats, alive)
    assert alive.issuperset(stream._runner.held), (stats, alive)
    assert alive.issuperset(stream._runner._waiting), (stats, alive)
    _assert_limits_are_free(stream, len(sent))
    transport = stream._transport
    if isinstance(transport, Transport) and not transport.is_forgotten:
        closing = stream._runner._closing_sockets._sessions
        assert transport.active <= len(sent) + len(closing), "a transfer has no chain any more"


def _assert_limits_are_free(stream: HTTPStream, sent: int) -> None:
    """Places of hosts and sessions are taken by what is in flight, and by nothing else."""
    fair = stream._runner._scheduler._fair
    assert len(fair._active) <= sent, fair._active
    taken = sum(gate.limiter.active for gate in fair._gates.values())
    assert taken <= 2 * sent, fair._gates  # the host's, the session's
