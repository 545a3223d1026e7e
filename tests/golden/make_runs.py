"""Runs and comparisons; see make_golden.py.

The folders and encoders in `prepared` are those of version 1, which is only
read. Nothing here names the machine that made it.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import golden_files
import keras
import numpy as np
from golden_files import FOLDER

from keras_pss.comparison import Grid, compare
from keras_pss.data import criteo
from keras_pss.training import RunConfig, evaluate, train

MACHINE = {"cpu": "any", "cores": 1}
NARROW = {"bottom_units": [6], "top_units": [5]}
LOG = "log.tsv.gz"


def rewritten(path: Path, **changes: Any) -> None:
    """A report without what is this machine's alone."""
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content, indent=2) + "\n")


def finished_run() -> None:
    data = criteo.load(FOLDER / "prepared" / "vocabulary")
    config = RunConfig(
        model_options=NARROW, budget="4x", dim=4, epochs=2, batch_size=64
    )
    out = FOLDER / "run"
    train(data, config, out, verbose=0)
    for name in ("tensorboard", "plots"):
        shutil.rmtree(out / name)
    rewritten(out / "report.json", machine=MACHINE, command="keras-pss train")
    metrics = evaluate(out, [FOLDER / "prepared" / LOG])
    golden_files.write_json(metrics.as_dict(), out / "evaluated.json")


STOPPED = RunConfig(
    model_options={**NARROW, "dropout": 0.2, "l2": 1e-5},
    budget="4x",
    dim=4,
    epochs=2,
    evaluations=2,
    batch_size=64,
    warmup_steps=3,
    decay="cosine",
    clip_norm=1.0,
)


class Stop(keras.callbacks.Callback):
    """Stops a run as Ctrl-C does, in the middle of its second round."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.epoch == 1 and batch == 1:
            raise KeyboardInterrupt


def stopped_run() -> None:
    """The state after one evaluation, and the end of the whole run."""
    data = criteo.load(FOLDER / "prepared" / "vocabulary")
    out = FOLDER / "stopped"
    tensorboard = keras.callbacks.TensorBoard
    keras.callbacks.TensorBoard = lambda *args, **kwargs: Stop()
    try:
        train(data, STOPPED, out, verbose=0)
    except KeyboardInterrupt:
        pass
    finally:
        keras.callbacks.TensorBoard = tensorboard
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "run"
        report = train(data, STOPPED, whole, verbose=0)
        model = keras.saving.load_model(whole / "model.keras")
    keys = ("auc", "logloss", "validation_auc", "best_epoch", "epochs")
    end = {key: report[key] for key in keys}
    history = {
        key: report["history"][key]
        for key in ("epoch", "loss", "val_auc", "val_logloss")
    }
    weights = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    np.savez_compressed(out / "end.npz", **weights)
    golden_files.write_json({**end, "history": history}, out / "end.json")


def grid() -> Grid:
    run = {"epochs": 1, "batch_size": 64, "dim": 4}
    return Grid(["dlrm"], ["robe"], ["4x"], 1, run, {"dlrm": NARROW})


def comparison() -> None:
    out = FOLDER / "comparison"
    compare(FOLDER / "prepared" / "vocabulary", grid(), out)
    lines = (out / "results.jsonl").read_text().splitlines()
    kept = [{**json.loads(line), "machine": MACHINE} for line in lines]
    text = "".join(json.dumps(line) + "\n" for line in kept)
    (out / "results.jsonl").write_text(text)
    for path in (".lock", "running"):
        if (out / path).is_dir():
            shutil.rmtree(out / path)
        else:
            (out / path).unlink(missing_ok=True)
    for path in out.glob("worker-*"):
        path.unlink()


SETS = {
    "run": finished_run,
    "stopped": stopped_run,
    "comparison": comparison,
}
