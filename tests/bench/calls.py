"""The engine's own calls for one request, and how often they lead to another file.

`python -m tests.bench.calls` prints both, between two readers of a chain in steady state, for a
plain request and for one with limits, retries, a breaker and credentials; `--list` every call.
The fewest of many: an answer that comes a turn of the loop later costs some calls more.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import webqq_tornado.engine
from webqq_tornado import HTTPStream, Limits, Response
from webqq_tornado.auth import BearerAuth
from webqq_tornado.engine.links import Link
from webqq_tornado.retry import CircuitBreaker, Retry

from . import nginx

_ENGINE = str(Path(str(webqq_tornado.engine.__file__)).parent)
#: Links before those that are counted: the connection is open, the request compiled.
_WARM_UP = 20
_COUNTED = 101
_FILES = 200


class Call(NamedTuple):
    """A function of the engine's that was called."""

    file: str
    function: str


def calls_of(url: str, make: Callable[[], HTTPStream]) -> list[Call]:
    """All calls between two readers of a chain, in their order: of the request with the fewest."""
    requests: list[list[Call]] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_ENGINE):
            requests[-1].append(
                Call(Path(code.co_filename).name, getattr(code, "co_qualname", code.co_name))
            )

    async def run() -> None:
        def read(response: Response) -> Link:
            sys.setprofile(None)
            requests.append([])
            if len(requests) > _WARM_UP + _COUNTED:
                return None
            if len(requests) > _WARM_UP:
                sys.setprofile(note)
            return response.request, read

        async with make() as stream:
            await stream.add_request(url, read)

    asyncio.run(run())
    return min(requests[_WARM_UP:-1], key=len)


def with_policies() -> HTTPStream:
    """A stream with all that may be asked about a request."""
    return HTTPStream(
        limits=Limits(per_host=8, per_session=8, rate_per_host=1e6, burst=8),
        retry=Retry(),
        breaker=CircuitBreaker(),
        auth=BearerAuth("token"),
    )


def changes_of(calls: list[Call]) -> int:
    """How often a call is in another file than the one before it."""
    return sum(one.file != other.file for one, other in itertools.pairwise(calls))


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.calls", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print every call, too")
    options = parser.parse_args()
    ways: dict[str, Any] = {"plain": HTTPStream, "with policies": with_policies}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with nginx.running(Path(folder), None, _FILES) as server:
            counted = {name: calls_of(server.http, make) for name, make in ways.items()}
    for name, calls in counted.items():
        print(f"{name}: {len(calls)} calls, {changes_of(calls)} changes of file")
        for call in calls if options.list else ():
            print(f"  {call.file} {call.function}")


if __name__ == "__main__":
    main()
