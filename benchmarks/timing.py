"""Times of several ways to the same result, taken in turns."""

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def in_turns(
    ways: Mapping[str, Callable[[], Any]], rounds: int, least_ms: float = 25
) -> dict[str, float]:
    """Milliseconds of one call of each way, the median over the rounds.

    In each round every way has its turn, so that what else the machine does
    meets all of them. A turn calls a short way several times.

    Args:
        ways: Functions that return when their work is done.
        rounds: Turns of each.
        least_ms: How long a turn takes at least.
    """
    calls = {}
    for name, way in ways.items():
        for _ in range(2):  # the first ones trace and compile
            way()
        calls[name] = max(1, round(least_ms / _turn(way, 1)))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(_turn(way, calls[name]))
    return {name: statistics.median(found) for name, found in times.items()}


def _turn(way: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        way()
    return 1e3 * (time.perf_counter() - start) / calls


def commit() -> str:
    """The state of the sources."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return found.stdout.strip()
