"""A pool of worker processes that train the cells of a comparison."""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# Give up after this many consecutive worker failures.
DEATHS = 3
# Replace a worker after this many cells: graphs of finished cells leak memory.
CELLS_A_PROCESS = 25


def run_all(
    cells: Sequence[dict[str, Any]],
    data: Path,
    out: Path,
    workers: int,
    finished: Callable[[dict[str, Any]], None],
) -> None:
    """Trains cells in worker processes.

    Args:
        cells: Settings for `run_cell`, in the order in which they start.
        data, out: As in `compare`.
        workers: Number of processes.
        finished: Function that is called with each result, one at a time.

    Raises:
        ValueError: If `DEATHS` consecutive processes die.
    """
    waiting = deque(cells)
    workers = max(1, min(workers, len(waiting)))
    threads = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0
    turn = threading.Lock()
    failures: list[str] = []
    deaths: list[str] = []
    running: list[subprocess.Popen[str]] = []

    def report(cell: dict[str, Any], line: str) -> bool:
        """Passes a result on; returns False if the process has died."""
        alive = line.endswith("\n")
        if failures and not alive:
            return False  # The pool stopped the process.
        words = (
            "The process died, perhaps out of memory: see its last output in "
            "worker-*.log."
        )
        result = {"name": cell["name"], "error": words}
        with turn:
            deaths[:] = [] if alive else [*deaths, cell["name"]]
            if len(deaths) >= DEATHS:
                failures.append(
                    f"{', '.join(deaths)}: consecutive processes died, perhaps "
                    f"out of memory. See their last output in {out}/worker-*."
                    "log. The same command resumes the comparison."
                )
            finished(json.loads(line) if alive else result)
        return alive

    def work(number: int) -> None:
        log = out / f"worker-{number}.log"
        while waiting and not failures:
            with _start(data, out, threads, log) as process:
                running.append(process)
                try:
                    _feed(process, waiting, report, failures)
                finally:
                    running.remove(process)
                    process.kill()
                    with suppress(BrokenPipeError):
                        process.communicate()

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(f"{type(error).__name__}: {error}")

    threads_ = [
        threading.Thread(target=guarded, args=(number,), daemon=True)
        for number in range(workers)
    ]
    for thread in threads_:
        thread.start()
    try:
        for thread in threads_:
            thread.join()
    except BaseException:
        # On Ctrl-C, stop the running cells and keep the finished ones.
        waiting.clear()
        failures.append("stopped")
        for process in list(running):
            process.kill()
        raise
    if failures:
        raise ValueError(failures[0])


def _start(
    data: Path, out: Path, threads: int, log: Path
) -> "subprocess.Popen[str]":
    with open(log, "ab") as errors:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "keras_pss.comparison.worker_process",
                str(data),
                str(out),
                str(threads),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        )


def _feed(
    process: "subprocess.Popen[str]",
    waiting: "deque[dict[str, Any]]",
    report: Callable[[dict[str, Any], str], bool],
    failures: list[str],
) -> None:
    """Feeds cells to a process until it is replaced or dies."""
    assert process.stdin
    assert process.stdout
    for _ in range(CELLS_A_PROCESS):
        if failures:
            return
        try:
            cell = waiting.popleft()
        except IndexError:
            return
        line = ""
        # A process that died earlier raises here; treat it as no answer.
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(cell) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not report(cell, line):
            return
