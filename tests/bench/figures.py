"""What is no rate of requests: memory of chains that are held, lateness of chains that are delayed,
accounts that chat, bodies of any size, a mixed flow for a long time.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import bodies, holder, town
from .children import Cores, json_of, python
from .report import Figure

_HELD, _DELAYED = 10_000, 50_000
#: Seconds that delayed chains idle, from the start of making them, and over which they then start.
_WAIT, _SPREAD = 6.0, 5.0
#: Accounts, and messages a second of all of them.
_ACCOUNTS, _MESSAGES = 2_000, 400.0
#: Seconds that they get to log in, and what is under way at the end to arrive.
_AROUND = 90.0
#: Seconds beyond its own that a soak takes: it comes to rest six times.
_TO_COME_TO_REST = 300.0
#: Connections to the server that ask for nothing, and accounts that poll.
_IDLE, _POLLS = 5_000, 2_000
#: Accounts that send, messages a second of all of them, and seconds of that.
_TALKERS, _RATE, _TALK = 200, 1_000, 20
#: Links of a run with a journal, and rounds of each kind.
_LINKS, _ROUNDS = 20_000, 3
#: MiB of a body.
_BODY = 1024


class Waits(NamedTuple):
    """What these need to run.

    Args:
        url: of nginx.
        cores: where to run.
        sockets: that one process may have.
        chatting: seconds of the chat.
        minutes: of the soak.
    """

    url: str
    cores: Cores
    sockets: int
    chatting: float
    minutes: float

    def held(self) -> Iterator[Figure | str]:
        """Chains in a long poll, and aiohttp's tasks."""
        number = min(_HELD, self.sockets)
        for measure, who, limit in (("held", "ours", 16.0), ("held_aiohttp", "aiohttp", None)):
            with holder.running(self.cores.server) as url:
                facts = self._measure(measure, number, url)
            yield Figure("held", f"memory for each, {who}", facts["each_kib"], "KiB", limit)
            if facts["good"] != number:
                yield f"{who}: {facts['good']} of {number} polls were answered with 200"

    def delayed(self) -> Iterator[Figure | str]:
        """Chains that wait for their time."""
        facts = self._measure("delayed", _DELAYED, self.url, _WAIT, _SPREAD)
        yield Figure("delayed", "start late by, 99th percentile", facts["p99_ms"], "ms", 5.0)
        yield Figure("delayed", "start late by, median", facts["p50_ms"], "ms")
        yield Figure("delayed", "start late by, at most", facts["max_ms"], "ms")
        yield Figure("delayed", "CPU while they all wait", facts["idle_cpu"], "%", 5.0)
        if facts["good"] != _DELAYED:
            yield f"{facts['good']} of {_DELAYED} chains were answered with 200"
        if facts["idle_for"] < 1:
            yield f"making the chains left {facts['idle_for']:.1f} s to idle, that is too little"

    def accounts(self) -> Iterator[Figure | str]:
        """Accounts that chat, in one process."""
        people = min(_ACCOUNTS, self.sockets // 4 * 2)  # two connections each, and in pairs
        with town.running(people, self.cores.server) as server:
            command = python("accounts", people, _MESSAGES, self.chatting, *server)
            facts = json_of(command, self.cores.client, self.chatting + _AROUND)
        for what, value, unit in _chat_lines(people, facts):
            yield Figure("accounts", what, value, unit)
        for what, count in facts["problems"].items():
            yield f"{count} messages {what}"

    def bodies(self) -> Iterator[Figure | str]:
        """Large bodies, each way that they can be streamed."""
        with bodies.running(self.cores.server) as url, tempfile.TemporaryDirectory() as folder:
            for way, what in bodies.WAYS.items():
                command = python("bodies", way.__name__, _BODY, url, Path(folder))
                facts = json_of(command, self.cores.client, _AROUND)
                yield Figure("bodies", f"memory grows, {what}", facts["grown_mib"], "MiB", 4.0)
                yield Figure("bodies", f"rate, {what}", facts["mib_s"], "MiB/s")
                if facts["size"] != _BODY * bodies.MIB:
                    yield f"{what}: {facts['size']} bytes arrived"

    def soak(self) -> Iterator[Figure | str]:
        """A mixed flow against servers that misbehave: nothing is to grow."""
        seconds = self.minutes * 60
        facts = json_of(python("soak", self.minutes), None, seconds + _TO_COME_TO_REST)
        second, last = facts["rows"][1], facts["rows"][-1]
        yield Figure("soak", "flows that ended as they should", last["done"], "")
        yield Figure("soak", "requests", last["requests"], "")
        yield Figure("soak", "memory after a third of the time", second["rss_kib"] / 1024, "MiB")
        yield Figure("soak", "memory at the end", last["rss_kib"] / 1024, "MiB")
        yield Figure("soak", "figures that are not flat", len(facts["grown"]), "", 0.0)
        for name, share in facts["grown"].items():
            yield f"not flat: {name} has grown by {share:.1f} % after the first sixth"
        for what, count in facts["problems"].items():
            yield f"{count} times: {what}"

    def connections(self) -> Iterator[Figure | str]:
        """Connections that ask the server for nothing, and polls that it holds."""
        number = min(_IDLE, self.sockets)
        with town.running(10, self.cores.server) as server:
            facts = self._load("idle", number, *server)
        most = 60.0 * number / _IDLE
        yield Figure("connections", f"{number:,} idle connections", facts["grown_mib"], "MiB", most)
        number = min(_POLLS, self.sockets)
        with town.running(number, self.cores.server) as server:
            facts = self._load("polls", number, *server)
        yield Figure("connections", f"{number:,} polls held, each", facts["each_kib"], "KiB", 60.0)

    def messages(self) -> Iterator[Figure | str]:
        """Messages between friends through the server, at a steady rate."""
        with town.running(_TALKERS, self.cores.server) as server:
            facts = self._load("messages", _TALKERS, _RATE, _TALK, *server)
        yield Figure("messages", f"heard, of {_RATE:,} offered a second", facts["rate"], "/s")
        yield Figure("messages", "from send to poll, median", facts["p50_ms"], "ms")
        yield Figure("messages", "from send to poll, p99", facts["p99_ms"], "ms", 150.0)
        yield Figure("messages", "CPU of the server (of its core)", facts["server_cpu"] * 100, "%")
        each = facts["server_cpu"] / facts["rate"] * 1e6
        yield Figure("messages", "CPU of the server for each", each, "us")
        for what in ("lost", "twice", "refused"):
            if facts[what]:
                yield f"{facts[what]:.0f} messages were {what}"

    def journal(self) -> Iterator[Figure | str]:
        """Links with a journal against links without, in rounds in which they take turns."""
        with tempfile.TemporaryDirectory() as folder:
            rates: defaultdict[str, list[float]] = defaultdict(list)
            for _ in range(_ROUNDS):
                for mode in ("none", "normal", "none+items", "full+items"):
                    command = python("journal", "links", self.url, _LINKS, mode, folder)
                    facts = json_of(command, self.cores.client, _AROUND)
                    rates[mode].append(facts["rate"])
                    if facts["good"] != _LINKS:
                        yield f"journal, {mode}: {facts['good']} of {_LINKS} links were answered"
            median = {mode: statistics.median(each) for mode, each in rates.items()}
            facts = json_of(python("journal", "million", folder), self.cores.client, _AROUND)
        yield Figure("journal", "links without a journal", median["none"], "/s")
        for mode, other, what, most in (
            ("normal", "none", 'sync="normal"', 1 / 0.75),
            ("full+items", "none+items", 'sync="full", a result each', 2.0),
        ):
            yield Figure("journal", f"links, {what}", median[mode], "/s")
            yield Figure(
                "journal", f"time for one, {what}", median[other] / median[mode], "x", most
            )
        yield Figure("journal", "a million chains, file", facts["size_mb"], "MB", 100.0)
        yield Figure(
            "journal", "a million chains, until the first go on", facts["seconds"], "s", 5.0
        )
        yield Figure("journal", "a million chains, memory", facts["memory_mib"], "MiB")

    def _load(self, name: str, *arguments: object) -> Any:
        command = python("load", name, *arguments)
        return json_of(command, self.cores.client, _TALK + _AROUND)

    def _measure(self, name: str, *arguments: object) -> Any:
        command = python("waiting", name, *arguments)
        return json_of(command, self.cores.client, _WAIT + _SPREAD)


def _chat_lines(people: int, facts: Any) -> Iterator[tuple[str, float, str]]:
    yield f"{people:,} accounts are online after", facts["login_seconds"], "s"
    yield "messages offered", facts["offered"] / facts["seconds"], "/s"
    yield (
        "messages heard (one to a group is heard by nine)",
        facts["heard"] / facts["seconds"],
        "/s",
    )
    yield "from send to the listener, median", facts["p50_ms"], "ms"
    yield "from send to the listener, 99th percentile", facts["p99_ms"], "ms"
    yield "from send to the listener, at most", facts["max_ms"], "ms"
    for who in ("client", "server"):
        yield f"CPU of the {who} (of its core)", facts[f"{who}_cpu"] * 100, "%"
        yield f"memory of the {who} for each account", facts[f"{who}_kib"], "KiB"


#: By the name for the command line: title, and how it is measured.
FIGURES: dict[str, tuple[str, Callable[[Waits], Iterator[Figure | str]]]] = {
    "held": (f"{_HELD:,} chains in a long poll at once", Waits.held),
    "delayed": (f"{_DELAYED:,} delayed chains", Waits.delayed),
    "accounts": ("Accounts in one process, chatting", Waits.accounts),
    "soak": ("A mixed flow against servers that misbehave", Waits.soak),
    "connections": ("Connections of the server that wait", Waits.connections),
    "messages": (f"{_RATE:,} messages a second through the server", Waits.messages),
    "bodies": (f"Bodies of {_BODY:,} MiB", Waits.bodies),
    "journal": (f"{_LINKS:,} links of 64 chains with a journal", Waits.journal),
}
