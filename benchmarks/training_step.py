"""Milliseconds of a training step of DLRM, by its embedding.

    python benchmarks/training_step.py [--rows 3.4e6] [--budget 1000x]
        [--out results.jsonl]

Measures `train_on_batch`, with SGD and Adam, of the model of ROBE's table 8
(bottom 512-256-64-16, top 512-256, d = 16), with batch 2,048 and 26 tables in
the proportions of Criteo Kaggle:

    constants   the lookup replaced by a constant: the rest of the model
    native      ROBE at the budget, with the kernels of keras_pss
    popularity  rows by popularity at the budget, with the kernels
    int4        the same with rows of four bits, for as many bytes
    pure        ROBE at the budget, with the keras.ops path
    embedding   keras.layers.Embedding on all rows, uncompressed
    lazy        keras_pss' full tables, with LazySGD or LazyAdam for the rows of
                the batch and Keras' optimizer for the network

The first five take turns; the last two are measured alone, since they need most
of the machine's memory. Memory that a step frees is kept for the next step, as
in `keras-pss train`. Prints ratios; writes JSON lines.
"""

import argparse
import contextlib
import json
import os
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import timing
from keras import ops
from lookup import KAGGLE

import keras_pss
from keras_pss import native
from keras_pss.optimizers import LazyAdam, LazySGD, for_tables
from keras_pss.training.allocator import keep_freed_memory
from keras_pss.training.environment import machine, versions

DIM = 16
LAZY = {
    "sgd": lambda: LazySGD(0.01),
    "adam": lambda: LazyAdam(0.001),
}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01),
    "adam": lambda: keras.optimizers.Adam(0.001),
}


class Constants(keras.layers.Layer):
    """Returns the same rows for all ids."""

    def __init__(self, input_dims: Any, batch: int) -> None:
        super().__init__()
        self.input_dims, self.output_dim = input_dims, DIM
        self.rows = np.ones((batch, len(input_dims), DIM), np.float32)

    def call(self, ids: Any) -> Any:
        return ops.convert_to_tensor(self.rows)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape, DIM)


class Embedding(keras.layers.Layer):
    """All tables as one `keras.layers.Embedding`."""

    def __init__(self, input_dims: Any) -> None:
        super().__init__()
        self.input_dims, self.output_dim = input_dims, DIM
        self.first = np.cumsum([0, *input_dims])[:-1].astype(np.int32)
        self.table = keras.layers.Embedding(sum(input_dims), DIM)

    def build(self, shape: Any) -> None:
        self.table.build()
        self.built = True

    def call(self, ids: Any) -> Any:
        return self.table(ids + self.first)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape, DIM)


def main() -> None:
    arguments = _arguments()
    assert native.available(), "build the kernels: keras-pss build-ops"
    keep_freed_memory()
    scale = arguments.rows / sum(KAGGLE)
    dims = [max(2, round(rows * scale)) for rows in KAGGLE]
    random = np.random.default_rng(0)
    batch = arguments.batch
    x = {
        "dense": random.random((batch, 13)).astype(np.float32),
        "categorical": (random.random((batch, 26)) * dims).astype(np.int32),
    }
    y = random.integers(0, 2, (batch, 1)).astype(np.float32)

    def step(embedding: Any, optimizer: str, lazy: bool = False) -> Any:
        model = keras_pss.models.DLRM(embedding)
        made = OPTIMIZERS[optimizer]()
        if lazy:
            made = for_tables(model, LAZY[optimizer](), made)
        model.compile(made, "binary_crossentropy")
        model.train_on_batch(x, y)  # traced here, with or without kernels
        return lambda: model.train_on_batch(x, y)

    def of(method: str, **options: Any) -> Any:
        budget = None if method == "full" else arguments.budget
        return keras_pss.EmbeddingCollection(
            dims, DIM, method, budget, options=options
        )

    for optimizer in OPTIMIZERS:
        ways = {
            "constants": step(Constants(dims, batch), optimizer),
            "native": step(of("robe"), optimizer),
            "popularity": step(of("popularity"), optimizer),
            "int4": step(of("popularity", storage="int4"), optimizer),
        }
        with native.disabled():
            ways["pure"] = step(of("robe"), optimizer)
        times = timing.in_turns(ways, arguments.rounds, least_ms=0)
        del ways
        keras.backend.clear_session()
        for name in ("embedding", "lazy"):
            with contextlib.suppress(MemoryError):
                lazy = name == "lazy"
                full = of("full") if lazy else Embedding(dims)
                whole = {name: step(full, optimizer, lazy)}
                times |= timing.in_turns(
                    whole, arguments.whole_rounds, least_ms=0
                )
                del whole, full
                keras.backend.clear_session()
        line = {
            "optimizer": optimizer,
            "rows": sum(dims),
            "batch": batch,
            "budget": arguments.budget,
            "ms": times,
            "machine": machine(),
            "versions": versions(),
            "commit": timing.commit(),
        }
        cells = [
            f"{name} {ms:.1f} ms ({ms / times['native']:.2f}x)"
            for name, ms in times.items()
        ]
        print(f"{optimizer}, {sum(dims):,} rows: " + ", ".join(cells))
        if arguments.out:
            with arguments.out.open("a") as file:
                file.write(json.dumps(line) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--rows", type=float, default=3.4e6, help="total rows of all tables"
    )
    parser.add_argument("--budget", default="1000x")
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--whole-rounds", type=int, default=3)
    parser.add_argument(
        "--out", type=Path, help="file that results are appended to"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
