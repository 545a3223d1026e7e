"""Milliseconds of a lookup and its gradient, with and without kernels.

    python benchmarks/lookup.py [--grid criteo|table2] [--cores 1]
        [--out results.jsonl]

There are two grids. `criteo`: one ROBE memory for the 26 tables of Criteo
Kaggle (33.8 million rows, d = 16), Z = 16, at 1000x, with batches of 2,048 and
16,384, compared with the uncompressed tables of `keras.layers.Embedding` and
PyTorch's `EmbeddingBag`. `table2`: the setting of table 2 of "The trade-offs of
model size in large recommendation models: 10000x compressed Criteo-TB DLRM
model" (batch 10,240, d = 128; rows n, compression and Z vary), on a CPU.

The variants, each a compiled function of its backend, take turns:

    native        the kernels of keras_pss in a TensorFlow graph
    native, xla   the same under jit_compile=True
    graph         the keras.ops path in a TensorFlow graph
    xla           the keras.ops path under jit_compile=True
    jax, jax native                         the same in jax.jit
    embedding     keras.layers.Embedding on all n rows, TensorFlow graph
    embedding_bag torch.nn.EmbeddingBag on all n rows; also with one thread

Lower bounds are measured as well: `copy`, NumPy's copy of an array with the
output's size to another array, and `new copy`, each framework's copy of it to a
new tensor; for both passes, two such copies and as many zeros as the memory has
numbers. `forward` computes the rows; `dense` and `sparse` compute the rows and
the gradient of the memory (or table) for a given upstream gradient. The
overhead of a call (an empty function of the same backend) is measured and
subtracted.

Each backend runs in a separate process; they take turns as well. Memory that a
call frees is kept for the next one, as in `keras-pss train`. With `--cores 1`,
ratios hold on a machine that others use, too: no thread waits for another one.
Prints a table and writes JSON lines; `--plot FILE` plots those of `table2`.

The file is long because the variants of three frameworks stand side by side.
"""

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timing

KAGGLE = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683,
    8351593, 3194, 27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15,
    286181, 105, 142572,
)  # fmt: skip
LARGEST_TABLE = 1 << 29
PASSES = ("forward", "dense", "sparse")
TURN = "turn\n"  # what a process says before each of its rounds


def cases(grid: str) -> Iterator[dict[str, Any]]:
    """The cases of a grid: rows of each table, d, Z, batch, compression."""
    if grid == "criteo":
        for batch in (2048, 16384):
            yield {
                "rows": KAGGLE,
                "dim": 16,
                "block": 16,
                "batch": batch,
                "compression": 1000,
            }
        return
    million = 1_000_000
    for n in (4, 16, 64, 256):
        for compression in (10, 100, 1000, 10000):
            yield _table2(n * million, compression, 32)
    for n in (4, 64):
        for block in (1, 4, 16):
            yield _table2(n * million, 1000, block)
    # A fixed memory size, to show that lookup time does not depend on n.
    for n in (4, 16, 64, 256):
        case = _table2(n * million, n * 250, 32)
        yield {**case, "flat": True}


def _table2(n: int, compression: int, block: int) -> dict[str, Any]:
    return {
        "rows": (n,),
        "dim": 128,
        "block": block,
        "batch": 10240,
        "compression": compression,
    }


def memory_of(case: dict[str, Any]) -> int:
    return sum(case["rows"]) * case["dim"] // case["compression"]


def main() -> None:
    arguments = _arguments()
    if arguments.worker:
        if arguments.cores:  # before a framework counts them
            mine = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, mine[: arguments.cores])
        for case in cases(arguments.grid):
            if memory_of(case) <= arguments.most:
                measure(arguments.worker, case, arguments)
        return
    results = []
    for text in _lines_of_workers(arguments):
        line = json.loads(text)
        results.append(line)
        _show(line)
        if arguments.out:
            with arguments.out.open("a") as file:
                file.write(text)
    if arguments.plot:
        plot(results, arguments.plot)


def _lines_of_workers(arguments: argparse.Namespace) -> Iterator[str]:
    """The results of all backends, whose processes compute one at a time."""
    workers = {b: _start(b, arguments) for b in arguments.backends}
    said = {b: workers[b].stdout.readline() for b in workers}
    while said:
        for backend, text in list(said.items()):
            worker = workers[backend]
            if not text:
                del said[backend]
                if worker.wait():
                    sys.exit(
                        f"{backend} failed. Run with --verbose to see the "
                        "error."
                    )
                continue
            if text == TURN:
                worker.stdin.write("\n")
                worker.stdin.flush()
            else:
                yield text
            said[backend] = worker.stdout.readline()


def _start(backend: str, arguments: argparse.Namespace) -> Any:
    command = [sys.executable, __file__, "--worker", backend]
    command += ["--grid", arguments.grid, "--rounds", str(arguments.rounds)]
    command += ["--cores", str(arguments.cores), "--most", str(arguments.most)]
    command += ["--ways", *arguments.ways]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if arguments.verbose else subprocess.DEVNULL,
        text=True,
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    )


def _wait_for_turn() -> None:
    print(TURN, end="", flush=True)
    sys.stdin.readline()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--grid", choices=("criteo", "table2"), default="criteo"
    )
    parser.add_argument(
        "--out", type=Path, help="file that results are appended to"
    )
    parser.add_argument("--plot", type=Path, help="PNG or SVG file to write")
    parser.add_argument(
        "--rounds", type=int, default=15, help="number of turns (default: 15)"
    )
    parser.add_argument(
        "--most",
        type=float,
        default=1 << 28,
        help="number of parameters of the largest memory (default: 2^28, 1 GB "
        "and as much for the gradient)",
    )
    parser.add_argument(
        "--ways",
        nargs="*",
        default=[],
        help="variants that are measured (default: all)",
    )
    parser.add_argument(
        "--cores",
        type=int,
        default=0,
        help="cores that each process may use (default: 0, all)",
    )
    parser.add_argument(
        "--backends",
        nargs="+",
        default=["tensorflow", "jax", "torch"],
        choices=["tensorflow", "jax", "torch"],
    )
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def _show(line: dict[str, Any]) -> None:
    case = line["case"]
    print(
        f"\n{sum(case['rows']):,} rows x {case['dim']}, Z={case['block']}, "
        f"{case['compression']}x ({line['memory']:,} parameters), "
        f"{case['batch']} x {len(case['rows'])} ids; copy "
        f"{line['copy']:.2f} ms, call {line['call']:.2f} ms"
    )
    for name, times in line["ms"].items():
        cells = [
            f"{p} {times[p]:8.3f} ms ({times[p] / line['copy']:5.1f}x)"
            for p in PASSES
            if p in times
        ]
        print(f"  {name:16} " + "  ".join(cells), flush=True)


def measure(
    backend: str, case: dict[str, Any], arguments: argparse.Namespace
) -> None:
    """Prints one JSON line: all variants of a backend for a case."""
    from keras_pss.training.allocator import keep_freed_memory
    from keras_pss.training.environment import machine, versions

    keep_freed_memory()
    random = np.random.default_rng(0)
    shape = (case["batch"], len(case["rows"]))
    ids = (random.random(shape) * np.array(case["rows"])).astype(np.int32)
    upstream = random.normal(size=(*shape, case["dim"])).astype(np.float32)
    ways, call = WAYS[backend](case, ids, upstream)
    if arguments.ways:
        ways = {
            k: w for k, w in ways.items() if k.split("|")[0] in arguments.ways
        }
    copy = np.empty_like(upstream)
    ways["copy"] = lambda: np.copyto(copy, upstream)
    ways["call"] = call
    times = timing.in_turns(ways, arguments.rounds, before_round=_wait_for_turn)
    found: dict[str, dict[str, float]] = {}
    for name, ms in times.items():
        if "|" in name:
            way, step = name.split("|")
            found.setdefault(way, {})[step] = ms - times["call"]
    line = {
        "case": case,
        "memory": memory_of(case),
        "backend": backend,
        "copy": times["copy"],
        "call": times["call"],
        "cores": len(os.sched_getaffinity(0)),
        "ms": found,
        "machine": machine(),
        "versions": versions(),
        "commit": timing.commit(),
    }
    print(json.dumps(line), flush=True)


Ways = tuple[dict[str, Callable[[], Any]], Callable[[], Any]]


def _layer(case: dict[str, Any], gradient: str = "dense") -> Any:
    """The fused lookup of all tables in one memory."""
    from keras_pss.layers.fused.robe_group import ROBEGroup

    layer = ROBEGroup(
        case["rows"],
        case["dim"],
        memory_of(case),
        range(len(case["rows"])),
        block_size=case["block"],
        gradient=gradient,
    )
    layer.build()
    return layer


@functools.lru_cache(1)
def _full_table(rows: int, dim: int) -> Any:
    import keras

    table = keras.layers.Embedding(rows, dim)
    table.build()
    return table


@functools.lru_cache(1)
def _full_bag(rows: int, dim: int) -> Any:
    import torch

    return torch.nn.EmbeddingBag(rows, dim, mode="sum", sparse=True)


def _tensorflow(case: dict[str, Any], ids: Any, upstream: Any) -> Ways:
    import tensorflow as tf

    from keras_pss import native

    assert native.available(), "build the kernels: keras-pss build-ops"
    ways: dict[str, Callable[[], Any]] = {}
    x, up = tf.constant(ids), tf.constant(upstream.reshape(-1, case["dim"]))

    def add(name: str, step: str, layer: Any, inputs: Any, jit: bool) -> None:
        # XLA copies rows of one table, (batch, 1, d), if a function returns
        # them, since it assigns another layout to the axis of length 1.
        def forward(x: Any) -> Any:
            return tf.reshape(layer(x), (-1, case["dim"]))

        def both(x: Any) -> Any:
            with tf.GradientTape() as tape:
                rows = forward(x)
            weights = [v.value for v in layer.trainable_variables]
            return rows, tape.gradient(rows, weights, up)

        function = forward if step == "forward" else both
        compiled = tf.function(function, jit_compile=jit)
        compiled(inputs)  # traced here, with or without kernels
        ways[f"{name}|{step}"] = lambda: compiled(inputs)

    dense = _layer(case)
    for name, kernels, jit in (
        ("native", True, False),
        ("native, xla", True, True),
        ("graph", False, False),
        ("xla", False, True),
    ):
        with contextlib.nullcontext() if kernels else native.disabled():
            for step in ("forward", "dense"):
                add(name, step, dense, x, jit)
    sparse = _layer(case, "sparse")
    add("native", "sparse", sparse, x, False)
    if sum(case["rows"]) * case["dim"] <= LARGEST_TABLE * 2:
        table = _full_table(sum(case["rows"]), case["dim"])
        first = np.cumsum([0, *case["rows"]])[:-1]
        at = tf.constant((ids + first).astype(np.int32))
        add("embedding", "forward", table, at, False)
        add("embedding", "sparse", table, at, False)
    copy = tf.function(lambda x: tf.raw_ops.DeepCopy(x=x))
    ways["new copy|forward"] = lambda: copy(up)

    def limit(x: Any, y: Any) -> Any:
        zeros = tf.fill([memory_of(case)], 0 * x[0, 0])  # not a constant
        return [tf.raw_ops.DeepCopy(x=z) for z in (x, y)], zeros

    copies = tf.function(limit)
    other = tf.identity(up)
    ways["new copy|dense"] = lambda: copies(up, other)
    empty = tf.function(lambda x: tf.shape(x))
    return ways, lambda: empty(x)


def _jax(case: dict[str, Any], ids: Any, upstream: Any) -> Ways:
    import jax

    from keras_pss import native

    assert native.available(), "build the kernels: keras-pss build-ops"
    ways: dict[str, Callable[[], Any]] = {}
    layer = _layer(case)
    x = jax.numpy.asarray(ids)
    up = jax.numpy.asarray(upstream.reshape(-1, case["dim"]))
    memory = layer.memory_table.value

    def rows(memory: Any, x: Any) -> Any:
        found = layer.stateless_call([memory], [], x)[0]
        return found.reshape(-1, case["dim"])

    def both(memory: Any, x: Any, up: Any) -> Any:
        found, pull = jax.vjp(lambda memory: rows(memory, x), memory)
        return found, pull(up)

    def add(name: str, step: str, function: Any, *inputs: Any) -> None:
        compiled = jax.jit(function)
        compiled(*inputs)  # traced here, with or without kernels
        ways[f"{name}|{step}"] = lambda: jax.block_until_ready(
            compiled(*inputs)
        )

    for name, kernels in ("jax native", True), ("jax", False):
        with contextlib.nullcontext() if kernels else native.disabled():
            # New functions, since jax.jit caches the trace of a function.
            add(name, "forward", lambda memory, x: rows(memory, x), memory, x)
            add(
                name,
                "dense",
                lambda memory, x, up: both(memory, x, up),
                memory,
                x,
                up,
            )
    add("new copy", "forward", lambda x: jax.numpy.copy(x), up)
    empty = jax.jit(lambda x: x[0, 0])
    return ways, lambda: jax.block_until_ready(empty(x))


def _torch(case: dict[str, Any], ids: Any, upstream: Any) -> Ways:
    import torch

    if sum(case["rows"]) * case["dim"] > LARGEST_TABLE * 2:
        return {}, lambda: None
    first = np.cumsum([0, *case["rows"]])[:-1]
    at = torch.tensor((ids + first).reshape(-1, 1))
    up = torch.tensor(upstream.reshape(-1, case["dim"]))
    ways: dict[str, Callable[[], Any]] = {}
    bag = _full_bag(sum(case["rows"]), case["dim"])

    def forward() -> Any:
        with torch.no_grad():
            return bag(at)

    def both() -> Any:
        bag.weight.grad = None
        bag(at).backward(up)

    def on(threads: int, function: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> Any:
            torch.set_num_threads(threads)
            return function()

        return call

    most = torch.get_num_threads()
    ways["new copy|forward"] = on(1, up.clone)
    # On a busy machine, waiting for OpenMP's other threads can take longer.
    for name, threads in ("embedding_bag", most), ("embedding_bag, 1", 1):
        ways[f"{name}|forward"] = on(threads, forward)
        ways[f"{name}|sparse"] = on(threads, both)
    return ways, lambda: None


WAYS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Plots lookup and gradient times over rows, one line per compression."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    lines = [r for r in results if r["backend"] == "tensorflow"]
    lines = [r for r in lines if len(r["case"]["rows"]) == 1]
    kept = [r for r in lines if r["case"]["block"] == 32]
    for axis, step, title in zip(
        axes,
        ("forward", "dense"),
        ("lookup", "lookup and dense gradient"),
        strict=True,
    ):
        for compression in (10, 100, 1000, 10000):
            points = [
                (r["case"]["rows"][0], r["ms"]["native"][step])
                for r in kept
                if r["case"]["compression"] == compression
                and not r["case"].get("flat")
            ]
            if points:
                axis.plot(
                    *zip(*points, strict=True), "o-", label=f"{compression}x"
                )
        axis.axhline(
            np.median([r["copy"] for r in kept]), color="grey", ls=":",
            label="copy of the output",
        )  # fmt: skip
        axis.set(xscale="log", yscale="log", xlabel="rows n", title=title)
        axis.set_ylabel("ms, batch 10,240, d = 128")
    axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
