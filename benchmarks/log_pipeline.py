"""Preparation and pipelines of any schema against those of Criteo's rows.

    python benchmarks/log_pipeline.py [--rows N] [--rounds N] [--json]

Both prepare the same synthetic rows in processes of their own, in turns, and
the fastest round of each counts. Imports are not timed, and the peak memory is
that above the imports'. Then both pipelines read the same folder, in turns.
Prints a table with ratios and one JSON line per result; with --json, only the
JSON lines.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import timing

# Runs one preparation: way, log, folder. Prints seconds and bytes.
_PREPARE = """
import json, sys, time
import polars
from keras_pss import data
from keras_pss.data import criteo
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.features import Schema

def status(name):
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(name)]
    return 1024 * int(line.split()[1])

way, log, out = sys.argv[1:]
schema = Schema.load("criteo")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # The peak begins anew, without that of the imports.
before, start = status("VmRSS"), time.perf_counter()
if way == "criteo":
    criteo.prepare(log, out, overwrite=True)
else:
    data.prepare(log, out, schema, overwrite=True)
took = time.perf_counter() - start
print(json.dumps([took, status("VmHWM") - before]))
"""
WAYS = ("criteo", "schema")


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
            print(f"{name:<28}" + "".join(f"{x:>16,.0f}" for x in found))
            print(f"{'  schema / criteo':<28}{found[1] / found[0]:>32.2f}")
    for name, (criteo, schema) in results.items():
        entry = {"name": name, "criteo": round(criteo), "schema": round(schema)}
        where = {"load": os.getloadavg()[0], "commit": timing.commit()}
        print(json.dumps({**entry, "rows": arguments.rows, **where}))


def measure(
    folder: Path, rows: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Results of Criteo's path and of the schema's, by name."""
    from keras_pss.data import synthetic

    log = folder / "log.tsv"
    synthetic.generate(log, rows=rows)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    memory: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            took, held = prepared(way, log, folder / way)
            seconds[way].append(took)
            memory[way].append(held)
    best = [rows / min(seconds[way]) for way in WAYS]
    results = {
        "prepare, rows/s": (best[0], best[1]),
        "prepare, peak bytes": (
            max(memory["criteo"]),
            max(memory["schema"]),
        ),
    }
    for size in (2048, 16_384):
        results[f"dataset of {size}, rows/s"] = pipelines(
            folder / "criteo", size, rounds
        )
    return results


def prepared(way: str, log: Path, out: Path) -> tuple[float, float]:
    """Seconds and peak bytes of one preparation."""
    done = subprocess.run(
        [sys.executable, "-c", _PREPARE, way, str(log), str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    took, held = json.loads(done.stdout)
    return took, held


def pipelines(folder: Path, size: int, rounds: int) -> tuple[float, float]:
    """Rows per second of an epoch of each pipeline, the fastest round."""
    from keras_pss import data
    from keras_pss.data import criteo

    rows = data.load(folder).rows("train")
    made = [way.dataset(folder, batch_size=size) for way in (criteo, data)]
    best = [0.0, 0.0]
    turns = list(enumerate(made))
    for _ in range(2 * rounds):
        turns.reverse()
        for place, batches in turns:
            start = time.perf_counter()
            for _ in batches:
                pass
            took = time.perf_counter() - start
            best[place] = max(best[place], rows / took)
    return best[0], best[1]


if __name__ == "__main__":
    main()
