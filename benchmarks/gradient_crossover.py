"""From which table size on a sparse gradient makes training steps faster.

    python benchmarks/gradient_crossover.py [--out results.jsonl]

Measures, on TensorFlow, the milliseconds of `train_on_batch` with
`gradient="dense"` and `"sparse"` (keras_pss/ops/sparse_gradient.py), by layer,
number of parameters in its table, and optimizer. A model is one embedding of a
batch of 2048 x 26 ids, averaged, and a dense layer. The two models of a pair
take turns, so that other load on the machine affects both; each time is the
median over all steps.

Prints a table and, for each layer and optimizer, the interpolated size at which
both gradients are equally fast; writes one JSON line per pair.
"""

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import timing

import keras_pss
from keras_pss.training.environment import machine, versions

BATCH = 2048
FEATURES = 26
DIM = 16
ROWS = (30_000, 125_000, 500_000, 1_000_000, 2_000_000, 4_000_000)
# Cardinality of hashed ids: larger than the number of rows of any table.
INPUT_DIM = 10_000_000
OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sgd": lambda: keras.optimizers.SGD(0.01),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "adam": lambda: keras.optimizers.Adam(0.001),
}
GRADIENTS = ("dense", "sparse")
WARM_UP = 2  # steps that trace and warm up the caches


def main() -> None:
    """Measures all pairs; prints the table and the crossovers."""
    arguments = _arguments()
    if arguments.threads:
        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
        tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    about = {
        "batch": BATCH,
        "features": FEATURES,
        "ids": arguments.ids,
        "threads": arguments.threads,
        "versions": versions(),
        "machine": machine(),
        "load": round(os.getloadavg()[0], 2),
        "commit": timing.commit(),
    }
    print(
        f"{'layer':6} {'optimizer':9} {'parameters':>12} {'dense ms':>9} "
        f"{'sparse ms':>10} {'dense/sparse':>13}"
    )
    results = []
    for name in arguments.layers:
        for optimizer in arguments.optimizers:
            for rows in arguments.rows:
                line = measure(name, optimizer, rows, arguments)
                results.append(line)
                print(
                    f"{name:6} {optimizer:9} {line['numbers']:12,} "
                    f"{line['dense_ms']:9.1f} {line['sparse_ms']:10.1f} "
                    f"{line['ratio']:13.2f}",
                    flush=True,
                )
                if arguments.out:
                    with arguments.out.open("a") as file:
                        file.write(json.dumps({**line, **about}) + "\n")
    print("\nEqually fast at (parameters in the table):")
    for name in arguments.layers:
        for optimizer in arguments.optimizers:
            points = [
                (line["numbers"], line["ratio"])
                for line in results
                if (line["layer"], line["optimizer"]) == (name, optimizer)
            ]
            print(f"{name:6} {optimizer:9} {crossover(points)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, help="file that results are appended to"
    )
    parser.add_argument(
        "--layers", nargs="+", choices=LAYERS, default=list(LAYERS)
    )
    parser.add_argument(
        "--optimizers", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS)
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        type=int,
        default=ROWS,
        help=f"numbers of rows, of {DIM} parameters each; for robe, a memory\n"
        "with as many parameters",
    )
    parser.add_argument(
        "--ids",
        choices=("uniform", "skewed"),
        default="uniform",
        help="uniform: few duplicates, the worst case of a sparse gradient;\n"
        "skewed: P(id) ~ 1 / id, as in click logs (default: uniform)",
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="number of turns (default: 5)"
    )
    parser.add_argument(
        "--steps", type=int, default=4, help="steps per turn (default: 4)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="threads of TensorFlow (default: 0, all cores)",
    )
    return parser.parse_args()


def _full(rows: int, gradient: str) -> Any:
    return keras_pss.FullEmbedding(rows, DIM, gradient=gradient)


def _hash(rows: int, gradient: str) -> Any:
    return keras_pss.HashedEmbedding(
        INPUT_DIM, DIM, num_buckets=rows, gradient=gradient
    )


def _robe(rows: int, gradient: str) -> Any:
    return keras_pss.ROBEEmbedding(
        INPUT_DIM, DIM, memory_size=rows * DIM, gradient=gradient
    )


LAYERS = {"full": _full, "hash": _hash, "robe": _robe}


def measure(
    name: str, optimizer: str, rows: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Milliseconds per step with each gradient."""
    limit = rows if name == "full" else INPUT_DIM
    labels = np.zeros((BATCH, 1), np.float32)
    steps: dict[str, Callable[[], Any]] = {}
    times: dict[str, list[float]] = {}
    for gradient in GRADIENTS:
        model = keras.Sequential(
            [
                keras.Input((FEATURES,), dtype="int32"),
                LAYERS[name](rows, gradient),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Dense(1),
            ]
        )
        model.compile(OPTIMIZERS[optimizer](), "mse")
        batches = _batches(limit, arguments.ids)

        def step(model: Any = model, batches: Any = batches) -> None:
            # It returns the loss as a number, so the step has finished.
            model.train_on_batch(next(batches), labels)

        for _ in range(WARM_UP):
            step()
        steps[gradient], times[gradient] = step, []
    for _ in range(arguments.repeats):
        for gradient, step in steps.items():
            for _ in range(arguments.steps):
                start = time.perf_counter()
                step()
                times[gradient].append(1e3 * (time.perf_counter() - start))
    dense, sparse = (statistics.median(times[g]) for g in GRADIENTS)
    keras.utils.clear_session()
    return {
        "layer": name,
        "optimizer": optimizer,
        "numbers": rows * DIM,
        "dense_ms": dense,
        "sparse_ms": sparse,
        "ratio": dense / sparse,
    }


def _batches(limit: int, ids: str) -> Iterator[np.ndarray]:
    """Repeats the same eight batches of ids, (BATCH, FEATURES) each."""
    random = np.random.default_rng(0)
    share = random.random((8, BATCH, FEATURES))
    found = limit * share if ids == "uniform" else limit**share - 1
    while True:
        yield from found.astype(np.int32)


def crossover(points: list[tuple[int, float]]) -> str:
    """The size from which on dense / sparse stays above 1."""
    points = sorted(points)
    above = [ratio > 1 for _, ratio in points]
    if not above[-1]:
        return f"above {points[-1][0]:,}"
    first = len(above) - 1
    while first and above[first - 1]:
        first -= 1
    if not first:
        return f"below {points[0][0]:,}"
    (small, low), (large, high) = points[first - 1 : first + 1]
    part = -math.log(low) / (math.log(high) - math.log(low))
    return f"{small * (large / small) ** part:,.0f}"


if __name__ == "__main__":
    main()
