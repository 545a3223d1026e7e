"""A training run: fit, choose the epoch, test once, leave everything behind."""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pss.callbacks import Recluster
from keras_pss.data import criteo
from keras_pss.layers import ClusteredEmbedding
from keras_pss.layers.walk import every
from keras_pss.serving.export import export_saved_model
from keras_pss.training import plots
from keras_pss.training.callbacks import BestEpoch, StepTimes
from keras_pss.training.config import RunConfig, build_model
from keras_pss.training.metrics import Metrics
from keras_pss.training.report import machine, versions

EVALUATION_BATCH = 8192
MODEL_FILE = "model.keras"
ENCODER_FILE = "encoder"


def train(
    prepared: Any,
    config: RunConfig,
    out: Path | str,
    verbose: str | int = "auto",
) -> dict[str, Any]:
    """Trains a model on prepared rows.

    Writes into `out`: `report.json` (last, so that its presence says that the
    run is complete), `model.keras` and `saved_model/` of the best epoch, the
    run's own id `encoder`, `tensorboard/` logs and `plots/`.

    Args:
        prepared: What `criteo.prepare` or `criteo.load` returned, with train,
            validation and test rows.
        config: Hyperparameters.
        out: Folder of the run; made where it is not there.
        verbose: Of `model.fit`.

    Returns:
        The report, as written.
    """
    out = Path(out)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "A run trains and exports on TensorFlow. Set "
            "KERAS_BACKEND=tensorflow. "
            f"Received: backend={keras.backend.backend()}"
        )
    if (out / "report.json").exists():
        raise ValueError(
            "The folder already holds a run. Choose another one or remove it. "
            f"Received: out={out}"
        )
    for split in ("train", "validation", "test"):
        if not prepared.rows(split):
            raise ValueError(
                "Training needs train, validation and test rows. Prepare the "
                "data with fractions above 0. "
                f"Received: no {split} rows in {prepared.directory}"
            )
        if not 0 < prepared.clicks(split) < prepared.rows(split):
            raise ValueError(
                "Each split needs rows with and without a click. Prepare more "
                "rows, or another split. Received: "
                f"{prepared.clicks(split)} clicks in {prepared.rows(split)} "
                f"{split} rows in {prepared.directory}"
            )
    model = build_model(config, prepared.cardinalities)
    out.mkdir(parents=True, exist_ok=True)
    prepared.encoder().save(out / ENCODER_FILE)

    validation, labels = _evaluation(prepared, "validation")
    best = BestEpoch(validation, labels, out / MODEL_FILE, config.patience)
    times = StepTimes()
    history = model.fit(
        criteo.dataset(
            prepared, "train", batch_size=config.batch_size, seed=config.seed
        ),
        epochs=config.epochs,
        shuffle=False,  # the dataset does
        callbacks=[
            times,
            best,
            keras.callbacks.TensorBoard(
                str(out / "tensorboard"), write_graph=False
            ),
            keras.callbacks.TerminateOnNaN(),
            *_reclusterings(model, config.epochs),
        ],
        verbose=verbose,
    ).history

    model = keras.saving.load_model(out / MODEL_FILE)
    test, labels = _evaluation(prepared, "test")
    probabilities = model.predict(test, verbose=0).ravel()
    metrics = Metrics.of(labels, probabilities)
    export_saved_model(model, out / "saved_model", overwrite=True)
    report = _report(prepared, config, model, metrics, history, best, times)
    plots.learning_curves(history, best.best_epoch, out / "plots")
    plots.roc(labels, probabilities, metrics, out / "plots")
    plots.calibration(labels, probabilities, out / "plots")
    write_json(report, out / "report.json")
    return report


def _reclusterings(model: keras.Model, epochs: int) -> list[Recluster]:
    """What clustered tables need between epochs, last of all callbacks."""
    # A run of one epoch has no room for one.
    return (
        [Recluster()] if every(model, ClusteredEmbedding) and epochs > 1 else []
    )


def evaluate(
    run: Path | str, sources: list[Path], batch_size: int = EVALUATION_BATCH
) -> Metrics:
    """Scores labelled rows of a click log with a run's model and its ids.

    Args:
        run: Folder that `train` filled.
        sources: Criteo TSV files, plain or compressed.
        batch_size: Rows scored at once.
    """
    run = Path(run)
    model = load_model(run)
    encoder = criteo.load_encoder(run / ENCODER_FILE)
    data = criteo.tsv_dataset(sources, encoder, batch_size=batch_size)
    labels, scores = [], []
    for features, label in data:
        labels.append(label.numpy())
        scores.append(model.predict_on_batch(features).ravel())
    if not labels:
        raise ValueError(
            f"No rows to score. Received: {', '.join(map(str, sources))}"
        )
    return Metrics.of(np.concatenate(labels), np.concatenate(scores))


def load_model(run: Path | str) -> keras.Model:
    """The best model of a run."""
    run = Path(run)
    if not (run / "report.json").is_file():
        raise ValueError(
            f"`run` must be a folder that `keras-pss train --out` filled to "
            f"the end, with a report.json. Received: run={run}"
        )
    return keras.saving.load_model(run / MODEL_FILE)


def write_json(content: dict[str, Any], path: Path) -> None:
    """Writes a JSON file that is whole or not there."""
    part = path.with_name(f"part-{path.name}")
    part.write_text(json.dumps(content, indent=2) + "\n")
    part.replace(path)


def _evaluation(prepared: Any, split: str) -> tuple[Any, np.ndarray]:
    """Rows of a split in a fixed order, and their labels."""
    data = criteo.dataset(
        prepared, split, batch_size=EVALUATION_BATCH, shuffle=False
    )
    return data, np.concatenate([label.numpy() for _, label in data])


def _report(
    prepared: Any,
    config: RunConfig,
    model: keras.Model,
    metrics: Metrics,
    history: dict[str, list[float]],
    best: BestEpoch,
    times: StepTimes,
) -> dict[str, Any]:
    memory = model.get_layer("embeddings").memory_report(config.optimizer)
    seconds = times.steady()
    return {
        **config.as_dict(),
        **metrics.as_dict(),
        "embedding_params": memory.parameters,
        "full_params": memory.full_parameters,
        "compression": memory.compression,
        "embedding_bytes": memory.serving_bytes,
        "embedding_bytes_int8": memory.serving_bytes_int8,
        "embedding_training_bytes": memory.training_bytes,
        "model_params": model.count_params(),
        "step_ms_median": 1e3 * float(np.median(seconds)),
        "samples_per_second": config.batch_size / float(seconds.mean()),
        "epochs": best.epochs,
        "best_epoch": best.best_epoch,
        "diverged": best.diverged,
        "validation_auc": best.best_auc,
        "max_epochs": config.epochs,
        "history": {k: [float(v) for v in vs] for k, vs in history.items()},
        "train_rows": prepared.rows("train"),
        "versions": versions(),
        "machine": machine(),
        "command": " ".join(sys.argv),
    }
