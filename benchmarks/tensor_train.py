"""Times of tensor train lookups: kernels, `keras.ops`, tensorly-torch.

The table is that of TT-Rec's setting at Criteo's scale: 10,000,000 rows of 16
numbers, compressed 300x. Ids are uniform or follow Zipf's law, whose frequent
ids are scattered over the table; with --data, they are those of the first rows
of a log of 26 columns that `keras-pss prepare` wrote. The ways take turns in
one process; one JSON line for each stream of ids has the milliseconds of each.
("duplicates too": without kernels, each id by itself even if it repeats.)

    python benchmarks/tensor_train.py
    python benchmarks/tensor_train.py --ids 2048 --layer ring
    python benchmarks/tensor_train.py --data prepared

tensorly-torch (with the same cores) is measured where it is installed.
"""

import argparse
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import logged_ids
import numpy as np
import tensorflow as tf
from timing import commit, in_turns

import keras_pss
from keras_pss import native

ROWS, WIDTH = 10_000_000, 16
LAYERS = {"train": keras_pss.TTEmbedding, "ring": keras_pss.TensorRingEmbedding}


def streams(count: int, data: Path | None) -> dict[str, np.ndarray]:
    """Ids of each kind, int32 `(count,)`."""
    if data is not None:
        examples = -(-count // 26)
        ids = logged_ids.of_batch(data, examples, ROWS)
        return {"log": ids.ravel()[:count]}
    random = np.random.default_rng(0)
    weights = np.arange(1, ROWS + 1) ** -1.05
    ranks = np.searchsorted(
        np.cumsum(weights) / weights.sum(), random.random(count)
    )
    return {
        "uniform": random.integers(0, ROWS, count).astype("int32"),
        "zipf": (ranks * logged_ids.ODD % ROWS).astype("int32"),
    }


def keras_ways(
    layer: Any, ids: np.ndarray, xla: bool
) -> dict[str, Callable[[], Any]]:
    """Lookups by a layer, and with the gradient of its cores."""
    ids = tf.constant(ids)
    upstream = tf.random.stateless_normal((len(ids), WIDTH), (1, 2))
    cores = [weight.value for weight in layer.trainable_variables]

    def lookup() -> Any:
        return layer(ids)

    def both(function: Any = layer) -> Any:
        with tf.GradientTape() as tape:
            rows = function(ids)
        return tape.gradient(rows, cores, upstream)

    def of_all(ids: Any) -> Any:
        return layer.mapped(layer.lookup, ids)

    def traced(function: Any, jit: bool) -> Callable[[], Any]:
        compiled = tf.function(function, jit_compile=jit)
        compiled()
        return lambda: tf.nest.map_structure(
            lambda x: x.numpy()[:1], compiled()
        )

    found = {}
    for name, function in ("lookup", lookup), ("both", both):
        for jit in (False, True) if xla else (False,):
            suffix = f"{name}, XLA" if jit else name
            found[f"kernels: {suffix}"] = traced(function, jit)
            with native.disabled():
                found[f"keras.ops: {suffix}"] = traced(function, jit)
    with native.disabled():
        found["keras.ops, duplicates too: lookup"] = traced(
            lambda: of_all(ids), False
        )
        found["keras.ops, duplicates too: both"] = traced(
            lambda: both(of_all), False
        )
    return found


def torch_ways(layer: Any, ids: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The same by tensorly-torch, if it is installed."""
    if importlib.util.find_spec("tltorch") is None:
        return {}
    import tltorch
    import torch

    shapes = [core.shape for core in layer.trainable_variables]
    ranks = [left for _, left, *_ in layer._cores] + [1]
    table = tltorch.FactorizedEmbedding(
        int(np.prod(layer.row_shape)),
        WIDTH,
        auto_tensorize=False,
        tensorized_num_embeddings=layer.row_shape,
        tensorized_embedding_dim=layer.column_shape,
        factorization="blocktt",
        rank=ranks,
    )
    held = sum(parameter.numel() for parameter in table.parameters())
    assert held == sum(np.prod(shape) for shape in shapes)
    ids = torch.from_numpy(ids.astype("int64"))
    upstream = torch.randn(len(ids), WIDTH)

    def lookup() -> Any:
        with torch.no_grad():
            return table(ids)

    def both() -> Any:
        table.zero_grad()
        table(ids).backward(upstream)

    return {"tensorly-torch: lookup": lookup, "tensorly-torch: both": both}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ids", type=int, default=53_248)
    parser.add_argument("--data", type=Path, help="folder of a prepared log")
    parser.add_argument("--layer", choices=LAYERS, default="train")
    parser.add_argument("--budget", default="300x")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--xla", action="store_true")
    args = parser.parse_args()
    if not native.available():
        raise SystemExit("No kernels: run `keras-pss build-ops` first.")
    layer = LAYERS[args.layer].from_budget(ROWS, WIDTH, args.budget)
    layer.build()
    for name, ids in streams(args.ids, args.data).items():
        ways = keras_ways(layer, ids, args.xla)
        if args.layer == "train":
            ways |= torch_ways(layer, ids)
        found = in_turns(ways, args.rounds)
        line = {
            "layer": args.layer,
            "cores": layer._cores,
            "ids": args.ids,
            "stream": name,
            "distinct": len(np.unique(ids)),
            "ms": {way: round(ms, 2) for way, ms in found.items()},
            "commit": commit(),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
