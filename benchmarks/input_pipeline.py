"""Rows per second of synthetic logs, preparation and input pipelines.

    python benchmarks/input_pipeline.py [--rows N] [--json]

Prints a table and one JSON line per result; with --json, only the JSON lines.
Each result is from one cold run. `limit` is the speed of a loop that only reads
the file's bytes and counts newlines, in the same run.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import timing

from keras_pss.data import criteo, synthetic
from keras_pss.version import __version__

CHUNK = 1 << 20


def main() -> None:
    """Runs every measurement in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments.rows)
    if not arguments.json:
        for name, speed in results.items():
            print(f"{name:<34}{speed:>14,.0f} rows/s")
    where = machine()
    for name, speed in results.items():
        print(json.dumps({"name": name, "rows_per_s": round(speed), **where}))


def measure(folder: Path, rows: int) -> dict[str, float]:
    """Rows per second by name."""
    log = folder / "log.tsv"
    results = {}

    def timed(name: str, run: Callable[[], object]) -> None:
        start = time.perf_counter()
        run()
        results[name] = rows / (time.perf_counter() - start)

    timed("synthetic.generate", lambda: synthetic.generate(log, rows=rows))
    timed("limit: bytes and newlines", lambda: count_lines(log))
    timed("TsvReader", lambda: sum(map(len, criteo.TsvReader(log))))
    for ids in ("hash", "vocabulary"):
        timed(
            f"prepare {ids}",
            lambda ids=ids: criteo.prepare(
                log, folder / ids, ids=ids, split="none"
            ),
        )
    data = criteo.load(folder / "vocabulary")
    encoder = data.encoder()
    for size in (2048, 16_384):
        timed(
            f"dataset shuffled, batch {size}",
            lambda size=size: drain(criteo.dataset(data, batch_size=size)),
        )
    timed(
        "tsv_batches, batch 2048",
        lambda: sum(
            len(batch.labels)
            for batch in criteo.tsv_batches(log, encoder, batch_size=2048)
        ),
    )
    timed(
        "tsv_dataset, batch 2048",
        lambda: drain(criteo.tsv_dataset(log, encoder, batch_size=2048)),
    )
    return results


def count_lines(path: Path) -> int:
    """The minimal work of any reader of the file."""
    count = 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            count += chunk.count(b"\n")
    return count


def drain(dataset: tf.data.Dataset) -> None:
    """Iterates over a dataset as training does."""
    for _ in dataset:
        pass


def machine() -> dict[str, object]:
    """The machine and versions that a result depends on."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "tensorflow": tf.__version__,
        "keras_pss": __version__,
        "commit": timing.commit(),
    }


if __name__ == "__main__":
    main()
