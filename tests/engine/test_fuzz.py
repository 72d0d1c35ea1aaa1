"""Whatever URLs, headers, bodies, answers and readers are: each chain ends, once, and all is well.

A small profile runs with the others, and is the same each time. FUZZ_SECONDS=600 lets it go on for
so many seconds in all, each time with other examples; FUZZ_SEED is the first seed.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from engine.fuzz_plans import plans
from engine.fuzz_play import Arena, Play

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120 + 3 * SECONDS),
    # An example that fails is to be shown, however large it is.
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
]


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    made = Arena(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()
    sys.__stdout__.write(
        f"\nfuzz: {made.examples} examples, {made.links} links, {made.requests} requests\n"
    )


def fuzz(
    strategy: st.SearchStrategy[Any], run: Callable[[Any], None], examples: int, share: float = 1
) -> None:
    """Run examples: so many, or as many as there is time for, of which this is a share."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    profile = settings(
        max_examples=examples if not SECONDS else 300,
        deadline=None,
        database=None,
        derandomize=not SECONDS,
        suppress_health_check=checks,
        report_multiple_bugs=False,
    )
    if not SECONDS:
        profile(given(strategy)(run))()
        return
    until = time.monotonic() + SECONDS * share
    number = int(os.environ.get("FUZZ_SEED") or random.randrange(2**32))
    chance = random.Random(number)
    while time.monotonic() < until:
        try:
            seed(number)(profile(given(strategy)(run)))()
        except BaseException:
            sys.__stdout__.write(f"\nwith FUZZ_SEED={number}\n")
            raise
        number = chance.randrange(2**32)


@pytest.mark.usefixtures("caplog")
def test_each_chain_ends_once_and_all_is_well(arena: Arena):
    fuzz(plans(), lambda plan: arena.play(Play(arena, plan).run), 100)
