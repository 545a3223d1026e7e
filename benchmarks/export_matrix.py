"""Which format holds which method exactly, for ids over the whole range.

    python benchmarks/export_matrix.py

A small DLRM with each method is exported in each format as `keras-pss export`
does it: run in the runtime of the format on 256 rows, and refused if a
probability differs from Keras' by more than 1e-5. Tables are as large as the
method allows at this size: beyond 2^24 rows, where float32 rounds ids, and open
vocabularies with ids up to 2^31 - 2. Prints a table in Markdown, and a JSON
line for each cell with --out.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from timing import commit

import keras_pss
from keras_pss.serving.export_formats import FORMATS, export_model
from keras_pss.serving.model_card import runtimes
from keras_pss.training.environment import machine, versions

HUGE = (3, 1000, 300_000, 2**25 + 7)
OPEN = (3, 1000, None, 2**25 + 7)
LARGE = (3, 1000, 20_000)  # of methods that store something for each id
METHODS: dict[str, tuple[tuple[int | None, ...], Any, dict[str, Any]]] = {
    "full": ((3, 1000, 300_000), "1x", {}),
    "robe": (OPEN, 4000, {}),
    "hash": (OPEN, 20_000, {}),
    "tt": (HUGE, "1000x", {}),
    "tensor_ring": (HUGE, "1000x", {}),
    "qr": (HUGE, "1000x", {}),
    "fpd": (LARGE, "4x", {}),
    "memcom": (LARGE, "3x", {}),
    "mixed_dimension": (LARGE, "3x", {"counts": True}),
    "sketch": (LARGE, "4x", {}),
    "quantized": (LARGE, "3x", {}),
    "deep_hash": (OPEN, 60_000, {}),
    "clustered": (LARGE, "3x", {}),
    "popularity": (LARGE, "8x", {"counts": True}),
    "hot_rows": (LARGE, "8x", {}),
}


def model_of(method: str, packed: str | None = None) -> keras.Model:
    """A small DLRM with random weights."""
    keras.utils.set_random_seed(1)
    sizes, budget, more = METHODS[method]
    arguments: dict[str, Any] = {"budget": budget} if budget else {}
    if more.get("counts"):
        arguments["counts"] = [np.arange(n, 0, -1) for n in sizes if n]
    tables = keras_pss.EmbeddingCollection(list(sizes), 8, method, **arguments)
    model = keras_pss.models.DLRM(
        tables, 4, bottom_units=(16,), top_units=(16,)
    )
    for weight in model.trainable_variables:
        # A fresh initialization gives nearly equal probabilities.
        weight.assign(weight * 3)
    if packed:
        for layer in model.layers:
            if hasattr(layer, "memory_report"):
                layer.quantize(packed)
    return model


def cell(model: keras.Model, form: str) -> str:
    """What came of an export: its size, or why it was refused."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = export_model(model, Path(folder) / "1", form)
        except ValueError as error:
            reason = str(error).split("exactly: ", 1)[-1]
            return f"refused: {reason.split('. Nothing was')[0]}"
        card = json.loads((path / "model_card.json").read_text())
        return f"equal ({card['checked']['largest_difference_from_keras']:.0e})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=[*METHODS, "robe int8"])
    parser.add_argument("--formats", nargs="+", default=FORMATS)
    parser.add_argument("--out", type=Path, help="file results are appended to")
    arguments = parser.parse_args()
    print("| method | " + " | ".join(arguments.formats) + " |")
    print("|---" * (1 + len(arguments.formats)) + "|", flush=True)
    for name in arguments.methods:
        method, _, packed = name.partition(" ")
        model = model_of(method, packed or None)
        row = []
        for form in arguments.formats:
            start = time.perf_counter()
            found = cell(model, form)
            row.append(found)
            if arguments.out is not None:
                line = {
                    "benchmark": "export_matrix",
                    "method": name,
                    "format": form,
                    "result": found,
                    "seconds": round(time.perf_counter() - start, 1),
                    "commit": commit(),
                    "machine": machine(),
                    "versions": versions() | runtimes(),
                }
                with arguments.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
