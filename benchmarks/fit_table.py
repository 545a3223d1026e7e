"""Seconds and memory of `fit_table`, for each method.

    python benchmarks/fit_table.py [--rows 10000000] [--methods robe tt]
        [--out results.jsonl]

The table has `rows` x 16 float32 numbers: eight directions and noise, times a
scale that falls with the id, as counts do. Each method runs in a separate
process, at about a tenth of the table where it has a size. `peak` is the most
memory that the process took in the fit above what it had with the table and a
loaded framework: the weights of the layer are in it. `fit` are the seconds of
the whole call, with the checks and the errors. Prints a table, and writes JSON
lines.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import timing

WIDTH = 16
BLOCK = 1 << 18
# Arguments of each layer, given n.
METHODS: dict[str, Any] = {
    "full": lambda n: ("FullEmbedding", {}),
    "int8": lambda n: ("QuantizedEmbedding", {"storage": "int8"}),
    "int4": lambda n: ("QuantizedEmbedding", {"storage": "int4"}),
    "low_rank": lambda n: ("MixedDimensionEmbedding", {"inner_dim": 4}),
    "popularity": lambda n: (
        "PopularityEmbedding",
        {"num_rows": n // 3, "inner_dim": 4},
    ),
    "memcom": lambda n: ("MEMComEmbedding", {"num_buckets": 3 * n // 80}),
    "robe": lambda n: ("ROBEEmbedding", {"memory_size": n * WIDTH // 10}),
    "hash": lambda n: ("HashedEmbedding", {"num_buckets": n // 10}),
    "hash_2": lambda n: (
        "HashedEmbedding",
        {"num_buckets": n // 10, "num_hashes": 2},
    ),
    "sketch": lambda n: ("SketchEmbedding", {"num_buckets": n // 10}),
    "qr": lambda n: ("QREmbedding", {"num_buckets": n // 10}),
    "qr_add": lambda n: (
        "QREmbedding",
        {"num_buckets": n // 10, "operation": "add"},
    ),
    "tt": lambda n: ("TTEmbedding", {"rank": 64}),
    "fpd": lambda n: ("FPDEmbedding", {"rank": 8, "terms": 4}),
    "clustered": lambda n: ("ClusteredEmbedding", {"num_clusters": 256}),
    "deep_hash": lambda n: (
        "DeepHashEmbedding",
        {"hidden_units": (64, 64), "num_hashes": 64},
    ),
}


def trained(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A table and the counts of its ids."""
    random = np.random.default_rng(0)
    directions = random.normal(size=(8, WIDTH)).astype(np.float32)
    table = np.empty((rows, WIDTH), np.float32)
    counts = 1e9 / (1 + np.arange(rows))
    counts[0] = 0  # out-of-vocabulary values
    for begin in range(0, rows, BLOCK):
        part = table[begin : begin + BLOCK]
        latent = random.standard_normal((len(part), 8), np.float32)
        part[:] = latent @ directions
        part += 0.3 * random.standard_normal(part.shape, np.float32)
        scale = 0.02 + 1 / (1 + np.sqrt(np.arange(begin, begin + len(part))))
        part *= scale[:, None].astype(np.float32)
    return table, np.floor(counts).astype(np.int32)


def memory(name: str) -> int:
    """A number of bytes in /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    raise KeyError(name)


def measured(method: str, rows: int) -> dict[str, Any]:
    """One fit in this process."""
    import keras_pss

    name, arguments = METHODS[method](rows)
    layer_class = getattr(keras_pss, name)
    small, _ = trained(4096)
    _, few = METHODS[method](4096)
    layer_class(4096, WIDTH, **few).fit_table(small)  # loads what it needs
    table, counts = trained(rows)
    layer = layer_class(rows, WIDTH, **arguments)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    start = time.perf_counter()
    report = layer.fit_table(table, counts)
    seconds = time.perf_counter() - start
    return {
        "method": method,
        "rows": rows,
        "fit": round(seconds, 1),
        "peak": round((memory("VmHWM") - before) / table.nbytes, 2),
        "table_gb": round(table.nbytes / 1e9, 3),
        "parameters": report.parameters,
        "relative_error": report.relative_error,
        "weighted_relative_error": report.weighted_relative_error,
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "commit": timing.commit(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--own", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own:
        print(json.dumps(measured(options.own, options.rows)))
        return
    print("method        seconds  peak/table  error  weighted", flush=True)
    for method in options.methods:
        command = [sys.executable, __file__, "--own", method]
        result = subprocess.run(
            [*command, "--rows", str(options.rows)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        line = result.stdout.splitlines()[-1]
        found = json.loads(line)
        print(
            f"{method:<12}{found['fit']:>9.1f}{found['peak']:>12.2f}"
            f"{found['relative_error']:>7.3f}"
            f"{found['weighted_relative_error']:>10.3f}",
            flush=True,
        )
        if options.out:
            with options.out.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
