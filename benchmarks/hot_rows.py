"""Hit rate, error and step time of HotRows over a tensor train.

    python benchmarks/hot_rows.py [--exponent S] [--json]

Ids follow a power law, P(k-th most frequent id) ~ k^-S, in random order. The
error is that of a regression to a random table with Adam: the squared error of
all rows, weighted by the ids' probabilities, relative to that of zeros. It is
measured for the tensor train alone, for the same one with hot rows, and for one
with a higher rank that has as many parameters as both together.

Step times are those of DLRM, whose large tables are tensor trains without and
with hot rows. The hot rows are filled, and ids are counted. The two models take
turns of a few steps; the ratio is the median over the pairs of turns. The same
is reported for processor time, which excludes other work on the machine.

Prints one JSON line per result and, without --json, a more readable line.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import ops

from keras_pss.callbacks.refresh_hot_rows import RefreshHotRows
from keras_pss.layers import EmbeddingCollection, TTEmbedding
from keras_pss.layers.composite.hot_rows import HotRows
from keras_pss.models import DLRM
from keras_pss.training.environment import machine, versions

SMALL = 1000  # rows of each table of DLRM that is not compressed
TURN = 5  # steps per turn


def main() -> None:
    """Measures the errors, then the step times."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000, help="rows per large table")
    add("--dim", type=int, default=16, help="columns of the tables")
    add("--rank", type=int, default=8, help="rank of the tensor trains")
    add("--share", type=float, default=0.001, help="fraction of hot rows")
    add("--exponent", type=float, default=1.05, help="S of the power law")
    add("--batch", type=int, default=2048, help="batch size")
    add("--steps", type=int, default=4000, help="steps of the regression")
    add("--learning-rate", type=float, default=0.01, help="of Adam")
    add("--seed", type=int, default=0, help="seed of ids, targets and weights")
    add("--tables", type=int, default=26, help="number of tables of DLRM")
    add("--large", type=int, default=7, help="how many of them are compressed")
    add("--pairs", type=int, default=40, help="number of turns of each model")
    add("--jit", action="store_true", help="compile DLRM with XLA")
    add("--only", choices=("error", "step"), help="run only one of the parts")
    add("--json", action="store_true", help="print only JSON lines")
    arguments = parser.parse_args()
    about = {
        "arguments": vars(arguments),
        "backend": keras.backend.backend(),
        "load": round(os.getloadavg()[0], 2),
        "machine": machine(),
        "versions": versions(),
    }
    for part, measure in (("error", errors), ("step", step_times)):
        if arguments.only in (None, part):
            for result in measure(arguments):
                if not arguments.json:
                    print(*(f"{k}={v}" for k, v in result.items()), sep="  ")
                print(json.dumps({**result, **about}), flush=True)


class PowerLaw:
    """Ids whose frequencies follow a power law."""

    def __init__(self, rows: int, exponent: float, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        weights = np.arange(1, rows + 1) ** -exponent
        weights /= weights.sum()
        self.order = self.random.permutation(rows)
        self.cumulative = np.cumsum(weights)
        self.probability = np.empty(rows)
        self.probability[self.order] = weights

    def draw(self, *shape: int) -> np.ndarray:
        place = np.searchsorted(self.cumulative, self.random.random(shape))
        return self.order[np.minimum(place, len(self.order) - 1)].astype(
            "int32"
        )


def tensor_train(arguments: Any) -> TTEmbedding:
    return TTEmbedding(arguments.rows, arguments.dim, rank=arguments.rank)


def hot_rows(arguments: Any) -> HotRows:
    capacity = max(1, round(arguments.share * arguments.rows))
    return HotRows(tensor_train(arguments), capacity)


class Steps(keras.utils.PyDataset):
    """Batches of ids and their rows of the target table."""

    def __init__(self, ids: np.ndarray, target: np.ndarray) -> None:
        super().__init__()
        self.ids, self.target = ids, target

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        return self.ids[step], self.target[self.ids[step]]


def errors(arguments: Any) -> Iterator[dict[str, Any]]:
    """Yields a result for each of the three layers."""
    keras.utils.set_random_seed(arguments.seed)
    law = PowerLaw(arguments.rows, arguments.exponent, arguments.seed)
    shape = arguments.rows, arguments.dim
    target = law.random.normal(0, 0.1, shape).astype("float32")
    data = Steps(law.draw(arguments.steps, arguments.batch), target)
    both = hot_rows(arguments)
    layers = {
        "tt": tensor_train(arguments),
        "tt, same size as with hot rows": TTEmbedding.from_budget(
            *shape, both.memory_report().parameters
        ),
        "tt with hot rows": both,
    }
    scale = law.probability @ (target**2).sum(axis=1)
    for name, layer in layers.items():
        model = keras.Sequential([keras.Input((), dtype="int32"), layer])
        model.compile(keras.optimizers.Adam(arguments.learning_rate), "mse")
        # TT-Rec fills its cache after a tenth of the samples.
        tenth = max(1, arguments.steps // 10)
        callbacks = [RefreshHotRows(tenth, tenth)] if layer is both else []
        start = time.perf_counter()
        model.fit(data, shuffle=False, verbose=0, callbacks=callbacks)
        seconds = time.perf_counter() - start
        off = ((layer.materialize() - target) ** 2).sum(axis=1)
        result = {
            "name": "error",
            "layer": name,
            "error": float(f"{law.probability @ off / scale:.4g}"),
            "parameters": layer.memory_report().parameters,
            "seconds": round(seconds, 1),
        }
        if layer is both:
            hits, lookups = both.count_hits()
            best = np.sort(law.probability)[-both.capacity :].sum()
            result |= {
                "hit_rate": round(hits / lookups, 4),
                "hit_rate_at_the_end": round(
                    float(law.probability[both.ids()].sum()), 4
                ),
                "hit_rate_of_the_best_rows": round(float(best), 4),
                "index_bytes": both.memory_report().index_bytes,
            }
        yield result


class Tables(keras.layers.Layer):
    """Large tables with one layer each, and a collection of small tables."""

    def __init__(self, large: list[Any], small: Any) -> None:
        super().__init__()
        self.large, self.small = large, small
        self.input_dims = [*(x.input_dim for x in large), *small.input_dims]
        self.output_dim = small.output_dim

    def build(self, input_shape: Any = None) -> None:
        for layer in (*self.large, self.small):
            layer.build()
        self.built = True

    def call(self, ids: Any) -> Any:
        count = len(self.large)
        rows = [layer(ids[:, k]) for k, layer in enumerate(self.large)]
        parts = [ops.stack(rows, axis=1)] if rows else []
        return ops.concatenate([*parts, self.small(ids[:, count:])], axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self.output_dim)


def step_times(arguments: Any) -> Iterator[dict[str, Any]]:
    """Yields one result: milliseconds per step without and with hot rows."""
    law = PowerLaw(arguments.rows, arguments.exponent, arguments.seed)
    few = arguments.tables - arguments.large
    batches = []
    for _ in range(8):
        ids = law.draw(arguments.batch, arguments.large)
        rest = law.random.integers(0, SMALL, (arguments.batch, few))
        dense = law.random.random((arguments.batch, 13))
        label = law.random.integers(0, 2, (arguments.batch, 1))
        features = {
            "dense": dense.astype("float32"),
            "categorical": np.concatenate([ids, rest], axis=1).astype("int32"),
        }
        batches.append((features, label.astype("float32")))
    models = {}
    for name, make in ("without", tensor_train), ("with", hot_rows):
        large = [make(arguments) for _ in range(arguments.large)]
        small = EmbeddingCollection([SMALL] * few, arguments.dim, "full")
        model = DLRM(Tables(large, small))
        jit = True if arguments.jit else "auto"
        model.compile("adam", "binary_crossentropy", jit_compile=jit)
        for x, y in batches:
            model.train_on_batch(x, y)
        models[name] = model
    refresh = []
    for layer in large:
        start = time.perf_counter()
        layer.refresh()
        refresh.append(time.perf_counter() - start)
    before = [layer.count_hits() for layer in large]
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    spent: dict[tuple[str, str], list[float]] = {
        (clock, name): [] for clock in clocks for name in models
    }
    for pair in range(arguments.pairs):
        for name in list(models)[:: 1 if pair % 2 else -1]:
            starts = {clock: read() for clock, read in clocks.items()}
            for k in range(TURN):
                models[name].train_on_batch(*batches[k])
            for clock, read in clocks.items():
                took = (read() - starts[clock]) / TURN
                spent[clock, name].append(1e3 * took)
    result: dict[str, Any] = {"name": "step"}
    for clock in clocks:
        pair_of = spent[clock, "without"], spent[clock, "with"]
        ratios = [b / a for a, b in zip(*pair_of, strict=True)]
        quartiles = statistics.quantiles(ratios, n=4)
        result[clock] = {
            "without_ms": round(statistics.median(pair_of[0]), 2),
            "with_ms": round(statistics.median(pair_of[1]), 2),
            "ratio": round(quartiles[1], 3),
            "ratio_quartiles": [round(quartiles[k], 3) for k in (0, 2)],
        }
    after = [layer.count_hits() for layer in large]
    hits, lookups = np.sum(after, axis=0) - np.sum(before, axis=0)
    yield {
        **result,
        "hit_rate": round(float(hits / lookups), 4),
        "refresh_ms_a_table": round(1e3 * statistics.median(refresh), 1),
    }


if __name__ == "__main__":
    main()
