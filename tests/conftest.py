"""What every test gets: coroutine tests, and a look at what they leave behind."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import time

import pytest

#: Seconds a coroutine test may take: a hang fails instead of holding up the run.
DEADLINE = 30.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests on a loop of their own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    marker = pyfuncitem.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else DEADLINE

    async def run() -> None:
        await asyncio.wait_for(pyfuncitem.obj(**arguments), seconds)

    asyncio.run(run())
    return True


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


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch):
    """The machine's clock is set to a zone that is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@functools.cache
def _fd_folder() -> str | None:
    return next((path for path in ("/proc/self/fd", "/dev/fd") if os.path.isdir(path)), None)


def open_descriptors() -> int:
    """How many file descriptors this process has open."""
    folder = _fd_folder()
    assert folder, "no way to count descriptors on this system"
    return len(os.listdir(folder))
