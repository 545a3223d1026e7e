"""Milliseconds of a training step by optimizer and rows of the table.

    python benchmarks/row_optimizers.py [--rows 40000 4000000 33762577]
        [--out results.jsonl]

A model is one uncompressed table of d = 16 and a dense layer. A batch has
512 x 26 ids. Measures `train_on_batch`, each way in a process of its own, one
after the other, since the largest tables need most of the machine's memory:

    lazy_adam, rowwise_adagrad, lazy_sgd   keras_pss.optimizers, for a
                                           keras_pss.FullEmbedding
    sgd, adam                              Keras' own, for the same layer
    stock_lazy_adam, stock_adam            for a keras.layers.Embedding
    torch_sparse_adam                      torch.optim.SparseAdam for an
                                           nn.Embedding(sparse=True), and Adam

Keras' Adam trains the dense layer beside the first three. Prints the median and
the best of the steps, the mean CPU time of a step, which other load on the
machine affects least, and the number of different rows in a batch; writes JSON
lines.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import timing

import keras_pss
from keras_pss.optimizers import LazyAdam, LazySGD, RowwiseAdagrad, for_tables
from keras_pss.training.environment import machine, versions

BATCH, COLUMNS, DIM = 512, 26, 16
FEW = 40_000  # rows of the smallest table
WARM_UP = 3
# The ways whose steps update all rows, or copy them.
SLOW = ("adam", "stock_adam", "stock_lazy_adam")

TABLES: dict[str, tuple[Any, Callable[[], Any]]] = {
    "lazy_adam": (keras_pss.FullEmbedding, LazyAdam),
    "rowwise_adagrad": (keras_pss.FullEmbedding, RowwiseAdagrad),
    "lazy_sgd": (keras_pss.FullEmbedding, lambda: LazySGD(0.01, 0.9)),
    "sgd": (keras_pss.FullEmbedding, keras.optimizers.SGD),
    "adam": (keras_pss.FullEmbedding, keras.optimizers.Adam),
    "stock_lazy_adam": (keras.layers.Embedding, LazyAdam),
    "stock_adam": (keras.layers.Embedding, keras.optimizers.Adam),
}
WAYS = (*TABLES, "torch_sparse_adam")


def main() -> None:
    arguments = _arguments()
    if arguments.own:
        found = _measured(arguments.own, arguments)
        print(json.dumps(found) if found else "")
        return
    print(
        f"{'':18} {'rows':>10} {'unique':>7} {'median':>8} {'best':>8} "
        f"{'CPU':>8} ms"
    )
    for rows in arguments.rows:
        for way in arguments.ways:
            line = _in_own_process(way, rows, arguments)
            if not line:
                continue
            found = json.loads(line)
            print(
                f"{way:18} {rows:10,} {found['unique']:7,} "
                f"{found['median_ms']:8.1f} {found['best_ms']:8.1f} "
                f"{found['cpu_ms']:8.1f}",
                flush=True,
            )
            if arguments.out:
                with open(arguments.out, "a") as file:
                    file.write(line + "\n")


def _in_own_process(way: str, rows: int, arguments: argparse.Namespace) -> str:
    """The JSON line of one way; TensorFlow keeps memory of earlier ones."""
    command = [sys.executable, __file__, "--own", way, "--rows", str(rows)]
    command += ["--ids", arguments.ids, "--seconds", str(arguments.seconds)]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False
    )
    if result.returncode:
        print(f"{way:18} {rows:10,} failed with {result.returncode}")
        return ""
    return result.stdout.splitlines()[-1]


def _measured(way: str, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Times of one way in this process; None without torch."""
    (rows,) = arguments.rows
    batches = _batches(rows, arguments.ids)
    measured = _times(way, rows, batches, arguments.seconds)
    if measured is None:
        return None
    times, cpu = measured
    return {
        "way": way,
        "rows": rows,
        "unique": round(statistics.mean(len(np.unique(b)) for b in batches)),
        "median_ms": statistics.median(times),
        "best_ms": min(times),
        "cpu_ms": cpu,
        "steps": len(times),
        "batch": BATCH,
        "columns": COLUMNS,
        "dim": DIM,
        "ids": arguments.ids,
        "machine": machine(),
        "versions": versions(),
        "commit": timing.commit(),
    }


def _batches(rows: int, how: str) -> list[np.ndarray]:
    """Eight batches of ids, (BATCH, COLUMNS) each, with P(id) ~ 1 / id."""
    random = np.random.default_rng(0)
    if how == "log":
        found = rows ** random.random((8, BATCH, COLUMNS)) - 1
        return list(found.astype(np.int32))
    # The same choice of rows for each size, spread over the table.
    found = np.minimum(FEW, rows) ** random.random((8, BATCH, COLUMNS)) - 1
    spread = random.permutation(np.arange(min(FEW, rows)) * max(1, rows // FEW))
    return [spread[batch].astype(np.int32) for batch in found.astype(int)]


def _times(
    name: str, rows: int, batches: list[np.ndarray], seconds: float
) -> tuple[list[float], float] | None:
    """Milliseconds of steps, and of CPU time a step; None without torch."""
    made = _torch_step(rows) if name not in TABLES else _step(name, rows)
    if made is None:
        return None
    turn = iter(_repeated(batches))
    # The first step of each batch also waits for memory to be allocated.
    for _ in range(WARM_UP if name in SLOW else 2 * len(batches)):
        made(next(turn))
    times: list[float] = []
    end = time.perf_counter() + seconds
    cpu = time.process_time()
    while len(times) < 5 or time.perf_counter() < end:
        batch = next(turn)
        start = time.perf_counter()
        made(batch)
        times.append(1e3 * (time.perf_counter() - start))
    return times, 1e3 * (time.process_time() - cpu) / len(times)


def _repeated(batches: list[np.ndarray]) -> Iterator[np.ndarray]:
    while True:
        yield from batches


def _step(name: str, rows: int) -> Callable[[np.ndarray], Any]:
    layer, optimizer = TABLES[name]
    model = keras.Sequential(
        [
            keras.Input((COLUMNS,), dtype="int32"),
            layer(rows, DIM),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    made = optimizer()
    if isinstance(made, keras_pss.optimizers.RowOptimizer):
        with warnings.catch_warnings():  # that stock layers copy the table
            warnings.simplefilter("ignore")
            made = for_tables(model, made)
    model.compile(made, "mse")
    labels = np.zeros((BATCH, 1), np.float32)
    # It returns the loss as a number, so the step has finished.
    return lambda batch: model.train_on_batch(batch, labels)


def _torch_step(rows: int) -> Callable[[np.ndarray], Any] | None:
    try:
        import torch
    except ImportError:
        return None
    table = torch.nn.Embedding(rows, DIM, sparse=True)
    dense = torch.nn.Linear(COLUMNS * DIM, 1)
    optimizers = [
        torch.optim.SparseAdam(table.parameters()),
        torch.optim.Adam(dense.parameters()),
    ]
    labels = torch.zeros((BATCH, 1))

    def step(batch: np.ndarray) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        rows_read = table(torch.from_numpy(batch.astype(np.int64)))
        loss = torch.nn.functional.mse_loss(dense(rows_read.flatten(1)), labels)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        loss.item()

    return step


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        type=int,
        default=[FEW, 4_000_000],
        help="rows of the table (default: 40000 4000000). With 33762577, as\n"
        "many as Criteo Kaggle has, Keras' Adam takes 9 GB or more",
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument(
        "--ids",
        choices=("equal", "log"),
        default="equal",
        help="equal: log-uniform over 40,000 rows that are spread over the\n"
        "table, so that batches have equally many different rows;\n"
        "log: log-uniform over the whole table (default: equal)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=6,
        help="seconds of steps of each way, at least five steps (default: 6)",
    )
    parser.add_argument(
        "--out", type=Path, help="file that results are appended to"
    )
    parser.add_argument("--own", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
