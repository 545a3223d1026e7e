"""Rows per second of logs: generated, read, prepared and fed to a model.

    python benchmarks/log_pipeline.py [--rows N] [--rounds N] [--json]

Prepares the same synthetic rows from text and from Parquet, with vocabularies
and with hashed ids, each in a process of its own, in turns; the fastest round
of each counts. Imports are not timed, and the peak memory is that above the
imports'. Then epochs are read: of the records, and of the files themselves.
`limit` is the speed of a loop that only reads the text's bytes and counts
newlines. Prints a table and one JSON line per result; with --json, only the
JSON lines.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import timing

# Runs one preparation: log, ids, folder. Prints seconds and bytes.
_PREPARE = """
import json, sys, time
import polars
from keras_pss import data
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.features import Schema
import tensorflow  # which hashes

def status(name):
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(name)]
    return 1024 * int(line.split()[1])

log, schema, out = sys.argv[1:]
schema = Schema.load(schema)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # The peak begins anew, without that of the imports.
before, start = status("VmRSS"), time.perf_counter()
data.prepare(log, out, schema, overwrite=True)
took = time.perf_counter() - start
print(json.dumps([took, status("VmHWM") - before]))
"""
CHUNK = 1 << 20
Results = dict[str, float]


def main() -> None:
    """Runs every measurement in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments.rows, arguments.rounds)
    if not arguments.json:
        for name, found in results.items():
            print(f"{name:<40}{found:>16,.0f}")
    for name, found in results.items():
        entry = {"name": name, "value": round(found), "rows": arguments.rows}
        print(json.dumps({**entry, **machine()}))


def measure(folder: Path, rows: int, rounds: int) -> Results:
    """Rows per second and bytes, by name."""
    from keras_pss.data import criteo, synthetic
    from keras_pss.features import Format

    text, columnar = folder / "log.tsv", folder / "log.parquet"
    results: Results = {}

    def timed(name: str, run: Callable[[], object], times: int = 1) -> None:
        best = min(seconds(run) for _ in range(times))
        results[f"{name}, rows/s"] = rows / best

    timed("generate", lambda: synthetic.generate(text, rows=rows))
    timed("limit: bytes and newlines", lambda: count_lines(text), rounds)
    write_parquet(text, columnar)
    for ids in ("vocabulary", "hash"):
        schema = criteo.schema(ids)
        schema.save(folder / f"text_{ids}.toml")
        schema = replace(schema, format=Format())
        schema.save(folder / f"parquet_{ids}.toml")
    logs = {"text": text, "parquet": columnar}
    results |= preparations(folder, logs, rows, rounds)
    results |= epochs(folder, logs, rows, rounds)
    return results


def preparations(
    folder: Path, logs: dict[str, Path], rows: int, rounds: int
) -> Results:
    """Speed and peak memory of each kind of file with each policy of ids."""
    ways = [(kind, ids) for kind in logs for ids in ("vocabulary", "hash")]
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for kind, ids in ways:
            command = [
                *[sys.executable, "-c", _PREPARE, str(logs[kind])],
                *[str(folder / f"{kind}_{ids}.toml"), str(folder / kind / ids)],
            ]
            (folder / kind).mkdir(exist_ok=True)
            done = subprocess.run(command, capture_output=True, check=True)
            name = f"prepare {kind}, {ids}"
            found.setdefault(name, []).append(json.loads(done.stdout))
    results: Results = {}
    for name, turns in found.items():
        results[f"{name}, rows/s"] = rows / min(took for took, _ in turns)
        results[f"{name}, peak bytes"] = max(held for _, held in turns)
    return results


def epochs(
    folder: Path, logs: dict[str, Path], rows: int, rounds: int
) -> Results:
    """Speed of epochs of records, and of the files themselves."""
    from keras_pss import data
    from keras_pss.data.readers.log_reader import LogReader
    from keras_pss.features import Schema

    results: Results = {}

    def timed(name: str, count: int, made: Iterable[object]) -> None:
        turns = 2 * rounds if count < rows else rounds
        best = min(seconds(lambda: drain(made)) for _ in range(turns))
        results[f"{name}, rows/s"] = count / best

    for kind, log in logs.items():
        schema = Schema.load(folder / f"{kind}_vocabulary.toml")
        timed(f"read {kind}", rows, LogReader(log, schema))
        prepared = data.load(folder / kind / "vocabulary")
        made = data.file_dataset(log, prepared)
        timed(f"file_dataset of {kind}", rows, made)
    for size in (2048, 16_384):
        made = data.dataset(prepared, batch_size=size)
        timed(f"dataset, batches of {size}", prepared.rows("train"), made)
    return results


def write_parquet(text: Path, columnar: Path) -> None:
    """The same rows with typed columns, as a warehouse holds them."""
    import polars as pl

    from keras_pss.data import criteo

    names = list(criteo.COLUMNS)
    types = dict.fromkeys(names, pl.String)
    types |= dict.fromkeys(criteo.INTEGERS, pl.Int64)
    types[criteo.LABEL] = pl.Int64
    pl.scan_csv(
        text, separator="\t", has_header=False, schema=types
    ).sink_parquet(columnar)


def seconds(run: Callable[[], object]) -> float:
    """Duration of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def count_lines(path: Path) -> int:
    """The minimal work of any reader of the file."""
    count = 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            count += chunk.count(b"\n")
    return count


def drain(made: Iterable[object]) -> None:
    """Iterates over batches as training does."""
    for _ in made:
        pass


def machine() -> dict[str, object]:
    """The machine and versions that a result depends on."""
    import polars as pl
    import tensorflow as tf

    from keras_pss.version import __version__

    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "polars": pl.__version__,
        "tensorflow": tf.__version__,
        "keras_pss": __version__,
        "commit": timing.commit(),
    }


if __name__ == "__main__":
    main()
