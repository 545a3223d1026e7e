"""DLRM at 10,000x on LiteRT and ONNX Runtime: size, latency, outputs.

    python benchmarks/small_devices.py

DLRM for Criteo Kaggle's 33.8 million ids, with random weights, is exported as a
SavedModel and for LiteRT, ONNX Runtime and OpenVINO, as `keras-pss export` does
it. A request of 1 and of 128 rows, with one thread, takes turns in one process:
the SavedModel's signature in TensorFlow, and the other runtimes. The fastest
turn counts, so that other load on the machine matters least. The largest
difference between their probabilities and Keras' is that over 8,192 rows. One
JSON line a method.
"""

import argparse
import json
import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from timing import commit, in_turns

import keras_pss
from keras_pss.planning.presets import PRESETS
from keras_pss.serving.export_formats import FORMATS, export_model
from keras_pss.serving.model_card import runtimes
from keras_pss.training.environment import machine, versions

KAGGLE = PRESETS["criteo-kaggle"]
ROWS = 8192
BATCHES = (1, 128)


def model_of(method: str) -> keras.Model:
    """DLRM with the widths of ROBE's paper, and random weights."""
    keras.utils.set_random_seed(1)
    more: dict[str, Any] = {}
    if method == "auto":
        # Zipf's law, with as many occurrences as the log has rows.
        more["counts"] = [
            np.maximum(
                46_000_000 / np.log(n + 1) / np.arange(1, n + 1), 1
            ).astype(np.int64)
            for n in KAGGLE
        ]
    tables = keras_pss.EmbeddingCollection(
        list(KAGGLE), 16, method, budget="10000x", **more
    )
    model = keras_pss.models.DLRM(tables, 13)
    for weight in model.trainable_variables:
        weight.assign(weight * 1.5)
    return model


def measured(method: str, rounds: int) -> dict[str, Any]:
    """Sizes, latencies and differences of a method."""
    model = model_of(method)
    random = np.random.default_rng(0)
    rows = {
        "dense": random.normal(size=(ROWS, 13)).astype(np.float32),
        "categorical": np.stack(
            [random.integers(0, n, ROWS) for n in KAGGLE], 1
        ).astype(np.int32),
    }
    wanted = np.ravel(model.predict(rows, batch_size=ROWS, verbose=0))
    sizes, differences = {}, {}
    ways: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMATS:
            try:
                path = export_model(model, Path(folder) / form, form)
            except ValueError as error:
                sizes[form] = str(error)
                continue
            model_files = [
                file
                for file in path.rglob("*")
                if file.is_file()
                and file.parent.name != "assets.extra"
                and file.suffix not in (".md", ".json")
            ]
            sizes[form] = sum(file.stat().st_size for file in model_files)
            call = _call(form, path)
            differences[form] = float(np.abs(call(rows) - wanted).max())
            for batch in BATCHES:
                few = {name: x[:batch] for name, x in rows.items()}
                ways[f"{form} {batch}"] = lambda call=call, few=few: call(few)
        turns = [in_turns(ways, 1) for _ in range(rounds)]
    found = keras_pss.memory_report(model).total
    return {
        "benchmark": "small_devices",
        "method": method,
        "embedding_bytes": found.serving_bytes,
        "model_parameters": model.count_params(),
        "bytes": sizes,
        "largest_difference": differences,
        "milliseconds": {
            name: min(turn[name] for turn in turns) for name in ways
        },
    }


def _call(form: str, path: Path) -> Any:
    """The probabilities of a dictionary of arrays, with one thread."""
    if form != "tf_saved_model":
        return import_module(f"keras_pss.serving.formats.{form}").load(path)
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]

    def call(rows: dict[str, np.ndarray], kept: Any = loaded) -> np.ndarray:
        given = {name: tf.constant(x) for name, x in rows.items()}
        return np.asarray(serve(**given)["probability"])

    return call


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=["robe", "auto"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="file results are appended to")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for method in arguments.methods:
        line = json.dumps(
            {
                **measured(method, arguments.rounds),
                "commit": commit(),
                "machine": machine(),
                "versions": versions() | runtimes(),
            }
        )
        print(line, flush=True)
        if arguments.out is not None:
            with arguments.out.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
