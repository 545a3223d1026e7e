"""A training run: fit, keep the best checkpoint, test once, write a report."""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_pss.data import criteo
from keras_pss.data.locate import as_click_log
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.readers.source import checksum
from keras_pss.files import complete_file, read_json, write_json
from keras_pss.metrics.click_metrics import Metrics, MetricsAccumulator
from keras_pss.planning import memory_report
from keras_pss.serving.saved_model import export_saved_model
from keras_pss.training import plots
from keras_pss.training.build_model import dtype_policy, methods_of
from keras_pss.training.config import RunConfig
from keras_pss.training.environment import machine, versions
from keras_pss.training.fit import BEST, LATEST, Fitted, fit, model_for
from keras_pss.training.scorer import EVALUATION_BATCH, forward

logger = logging.getLogger(__name__)

MODEL_FILE = "model.keras"
ENCODER_FILE = "encoder"
REPORT_FILE = "report.json"
RUN_FILE = "run.json"


def train(
    data: Any,
    config: RunConfig,
    out: Path | str,
    verbose: str | int = "auto",
    resume: bool = False,
    notes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Trains a model on prepared rows.

    Writes into `out`: `run.json` (first: what was asked for), `report.json`
    (last, so that its presence says that the run is complete), `model.keras`
    and `saved_model/` of the best checkpoint, the run's own id `encoder`,
    `tensorboard/` logs and `plots/`; while it trains, its state as well.

    Args:
        data: What `criteo.prepare`, `criteo.load` or `movielens.load`
            returned, with train, validation and test rows.
        config: Hyperparameters.
        out: Folder of the run; made where it is not there.
        verbose: Of `model.fit`.
        resume: Go on with a run that was stopped: on a CPU, the result is
            bit-equal to that of a run which was not. One that has not begun
            begins, and of one that is complete the report is returned.
        notes: More entries of the report, such as a paper's number.

    Returns:
        The report, as written.

    Raises:
        ValueError: For a folder with another run, data without test rows or
            with a damaged shard, and a training that diverges before its
            first evaluation.
    """
    out = Path(out)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "A run trains and exports on TensorFlow. Set "
            "KERAS_BACKEND=tensorflow. "
            f"Received: backend={keras.backend.backend()}"
        )
    rows = as_click_log(data)
    rows.check()
    asked = {"config": config.as_dict(), "data": rows.fingerprint()}
    _check_folder(out, asked, resume)
    if (out / REPORT_FILE).exists():
        return _read(out / REPORT_FILE)
    # Or an error, before anything is written.
    model = model_for(rows, config)
    rows.verify()
    out.mkdir(parents=True, exist_ok=True)
    write_json(asked, out / RUN_FILE)
    rows.save_ids(out / ENCODER_FILE)
    tensorboard = keras.callbacks.TensorBoard(
        str(out / "tensorboard"), write_graph=False
    )
    fitted = fit(model, rows, config, out, [tensorboard], verbose)

    labels, probabilities = fitted.scorer.whole("test")
    metrics = Metrics.of(labels, probabilities)
    with complete_file(out / MODEL_FILE) as part:
        fitted.model.save(part)
    export_saved_model(fitted.model, out / "saved_model", overwrite=True)
    report = {
        **(notes or {}),
        **report_of(rows, config, fitted),
        **metrics.as_dict(),
        "sources": rows.sources(),
        "versions": versions(),
        "machine": machine(),
        "command": " ".join(sys.argv),
    }
    plots.learning_curves(
        fitted.history, fitted.epochs, fitted.best, out / "plots"
    )
    plots.roc(labels, probabilities, metrics, out / "plots")
    plots.calibration(labels, probabilities, out / "plots")
    write_json(report, out / REPORT_FILE)
    for name in (LATEST, BEST):
        (out / name).unlink(missing_ok=True)
    return report


def report_of(
    data: ClickLog, config: RunConfig, fitted: Fitted
) -> dict[str, Any]:
    """What a run cost and held, all but the metrics of its test."""
    memory = memory_report(fitted.model).total
    steps = fitted.steps_per_epoch
    trained = steps * fitted.epochs[-1] * config.batch_size
    return {
        **config.as_dict(),
        "embedding_params": memory.parameters,
        "full_params": memory.full_parameters,
        "compression": memory.compression,
        "embedding_bytes": memory.serving_bytes,
        "embedding_bytes_int8": memory.serving_bytes_int8,
        "embedding_training_bytes": memory.training_bytes,
        "parts": methods_of(fitted.model),
        "model_params": fitted.model.count_params(),
        "step_ms_median": 1e3 * fitted.step_seconds,
        "samples_per_second": trained / fitted.seconds[-1],
        "epochs": _whole(fitted.epochs[-1]),
        "best_epoch": _whole(fitted.epochs[fitted.best]),
        "diverged": fitted.diverged,
        "monitor": config.monitor,
        "validation_auc": fitted.history["val_auc"][fitted.best],
        "validation_calibration": fitted.calibration,
        "warnings": fitted.warnings(),
        "max_epochs": config.epochs,
        "history": {
            "epoch": fitted.epochs,
            "seconds": fitted.seconds,
            **fitted.history,
        },
        "train_rows": data.rows("train"),
    }


def evaluate(
    run: Path | str, sources: list[Path], batch_size: int = EVALUATION_BATCH
) -> Metrics:
    """Scores labelled rows of a click log with a run's model and its ids.

    A file that the run was made of is scored with a warning: most of its rows
    were trained on, so the result says nothing of new ones.

    Args:
        run: Folder that `train` filled.
        sources: Criteo TSV files, plain or compressed.
        batch_size: Rows scored at once.
    """
    run = Path(run)
    model = load_model(run)
    if not (run / ENCODER_FILE).is_file():
        raise ValueError(
            "`run` must be one on click logs in Criteo's format, with an "
            f"{ENCODER_FILE}. Received: run={run}"
        )
    encoder = criteo.load_encoder(run / ENCODER_FILE)
    data = criteo.tsv_dataset(sources, encoder, batch_size=batch_size)
    _warn_of_known(run, sources)
    score = forward(model, data)
    found = MetricsAccumulator()
    rows = 0
    for features, labels in data:
        found.update(labels.numpy(), score(features).numpy().ravel())
        rows += len(labels)
    if not rows:
        raise ValueError(
            f"No rows to score. Received: {', '.join(map(str, sources))}"
        )
    return found.result()


def load_model(run: Path | str) -> keras.Model:
    """The best model of a run."""
    run = Path(run)
    if not (run / REPORT_FILE).is_file():
        raise ValueError(
            f"`run` must be a folder that `keras-pss train --out` filled to "
            f"the end, with a {REPORT_FILE}. Received: run={run}"
        )
    report = _read(run / REPORT_FILE)
    # Keras scales losses by the policy that holds while a model is made.
    with dtype_policy(report.get("precision", "float32")):
        return keras.saving.load_model(run / MODEL_FILE)


def _warn_of_known(run: Path, sources: Sequence[Path | str]) -> None:
    """Warns of files whose rows the run has seen; older runs do not know."""
    report = json.loads((run / REPORT_FILE).read_text())
    known = {x["sha256"]: x["name"] for x in report.get("sources", [])}
    for source in map(Path, sources) if known else ():
        name = known.get(checksum(source))
        if name is not None:
            logger.warning(
                "%s is the file %s that the run was trained on: the metrics "
                "are not those of new rows. %s has those of the run's own "
                "test rows; score a file of other rows.",
                source,
                name,
                run / REPORT_FILE,
            )


def _check_folder(out: Path, asked: dict[str, Any], resume: bool) -> None:
    """Raises where the folder's run is not the one to go on with."""
    found = None
    if (out / RUN_FILE).is_file():
        found = _read(out / RUN_FILE)
    if found is None and not (out / REPORT_FILE).exists():
        return
    if not resume:
        raise ValueError(
            "`out` already holds a run. Go on with it by `resume`, choose "
            f"another folder or remove it. Received: out={str(out)!r}"
        )
    # As JSON gives it back.
    asked = json.loads(json.dumps(asked))
    if found == asked:
        return
    before, now = (found or {}).get("config"), asked["config"]
    before = before if isinstance(before, dict) else {}
    changed = [
        f"{name}={now.get(name)!r} in place of {before.get(name)!r}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    raise ValueError(
        "A run goes on with the settings and the rows that it began with. "
        f"Give those, or choose another folder than {out}. Received: "
        f"{', '.join(changed) or 'other rows or ids'}"
    )


def _read(path: Path) -> dict[str, Any]:
    return read_json(
        path, "Copy the run again, or train anew in another folder."
    )


def _whole(epochs: float) -> float | int:
    return int(epochs) if epochs == int(epochs) else epochs
