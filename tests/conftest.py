"""What every test gets: coroutine tests, and a look at what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
import uuid
from collections.abc import Iterator
from types import FrameType

import hypothesis
import pytest
import pytest_timeout
from servers.processes import held_port, running

from webqq_tornado.bot import invocation

# Where other processes keep the cores busy an example may take any time.
hypothesis.settings.register_profile(
    "busy machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("busy machine")

# On a busy machine any step of any handler may be held up: tests of the warning set their own.
invocation.BLOCKED_SECONDS = 60.0

#: Seconds that a test gets to end after it was interrupted, before it is interrupted again.
GRACE = 20.0


def pytest_configure() -> None:
    """Have signals mean something again where the tests were started with `&` or `nohup`.

    SIGINT or SIGHUP is ignored then, and so it is by all programs that the tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    gc.disable()  # until the tests are found: what is made until then stays


def pytest_collection_finish() -> None:
    """Keep the 400,000 objects of pytest, and of all modules, out of each collection."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings):
    """Cancel a coroutine test that hangs, before pytest-timeout raises out of its loop.

    So the traceback shows the line that waits. One exception is not enough either: a callback's
    is logged by the loop, which then goes on.
    """
    result = yield
    if settings.method == "signal" and settings.timeout:
        give_up = signal.getsignal(signal.SIGALRM)

        def interrupt(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGALRM, give_up)
            watched = pytest_timeout.is_debugging()
            if watched or not _cancel_coroutine(item.originalname, settings.timeout):
                give_up(number, frame)

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, GRACE)
    return result


def _cancel_coroutine(name: str, seconds: float) -> bool:
    """Whether a test of that name was running on this thread's loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    tasks = [task for task in asyncio.all_tasks(loop) if task.get_coro().__name__ == name]
    for task in tasks:
        loop.call_soon_threadsafe(task.cancel, f"Timeout (>{seconds}s)")
    return bool(tasks)


class _Records(logging.Handler):
    """Keeps what was logged as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def unexpected_logs(request: pytest.FixtureRequest):
    """A warning or error that the test did not ask for (with `caplog`) fails it."""
    records = _Records()
    logging.getLogger().addHandler(records)
    yield
    logging.getLogger().removeHandler(records)
    if "caplog" not in request.fixturenames and records.records:
        lines = [f"{r.name} {r.levelname}: {r.getMessage()}" for r in records.records]
        pytest.fail("unexpected log lines:\n" + "\n".join(lines))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, which is one for all tests."""
    with running("servers.postgres") as facts:
        yield facts["url"]


@pytest.fixture
def database(postgres: str) -> str:
    """The URL of a journal there that nobody else has."""
    return f"{postgres}&schema=t{uuid.uuid4().hex}"


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port at which nobody listens, and which nobody else gets."""
    with held_port() as port:
        yield port


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch):
    """The machine's clock is set to a zone that is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
