"""A training run: fit, keep the best checkpoint, test once, write a report.

The file is long because a run's order of work and what it writes stand
together.
"""

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from keras_pss.data.locate import as_click_log
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.service.input_service import InputService
from keras_pss.distribution import Replicas
from keras_pss.files import complete_file, read_json, write_json
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.planning import memory_report
from keras_pss.serving.own_storage import pack
from keras_pss.serving.saved_model import export_saved_model
from keras_pss.training import checkpoint, plots
from keras_pss.training.backends.exporting import (
    Export,
    export_file,
    in_process,
)
from keras_pss.training.backends.trainable import prepare_backend
from keras_pss.training.build_model import methods_of
from keras_pss.training.config import RunConfig
from keras_pss.training.environment import machine, versions
from keras_pss.training.finished.raw_rows import raw_rows
from keras_pss.training.fit import BEST, LATEST, Fitted, fit, model_for
from keras_pss.training.scorer import Scorer

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
    replicas: Replicas | None = None,
    data_service: InputService | str | None = None,
) -> dict[str, Any]:
    """Trains a model on prepared rows.

    Writes to `out`: `run.json` (first: the settings), `report.json` (last, so
    that its presence means that the run is complete), `model.keras` and
    `saved_model/` of the best checkpoint, the id `encoder`, `tensorboard/` logs
    and `plots/`. During training, `out` also holds the state. With a prepared
    log, `saved_model/` takes raw rows as well; see `export_saved_model`.

    Args:
        data: The log that `prepare` or `load` of `keras_pss.data`, or
            `movielens.load`, returned, with training, validation and test
            rows.
        config: Hyperparameters.
        out: Folder of the run. It is created if it does not exist.
        verbose: The `verbose` argument of `model.fit`.
        resume: Whether to resume a stopped run. On a CPU, the result is
            bit-equal to that of a run that was not stopped, unless that ran on
            another backend, of which the report warns. A run that has not
            started yet is started; for a complete run, its report is returned.
        notes: Further entries of the report, such as a paper's results.
        replicas: Replicas to train on, from `distribution.connect`. Each
            worker calls this function with the same arguments; the chief alone
            writes to `out`. Default: None, one device.
        data_service: Addresses of input servers, or an `InputService`, that
            read the training rows. The result is the same. Default: None,
            they are read here.

    Returns:
        The report, as written; on all workers.

    Raises:
        ValueError: If the folder holds another run, the data has no test rows
            or a damaged shard, training diverges before the first evaluation,
            the settings do not fit the replicas, or Keras' backend trains no
            runs.
        OSError: `distribution.WorkerLost` if another worker has stopped,
            `InputLost` if all input servers have, and ChildProcessError if, on
            JAX, the process of the export fails.
    """
    out = Path(out)
    prepare_backend()
    replicas = replicas or Replicas()
    check_replicas(replicas, config)
    rows = as_click_log(data)
    rows.check()
    asked = {"config": config.as_dict(), "data": rows.fingerprint()}
    _check_same(asked, replicas)
    done = replicas.on_chief(lambda: _finished(out, asked, resume))
    if done is not None:
        return done
    service = None
    if data_service is not None:
        service = InputService.of(data_service)
        rows = rows.served_by(service)
    # Raises errors of the settings before anything is written.
    with replicas.scope():
        model = model_for(rows, config)
    rows.verify()
    replicas.on_chief(lambda: _begin(out, asked, rows))
    callbacks = []
    if replicas.is_chief:
        callbacks.append(
            keras.callbacks.TensorBoard(
                str(out / "tensorboard"), write_graph=False
            )
        )
    with nullcontext() if service is None else service.failures():
        fitted = fit(model, rows, config, out, callbacks, verbose, replicas)
    placed = {**_placed(replicas), **_served(service)}

    def end() -> dict[str, Any]:
        whole = fitted
        if _has_copies(replicas):
            whole = _on_one_device(fitted, rows, config, out)
        return _end(whole, rows, config, out, notes, placed)

    return replicas.on_chief(end)


def check_replicas(replicas: Replicas, config: RunConfig) -> None:
    """Raises ValueError if a run with these settings cannot be distributed."""
    if replicas.strategy is None:
        return
    replicas.check_batch_size(config.batch_size)
    if keras.backend.backend() == "jax":
        return  # one compiled program, of which all processes know the state
    if config.jit_compile is True:
        raise ValueError(
            "XLA does not compile the steps of several replicas. Leave out "
            "`jit_compile` or `distribute`. Received: jit_compile=True"
        )
    if config.precision == "mixed_float16" and replicas.workers > 1:
        raise ValueError(
            "Several workers cannot agree on the scale of float16's loss. "
            "Choose precision 'mixed_bfloat16'. "
            f"Received: precision={config.precision!r}"
        )


def _begin(out: Path, asked: dict[str, Any], rows: ClickLog) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_json(asked, out / RUN_FILE)
    rows.save_ids(out / ENCODER_FILE)


def _finished(
    out: Path, asked: dict[str, Any], resume: bool
) -> dict[str, Any] | None:
    """The report of a complete run, or None."""
    _check_folder(out, asked, resume)
    if (out / REPORT_FILE).exists():
        return _read(out / REPORT_FILE)
    return None


def _check_same(asked: dict[str, Any], replicas: Replicas) -> None:
    """Raises ValueError unless all workers have the chief's task."""
    mine = json.loads(json.dumps(asked))
    if (chief := replicas.on_chief(lambda: mine)) == mine:
        return
    name = "settings" if chief["data"] == mine["data"] else "rows or ids"
    raise ValueError(
        "All workers must train with the same settings on the same prepared "
        f"rows. Received: worker {replicas.worker} with other {name} than "
        "worker 0"
    )


def _has_copies(replicas: Replicas) -> bool:
    """Whether a trained model cannot be used as that of one device.

    One process of JAX can read variables of all of its devices. A table that
    they divide may be too large for one.
    """
    if replicas.strategy is None:
        return False
    return keras.backend.backend() != "jax" or replicas.workers > 1


def _on_one_device(
    fitted: Fitted, rows: ClickLog, config: RunConfig, out: Path
) -> Fitted:
    model = model_for(rows, config)
    model.optimizer.build(model.trainable_variables)
    checkpoint.restore_either(model, out / BEST)
    return replace(fitted, model=model, scorer=Scorer(model, rows))


def _end(
    fitted: Fitted,
    rows: ClickLog,
    config: RunConfig,
    out: Path,
    notes: dict[str, Any] | None,
    placed: dict[str, Any],
) -> dict[str, Any]:
    """Tests, exports and reports a run; returns the report."""
    labels, probabilities = fitted.scorer.whole("test")
    metrics = Metrics.of(labels, probabilities, rows.groups("test"))
    told = report_of(rows, config, fitted)
    with complete_file(out / MODEL_FILE) as part:
        fitted.model.save(part)
    # The model that is served has as many bytes as the budget says.
    pack(fitted.model)
    _export(fitted.model, config, out)
    report = {
        **(notes or {}),
        **told,
        **placed,
        "served_bytes": memory_report(fitted.model).total.serving_bytes,
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
    for path in (out / LATEST, out / BEST):
        path.unlink(missing_ok=True)
        checkpoint.second(path).unlink(missing_ok=True)
    return report


def _export(model: keras.Model, config: RunConfig, out: Path) -> None:
    """Writes the SavedModel of a packed model, which is saved as well."""
    folder, encoder = out / "saved_model", out / ENCODER_FILE
    if in_process():
        raw = raw_rows(encoder)
        export_saved_model(model, folder, overwrite=True, raw=raw)
        return
    files = str(out / MODEL_FILE), str(folder), str(encoder)
    export_file(Export(*files, config.precision, overwrite=True))


def _placed(replicas: Replicas) -> dict[str, Any]:
    if replicas.strategy is None:
        return {}
    return {"workers": replicas.workers, "replicas": replicas.count}


def _served(service: InputService | None) -> dict[str, Any]:
    if service is None:
        return {}
    return {
        "input_servers": len(service.addresses),
        "lost_input_servers": service.lost,
    }


def report_of(
    data: ClickLog, config: RunConfig, fitted: Fitted
) -> dict[str, Any]:
    """The entries of a run's report, except the test metrics."""
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
        "backends": list(fitted.backends),
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


def _check_folder(out: Path, asked: dict[str, Any], resume: bool) -> None:
    """Raises a ValueError if the folder holds another run."""
    found = None
    if (out / RUN_FILE).is_file():
        found = _read(out / RUN_FILE)
    if found is None and not (out / REPORT_FILE).exists():
        return
    if not resume:
        raise ValueError(
            "`out` already holds a run. Resume it with `resume`, choose "
            f"another folder or remove it. Received: out={str(out)!r}"
        )
    # JSON turns tuples into lists, as in the file.
    asked = json.loads(json.dumps(asked))
    if found == asked:
        return
    before, now = (found or {}).get("config"), asked["config"]
    before = before if isinstance(before, dict) else {}
    changed = [
        f"{name}={now.get(name)!r} instead of {before.get(name)!r}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    raise ValueError(
        "A run must be resumed with the settings and the rows that it started "
        f"with. Give those, or choose another folder than {out}. Received: "
        f"{', '.join(changed) or 'other rows or ids'}"
    )


def _read(path: Path) -> dict[str, Any]:
    return read_json(
        path, "Copy the run again, or train again in another folder."
    )


def _whole(epochs: float) -> float | int:
    return int(epochs) if epochs == int(epochs) else epochs
