"""Does what the policies say: sends links again, and renews credentials that others wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chain import Chain, State
from .hooks import Hooks
from .policies import READ, After, Again, Before, Fail, Policies, Refused, Renew, Wait
from .renewal import Renewal, close_renewal
from .response import Response

if TYPE_CHECKING:
    from .runner import Runner

__all__ = ["Recovery"]


class Recovery:
    """Retries and renewals of a runner's chains.

    Args:
        runner: of them.
        hooks: the stream.

    Attributes:
        policies: that say what is to be done, once there are some.
    """

    def __init__(self, runner: Runner, hooks: Hooks) -> None:
        self._runner = runner
        self._hooks = hooks
        self.policies: Policies | None = None

    def send_nothing(self, chain: Chain, step: Before) -> None:
        """Do what the policies say instead of sending the chain's request."""
        if isinstance(step, Wait):
            try:
                self._wait_for(chain, step.renewal)
            except Exception as error:
                self._runner.later(chain, self._runner.fail_link, error)
        elif isinstance(step, Refused):
            self._runner.later(chain, self._runner.handle_result, step.error)
        elif isinstance(step, Fail):
            self._runner.later(chain, self._runner.fail_link, step.error)

    def goes_on(self, chain: Chain, result: Response | Exception, step: After) -> bool:
        """Do what the policies say of an outcome; False: it stands."""
        # What is not read may set some, too: a refusal is often where a session begins.
        if self._runner.journal is not None and isinstance(result, Response):
            self._runner.journal.note_cookies(chain, result)
        if isinstance(step, Renew) and self.policies is not None:
            if not self._has_begun_renewal(chain, step.renewal):
                return True
            step = self.policies.retry(chain, result)
        if step is READ:
            return False
        self.do_after(chain, step)
        return True

    def do_after(self, chain: Chain, step: After) -> None:
        """Do what the policies say of an outcome that does not stand."""
        if isinstance(step, Fail):
            self._fail_or_raise(chain, step.error)
            return
        try:
            if isinstance(step, Again):
                self._send_again(chain, step)
            elif isinstance(step, Wait):
                self._wait_for(chain, step.renewal)
        except BaseException as error:  # of `on_retry`, or of the credentials
            self._fail_or_raise(chain, error)

    def _fail_or_raise(self, chain: Chain, error: BaseException) -> None:
        """End the link with what was raised by a policy."""
        if not isinstance(error, Exception):
            self._runner.interrupt(chain, error)
        elif not chain.done:
            self._runner.fail_link(chain, error)

    def _send_again(self, chain: Chain, step: Again) -> None:
        tries = 0
        if step.attempt is not None:  # else it is no retry: others have renewed its credentials
            self._runner.retries += 1
            chain.retries += 1
            tries = step.attempt.number
            self._hooks.on_retry(step.attempt)
        if chain.done:
            return
        # In the file with its number, so that a killed process does not count from 1 again.
        is_kept = tries and self._runner.journal is not None
        if not is_kept or not self._runner.journal.retry_later(chain, step.delay, tries):  # type: ignore[union-attr]
            self._runner.delay_request(chain, step.delay)

    def _wait_for(self, chain: Chain, renewal: Renewal) -> None:
        """Send the chain's request when its credentials are renewed."""
        if chain.done:  # by what the credentials were asked
            return
        self._runner.drop_transfer(chain)
        chain.state = State.QUEUED
        # Before it begins: a renewal that sends nothing ends in this call, and sends who waits.
        renewal.waiting[chain] = None
        if renewal.chain is None:
            self._begin_renewal(chain, renewal)
        elif self._runner.branching.on_rest is not None:  # it may be held, and is awaited now
            self._runner.call_soon(self._runner.send_awaited)

    def _has_begun_renewal(self, chain: Chain, renewal: Renewal) -> bool:
        """Begin it; False: what that has raised is the error of the chain's link."""
        try:
            self._begin_renewal(chain, renewal)
        except BaseException as error:
            self._fail_or_raise(chain, error)
            return False
        return True

    def _begin_renewal(self, chain: Chain, renewal: Renewal) -> None:
        """Renew credentials, in a chain of their own that goes before what waits for it."""
        assert self.policies is not None  # noqa: S101 - which has said so
        renewals, auth = self.policies.renewals, renewal.auth
        renewing = self._runner.new_chain("auth", chain.session)
        renewing._is_quiet = True  # its error goes to all who wait
        renewing._priority = chain._priority  # else who waits would wait behind lower ones
        # Before `renew` is called: that may end the chain, and what it begins belongs to it.
        renewals.begin(renewal, renewing)
        if auth.renew_timeout is not None:
            self._runner.set_deadline(renewing, auth.renew_timeout)
        self._runner.follow_call(renewing, renewals.renew, renewing, origin=auth.renew)

    def end_renewal(self, renewal: Renewal, renewing: Chain) -> None:
        """Send who has waited for the credentials, or fail them: its chain has ended."""
        waiting, failure = close_renewal(renewal, renewing)
        for chain in waiting:
            if chain.done:  # by what was sent before it
                continue
            if failure is None:
                self._runner.send_request(chain)
            else:
                self._runner.later(chain, self._runner.fail_link, failure.error_of(chain))

    def is_sent_again(self, chain: Chain) -> bool:
        """Send a link again whose reader was logged out. Returns False if it cannot be."""
        if self.policies is None:
            return False
        step = self.policies.after_logout(chain)
        if isinstance(step, Renew):  # for others: it cannot be sent again itself
            return not self._has_begun_renewal(chain, step.renewal)
        if step is READ:
            return False
        self.do_after(chain, step)
        return True
