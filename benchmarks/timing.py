"""Times of several ways to compute the same result, measured in turns."""

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def in_turns(
    ways: Mapping[str, Callable[[], Any]],
    rounds: int,
    least_ms: float = 25,
    before_round: Callable[[], Any] = lambda: None,
) -> dict[str, float]:
    """Milliseconds per call of each function, the median over the rounds.

    In each round every function has a turn, so that other load on the machine
    affects all of them. A turn calls a fast function several times.

    Args:
        ways: Functions by name; each returns when its work is done.
        rounds: Number of turns of each function.
        least_ms: Approximate minimum duration of a turn.
        before_round: Function that is called before each round. Default: one
            that does nothing.
    """
    calls = {}
    for name, way in ways.items():
        for _ in range(2):  # the first calls trace and compile
            way()
        calls[name] = max(1, round(least_ms / _turn(way, 1)))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        before_round()
        for name, way in ways.items():
            times[name].append(_turn(way, calls[name]))
    return {name: statistics.median(found) for name, found in times.items()}


def _turn(way: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        way()
    return 1e3 * (time.perf_counter() - start) / calls


def commit() -> str:
    """The commit of the sources, from `git describe`."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return found.stdout.strip()
