"""Milliseconds of a lookup and its gradient, by method.

    python benchmarks/methods.py [--ids uniform|zipf] [--data FOLDER]
        [--methods tt robe ...] [--tables float int8 int4] [--seconds 30]
        [--out results.jsonl]
    python benchmarks/methods.py --markdown results.jsonl

One table of 10 million rows of 16 numbers, compressed 300 times (or as little
as a method needs, where it cannot), and a batch of 53,248 ids: 2,048 examples
of 26 columns. Ids are uniform, or follow Zipf's law with exponent 1.05 and are
scattered over the table; with --data, they are those of the first examples of a
log of 26 columns that `keras-pss prepare` wrote. Measures by method:

    graph       the lookup in a TensorFlow graph, with the kernels there are
    both        the lookup and its gradient in a TensorFlow graph
    XLA, both   the same under jit_compile=True
    jax, both   the same in jax.jit
    ops, both   the keras.ops path in a TensorFlow graph, without kernels
    served      the lookup in a SavedModel, which has no kernels

`--tables` measures layers as they are trained, or packed by `quantize`, which
have no gradient. `--seconds` bounds the time of each backend and method after
its functions are compiled.

`copy` is the limit: the framework's copy of the rows to a new tensor. Each
method is measured beside it, in turns, and the overhead of a call is
subtracted. Each backend and method runs in a process of its own. Prints a
table of milliseconds and of multiples of the copy; writes JSON lines.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import logged_ids
import numpy as np
import timing

ROWS, DIM, EXAMPLES, COLUMNS = 10_000_000, 16, 2048, 26
BUDGETS = ("300x", "30x", "10x", "4x")
METHODS = (
    "full", "robe", "tt", "tensor_ring", "qr", "hash", "fpd", "memcom",
    "sketch", "deep_hash", "clustered", "quantized", "popularity",
    "mixed_dimension", "hot_rows",
)  # fmt: skip
TABLES = ("float", "int8", "int4")
COLUMNS_SHOWN = (
    "copy", "forward", "both", "xla forward", "xla both", "jax forward",
    "jax both", "ops forward", "ops both", "served",
)  # fmt: skip

Ways = dict[str, Callable[[], Any]]


def main() -> None:
    arguments = _arguments()
    if arguments.worker:
        measure(arguments)
        return
    if arguments.markdown:
        print(markdown(arguments.markdown))
        return
    print(
        f"{'method':20} {'budget':>6} "
        + "".join(f"{c:>13}" for c in COLUMNS_SHOWN)
    )
    for method in arguments.methods:
        for tables in arguments.tables:
            line: dict[str, Any] = {
                "method": method,
                "tables": tables,
                "ids": "log" if arguments.data else arguments.ids,
                "ms": {},
            }
            for backend in arguments.backends:
                found = _child(backend, method, tables, arguments)
                line |= {k: v for k, v in found.items() if k != "ms"}
                line["ms"] |= found.get("ms", {})
            _show(line)
            if arguments.out:
                with arguments.out.open("a") as file:
                    print(json.dumps(line), file=file)


def _child(
    backend: str, method: str, tables: str, arguments: Any
) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", method]
    command += ["--tables", tables, "--ids", arguments.ids]
    command += ["--rounds", str(arguments.rounds)]
    command += ["--seconds", str(arguments.seconds)]
    if arguments.data:
        command += ["--data", str(arguments.data)]
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=None if arguments.verbose else subprocess.DEVNULL,
        text=True,
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    if done.returncode:
        return {"failed": f"{backend}: run with --verbose"}
    return json.loads(done.stdout.splitlines()[-1])


def _show(line: dict[str, Any]) -> None:
    ms = line["ms"]
    cells = [f"{ms[c]:13.2f}" if c in ms else f"{'':13}" for c in COLUMNS_SHOWN]
    name = line["method"]
    if line["tables"] != "float":
        name += f" {line['tables']}"
    print(f"{name:20} {line.get('budget', ''):>6} " + "".join(cells))
    if ms.get("copy"):  # 0 where the call's overhead exceeds it
        shares = {
            name: f"{each / ms['copy']:.1f}x" for name, each in ms.items()
        }
        times = [f"{shares.get(c, ''):>13}" for c in COLUMNS_SHOWN]
        print(f"{'':27} " + "".join(times), line.get("failed", ""), flush=True)
    elif "failed" in line:
        print(line["failed"])


def markdown(results: Path) -> str:
    """A table of multiples of the copy, from the JSON lines of `--out`."""
    shown = COLUMNS_SHOWN[1:]
    table = ["| ids | method | budget | " + " | ".join(shown) + " |"]
    table.append("|---|---|--:|" + "--:|" * len(shown))
    for line in map(json.loads, results.read_text().splitlines()):
        copy = line["ms"].get("copy")
        if not copy:
            continue
        times = [line["ms"].get(name) for name in shown]
        cells = ["" if ms is None else f"{ms / copy:.1f}" for ms in times]
        name = f"`{line['method']}`"
        if line["tables"] != "float":
            name += f" {line['tables']}"
        table.append(
            f"| {line['ids']} | {name} | {line['budget']} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(table)


def measure(arguments: Any) -> None:
    """Prints one JSON line: the ways of a backend to look ids up."""
    import keras

    from keras_pss.training.environment import machine, versions

    layer, budget = layer_of(arguments.worker, *arguments.tables)
    ids = ids_of(arguments.ids, arguments.data)
    upstream = np.random.default_rng(1).normal(size=(*ids.shape, DIM))
    upstream = upstream.astype(np.float32)
    tensorflow = keras.backend.backend() == "tensorflow"
    made = _tensorflow if tensorflow else _jax
    with tempfile.TemporaryDirectory() as folder:
        ways, call = made(layer, ids, upstream, folder)
        times = timing.in_turns(
            ways | {"call": call},
            arguments.rounds,
            most_seconds=arguments.seconds,
        )
    overhead = times.pop("call")
    print(
        json.dumps(
            {
                "budget": budget,
                "distinct": len(np.unique(ids)),
                "parameters": layer.count_params(),
                "load": os.getloadavg()[0],
                "ms": {n: max(0.0, ms - overhead) for n, ms in times.items()},
                "machine": machine(),
                "versions": versions(),
                "commit": timing.commit(),
            }
        )
    )


def layer_of(method: str, tables: str = "float") -> tuple[Any, str]:
    """The layer of a method, built, and the first budget that it can have.

    Args:
        method: Method string.
        tables: `"float"`, `"int8"` or `"int4"`.
    """
    import keras_pss

    counts = (
        {"counts": 1 / np.arange(1, ROWS + 1)} if method == "popularity" else {}
    )
    for budget in BUDGETS:
        try:
            layer = keras_pss.embedding(ROWS, DIM, method, budget, **counts)
        except ValueError:
            continue
        layer.build()
        if tables != "float":
            layer.quantize(tables)
        return layer, budget
    raise ValueError(f"no budget for {method}")


def ids_of(kind: str, data: Path | None = None) -> np.ndarray:
    """Ids of a batch, int32 (EXAMPLES, COLUMNS)."""
    if data is not None:
        return logged_ids.of_batch(data, EXAMPLES, ROWS)
    random = np.random.default_rng(0)
    shape = (EXAMPLES, COLUMNS)
    if kind == "uniform":
        return random.integers(0, ROWS, shape, np.int32)
    power = 1.05
    total = (ROWS ** (1 - power) - 1) / (1 - power)  # ∫ x^-power dx, 1 to ROWS
    drawn = 1 + total * random.random(shape) * (1 - power)
    ranks = np.minimum(drawn ** (1 / (1 - power)), ROWS).astype(np.int64) - 1
    return (ranks * logged_ids.ODD % ROWS).astype(np.int32)


def _steps(
    layer: Any, forward: Callable[..., Any], both: Callable[..., Any]
) -> list[tuple[str, Callable[..., Any]]]:
    """What is measured of a layer; packed tables have no gradient."""
    found = [("forward", forward), ("both", both)]
    return found if layer.trainable_variables else found[:1]


def _tensorflow(
    layer: Any, ids: np.ndarray, upstream: np.ndarray, folder: str
) -> tuple[Ways, Callable[[], Any]]:
    import contextlib

    import keras
    import tensorflow as tf

    from keras_pss import native
    from keras_pss.serving import export_saved_model

    assert native.available(), "build the kernels: keras-pss build-ops"
    x, up = tf.constant(ids), tf.constant(upstream)
    weights = [v.value for v in layer.trainable_variables]

    def forward(x: Any) -> Any:
        return layer(x)

    def both(x: Any) -> Any:
        with tf.GradientTape() as tape:
            rows = layer(x)
        return rows, tape.gradient(rows, weights, up)

    ways: Ways = {}
    for name, kernels, jit in (
        ("", True, False),
        ("xla ", True, True),
        ("ops ", False, False),
    ):
        with contextlib.nullcontext() if kernels else native.disabled():
            for step, function in _steps(layer, forward, both):
                # A new function, since each is traced with what is enabled.
                compiled = tf.function(
                    lambda x, f=function: f(x), jit_compile=jit
                )
                compiled(x)
                ways[name + step] = lambda compiled=compiled: compiled(x)
    inputs = keras.Input((COLUMNS,), dtype="int32", name="ids")
    export_saved_model(
        keras.Model(inputs, layer(inputs)), folder, overwrite=True
    )
    served = tf.saved_model.load(folder).signatures["serving_default"]
    ways["served"] = lambda: served(ids=x)
    copy = tf.function(lambda x: tf.raw_ops.DeepCopy(x=x))
    ways["copy"] = lambda: copy(up)
    empty = tf.function(lambda x: tf.shape(x))
    return ways, lambda: empty(x)


def _jax(
    layer: Any, ids: np.ndarray, upstream: np.ndarray, folder: str
) -> tuple[Ways, Callable[[], Any]]:
    import jax

    x, up = jax.numpy.asarray(ids), jax.numpy.asarray(upstream)
    trained = [v.value for v in layer.trainable_variables]
    others = [v.value for v in layer.non_trainable_variables]

    def forward(trained: Any, x: Any) -> Any:
        return layer.stateless_call(trained, others, x)[0]

    def both(trained: Any, x: Any) -> Any:
        rows, pull = jax.vjp(lambda trained: forward(trained, x), trained)
        return rows, pull(up)

    ways: Ways = {}
    for step, function in _steps(layer, forward, both):
        compiled = jax.jit(function)
        ways[f"jax {step}"] = lambda compiled=compiled: jax.block_until_ready(
            compiled(trained, x)
        )
    empty = jax.jit(lambda x: x[0, 0])
    return ways, lambda: jax.block_until_ready(empty(x))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ids", choices=("uniform", "zipf"), default="zipf")
    parser.add_argument("--data", type=Path, help="folder of a prepared log")
    parser.add_argument(
        "--methods", nargs="+", default=METHODS, choices=METHODS
    )
    parser.add_argument(
        "--tables", nargs="+", default=["float"], choices=TABLES
    )
    parser.add_argument(
        "--backends", nargs="+", default=["tensorflow", "jax"],
        choices=["tensorflow", "jax"],
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="file results are appended to")
    parser.add_argument(
        "--markdown", type=Path, help="print a table of a file of results"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
