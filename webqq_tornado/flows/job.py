"""Submit a job to a server and wait until it is done.

    Job("http://example.org/jobs", {"input": 3}).run()

An example of the engine: one chain, whose reader returns its own request after a pause until the
server has finished.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from typing import Any

from ..engine.body import json_body
from ..engine.errors import ProtocolError
from ..engine.links import Link
from ..engine.request import Request
from ..engine.response import Response
from ..engine.secrets import safe_url
from ..engine.urls import join_url
from ..retry import Retry, retry_after
from .flow import Flow, Report

__all__ = ["Job"]

_ACCEPTED = frozenset({200, 201, 202})


class Job(Flow):
    """Submits JSON, and polls the state until it is final.

    The server answers with 200, 201 or 202 and the job's URL, in `Location` or under "url" in
    JSON. There it returns the state under `state`; `Retry-After` sets the pause.

    Args:
        url: of the submission.
        data: of the job, any JSON value.
        state: key of the state in the answers.
        done: states of success, in any case.
        failed: states of failure.
        interval: seconds between two polls, unless the server sets them.
        max_retry_after: seconds; a longer Retry-After is an error.
        arguments: of `Flow`.

    Attributes:
        result: the last answer as JSON, once the job is done.

    Example:
        >>> job = Job("http://example.org/jobs", {"input": 3})
        >>> job.run()
        >>> job.result
    """

    def __init__(
        self,
        url: str,
        data: object,
        *,
        state: str = "state",
        done: Collection[str] = ("done", "succeeded", "completed", "finished"),
        failed: Collection[str] = ("failed", "error", "cancelled"),
        interval: float = 2.0,
        max_retry_after: float = 3600.0,
        **arguments: Any,
    ) -> None:
        arguments.setdefault("retry", Retry())
        super().__init__(**arguments)
        body, kind = json_body(data)
        self._submission = Request(url, "POST", {"Content-Type": kind}, body)
        self._state_key = state
        self._done_states = frozenset(map(str.casefold, done))
        self._failed_states = frozenset(map(str.casefold, failed))
        self._interval = interval
        self._max_retry_after = max_retry_after
        self._state, self.result = self.state.get("job", ("not submitted", None))

    def begin(self) -> Iterator[Link]:
        """Submit the job."""
        yield self._submission, self._submitted

    def _submitted(self, response: Response) -> Link:
        if response.status not in _ACCEPTED:
            raise ProtocolError(f"{safe_url(response.url)}: the job was refused: {response.status}")
        where = response.headers.get("Location") or _document(response).get("url")
        if not where or not isinstance(where, str):
            raise ProtocolError(f"{safe_url(response.url)}: it does not say where the job is")
        try:
            request = Request(join_url(response.url, where))
        except ValueError as error:
            raise ProtocolError(f"{safe_url(response.url)}: where the job is: {error}") from None
        shown = safe_url(request.url)
        self.tell(f"submitted: {shown}", event="submitted", url=shown)
        return request, self._told, self._pause(response)

    def _told(self, response: Response) -> Link:
        document = _document(response)
        state = str(document.get(self._state_key, ""))
        if response.status >= 400 or not state:
            raise ProtocolError(f"{safe_url(response.url)}: status {response.status}, and no state")
        if state != self._state:
            self.tell(f"state: {state}", event="state", state=state)
        self._state = state
        self.done += 1
        is_done = state.casefold() in self._done_states
        if self.journal is not None:
            self.state["job"] = [state, document if is_done else None]
        if state.casefold() in self._failed_states:
            raise ProtocolError(f"{safe_url(response.url)}: the job has come to {state!r}")
        if is_done:
            self.result = document
            return None
        return response.request, self._told, self._pause(response)

    def _pause(self, response: Response) -> float:
        asked = retry_after(response, time.time())
        if asked is None:
            return self._interval
        if asked > self._max_retry_after:
            said = str(response.headers["Retry-After"])[:40]
            raise ProtocolError(
                f"{safe_url(response.url)}: the server asks to wait for longer than "
                f"max_retry_after={self._max_retry_after:g} seconds: Retry-After: {said}"
            )
        return asked

    def report(self) -> Report:
        """State and result."""
        row = (self._state, str(self.done), json.dumps(self.result, ensure_ascii=False))
        values = {"state": self._state, "questions": self.done, "result": self.result}
        is_good = self.result is not None
        return Report(("state", "questions", "result"), [row], is_good, [values])


def _document(response: Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
