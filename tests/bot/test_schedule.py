"""Schedules: when something is due, also when the clock is changed."""

from __future__ import annotations

import asyncio
import math
import re
import time
from datetime import datetime, timezone

import pytest
from tornado.ioloop import IOLoop

from webqq_tornado.bot import Cron, Every
from webqq_tornado.bot.schedule import Schedule, Scheduler

BERLIN = "Europe/Berlin"


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def times(cron: Cron, since: str, count: int) -> list[str]:
    """The next times, in UTC."""
    moment, found = unix(since), []
    for _ in range(count):
        moment = cron.after(moment)
        found.append(datetime.fromtimestamp(moment, timezone.utc).strftime("%m-%d %H:%M"))
    return found


def test_every_so_many_seconds_from_a_start_on():
    assert Every(10, start=5).after(5) == 15
    assert Every(10, start=5).after(14.9) == 15
    assert Every(10, start=5).after(1000) == 1005


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_every_takes_a_number_above_0(seconds: float):
    with pytest.raises(ValueError, match="above 0"):
        Every(seconds)


def test_a_cron_expression_is_read_in_its_zone():
    cron = Cron("0 9 * * 1-5", tz="Asia/Shanghai")
    assert times(cron, "2026-11-20T00:00+00:00", 3) == ["11-20 01:00", "11-23 01:00", "11-24 01:00"]


def test_a_time_that_is_left_out_in_spring_comes_right_after():
    cron = Cron("30 2 * * *", tz=BERLIN)
    assert times(cron, "2026-03-28T12:00+00:00", 2) == ["03-29 01:00", "03-30 00:30"]


def test_a_time_that_comes_twice_in_autumn_counts_once():
    cron = Cron("30 2 * * *", tz=BERLIN)
    assert times(cron, "2026-10-24T12:00+00:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_what_runs_each_half_hour_does_so_in_both_of_the_hours_that_come_twice():
    cron = Cron("*/30 * * * *", tz=BERLIN)
    assert times(cron, "2026-10-25T00:00+00:00", 3) == ["10-25 00:30", "10-25 01:00", "10-25 01:30"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 2 * * 0", "*/7 2 * * *", "* * * * *"])
@pytest.mark.parametrize("tz", [BERLIN, "America/Havana", "Australia/Lord_Howe"])
def test_the_next_time_is_later_than_any_moment_of_a_day_with_a_changed_clock(
    expression: str, tz: str
):
    cron = Cron(expression, tz=tz)
    for day in ("2026-03-08", "2026-03-29", "2026-04-04", "2026-10-25", "2026-11-01"):
        since = unix(f"{day}T00:00+00:00")
        moments = [since + 60 * minute + 0.5 for minute in range(0, 1440, 5)]
        assert [moment for moment in moments if not cron.after(moment) > moment] == []


def test_a_job_of_an_hour_that_comes_twice_is_not_run_without_end_in_the_second_one():
    clock = Clock()
    clock.now = unix("2026-10-25T00:50+00:00")
    runs = timetable(Cron("30 2 * * *", tz=BERLIN), clock)
    for _ in range(60):
        clock.sleep(min(timer for timer, _ in clock.timers) - clock.now)
    assert runs == []


@pytest.mark.parametrize("expression", ["", "* * * *", "61 * * * *", "a b c d e", "0 9 * * 1-9"])
def test_what_is_no_cron_expression_is_refused_with_an_example(expression: str):
    with pytest.raises(ValueError, match="not a cron expression"):
        Cron(expression)


@pytest.mark.parametrize("tz", ["Europe/Atlantis", "", "../etc/passwd"])
def test_what_is_no_time_zone_is_refused(tz: str):
    with pytest.raises(ValueError, match="not a time zone"):
        Cron("* * * * *", tz=tz)


@pytest.fixture
def machine_zone(monkeypatch):
    """Sets the machine's time zone."""

    def set_zone(tz: str) -> None:
        monkeypatch.setenv("TZ", tz)
        monkeypatch.setattr("tzlocal.unix._cache_tz", None)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("tz", "due"), [("CST-8", "01:00"), ("<+0530>-5:30", "03:30"), ("Asia/Tokyo", "00:00")]
)
def test_without_a_zone_the_machine_s_counts_in_any_form(machine_zone, tz: str, due: str):
    machine_zone(tz)
    assert times(Cron("0 9 * * *"), "2026-11-20T00:00+00:00", 2)[-1].endswith(due)


@pytest.mark.parametrize("tz", ["Foo/Bar", "../../x", "CET-1CEST,M3.5.0,M10.5.0"])
def test_a_zone_of_the_machine_that_is_none_is_named(machine_zone, tz: str):
    machine_zone(tz)
    with pytest.raises(ValueError, match=f"TZ='{re.escape(tz)}'"):
        Cron("0 9 * * *")


class Clock:
    """A clock that is set by hand, and a loop whose timers only it moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, object]] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: object) -> object:
        self.timers.append((self.now + delay, callback))
        return self.timers[-1]

    def remove_timeout(self, timer: object) -> None:
        self.timers.remove(timer)

    def sleep(self, seconds: float, by: float | None = None) -> None:
        """Let time pass; `by` is by how much the clock is moved if that differs."""
        self.now += seconds if by is None else by
        due, self.timers = self.timers, []
        for _, callback in due:
            callback()


def timetable(schedule: Schedule, clock: Clock) -> list[float]:
    runs: list[float] = []
    Scheduler(schedule, lambda: runs.append(clock.now), clock, clock).start()
    return runs


def test_what_was_missed_is_run_once_and_not_made_up_for():
    clock = Clock()
    runs = timetable(Every(10, start=1000), clock)
    for seconds in (10, 45, 5):
        clock.sleep(seconds)
    assert runs == [1010, 1055, 1060]


def test_a_clock_that_is_set_back_does_not_stop_a_schedule():
    clock = Clock()
    runs = timetable(Every(10, start=1000), clock)
    clock.sleep(10, by=-500)
    clock.sleep(10)
    assert runs == [510]


def test_one_who_waits_for_long_looks_at_the_clock_every_minute():
    clock = Clock()
    timetable(Every(86400, start=1000), clock)
    assert clock.timers[0][0] == 1060


async def test_a_timetable_runs_on_the_loop_until_it_is_stopped():
    runs: asyncio.Queue[None] = asyncio.Queue()
    table = Scheduler(Every(0.01), lambda: runs.put_nowait(None), IOLoop.current())
    table.start()
    await runs.get()
    await runs.get()
    table.stop()
    assert table._timer is None
