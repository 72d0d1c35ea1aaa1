"""Moves chains through their states: the engine room of `HTTPStream`.

The way of a link: `start_link` gives a chain its next link, `send_request` has the scheduler say
whether it may go, `start_transfer` asks the policies and hands the request to the transport,
`_on_result` gets what came of it, `_read` runs the reader, and `follow` looks at what that
returned: back to `start_link`, to `branch` if these are several, or to `end_chain`.

The helpers (`scheduler`, `policies`, `renewal`, `redirects`, `fanout`) say what shall happen. It is
done here, and by the three parts of the runner that a plain link does not meet: `dispatching` sends
what has waited for its turn, `recovery` sends again and renews credentials, `branching` makes
several chains of one. Some facts that shape this:

- *Users' code may do anything to any chain*: end its own, close the stream, add others. It runs in
  readers and hooks, and also in policies, credentials, bodies, and sources, even while these are
  closed. So after each call of it the chain's state is looked at again: READING says that it is
  still ours to move.

- *Nobody is told of an error before their call has returned.* What fails while a request is made
  is told at the loop's next turn, by `later`: an errback that tries the same again is a loop then,
  and no recursion that ends with Python's stack.

- *A place is given away before the response is read*: the next in the queue is sent first, and its
  request is on its way while the reader runs. So a chain that goes on goes behind those that wait.

- *The end of a chain is the end of all below it*, and all are marked before any gives back what it
  holds: that closes generators, whose `finally` may look at chains, end others, or begin some.

- *KeyboardInterrupt and SystemExit end the chain and go on their way*, to whoever runs the loop. A
  CancelledError that users' code raises ends the chain and goes no further, but in a task of the
  chain's own: the loop would report it as a fault of its callback, which is ours.

- *Short ways.* A reader that returns a request and a reader, which is what nearly all links are,
  goes on by 30 calls of the engine's; by `follow` these are 41. Where there are no limits and
  nobody waits, the scheduler is not asked at all. `python -m tests.bench.calls` counts.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import types
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
)
from typing import TYPE_CHECKING, Any

from tornado.ioloop import IOLoop

from . import fanout
from .branching import Branching
from .chain import Branches, Chain, Kept, State, checked_link, next_of
from .defaults import with_defaults
from .dispatching import Dispatcher
from .errors import (
    ClosedError,
    DeadlineError,
    LoggedOut,
    StreamError,
)
from .eventloop import asyncio_loop_of
from .hooks import Breaker, Hooks, Retry
from .keys import Keys
from .lifecycle import Failures, is_awaited
from .limits import Limits
from .links import Errback, Link, Next, accepted, keep, raise_error
from .merging import merge_into_parent
from .policies import (
    READ,
    Policies,
    hide_signed,
)
from .recovery import Recovery
from .redirects import STATUSES, leads_on, next_hop
from .reports import log_error, log_link, logs_links
from .request import PLAIN, Request, plain_request
from .response import Response, StreamedResponse
from .scheduler import Scheduler
from .session import Session
from .tracebacks import cut_callers
from .transport.curl import Transport
from .transport.lane import Lane
from .transport.options import Compiler, without_credentials
from .transport.replay import ReplayTransport
from .transport.transfer import Outcome
from .waiting import close_unstarted, make_task, plain_wait, stop_task, wait
from .websocket.closing import ClosingSockets

if TYPE_CHECKING:
    from .keeping import Keeper
    from .transport.caching import CachingTransport

__all__ = ["Runner"]


logger = logging.getLogger("webqq_tornado.engine")

# Each link has them: as attributes of their class they take five times as long to look up.
_READING, _SENT = State.READING, State.SENT


class Runner:
    """Chains under way on one transport.

    Args:
        ioloop: for delays and deadlines.
        transport: for requests.
        hooks: the stream.
        defaults: of requests, complete.
        max_clients: requests in flight at most.
        limits: of hosts and sessions.
        hears_responses: `hooks.on_response` does something.
        hears_requests: `hooks.on_request` does something.
        retry: of chains that have no policy of their own.
        breaker: of hosts.

    Attributes:
        chains: those alive; `flows` of them only hold others together.
        queue, held: chains that wait for their turn, see `Scheduler`; or because they are paused.
        started, done, failed, cancelled: chains so far.
        failures: what ended those that have failed, unless somebody else was given it.
        requests, responses, errors, retries, received: so far; `received` in bytes.
        idle_listeners: are called whenever the last chain has ended.
        failure_listeners: are called with each chain that fails, and its error, before it forgets
            its link.
        on_interrupt: gets a chain and the KeyboardInterrupt or SystemExit that its users' code has
            raised, where the loop is somebody else's, whom these would end; None: they are raised.
    """

    on_interrupt: Callable[[Chain, BaseException], object] | None = None

    def __init__(
        self,
        ioloop: IOLoop,
        transport: Transport | ReplayTransport | CachingTransport,
        hooks: Hooks,
        *,
        defaults: Mapping[str, Any],
        max_clients: int,
        limits: Limits | None,
        hears_responses: bool,
        hears_requests: bool,
        retry: Retry | None,
        breaker: Breaker | None,
    ) -> None:
        self._ioloop = ioloop
        self._transport = transport
        self._hooks = hooks
        self._defaults = defaults
        # Checks the defaults, and serves each request that is nothing but a URL.
        self._compile = Compiler(defaults)
        self._plain_options, self._idle_timeout = self._compile.plain, self._compile.idle_timeout
        self._looks_at_ports = self._compile.looks_at_ports
        self._opens_sockets = transport.has_sockets
        self._hears_responses = hears_responses
        self._shows_links = logs_links()
        self._scheduler = Scheduler(
            max_clients=max_clients, limits=limits, has_hooks=hears_requests
        )
        # Those of the scheduler's own that are looked at for each request.
        self._waiting = self._scheduler.waiting  # sources
        self.has_room = self._scheduler.has_room
        self.call_soon = transport.call_soon
        self.call_later = ioloop.call_later
        self.remove_timeout = ioloop.remove_timeout
        #: Of a `CachingTransport` alone.
        self._is_sending: Callable[[Any], bool] | None = getattr(transport, "is_sending", None)
        self._asyncio_loop = asyncio_loop_of(ioloop)
        # Not ioloop.time(), which is the wall clock: set back, it would stop who waits for it.
        self.time: Callable[[], float] = self._asyncio_loop.time
        self._retry = retry
        self._breaker = breaker
        self._hears_requests = hears_requests
        #: Pauses, and what waits for its turn.
        self._dispatcher = Dispatcher(
            ioloop, self._scheduler, self.start_transfer, self.call_soon, self.time
        )
        self.pause, self.resume = self._dispatcher.pause, self._dispatcher.resume
        self.stall = self._dispatcher.stall
        self.space_requests = self._dispatcher.space_requests
        self.guard, self.dispatch = self._scheduler.guard, self._dispatcher.dispatch
        self.branching = Branching(self, self._scheduler)
        self._recovery = Recovery(self, hooks)
        self._policies: Policies | None = None  # looked at for each request
        if hears_requests or retry is not None or breaker is not None:
            self.use_policies()
        self._take_result = self._on_result  # once, and not for each chain
        self._closing_sockets = ClosingSockets()
        self.traffic = transport
        self.ioloop = ioloop
        self._is_closed = False
        self.chains: set[Chain] = set()
        self.queue = self._scheduler.queue
        self.held = self._scheduler.held
        self.flows = 0
        self.started = self.done = self.failed = self.cancelled = 0
        self.failures = Failures()
        self.requests = self.responses = self.errors = self.retries = self.received = 0
        self.idle_listeners: list[Callable[[], None]] = []
        self.failure_listeners: list[Callable[[Chain, BaseException], None]] = []
        #: Waits until a chain has ended. An attribute: another one, when only what is awaited goes.
        self.wait: Callable[[Chain], Generator[Any, None, None]] = functools.partial(
            wait, turn=self._turn_of
        )
        #: Of a stream with a journal; what follows is sent, timed and told when that has it.
        self.journal: Keeper | None = None
        self._keys = Keys()

    def use_policies(self) -> Policies:
        """Some links have retries or credentials, or somebody looks on."""
        if self._policies is None:
            hook = self._hooks.on_request if self._hears_requests else None
            self._policies = Policies(self._breaker, hook, self.time)
            self._recovery.policies = self._policies
        return self._policies

    def use_journal(self, journal: Keeper) -> None:
        """Keep the chains that are begun from now on."""
        self.journal = journal

    def close(self, error: Exception | None = None) -> None:
        """End all chains; whoever awaits one gets the error, by default `ClosedError`."""
        # First: the ends below free places and run users' code, and nothing may begin by that.
        self._is_closed = True
        self._scheduler.close()
        self._dispatcher.update_timer()
        # A copy, as it shrinks. Those below another chain are ended with that.
        for chain in tuple(self.chains):
            if chain.parent is None:
                closed = error or ClosedError("the stream was closed")
                self.end_chain(chain, State.CANCELLED, closed)
        # Behind the chains: one that ends leaves its WebSocket there.
        self._closing_sockets.cut_short()

    def chain_of_key(self, key: str, session: Session) -> Chain | None:
        """The chain that has a key, where there is no journal; of one that has ended a stand-in."""
        return self._keys.chain_of(key, functools.partial(Chain, 0, None, session, self))

    def close_session(self, session: Session) -> None:
        """End the chains of a session; whoever awaits one gets `ClosedError`."""
        for chain in tuple(self.chains):
            # Those below another one of it are ended with that.
            if chain.session is session and not (chain.parent and chain.parent.session is session):
                error = ClosedError(
                    f"session {session.name!r} was closed", chain=chain.name, step=chain.steps
                )
                self.end_chain(chain, State.CANCELLED, error)
        self._closing_sockets.cut_short(session)
        self._scheduler.forget_session(session)

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered."""
        return self._scheduler.in_flight

    @property
    def delayed(self) -> int:
        """Chains that wait for their time."""
        return self._scheduler.delayed

    @property
    def is_paused(self) -> bool:
        """The whole flow is."""
        return self._scheduler.is_paused

    # -- whose turn it is -----------------------------------------------------------------------

    def send_awaited_only(self, on_rest: Callable[[], None]) -> None:
        """Send nothing from now on but what is awaited, see `lifecycle.finish`.

        Args:
            on_rest: is called when a source is at rest that was asked for its next link.
        """
        self.branching.on_rest = on_rest
        self.wait = self._wait_at_end
        self._scheduler.hold_all_but(self._is_awaited)

    def is_at_rest(self, chain: Chain) -> bool:
        """Return True if the chain's source waits for room."""
        return chain in self._waiting

    def _is_awaited(self, chain: Chain) -> bool:
        return is_awaited(chain, {} if self._policies is None else self._policies.renewals.parts)

    def _wait_at_end(self, chain: Chain) -> Generator[Any, None, None]:
        # At the next turn the chain has who awaits it.
        self.call_soon(self.send_awaited)
        return wait(chain, self._turn_of)

    def send_awaited(self) -> None:
        """Send what was held and is awaited now."""
        if not self._is_closed:
            self._scheduler.queue_released()
            self._dispatcher.dispatch()
            self._dispatcher.ask_sources()

    # -- a link's way -------------------------------------------------------------------------

    def new_chain(self, name: str | None, session: Session, parent: Chain | None = None) -> Chain:
        """A chain with no link yet.

        Raises:
            ClosedError: the stream is closed.
        """
        if self._is_closed:
            raise ClosedError("the stream is closed: make another one")
        self.started += 1
        chain = Chain(self.started, name, session, self, parent)
        # One for all its links. That it is gone tells `start_transfer` that the chain has ended. A
        # method of the chain takes a third of the memory of a partial.
        chain._outcome = types.MethodType(self._take_result, chain)
        self.chains.add(chain)
        if self._policies is not None:
            if parent is None:  # else it has its parent's
                chain._retry = self._retry
            self._policies.adopt(chain)
        return chain

    def new_flow(self, name: str, session: Session) -> Chain:
        """A chain that holds those of a flow together; not counted unless it has a link of its own.

        Raises:
            ClosedError: the stream is closed.
        """
        chain = self.new_chain(name, session)
        # No number: `begin` is no link. The first that it leads to alone counts for it.
        chain._number = 0
        self.started -= 1
        self.flows += 1
        return chain

    def start_link(self, chain: Chain, link: Next) -> None:
        """Give the chain its next link. The link is checked, its request a `Request`."""
        row = None
        if self.journal is not None:
            prepared, row = self.journal.prepare(chain, link)
            if prepared is None:  # its key was followed
                self.end_chain(chain, State.DONE)
                return
            link = prepared
        elif link.key is not None and not self._keys.take(link.key, chain):
            self.end_chain(chain, State.DONE)
            return
        request, readback, delay, errback, session, _, priority, data, _ = link
        chain._readback, chain._data = readback, data
        if data and readback is not None:
            chain._readback = functools.partial(readback, **data)
        # Left by a link that failed at a redirect, and whose errback goes on from there.
        chain._hop = chain._redirects = None
        if errback is not None:  # else that of the link before stays
            chain._errback = errback or None
        if session is not None:
            chain.session = session
        defaults = chain.session.defaults
        chain._request = with_defaults(request, defaults)  # type: ignore[arg-type]
        if priority is not None:
            chain._priority = priority
        chain._is_failing = False
        chain.steps += 1
        # Not sent before its row has committed: what a crash undoes must not have gone out.
        if row is not None and self.journal is not None:
            self.journal.hold(chain, row, delay)
        elif not delay:
            self.send_request(chain)
        else:
            self.delay_request(chain, delay)

    def start_fetch(self, request: Request, session: Session) -> Chain:
        """Start a chain of one request for whoever awaits it; nothing is to be checked any more."""
        chain = self.new_chain(None, session)
        # What `Next` and `start_link` would set for one request, by fewer calls.
        chain._readback, chain._errback, chain._is_quiet = keep, raise_error, True
        chain._request = with_defaults(request, session.defaults)
        chain.steps = 1
        self.send_request(chain)
        return chain

    def delay_request(self, chain: Chain, delay: float) -> None:
        """Send the chain's request in so many seconds."""
        # Of a streamed response that is to be asked for again: its body is of no use any more.
        self.drop_transfer(chain)
        chain.state = State.DELAYED
        self._scheduler.delayed += 1
        chain._delay_timer = self._ioloop.call_later(delay, self._on_time, chain)

    def _on_time(self, chain: Chain) -> None:
        chain._delay_timer = None
        self._scheduler.delayed -= 1
        self.send_request(chain)
        # Sources are held back by delays, too: this may be the one that was one too many.
        if self._scheduler.was_full_of_delays:
            self._dispatcher.ask_sources()

    def send_request(self, chain: Chain) -> None:
        """Send the chain's request now, or when it has its turn."""
        scheduler = self._scheduler
        # The scheduler would say yes: nobody waits, and nothing is limited or paused.
        if not self.queue and scheduler.in_flight < scheduler.quick_clients:
            self.start_transfer(chain)
            return
        try:
            # A hook has begun it: its turn comes when that one is sent.
            if self._dispatcher.is_sending:
                scheduler.push(chain)
                return
            has_place = scheduler.enqueue(chain, self.time())
        except Exception as error:
            self._on_not_sent(chain, error)
            return
        self._dispatcher.send_queued(chain if has_place else None)

    def start_transfer(self, chain: Chain) -> None:
        """Send the chain's request now. What that raises is the link's error."""
        request: Request = chain._hop or chain._request
        options, outcome, idle = self._plain_options, chain._outcome, self._idle_timeout
        try:
            if self._policies is not None:
                step = self._policies.before(chain)
                if not isinstance(step, Request):
                    # First: a login that this leads to may need the place.
                    self._scheduler.refund(chain)
                    self._recovery.send_nothing(chain, step)
                    return
                request = step
            compiled = request.compiled
            is_plain = compiled is PLAIN  # it says no more than a URL
            if not is_plain or self._looks_at_ports:
                # A request can be sent by several streams, whose defaults differ.
                if is_plain or compiled is None or compiled.compiler is not self._compile:
                    compiled = self._compile.compiled(request, opens_sockets=self._opens_sockets)
                options, idle = compiled.options, compiled.idle_timeout
                if compiled.is_socket:
                    self._open_socket(chain, request)
                    return
                if chain._hop is not None and chain._redirects.crosses:
                    options = without_credentials(options)  # those of the defaults
                if request.stream:
                    outcome = _Streamed(self, chain)
            transfer = self._transport.submit(
                request,
                options,
                chain.session,
                outcome,
                lane=chain._lane,
                discards=chain._readback is None,
                idle_timeout=idle,
            )
        except Exception as error:
            self._on_not_sent(chain, error)
            return
        except BaseException as error:
            self._scheduler.refund(chain)
            self.interrupt(chain, error)
            return
        # Users' code has run in there, too: a body that is a function, say. Asked without a call.
        # Its end has found no transfer to cancel, since it had none yet.
        if chain._outcome is None:  # it has ended the chain
            self._scheduler.refund(chain)
            self._transport.cancel(transfer)
            return
        scheduler = self._scheduler
        # Limits are for the sake of who is asked, and the cache has nobody asked.
        is_sending = self._is_sending
        if is_sending is not None and scheduler.is_limited and not is_sending(transfer):
            scheduler.refund(chain)
        scheduler.in_flight += 1
        self.requests += 1
        chain._transfer = transfer
        chain.state = _SENT

    def _on_not_sent(self, chain: Chain, error: Exception) -> None:
        """The chain's request could not be sent at all."""
        # Now, not with the error: others may go for this host in between, and would wait for the
        # time of one that was not sent.
        self._scheduler.refund(chain)
        self.later(chain, self._on_unsent, error)

    def _on_unsent(self, chain: Chain, error: Exception) -> None:
        if isinstance(error, StreamError):
            self.handle_result(chain, error)  # such as no descriptor: there may be one later
        else:
            # Without the policies: what an option or a body raises says nothing of the host.
            self.errors += 1
            self.fail_link(chain, error)

    def later(self, chain: Chain, function: Callable[[Chain, Any], None], error: object) -> None:
        """Call it at the loop's next turn with the chain and the error, unless the chain has ended.

        An errback that tries the same again is a loop then, and no recursion.
        """
        if not chain.done:
            chain.state = State.QUEUED
            self.call_soon(_unless_done, chain, function, error)

    def _open_socket(self, chain: Chain, request: Request) -> None:
        from .websocket.link import WebSocketLink  # noqa: PLC0415 - see there

        link = WebSocketLink(self, chain, request, self._defaults, self._closing_sockets)
        link.connect()
        if chain.done:  # by the user's code that ran there
            self._scheduler.refund(chain)
            link.abandon()
            return
        self._scheduler.in_flight += 1
        self.requests += 1
        chain._socket = link
        chain.state = State.SENT

    def connect(
        self, request: Request, session: Session, outcome: Outcome, *, crosses: bool
    ) -> Any:
        """Start the transfer of a WebSocket.

        Args:
            request: of its handshake.
            session: in whose name.
            outcome: of it.
            crosses: a redirect leads to another origin: the credentials are not for that.
        """
        options = self._compile(request)
        if crosses:
            options = without_credentials(options)
        return self._transport.submit(request, options, session, outcome)

    def on_socket_open(self, chain: Chain, response: Response) -> None:
        """The handshake of the chain's WebSocket is done."""
        if self._policies is not None:
            self._policies.after_handshake(chain, response)

    def read_message(self, chain: Chain, readback: Any, message: object) -> Any:
        """Call the reader of a WebSocket's message."""
        if self.journal is None:
            return readback(message)
        return self.journal.read(chain, readback, message)

    def after_message(self, chain: Chain) -> None:
        """Note that it has returned, and that the link goes on."""
        if self.journal is not None:
            self.journal.after_message(chain)

    def leave_socket(self, chain: Chain) -> None:
        """The chain's WebSocket is closed."""
        # Else the end of the chain has given back its place, which is one and not two.
        if chain._socket is not None:
            chain._socket = None
            self.leave_flight(chain, chain._lane)

    def leave_flight(self, chain: Chain, lane: Lane | None) -> None:
        """The chain's transfer has ended."""
        self._scheduler.in_flight -= 1
        chain._transfer = None
        chain._lane = lane
        self._scheduler.release(chain, self.time())
        # Not at once, as in `_on_result`: the caller is about to give this chain its next link, and
        # the hooks and sources that ran here might end it.
        if self.queue or self._waiting:
            self.call_soon(self._dispatcher.dispatch)

    def _on_result(self, chain: Chain, result: Response | Exception, lane: Lane | None) -> None:
        scheduler = self._scheduler
        scheduler.in_flight -= 1
        chain._transfer = None
        chain._lane = lane
        if scheduler.is_limited:
            scheduler.release(chain, self.time())
        # Before it is read, see above.
        if self.queue or self._waiting:
            self._dispatcher.dispatch()
            if chain.state.is_final:  # a source that got the room has ended it
                return
        self.handle_result(chain, result)

    def handle_result(self, chain: Chain, result: Response | Exception) -> None:
        """Read the response, or deal with the error."""
        if self._shows_links:
            log_link(chain, result)
        if isinstance(result, Response):
            self.responses += 1
            self.received += len(result.body)
            # Before the policies: a redirect is no outcome of the link, which goes on with it.
            if result.status in STATUSES and self._is_followed(chain, result):
                return
            if self._policies is not None:
                step = self._policies.after(chain, result)
                if step is not READ and self._recovery.goes_on(chain, result, step):
                    return
            self._read(chain, result)
        else:
            self.errors += 1
            if isinstance(result, StreamError):
                result.chain, result.step = chain.name, chain.steps
                # Readers know the request of their link, not that of a redirect.
                if result.request is chain._hop and chain._hop is not None:
                    result.request = chain._request
            if self._policies is not None:
                step = self._policies.after(chain, result)
                if step is not READ and self._recovery.goes_on(chain, result, step):
                    return
            self.fail_link(chain, result)

    def _is_followed(self, chain: Chain, response: Response) -> bool:
        """Follow a redirect. Returns False if the response is none to follow."""
        if not leads_on(chain, response, self._defaults):
            return False
        step = READ if self._policies is None else self._policies.after_redirect(chain, response)
        if step is not READ:
            self._recovery.do_after(chain, step)
            return True
        # A crawl's reader may want none of where it leads; then it gets the redirect itself.
        follows = getattr(chain._readback, "follows_redirect", None)
        if follows is not None and not follows(response):
            return False
        if self.journal is not None:
            self.journal.note_cookies(chain, response)
        try:
            chain._hop = next_hop(chain, response, self._defaults)
        except StreamError as error:
            error.chain, error.step, error.request = chain.name, chain.steps, chain._request
            self.errors += 1
            self.fail_link(chain, error)
        else:
            # Through the scheduler: the next hop may be of another host, with limits of its own.
            self.send_request(chain)
        return True

    def _read(self, chain: Chain, response: Response) -> None:
        """Run the reader, and follow what it returns."""
        if chain._hop is not None:
            chain._redirects.finish(response, chain._request)
            chain._hop = chain._redirects = None  # should it be sent again, it is from its start
        chain.state = _READING
        readback = chain._readback
        read = readback if self.journal is None else self.journal.reader(chain, response)
        try:
            if self._hears_responses:
                self._hooks.on_response(response)
                if chain.state is not _READING:  # the hook has ended it
                    return
            result = None if read is None else read(response)
        except Exception as error:
            # Only where it ends or fails, for the log line to name the page: a chain that polls for
            # days must not hold each body until the next.
            chain.response = response
            self.fail_link(chain, error, response.url)
            return
        except BaseException as error:
            self.interrupt(chain, error)
            return
        if chain.state is not _READING:  # the reader has ended its own chain
            return
        if result is None:
            chain.response = response
            self._end_done(chain)
        elif not self._goes_on_at_once(chain, result):
            self.follow(chain, result, readback, response)

    def _goes_on_at_once(self, chain: Chain, result: object) -> bool:
        """Send what nearly all readers return, by the shortest way to the same end as `follow`."""
        # Not a subclass of tuple: a `Next` may say more.
        if type(result) is not tuple or len(result) != 2:
            return False
        request, readback = result
        if self.journal is not None:
            return self.journal.goes_on(chain, request, readback)
        # `follow` refuses it in words.
        if not callable(readback):
            return False
        if type(request) is not Request:
            # None: of a WebSocket, relative, or to be put in order.
            request = plain_request(request) if type(request) is str else None
            if request is None:
                return False
        if chain._transfer is not None:
            self.drop_transfer(chain)
        defaults = chain.session.defaults
        if defaults is not None or request.defaulted is not None:
            request = with_defaults(request, defaults)
        chain._request = request
        # The errback stays. Hop and failing need no reset: a reader has just returned.
        chain._readback, chain._data = readback, None
        chain.steps += 1
        scheduler = self._scheduler
        if self.queue or scheduler.in_flight >= scheduler.quick_clients:
            self.send_request(chain)
        else:
            self.start_transfer(chain)
        return True

    def follow(
        self,
        chain: Chain,
        result: object,
        origin: object,
        response: Response | None,
        base: str | None = None,
    ) -> None:
        """Do what a reader's result says.

        Args:
            chain: whose reader it was.
            result: what it returned.
            origin: the reader, for messages.
            response: what it had read, if the chain should end here.
            base: what a relative URL is relative to, if not to that or to the last request.
        """
        try:
            link = next_of(result, origin)
            if link is None:
                chain.response = response
                self.end_chain(chain, State.DONE)
                return
            base = base or _base_of(chain, response)
            if isinstance(link, Next):
                self.drop_transfer(chain)
                # `begin` gave a single link: the flow's chain goes on with it, and is counted now.
                if not chain._number:
                    self.count_chain(chain)
                self.start_link(chain, checked_link(link, origin, base))
            elif isinstance(link, Branches):
                self.drop_transfer(chain)
                # First: a last branch that branches at each step would hang chains below chains.
                chain = self.branching.merge_upwards(chain)
                chain.response, link.base = response, base
                self.branch(chain, link)
            else:
                # For `_release`, which closes it if the task is cancelled before its first step.
                chain._awaited = link
                self.start_task(chain, self._await_reader(chain, link, origin, response, base))
        except Exception as error:
            chain._branches = None  # a source whose first link was none
            chain.response = response
            self.fail_link(chain, error, base or _base_of(chain, response))
        except BaseException as error:
            self.interrupt(chain, error)

    def drop_transfer(self, chain: Chain) -> None:
        """The reader of a streamed response went on before its end."""
        # Any other transfer has ended before its reader runs.
        if chain._transfer is not None:
            self._transport.cancel(chain._transfer)
            self.leave_flight(chain, chain._lane)

    def interrupt(self, chain: Chain, error: BaseException) -> None:
        """KeyboardInterrupt and the like end the chain and go on their way."""
        # Nothing is wrong with the chain: with a journal it goes on in the next run.
        if self.journal is not None:
            self.journal.spare(chain)
        is_cancelled = _is_cancelled(error)
        # First: the end forgets the link, which is to be named.
        if self.on_interrupt is not None and not is_cancelled:
            self.on_interrupt(chain, error)
        # Without an error each who awaits the chain gets a CancelledError of their own.
        self.end_chain(chain, State.CANCELLED, None if is_cancelled else error)
        if self.on_interrupt is None and not is_cancelled:
            raise error

    def follow_call(
        self,
        chain: Chain,
        function: Any,
        *arguments: object,
        origin: object = None,
        base: str | None = None,
    ) -> None:
        """Call a hook or errback in the chain's name, and follow what it returns.

        Args:
            chain: whose.
            function: what to call.
            arguments: with what.
            origin: whose result it is, for messages, if not the function's own.
            base: what a relative URL is relative to, if not to the last request.
        """
        chain.state = State.READING
        try:
            if self.journal is not None:
                result = self.journal.read(chain, function, *arguments)
            else:
                result = function(*arguments)
        except Exception as error:
            self.count_chain(chain)  # `begin` itself may have failed
            # Not by `fail_link`: this may be the errback itself, which is asked once for a link.
            self.end_chain(chain, State.FAILED, error)
            return
        except BaseException as error:
            self.interrupt(chain, error)
            return
        if chain.state is State.READING:
            self.follow(chain, result, origin or function, None, base)

    def follow_gathered(self, chain: Chain, function: Any, *arguments: object) -> None:
        """Run a reader or errback of a `Gather`, and follow what it returns."""
        chain.state = State.READING
        # An errback may have returned the Gather: it is asked anew for what goes wrong now.
        chain._is_failing = False
        try:
            if self.journal is not None:
                result = self.journal.read(chain, function, *arguments)
            else:
                result = function(*arguments)
        except Exception as error:
            self.fail_link(chain, error, _base_of(chain, chain.response))
            return
        except BaseException as error:
            self.interrupt(chain, error)
            return
        if chain.state is State.READING:
            self.follow(chain, result, function, chain.response)

    async def _await_reader(
        self,
        chain: Chain,
        result: Awaitable[object],
        origin: object,
        response: Response | None,
        base: str | None,
    ) -> None:
        chain._task = asyncio.current_task()  # an eager task runs before anybody has it
        try:
            link = await result
        except asyncio.CancelledError:
            # Of the task: by whoever else has it, or by us as the chain has ended.
            self.cancel_with_task(chain)
            raise
        except Exception as error:
            chain._task = None
            if chain.state is State.READING:
                chain.response = response
                self.fail_link(chain, error, base)
            return
        except BaseException as error:
            chain._task = None
            self.interrupt(chain, error)
            return
        # First: a chain with a task of its own does not merge, and this task is about to end.
        chain._task = None
        if chain.state is State.READING:
            self.follow(chain, link, origin, response, base)

    # -- several links --------------------------------------------------------------------------

    def branch(self, chain: Chain, below: Branches) -> None:
        """Make the chain as many as its source has links."""
        chain.state = State.WAITING
        chain._branches = below
        if self.journal is not None and self.journal.takes_source(chain, below):
            return
        self.branching.begin(chain, below)

    def merge(self, branch: Chain) -> Chain:
        """Go on with the last branch as the chain above it: it is counted no more."""
        # As long as it is itself: merged, it answers for the chain above in all that it is asked.
        parent = fanout.hand_over(branch)
        if self._policies is not None:
            self._policies.release(branch)
        if self.journal is not None:
            self.journal.merge(branch, parent)
        if self._keys.alive:
            self._keys.merge(branch, parent)
        self.chains.discard(branch)
        if not parent._number:  # it is counted in its place
            parent._number = branch._number
            self.flows -= 1
        else:
            self.done += 1
        merge_into_parent(branch)
        return parent

    # -- ends -------------------------------------------------------------------------------

    def fail_link(self, chain: Chain, error: Exception, base: str | None = None) -> None:
        """A link ended with an error: ask the errback, else `on_error`.

        They are asked once for a link: what goes wrong with their answer ends the chain.

        Args:
            chain: whose link it is.
            error: that ended it.
            base: what a relative URL in their answer is relative to, if not to the request.
        """
        cut_callers(error)
        if self.journal is not None:
            self.journal.take_back(chain)
        if chain._is_failing:  # the errback's answer has failed: it is not asked again
            self.end_chain(chain, State.FAILED, error)
        elif not chain.done and not (
            isinstance(error, LoggedOut) and self._recovery.is_sent_again(chain)
        ):
            origin = self.errback_of(chain)
            self.follow_call(chain, self.handle_error, chain, error, origin=origin, base=base)

    def errback_of(self, chain: Chain) -> Errback:
        """Return the errback of the chain's link, or `on_error`."""
        return chain._errback or self._hooks.on_error

    def handle_error(self, chain: Chain, error: Exception) -> Link:
        """Ask the errback or `on_error`; raises what they raise."""
        chain._is_failing = True
        if isinstance(error, StreamError) and error.chain is None:
            error.chain, error.step = chain.name, chain.steps
        errback = chain._errback
        if errback is None:
            return self._hooks.on_error(error)
        if chain._data is None:
            return errback(error)  # type: ignore[no-any-return]
        return errback(error, **accepted(errback, chain._data))  # type: ignore[no-any-return]

    def set_deadline(self, chain: Chain, seconds: float) -> None:
        """The chain fails if it has not ended in so many seconds."""
        chain._deadline_timer = self._ioloop.call_later(seconds, self._on_deadline, chain, seconds)

    def _on_deadline(self, chain: Chain, seconds: float) -> None:
        chain._deadline_timer = None
        error = DeadlineError(
            f"the chain's deadline of {seconds:g} s has passed; raise deadline= or ask for less",
            request=chain._request,
            chain=chain.name,
            step=chain.steps,
        )
        self.end_chain(chain, State.FAILED, error)

    def cancel(self, chain: Chain) -> bool:
        """End the chain now; False if it had ended."""
        if chain.done:
            return False
        self.end_chain(chain, State.CANCELLED)
        return True

    def cancel_with_task(self, chain: Chain) -> None:
        """End the chain whose task was cancelled; in the next run it goes on."""
        if self.journal is not None and not chain.done:
            self.journal.spare(chain)
        self.cancel(chain)

    def end_chain(self, chain: Chain, state: State, error: BaseException | None = None) -> None:
        """The chain has ended, and with it those below: take back what they hold, tell who waits.

        Args:
            chain: which; nothing happens if it had ended.
            state: how; those below are cancelled.
            error: why; those below get it if it was cancelled with one.
        """
        if chain.done:
            return
        # Before `_release`, which takes the request and the reader that the log line names.
        if state is State.FAILED and error:
            if not fanout.is_logged(chain, error):
                log_error(chain, error)
                self._tell_of_failure(chain, error)
            if not chain._is_quiet:
                self.failures.add(error)
        if chain._kept is not None:
            state, error = fanout.end_as_kept(chain, chain._kept, state, error)
        ending = [chain] if chain._branches is None else fanout.with_all_below(chain)
        passed_on = error if state is State.CANCELLED else None
        trace = None if error is None else error.__traceback__
        for one in ending:  # all before any is released: that may run their generators' ends
            one.state, one.error, one._trace = State.CANCELLED, passed_on, trace
        chain.state, chain.error = state, error
        for one in ending:
            if self._policies is not None:
                renewal = self._policies.release(one)
                if renewal is not None:
                    self._recovery.end_renewal(renewal, one)
            self._release(one)
            self._discount(one)
            # Last: whoever awaits it finds all numbers right.
            if self.journal is None or not self.journal.ended(one):
                one._wake_waiters()
        if chain.parent is not None:
            self.branching.on_branch_ended(chain)
        if not self.chains and not (self.journal is not None and self.journal.defers_idle):
            self.tell_idle()

    def end_like(
        self, chain: Chain, response: Response | None, error: BaseException | None
    ) -> None:
        """End a chain as another one has ended, which it stands for, and which has said so.

        Args:
            chain: which; nothing happens if it had ended.
            response: the last of the other one.
            error: that one's.
        """
        if chain.done:
            return
        # As what its own branches have come to: this is neither logged nor told.
        chain._kept = Kept(response, error)
        self.end_chain(chain, State.DONE)
        if error is not None and chain._number:  # the other one is counted
            self.failed -= 1
            self.done += 1

    def _end_done(self, chain: Chain) -> None:
        """As `end_chain`, by fewer calls, for a chain that has nothing but its last response."""
        scheduler = self._scheduler
        if (
            chain.parent is not None
            or chain._branches is not None
            or chain._kept is not None
            or chain._deadline_timer is not None
            or chain._transfer is not None  # of a streamed response
            or not chain._number
            or self._policies is not None
            or self.journal is not None
            or self._keys.alive
            or self.queue
            or self.held
            or self._waiting
            or scheduler.woken
            or scheduler.paused
        ):
            self.end_chain(chain, State.DONE)
            return
        chain.state = State.DONE
        self.chains.discard(chain)
        self.done += 1
        chain._lane = chain._outcome = chain._request = chain._readback = None
        chain._errback = chain._data = None
        if chain._waiters is not None:
            chain._wake_waiters()
        if not self.chains:
            self.tell_idle()

    def tell_idle(self) -> None:
        """Tell who listens that the last chain has ended."""
        # A copy, here and below: who is told may leave the list.
        for listener in tuple(self.idle_listeners):
            listener()

    def _tell_of_failure(self, chain: Chain, error: BaseException) -> None:
        for listener in tuple(self.failure_listeners):
            try:
                listener(chain, error)
            except Exception:
                logger.exception("an observer raised, of chain %s: %r", chain.name, listener)

    def count_chain(self, chain: Chain) -> None:
        """Count a chain that was to hold a flow together: it has a link, or has failed."""
        if not chain._number:
            self.flows -= 1
            self.started += 1
            chain._number = self.started

    def _discount(self, chain: Chain) -> None:
        self.chains.discard(chain)
        if self._keys.alive:
            self._keys.end(chain)
        if not chain._number:
            self.flows -= 1
        elif chain.state is State.DONE:
            self.done += 1
        elif chain.state is State.CANCELLED:
            self.cancelled += 1
        else:
            self.failed += 1

    def _release(self, chain: Chain) -> None:
        """Take back transfer, timers, task, place in the queue, source."""
        scheduler = self._scheduler
        if chain._deadline_timer is not None:
            self._ioloop.remove_timeout(chain._deadline_timer)
        if chain._delay_timer is not None:
            self._ioloop.remove_timeout(chain._delay_timer)
            scheduler.delayed -= 1
        if chain._transfer is not None:
            scheduler.in_flight -= 1
            self._transport.cancel(chain._transfer)
            scheduler.release(chain, self.time())
        if chain._socket is not None:
            chain._socket.abandon()
            chain._socket = None
            scheduler.in_flight -= 1
            scheduler.release(chain, self.time())
        if self.queue or self.held or scheduler.paused:
            scheduler.discard(chain)
        if scheduler.woken:
            self._dispatcher.wake_sources()
        # At the next turn: many chains may end in this one, and users' code is at work.
        if (self.queue or self._waiting) and not self._is_closed:
            self.call_soon(self._dispatcher.dispatch)
        # Taken first: closing the source runs users' code, which must find no chain that feeds.
        below, chain._branches = chain._branches, None
        if below is not None:
            if below.queued:
                scheduler.uncount_queued(chain)
            self.branching.leave_source(chain, below)
        # Once more: what was uncounted, or the end of the source, may have made room.
        if scheduler.woken:
            self._dispatcher.wake_sources()
        if chain._task is not None:
            stop_task(chain)
        # Cancelled before its first step the task never awaits it, of which Python would warn.
        if chain._awaited is not None:
            close_unstarted(chain._awaited)
        # Readers often are methods of objects that hold their chain: let the circle go.
        chain._transfer = chain._awaited = chain._lane = chain._outcome = None
        chain._delay_timer = chain._deadline_timer = None
        chain._request = chain._readback = chain._errback = chain._data = None
        chain._hop = chain._redirects = chain._signed = None

    def waiter_of_sent(self, chain: Chain) -> asyncio.Future[None] | None:
        """Future that ends with a chain; None if its request waits, or whoever asks has it wait."""
        return plain_wait(chain, self._asyncio_loop) if chain.state is State.SENT else None

    def _turn_of(self, chain: Chain) -> tuple[bool, float]:
        """Return True if the request waits for its turn, and the seconds that it may take."""
        request: Request | None = chain._request
        seconds = None if request is None else request.request_timeout
        default: float = self._defaults["request_timeout"]
        return chain in self.queue, default if seconds is None else seconds

    def start_task(self, chain: Chain, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine for the chain."""
        if self.journal is not None:
            self.journal.leave_reader(chain)
        make = functools.partial(make_task, chain, self._asyncio_loop)
        if self._policies is None:
            task = make(coroutine)
        else:
            task = self._policies.renewals.run_for(chain, make, coroutine)
        if not task.done():  # an eager one may be, and the chain have another
            chain._task = task


class _Streamed:
    """Takes the outcomes of a transfer with `stream=True`: the headers, then the end.

    Until the end the transfer belongs to the chain, whose reader runs. What it returns, or the
    chain's end, gives up the rest of the body. An end before the headers is an error like any
    other; later it is raised by the stream, to whoever reads it.

    Args:
        runner: of the chain.
        chain: whose link it is.
    """

    def __init__(self, runner: Runner, chain: Chain) -> None:
        self._runner = runner
        self._chain = chain
        self._is_read = False

    def __call__(self, result: Response | Exception, lane: Lane | None) -> None:
        """See `transfer.Outcome`."""
        if isinstance(result, StreamedResponse):
            self._is_read = True
            self._runner.handle_result(self._chain, result)
            return
        hide_signed(self._chain, result)  # the stream has it, too, if it is an error
        self._runner.leave_flight(self._chain, lane)
        if not self._is_read:
            self._runner.handle_result(self._chain, result)


def _unless_done(chain: Chain, function: Callable[[Chain, Any], None], error: object) -> None:
    if not chain.done:
        function(chain, error)


def _base_of(chain: Chain, response: Response | None) -> str | None:
    """Return the base of relative URLs that the chain's reader or errback returns."""
    if response is not None:
        return response.url
    return chain.session.base_url if chain._request is None else chain._request.url


def _is_cancelled(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError)
