"""Compresses a saved model, and scores it before and after on a log."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.arrays import DamagedArraysError, open_arrays
from keras_pss.convert.compress_model import compress_model
from keras_pss.convert.fine_tune import TuneReport, fine_tune
from keras_pss.convert.report import CompressionReport
from keras_pss.data.locate import open_click_log
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.storage.log_encoding import same_ids
from keras_pss.data.storage.open_folder import load
from keras_pss.files import complete_file
from keras_pss.layers.base.walk import every
from keras_pss.layers.composite.embedding_collection import EmbeddingCollection
from keras_pss.serving.own_storage import pack
from keras_pss.training.finished.finished_run import (
    has_likes,
    load_encoder,
    load_model,
)
from keras_pss.training.fit import counts as counts_of_log
from keras_pss.training.run import ENCODER_FILE
from keras_pss.training.scorer import Scorer

SUFFIX = ".keras"
TUNE_BATCH = 512


@dataclass(frozen=True)
class Compressed:
    """What `compress` did.

    Attributes:
        report: The tables and, with a log, the metrics.
        tuned: The states that fine-tuning tried; None without it.
    """

    report: CompressionReport
    tuned: TuneReport | None


def compress(
    model: Path | str,
    out: Path | str,
    *,
    method: str = "auto",
    budget: str | int = "10x",
    min_rows: int | None = None,
    layers: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    data: Path | str | None = None,
    counts: Path | str | None = None,
    tune: bool = False,
    overwrite: bool = False,
    progress: Any = False,
) -> Compressed:
    """Replaces the tables of a saved model, and saves the new one.

    The new file is loaded again, and must compute what the new model does,
    before it gets its name. Tables with rows of few bits are packed in it.

    Args:
        model: A `.keras` file, or the folder of a finished run.
        out: File to write, `.keras`.
        method, budget, min_rows, layers, options: As in
            `keras_pss.compress_model`.
        data: A folder that `prepare` wrote, or MovieLens' ratings, with the
            ids of the model. Its counts are those of the ids; its test rows
            score the model before and after; its training and validation rows
            tune it. Default: None.
        counts: An `.npz` file with the counts of each layer's ids by the
            layer's name, or by `"layer/table"` for the tables of a collection,
            in place of those of `data`. Default: None.
        tune: Whether to fine-tune the tables; see `keras_pss.fine_tune`.
        overwrite: Whether to replace `out`.
        progress: As in `keras_pss.compress_model`.

    Raises:
        ValueError: As `compress_model` does; also if `data` has other ids than
            the run, or the new file computes something else.
    """
    model, out = Path(model), Path(out)
    if out.suffix != SUFFIX:
        raise ValueError(
            f"`out` must end in {SUFFIX}. Received: out={str(out)!r}"
        )
    if tune and data is None:
        raise ValueError(
            "`tune` needs the rows of `data`. Give both, or leave `tune` out. "
            "Received: tune=True, data=None"
        )
    with complete_file(out, overwrite, "out") as part:
        log = None if data is None else _log(model, Path(data))
        trained = _loaded(model)
        seen = (
            counts_of(trained, log) if counts is None else _read(Path(counts))
        )
        score = None if log is None else score_of(log)
        small, report = compress_model(
            trained,
            method,
            budget,
            min_rows,
            layers,
            seen,
            options,
            score,
            progress,
        )
        tuned = None
        if tune and log is not None:
            tuned = tuned_on(small, log)
            report = report.with_metrics(report.before, score_of(log)(small))
        if pack(small) and small.compiled:
            # Packed weights are not trained, so they have no slots.
            small.compile_from_config(small.get_compile_config())
        small.save(part)
        _check_same(small, part, log)
    return Compressed(report, tuned)


def _loaded(model: Path) -> keras.Model:
    if model.is_dir():
        return load_model(model)
    if not model.is_file() or model.suffix != SUFFIX:
        raise ValueError(
            f"`model` must be a {SUFFIX} file, or the folder of a finished "
            f"`keras-pss train`. Received: model={str(model)!r}"
        )
    try:
        return keras.saving.load_model(model)
    except Exception as error:
        raise ValueError(
            "`model` is damaged, or needs code that is not here: load it in "
            "Python with what it needs, and call `keras_pss.compress_model`. "
            f"Received: model={str(model)!r}, {type(error).__name__}: {error}"
        ) from error


def _log(model: Path, data: Path) -> ClickLog:
    """The log, whose ids must be those of a run."""
    log = open_click_log(data)
    run = model.is_dir() and not has_likes(model / ENCODER_FILE)
    if run and data.is_dir() and not same_ids(load_encoder(model), load(data)):
        raise ValueError(
            "`data` must have the ids of the run. Give the folder that the "
            f"run was trained on. Received: {data}, prepared with other ids"
        )
    return log


def counts_of(model: keras.Model, log: ClickLog | None) -> Any:
    """Counts of a log's ids for each collection; None if they are unknown."""
    seen = None if log is None else counts_of_log(log)
    if seen is None or log is None:
        return None
    found = {}
    for layer in every(model, EmbeddingCollection):
        rows = [spec.rows for spec in layer.specs()]
        if len(rows) != len(seen):
            continue
        # A frequency filter keeps the first ids.
        own = [_first(each, n) for each, n in zip(seen, rows, strict=True)]
        named = isinstance(layer.input_dims, Mapping)
        found[layer.name] = (
            dict(zip(layer.input_dims, own, strict=True)) if named else own
        )
    return found or None


def _first(counts: np.ndarray, rows: int | None) -> np.ndarray:
    """Counts of the first ids, where id 0 stands for all others."""
    if rows is None or rows >= len(counts):
        return counts
    found = counts[:rows].copy()
    found[0] += counts[rows:].sum()
    return found


def _read(path: Path) -> dict[str, Any]:
    """Counts by layer: an array, or a dict of arrays by table."""
    if path.suffix != ".npz" or not path.is_file():
        raise ValueError(
            "`counts` must be an .npz file with an array for each layer, by "
            f"the layer's name. Received: counts={str(path)!r}"
        )
    found: dict[str, Any] = {}
    try:
        with open_arrays(path) as arrays:
            for name in arrays.names:
                layer, _, table = name.partition("/")
                if table:
                    found.setdefault(layer, {})[table] = arrays[name]
                else:
                    found[layer] = arrays[name]
    except DamagedArraysError as error:
        raise ValueError(
            "`counts` is damaged or not a file of `numpy.savez`. "
            f"Received: counts={str(path)!r}, {error}"
        ) from error
    return found


def score_of(log: ClickLog) -> Callable[[keras.Model], dict[str, float]]:
    """What scores a model on the test rows."""

    def score(model: keras.Model) -> dict[str, float]:
        try:
            found = Scorer(model, log).metrics("test")
        except ValueError as error:
            raise ValueError(
                "`data` must have the features that the model takes: "
                f"{error}. Received: model={model.name}"
            ) from error
        return {"auc": found.auc, "logloss": found.logloss}

    return score


def tuned_on(model: keras.Model, log: ClickLog) -> TuneReport:
    """Fine-tunes a model on a log; its validation AUC chooses the state."""
    scorer = Scorer(model, log)
    return fine_tune(
        model,
        log.stream(TUNE_BATCH, 0, 0),
        score=lambda _: scorer.metrics("validation").auc,
        steps_per_epoch=-(-log.rows("train") // TUNE_BATCH),
    )


def _check_same(model: keras.Model, path: Path, log: ClickLog | None) -> None:
    """Raises an error unless a file computes what the model does."""
    loaded = keras.saving.load_model(path)
    pairs = zip(model.weights, loaded.weights, strict=True)
    same = all(np.array_equal(_array(a), _array(b)) for a, b in pairs)
    if same and log is not None:
        features, _ = next(iter(log.in_order("test", TUNE_BATCH)))
        same = np.allclose(
            _array(model(features)), _array(loaded(features)), atol=1e-6
        )
    if not same:
        raise ValueError(
            "The saved model does not compute what the new one does, so it "
            "was not kept: a layer's config leaves something out. "
            f"Received: model={model.name}"
        )


def _array(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value))
