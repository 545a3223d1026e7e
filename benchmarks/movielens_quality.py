"""Quality at equal size on MovieLens: every method, several sizes and seeds.

    python benchmarks/movielens_quality.py --data ratings.dat --out results

Trains generalized matrix factorization, whose two tables are compressed within
one budget, to distinguish likes (ratings of 4 and 5) from other ratings. Prints
and saves the mean and standard deviation of the test AUC over seeds. The last
10 % of each user's ratings are test rows. The 10 % before them are validation
rows, which choose the epoch and, with the first seed, one of two pairs of
learning rate and L2 strength. The two pairs are the same for all methods; each
run is tested once.

Finished runs are kept in OUT/results.jsonl, one line each, and are reused if
all settings are equal; delete a line to repeat its run.
"""

import argparse
import json
import multiprocessing
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import gmf
import tensorflow as tf
import timing
from gmf import Settings
from quality_table import Rows, plot, table
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from keras_pss.data import movielens
from keras_pss.data.movielens import LikesSplit
from keras_pss.layers.embedding.methods import METHODS
from keras_pss.training.environment import machine, versions

# (learning rate, L2) pairs from which validation chooses: the first is the best
# for full tables, the second for strongly compressed ones.
CANDIDATES = ((2e-3, 3e-3), (1e-2, 0.0))
LAST = 0.1

# Any other method has one row in the table, with default options.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "robe": {
        "robe": {},
        "robe, block 1 (HashedNet)": {"block_size": 1},
        "robe, fold": {"mapping": "fold"},
    },
    "qr": {
        f"qr, {operation}": {"operation": operation}
        for operation in ("mult", "add", "concat")
    },
    "hash": {
        "hash": {},
        "hash, 2 weighted (Hash Embeddings)": {
            "num_hashes": 2,
            "weighted": True,
        },
    },
}

_split: LikesSplit  # set in each worker process


def main() -> None:
    arguments = _arguments()
    console = Console()
    arguments.out.mkdir(parents=True, exist_ok=True)
    interactions = movielens.load(arguments.data)
    split = interactions.split(LAST)
    common = Settings(
        method="full",
        options={},
        budget="1x",
        seed=1,
        candidates=CANDIDATES,
        epochs=arguments.epochs,
        patience=2,
        dim=32,
        batch_size=4096,
        init=0.05,
        last=LAST,
        data=gmf.checksum(interactions),
    )
    cells = list(_cells(common, arguments.methods, arguments.budgets))
    results = Results(arguments.out / "results.jsonl")
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        _measure(cells, arguments, results, progress)
    rows = results.of(cells, arguments.seeds)
    floor = gmf.floor(split)
    text = table(rows, arguments.budgets, floor)
    (arguments.out / "table.md").write_text(text)
    plot(rows, floor["test"], arguments.out / "auc.png")
    console.print(Markdown(text))
    console.print(f"Written: {arguments.out}/results.jsonl, table.md, auc.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="MovieLens' ratings.dat or ratings.csv, or a CSV of\n"
        "user_id,movie_id,like; plain, .gz, .xz or .zst",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the results"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        metavar="METHOD",
        help=f"any of {', '.join(METHODS)} (default: all)",
    )
    parser.add_argument(
        "--budgets",
        nargs="+",
        default=["4x", "16x", "64x"],
        help="sizes of the tables (default: 4x 16x 64x)",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="number of seeds (default: 3)"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=25,
        help="maximum number of epochs (default: 25)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=2,
        help="number of processes, with one core each (default: 2)",
    )
    return parser.parse_args()


def _cells(
    common: Settings, methods: list[str], budgets: list[str]
) -> Iterator[tuple[str, Settings]]:
    """Names of table rows, with the settings of the first seed."""
    for method in methods:
        for name, options in VARIANTS.get(method, {method: {}}).items():
            for budget in ["1x"] if method == "full" else budgets:
                cell = replace(
                    common, method=method, options=options, budget=budget
                )
                yield name, cell


class Results:
    """Finished and infeasible runs by their settings.

    Args:
        path: JSON lines file, to which each finished run appends a line.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lines: dict[str, dict[str, Any]] = {}
        if path.exists():
            for text in path.read_text().splitlines():
                line = json.loads(text)
                self.lines[self._key(line)] = line

    def _key(self, settings: dict[str, Any]) -> str:
        return json.dumps([settings[f.name] for f in fields(Settings)])

    def get(self, settings: Settings) -> dict[str, Any] | None:
        return self.lines.get(self._key(asdict(settings)))

    def add(self, settings: Settings, line: dict[str, Any]) -> None:
        self.lines[self._key(asdict(settings))] = line
        if "infeasible" in line:
            return  # fast to find out again, and it depends on the code
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def of(self, cells: list[tuple[str, Settings]], seeds: int) -> Rows:
        """Lines by name of the table row and budget, one per seed."""
        found: Rows = {}
        for name, cell in cells:
            first = self.lines[self._key(asdict(cell))]
            lines = [first]
            if "infeasible" not in first:
                lines += [
                    self.lines[self._key(asdict(later))]
                    for later in _later(cell, first, seeds)
                ]
            found.setdefault(name, {})[cell.budget] = lines
        return found


def _later(
    cell: Settings, first: dict[str, Any], seeds: int
) -> Iterator[Settings]:
    """The other seeds, with the candidate that the first seed has chosen."""
    chosen = ((first["learning_rate"], first["l2"]),)
    for seed in range(2, seeds + 1):
        yield replace(cell, seed=seed, candidates=chosen)


def _measure(
    cells: list[tuple[str, Settings]],
    arguments: argparse.Namespace,
    results: Results,
    progress: Progress,
) -> None:
    """Runs what is missing: the first seed of each cell, then the others."""
    about = {
        "versions": versions(),
        "machine": machine(),
        "commit": timing.commit(),
    }
    task = progress.add_task("cells", total=len(cells) * arguments.seeds)
    waiting: dict[Future[dict[str, Any]], tuple[str, Settings]] = {}
    worker = Worker(arguments.data)
    pool = ThreadPoolExecutor(arguments.jobs)

    def start(name: str, settings: Settings, is_first: bool) -> None:
        line = results.get(settings)
        if line is None:
            waiting[pool.submit(worker.run, settings)] = name, settings
        else:
            finish(name, settings, line, is_first)

    def finish(
        name: str, settings: Settings, line: dict[str, Any], is_first: bool
    ) -> None:
        done = 1
        if "infeasible" in line:
            done = arguments.seeds
        elif is_first:
            for later in _later(settings, line, arguments.seeds):
                start(name, later, False)
        progress.advance(task, done)

    try:
        for name, cell in cells:
            start(name, cell, True)
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                name, settings = waiting.pop(future)
                line = future.result()
                if "infeasible" not in line:
                    line = {"name": name, **line, **about}
                    progress.print(
                        f"{name}, {settings.budget}, seed {settings.seed}: "
                        f"validation {line['validation_auc']:.4f}, "
                        f"{line['seconds']:.0f} s",
                        highlight=False,
                    )
                results.add(settings, line)
                finish(name, settings, line, settings.seed == 1)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Worker:
    """A process for each thread, replaced after `RUNS` runs.

    Compiled steps stay in its memory, 50 MB per run. (The pool's option
    `max_tasks_per_child` can leave it without processes on Python 3.11.)
    """

    RUNS = 16

    def __init__(self, data: Path):
        self.data = data
        self.own = threading.local()

    def run(self, settings: Settings) -> dict[str, Any]:
        own = self.own
        if getattr(own, "left", 0) == 0:
            if hasattr(own, "process"):
                own.process.shutdown()
            own.process = ProcessPoolExecutor(
                1,
                multiprocessing.get_context("spawn"),
                _start_worker,
                (self.data,),
            )
            own.left = self.RUNS
        own.left -= 1
        return own.process.submit(_work, settings).result()


def _start_worker(data: Path) -> None:
    global _split
    # One core per process, so that as many runs as cores can go on at a time.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    warnings.simplefilter("ignore")
    _split = movielens.load(data).split(LAST)


def _work(settings: Settings) -> dict[str, Any]:
    return gmf.run(settings, _split)


if __name__ == "__main__":
    main()
