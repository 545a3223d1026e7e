"""An exported model of a shop's log, raw rows, and what Keras says to them."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import polars as pl
import tensorflow as tf

import keras_pss
from keras_pss import data
from keras_pss.features import (
    Categorical,
    Dense,
    Label,
    MultiCategorical,
    Schema,
    Timestamp,
)
from keras_pss.serving import export_saved_model
from keras_pss.serving.raw_rows import preprocessing, raw_inputs
from keras_pss.serving.raw_rows.column_values import column_values

SCHEMA = Schema(
    [
        Categorical("user"),
        MultiCategorical("viewed", max_length=3),
        Dense("price", transform="log1p"),
    ],
    label=Label("clicked"),
    timestamp=Timestamp("at", format="epoch_s", features=("hour",)),
)
EXAMPLES = Path(__file__).parents[1] / "examples" / "serving"


@dataclass(frozen=True)
class ServedShop:
    """Folder of the model's versions, rows as JSON has them, probabilities."""

    model: Path
    rows: list[dict]
    wanted: np.ndarray

    @property
    def saved_model(self):
        return self.model / "1"


def served_shop(folder):
    """Exports a model with random weights as `folder/shop/1`."""
    log_frame(400, 0).write_parquet(folder / "shop.parquet")
    log = data.prepare(folder / "shop.parquet", folder / "prepared", SCHEMA)
    tables = keras_pss.EmbeddingCollection.for_log(log, 4, "robe", budget="2x")
    model = keras_pss.models.DCN(tables, hidden_units=(8,))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(3 * layer.kernel)
    raw = preprocessing(log)
    export_saved_model(model, folder / "shop" / "1", raw=raw)
    frame = log_frame(50, 1)
    tensors = {
        x.name: tf.constant(column_values(x, frame[x.column], SCHEMA), x.dtype)
        for x in raw_inputs(SCHEMA)
    }
    wanted = model.predict(raw(tensors), verbose=0)[:, 0]
    assert np.ptp(wanted) > 0.1  # the rows are not alike
    values = [_of_json(x.numpy().tolist()) for x in tensors.values()]
    by_row = zip(*values, strict=True)
    rows = [dict(zip(tensors, row, strict=True)) for row in by_row]
    return ServedShop(folder / "shop", rows, wanted)


def log_frame(rows, seed):
    draw = np.random.RandomState(seed)
    viewed = [
        [f"i{item}" for item in draw.randint(0, 20, draw.randint(0, 4))]
        for _ in range(rows)
    ]
    return pl.DataFrame(
        {
            "user": [f"ü{user}" for user in draw.randint(0, 30, rows)],
            "viewed": viewed,
            "price": [
                None if draw.rand() < 0.1 else draw.lognormal(2)
                for _ in range(rows)
            ],
            "at": 1_700_000_000 + 600 * np.arange(rows),
            "clicked": draw.randint(0, 2, rows),
        }
    )


def _of_json(value):
    if isinstance(value, list):
        return [_of_json(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


@contextmanager
def process(command, ready, **environment):
    """A server's process and the line that it prints when it answers."""
    server = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        said = []
        for line in server.stdout:
            said.append(line)
            if ready in line:
                break
        else:
            raise AssertionError("".join(said))
        yield server, line
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()


def post(url, body):
    """Status and JSON of an answer, whatever it is."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    kind = {"Content-Type": "application/json"}
    return _answer(urllib.request.Request(url, body, kind))


def get(url):
    return _answer(urllib.request.Request(url))


def _answer(request):
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
