"""Milliseconds of a training step of DLRM, where a step is short.

    python benchmarks/small_steps.py [--batch 512] [--widths narrow]

Trains DLRM (Adam, 26 tables in the proportions of Criteo Kaggle, d = 16) whose
tables share one ROBE memory, with `fit` and a tf.data pipeline of rows in
memory, and by the loop that a user of PyTorch writes:

    fit         a step for each call of the compiled function, without XLA
    fit, XLA    the same, compiled by XLA: what `compile` sets by default
    32 steps    so many steps for each call, with XLA (`steps_per_execution`)
    train       as `keras-pss train`: steps ahead of their callbacks, with XLA
    step alone  the compiled function on one batch: without Keras' loop
    torch       PyTorch: the same network; a multiplication hashes ids to the
                memory's blocks, which `embedding` looks up

Widths: `narrow`, bottom 64-16 and top 64; `table8`, those of ROBE's table 8.
All take turns; prints milliseconds and ratios.
"""

import argparse
import json
import os
import time
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import timing
import torch
from lookup import KAGGLE

import keras_pss
from keras_pss import native
from keras_pss.distribution import Replicas
from keras_pss.distribution.steps_ahead import Schedule
from keras_pss.training.allocator import keep_freed_memory
from keras_pss.training.environment import machine, versions

DIM = 16
WIDTHS = {
    "narrow": {"bottom_units": (64,), "top_units": (64,)},
    "table8": {"bottom_units": (512, 256, 64), "top_units": (512, 256)},
}


class Timed(keras.callbacks.Callback):
    """Seconds between the first and the last step of an epoch."""

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = time.perf_counter() - self.begin


class TorchDLRM(torch.nn.Module):
    """DLRM over a ROBE memory of blocks of `DIM` numbers."""

    def __init__(self, size: int, widths: dict[str, Any]) -> None:
        super().__init__()
        blocks = torch.rand(size // DIM, DIM) * 0.02 - 0.01
        self.memory = torch.nn.Parameter(blocks)
        self.keys = torch.randint(1, 2**31, (26,)) * 2 + 1
        self.bottom = _mlp(13, (*widths["bottom_units"], DIM), True)
        pairs = torch.tril_indices(27, 27, -1)
        self.places = pairs[0] * 27 + pairs[1]
        self.top = _mlp(DIM + len(pairs[0]), (*widths["top_units"], 1), False)

    def forward(self, dense: Any, ids: Any) -> Any:
        blocks = (ids * self.keys) % len(self.memory)
        rows = torch.nn.functional.embedding(blocks, self.memory)
        x = self.bottom(dense)
        features = torch.cat([x[:, None], rows], 1)
        products = torch.bmm(features, features.transpose(1, 2))
        products = products.flatten(1)[:, self.places]
        return self.top(torch.cat([x, products], 1))[:, 0]


def _mlp(size: int, widths: Any, last: bool) -> Any:
    layers: list[Any] = []
    for width in widths:
        layers += [torch.nn.Linear(size, width), torch.nn.ReLU()]
        size = width
    return torch.nn.Sequential(*(layers if last else layers[:-1]))


def main() -> None:
    arguments = _arguments()
    assert native.available(), "build the kernels: keras-pss build-ops"
    keep_freed_memory()
    torch.set_num_threads(os.cpu_count() or 1)
    batch, widths = arguments.batch, WIDTHS[arguments.widths]
    dims = [max(2, round(rows / 100)) for rows in KAGGLE]
    random = np.random.default_rng(0)
    rows = 64 * batch
    x = {
        "dense": random.random((rows, 13)).astype(np.float32),
        "categorical": (random.random((rows, 26)) * dims).astype(np.int32),
    }
    y = random.integers(0, 2, rows).astype(np.float32)
    options = tf.data.Options()
    options.autotune.enabled = False
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch).cache()
    batches = batches.repeat().prefetch(16).with_options(options)

    def model(jit: bool, steps: int) -> keras.Model:
        tables = keras_pss.EmbeddingCollection(dims, DIM, "robe", "100x")
        made = keras_pss.models.DLRM(tables, **widths)
        made.compile(
            "adam",
            "binary_crossentropy",
            jit_compile=jit,
            steps_per_execution=steps,
        )
        return made

    def fit(jit: bool, steps: int) -> Any:
        made, clock = model(jit, steps), Timed()

        def epoch() -> float:
            made.fit(
                batches,
                steps_per_epoch=arguments.steps,
                verbose=0,
                shuffle=False,
                callbacks=[clock],
            )
            return clock.seconds

        return epoch

    def train() -> Any:
        made, clock = model(True, 1), Timed()

        def epochs() -> float:
            # In its first epoch, the number of steps in a call grows.
            Replicas().fit(
                made,
                batches,
                epochs=2,
                steps_per_epoch=arguments.steps,
                verbose=0,
                callbacks=[clock],
                schedule=Schedule(2 * arguments.steps, 64),
            )
            return clock.seconds

        return epochs

    def alone() -> Any:
        made = model(True, 1)
        step = tf.function(made.train_step, jit_compile=True)
        data = next(iter(batches))

        def steps() -> float:
            begin = time.perf_counter()
            for _ in range(arguments.steps):
                logs = step(data)
            float(logs["loss"])
            return time.perf_counter() - begin

        step(data)
        return steps

    def pytorch() -> Any:
        size = sum(dims) * DIM // 100
        made = TorchDLRM(size, widths)
        optimizer = torch.optim.Adam(made.parameters())
        loss_of = torch.nn.functional.binary_cross_entropy_with_logits
        data = [
            torch.from_numpy(part)
            for part in (x["dense"], x["categorical"].astype(np.int64), y)
        ]

        def steps() -> float:
            begin = time.perf_counter()
            for step in range(arguments.steps):
                at = step % 64 * batch
                dense, ids, labels = (p[at : at + batch] for p in data)
                optimizer.zero_grad()
                loss = loss_of(made(dense, ids), labels)
                loss.backward()
                optimizer.step()
            return time.perf_counter() - begin

        return steps

    ways = {
        "fit": fit(False, 1),
        "fit, XLA": fit(True, 1),
        "32 steps": fit(True, 32),
        "train": train(),
        "step alone": alone(),
        "torch": pytorch(),
    }
    times = {name: [] for name in ways}
    for turn in range(arguments.rounds + 1):
        for name, way in ways.items():
            seconds = way()
            if turn:  # the first one traces and compiles
                times[name].append(1e3 * seconds / arguments.steps)
    found = {name: float(np.median(each)) for name, each in times.items()}
    for name, ms in found.items():
        print(f"{name:12} {ms:7.2f} ms  {ms / found['torch']:5.2f} of torch")
    line = {
        "batch": batch,
        "widths": arguments.widths,
        "ms": found,
        "machine": machine(),
        "versions": versions() | {"torch": torch.__version__},
        "commit": timing.commit(),
    }
    print(json.dumps(line))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--widths", choices=WIDTHS, default="narrow")
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
