"""Runs the cells of a grid and keeps the finished ones."""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.comparison.estimate import Estimate
from keras_pss.comparison.grid import Cell, Grid, infeasible
from keras_pss.comparison.run_cell import STATES
from keras_pss.comparison.worker_pool import run_all
from keras_pss.data.locate import name_of, open_click_log
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.files import complete_file
from keras_pss.layers.base.checks import positive_int
from keras_pss.training.fit import counts
from keras_pss.training.scorer import EVALUATION_BATCH

logger = logging.getLogger(__name__)

RESULTS = "results.jsonl"
LABELS = "labels.npy"

# Arguments: finished cells, all cells, and the result of the last one.
Progress = Callable[[int, int, dict[str, Any]], None]
# Argument: the results so far.
Watch = Callable[["Outcome"], None]


@dataclass(frozen=True)
class Outcome:
    """A grid and the results of its cells.

    Attributes:
        grid: The grid.
        results: Results of the finished cells, by name.
        infeasible: Reasons why cells have no size within their budget, by name.
        errors: Errors that ended cells without a result, by name.
        data: Name of the log in the report.
        left: Number of cells that can be built and have neither a result nor
            an error yet.
        seconds_left: Seconds until they are finished, an estimate; None if
            nothing is trained.
    """

    grid: Grid
    results: dict[str, dict[str, Any]]
    infeasible: dict[str, str]
    errors: dict[str, str]
    data: str = ""
    left: int = 0
    seconds_left: float | None = None


def compare(
    data: Path,
    grid: Grid,
    out: Path,
    workers: int = 1,
    progress: Progress | None = None,
    only_report: bool = False,
    watch: Watch | None = None,
) -> Outcome:
    """Trains every cell of a grid that is not finished yet.

    `out/results.jsonl` has a line for each finished cell. It is written after
    the cell's probabilities of the test rows, in `out/probabilities`. After an
    interruption, the same call resumes the comparison: finished cells with the
    same settings and rows are kept, and a cell that was running resumes from
    its last evaluation.

    Args:
        data: A folder that `prepare` wrote, or MovieLens' ratings.
        grid: The runs to compare.
        out: Folder of the comparison. It is created if it does not exist.
        workers: Number of cells that train at the same time, each on its share
            of the cores. Step times include the slowdown by the other workers.
            Default: 1.
        progress: Function that is called after each cell. Default: None.
        only_report: Whether to train nothing and to return the finished cells,
            even while another process trains. Default: False.
        watch: Function that is called with the outcome so far, before the
            first cell is trained and after each one. Default: None.

    Raises:
        ValueError: If `workers` is not a positive integer, another process
            trains in `out`, a shard has changed, or consecutive workers die.
    """
    positive_int("workers", workers)
    rows = open_click_log(data)
    rows.check()
    cells, reasons = _feasible(grid, rows)
    out.mkdir(parents=True, exist_ok=True)
    with nullcontext() if only_report else _locked(out):
        if not only_report:
            rows.verify()
        _keep_labels(rows, out / LABELS)
        fingerprint = rows.fingerprint()
        wanted = {cell.name: _asked(cell, fingerprint) for cell in cells}
        known = {
            name: line
            for name, line in read(out / RESULTS).items()
            if name in wanted and _asked_of(line) == wanted[name]
        }
        done = {k: line for k, line in known.items() if "error" not in line}
        errors = {
            k: line["error"] for k, line in known.items() if "error" in line
        }
        # Retry cells that failed: there may be more memory now.
        left = {cell.name: cell for cell in cells if cell.name not in done}
        estimate = Estimate(rows, cells, workers)

        def so_far(training: bool) -> Outcome:
            # A cell that failed in an earlier call is tried again.
            waiting = [n for n in left if training or n not in errors]
            return Outcome(
                grid,
                dict(done),
                reasons,
                {k: e for k, e in errors.items() if k not in waiting},
                name_of(data),
                len(waiting),
                estimate.seconds_left(waiting, done) if training else None,
            )

        def finished(line: dict[str, Any]) -> None:
            name = line["name"]
            line = {**line, **wanted[name]}
            _append(out / RESULTS, line)
            errors.pop(name, None)
            left.pop(name)
            if "error" in line:
                errors[name] = line["error"]
            else:
                done[name] = line
                shutil.rmtree(out / STATES / name, ignore_errors=True)
            if progress:
                progress(len(done), len(cells), line)
            if watch:
                watch(so_far(training=True))

        if not only_report:
            if watch and left:
                watch(so_far(training=True))
            run_all(
                [
                    {"name": name, "config": cell.config.as_dict()}
                    for name, cell in left.items()
                ],
                data,
                out,
                workers,
                finished,
            )
            if not errors:
                _tidy(out)
        return so_far(training=False)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Reads results by name; a later line replaces an earlier one.

    Lines that are not results, such as a truncated last one, are skipped.
    """
    if not path.is_file():
        return {}
    found = {}
    texts = path.read_text(errors="replace").split("\n")
    for number, text in enumerate(texts, 1):
        if not text:
            continue
        try:
            line = json.loads(text)
            found[line["name"]] = line
        except (ValueError, KeyError, TypeError):
            logger.warning("%s:%d is not a result, skipped", path, number)
    return found


def _feasible(grid: Grid, rows: ClickLog) -> tuple[list[Cell], dict[str, str]]:
    """Cells that can be built, and the reasons why others cannot."""
    cells: list[Cell] = []
    reasons: dict[str, str] = {}
    seen = counts(rows)
    for cell in grid.in_training_order():
        # Feasibility does not depend on the seed.
        alike = cell.name.removesuffix(str(cell.seed))
        if cell.seed > 1:
            reason = reasons.get(f"{alike}1")
        else:
            reason = infeasible(cell, rows, seen)
        if reason is None:
            cells.append(cell)
        else:
            reasons[cell.name] = reason
    return cells, reasons


def _asked(cell: Cell, fingerprint: str) -> dict[str, Any]:
    """The settings and the fingerprint that a cell's result must match."""
    settings = json.loads(json.dumps(cell.config.as_dict()))
    return {
        "row": cell.row,
        "config": settings,
        "data": fingerprint,
    }


def _asked_of(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line.get(name) for name in ("row", "config", "data")}


def _append(path: Path, line: dict[str, Any]) -> None:
    """Appends a line, after a line break if the last line is truncated."""
    with open(path, "ab+") as file:
        whole = True
        if file.tell():
            file.seek(-1, os.SEEK_END)
            whole = file.read(1) == b"\n"
        text = json.dumps(line) + "\n"
        file.write((text if whole else "\n" + text).encode())
        file.flush()
        os.fsync(file.fileno())


def _keep_labels(rows: ClickLog, path: Path) -> None:
    """Saves the labels of the test rows, for significance tests."""
    batches = rows.in_order("test", EVALUATION_BATCH)
    labels = np.concatenate([label.numpy() for _, label in batches])
    with complete_file(path) as part:
        np.save(part, labels.astype(np.uint8))


def _tidy(out: Path) -> None:
    """Removes logs and states after a comparison without errors."""
    for log in out.glob("worker-*.log"):
        log.unlink()
    with suppress(OSError):  # it does not exist, or has states of other cells
        (out / STATES).rmdir()


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Locks the folder against a second comparison; a kill releases it."""
    with open(out / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                "Another comparison is running in this folder. Wait for it, "
                f"or choose another folder. Received: out={out}"
            ) from error
        yield
