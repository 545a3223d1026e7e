"""Milliseconds that an optimizer takes for a memory, alone and in a step.

    [KERAS_BACKEND=jax] python benchmarks/optimizer_passes.py
        [--budgets 1000x 100x 10x] [--what alone step] [--out results.jsonl]

For ROBE memories of the 26 tables of Criteo Kaggle (33.8 million rows, d = 16),
at three compressions, with Keras' SGD, Adam and Adagrad:

    alone   an update of the memory by a given dense gradient
    step    `train_on_batch` of DLRM (ROBE's table 8, batch 2,048)

On TensorFlow each is measured in a graph and under jit_compile=True, on JAX in
jax.jit. They take turns.
`limit` is the time of one pass: as many copied bytes as SGD, Adagrad and Adam
must read or write, 3, 5 and 7 arrays of the memory's size (a copy is 2). Memory
that a step frees is kept for the next step, as in `keras-pss train`.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import timing
from lookup import KAGGLE

import keras_pss
from keras_pss import native
from keras_pss.training.allocator import keep_freed_memory
from keras_pss.training.environment import machine, versions

DIM, BATCH = 16, 2048
ARRAYS = {"sgd": 3, "adagrad": 5, "adam": 7}
OPTIMIZERS: dict[str, Any] = {
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
}
Way = Callable[[], Any]


def main() -> None:
    arguments = _arguments()
    assert native.available(), "build the kernels: keras-pss build-ops"
    keep_freed_memory()
    for budget in arguments.budgets:
        size = sum(KAGGLE) * DIM // int(budget[:-1])
        for what in arguments.what:
            ways = _alone(size) if what == "alone" else _steps(budget)
            times = timing.in_turns(ways, arguments.rounds, least_ms=0)
            line = {
                "what": what,
                "budget": budget,
                "parameters": size,
                "backend": keras.backend.backend(),
                "ms": times,
                "machine": machine(),
                "versions": versions(),
                "commit": timing.commit(),
            }
            if what == "alone":
                line["limit"] = {
                    name: times["copy"] * arrays / 2
                    for name, arrays in ARRAYS.items()
                }
            cells = [f"{name} {ms:.2f}" for name, ms in times.items()]
            cells += [
                f"limit {k} {v:.2f}" for k, v in line.get("limit", {}).items()
            ]
            print(f"{what}, {size:,} parameters: " + ", ".join(cells))
            if arguments.out:
                with arguments.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        keras.backend.clear_session()


def _modes() -> dict[str, bool]:
    """Names of the ways to compile a step, and whether XLA compiles all."""
    if keras.backend.backend() == "jax":
        return {"jit": True}
    return {"graph": False, "xla": True}


def _alone(size: int) -> dict[str, Way]:
    gradient = np.random.default_rng(0).normal(size=size).astype(np.float32)
    target = np.empty_like(gradient)
    ways: dict[str, Way] = {"copy": lambda: np.copyto(target, gradient)}
    for mode, xla in _modes().items():
        for name, made in OPTIMIZERS.items():
            memory = keras.Variable(np.ones(size, np.float32))
            optimizer = made(0.001)
            optimizer.build([memory])
            if mode == "jit":
                ways[f"{name}, {mode}"] = _jax(optimizer, memory, gradient)
            else:
                ways[f"{name}, {mode}"] = _graph(
                    optimizer, memory, gradient, xla
                )
    return ways


def _graph(optimizer: Any, memory: Any, gradient: Any, xla: bool) -> Way:
    import tensorflow as tf

    given = tf.constant(gradient)
    return tf.function(
        lambda: optimizer.apply([given], [memory]), jit_compile=xla
    )


def _jax(optimizer: Any, memory: Any, gradient: Any) -> Way:
    import jax

    given = jax.numpy.asarray(gradient)
    state = [
        [memory.value],
        [variable.value for variable in optimizer.variables],
    ]

    def update(state: Any) -> Any:
        weights, slots = state
        return list(optimizer.stateless_apply(slots, [given], weights))

    # As in Keras' train step, the new state replaces the old one in place.
    compiled = jax.jit(update, donate_argnums=0)

    def way() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state))

    return way


def _steps(budget: str) -> dict[str, Way]:
    random = np.random.default_rng(0)
    x = {
        "dense": random.random((BATCH, 13)).astype(np.float32),
        "categorical": (random.random((BATCH, 26)) * KAGGLE).astype(np.int32),
    }
    y = random.integers(0, 2, (BATCH, 1)).astype(np.float32)

    def step(optimizer: Any, xla: bool) -> Way:
        tables = keras_pss.EmbeddingCollection(KAGGLE, DIM, "robe", budget)
        model = keras_pss.models.DLRM(tables)
        model.compile(optimizer, "binary_crossentropy", jit_compile=xla)
        return lambda: model.train_on_batch(x, y)

    return {
        f"{name}, {mode}": step(made(0.001), xla)
        for mode, xla in _modes().items()
        for name, made in OPTIMIZERS.items()
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--budgets", nargs="+", default=["1000x", "100x", "10x"]
    )
    parser.add_argument("--what", nargs="+", default=["alone", "step"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--out", type=Path, help="file that results are appended to"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
