"""Trains a model to its best checkpoint, or resumes a stopped run.

The file is long because it also reads from a log what its model depends on.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pss.callbacks import LayerUpdates
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.distribution import Replicas
from keras_pss.distribution.steps_ahead import Schedule
from keras_pss.layers.composite import log_tables
from keras_pss.layers.composite.frequency_filter import FrequencyFilter
from keras_pss.layers.planned.choices import is_auto
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.training import checkpoint
from keras_pss.training.backends.trainable import (
    mixed,
    prepare_backend,
    steps_without_xla,
)
from keras_pss.training.build_model import Limits, build_model
from keras_pss.training.config import RunConfig
from keras_pss.training.run_callbacks import (
    BestModel,
    RoundProgress,
    SaveState,
    StepTimes,
    StopAtEnd,
    StopOnNaN,
)
from keras_pss.training.scorer import Scorer

logger = logging.getLogger(__name__)

LATEST, BEST = "state.npz", "best.npz"
NAN_BATCH = "nan_batch.npz"


@dataclass(frozen=True)
class Fitted:
    """A model at its best checkpoint, and the history of its training.

    Attributes:
        model: The model with the weights of the best checkpoint.
        scorer: Scores rows of the log with this model.
        history: Logs of each evaluation: `loss`, `val_auc`, `val_logloss`.
        epochs: Epochs trained up to each evaluation.
        seconds: Seconds of training up to each evaluation, without the time of
            evaluations.
        best: Index of the best evaluation.
        step_seconds: Median time of a step, in seconds.
        steps_per_epoch: Number of training steps in an epoch.
        diverged: Whether training ended in NaN after the best evaluation.
        calibration: Predicted divided by observed clicks of the validation
            rows at the best checkpoint; None if unknown.
        calibration_bound: Largest deviation of `calibration` from 1 that
            causes no warning.
        backends: Backends of Keras that have trained the model, in order.
    """

    model: keras.Model
    scorer: "Scorer"
    history: dict[str, list[float]]
    epochs: list[float]
    seconds: list[float]
    best: int
    step_seconds: float
    steps_per_epoch: int
    diverged: bool
    calibration: float | None
    calibration_bound: float
    backends: Sequence[str] = ()

    def warnings(self) -> list[str]:
        """Warnings for the user of the model."""
        return [*mixed(self.backends), *self._of_calibration()]

    def _of_calibration(self) -> list[str]:
        found, bound = self.calibration, self.calibration_bound
        if found is None or abs(found - 1) <= bound:
            return []
        return [
            f"The calibration on validation rows is {found:.3f}, further from "
            f"1 than {bound:.3f}: probabilities are too "
            f"{'high' if found > 1 else 'low'}. AUC ignores calibration; "
            "choose the best checkpoint by log loss instead "
            "(`monitor='logloss'`, --monitor logloss)."
        ]


def model_for(data: ClickLog, config: RunConfig) -> keras.Model:
    """The compiled, untrained model of a run on these rows.

    Raises:
        ValueError: If the settings do not fit the rows or each other.
    """
    rounds = config.rounds(data.rows("train"))
    known = counts(data)
    return build_model(
        config,
        data.cardinalities,
        data.num_dense,
        limits(config, data),
        config.epochs * rounds.epoch,
        data if data.has_named_tables else None,
        known,
        None if known is None else choices(config, data),
    )


def fit(
    model: keras.Model,
    data: ClickLog,
    config: RunConfig,
    folder: Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
    replicas: Replicas | None = None,
) -> Fitted:
    """Trains a model with early stopping on the validation metric.

    The state is saved to `folder` after each evaluation. If `folder` already
    holds a state, training resumes from it with the same batches and (on a
    CPU) bit-equal results, as if it had not been stopped.

    Args:
        model: The model that `model_for` returned.
        data: The log, with training and validation rows.
        config: Hyperparameters; the same as those of a state in `folder`.
        folder: Folder of the state.
        callbacks: Further callbacks, called before the state is saved.
        verbose: The `verbose` argument of `model.fit`.
        replicas: Replicas in whose scope the model was built. The chief alone
            reads and writes `folder`, and has the best checkpoint at the end.
            Default: None, one device.

    Raises:
        ValueError: If the loss is NaN before the first evaluation. The batch
            that caused it is saved in `folder`. Also if Keras runs on a
            backend on which a run cannot train.
    """
    prepare_backend()
    rounds = config.rounds(data.rows("train"))
    steps = rounds.steps
    total = config.epochs * rounds.epoch
    replicas = replicas or Replicas()
    with replicas.scope():
        model.optimizer.build(model.trainable_variables)
    guard, times = StopOnNaN(steps), StepTimes(steps, rounds.epoch)
    scorer = Scorer(model, data)
    best = BestModel(
        lambda: _validated(scorer, replicas),
        folder / BEST,
        config.patience * rounds.of_epoch,
        guard,
        config.monitor,
        replicas.is_chief,
    )
    save = SaveState(folder / LATEST, best, times)
    with replicas.whole(model):
        state = replicas.on_chief(lambda: save.restore(model))
        save.adopt(state)
        if state["round"]:
            replicas.send(checkpoint.variables(model))
    slow = []
    if replicas.strategy is None:  # a step of several devices is compiled
        slow = steps_without_xla(config.jit_compile)
    for warning in (*mixed(save.backends), *slow):
        logger.warning(warning)

    def batches(worker: int, workers: int) -> Any:
        done = state["round"] * steps
        return data.stream(
            config.batch_size, config.seed, done, (worker, workers)
        )

    if not state["stopped"] and state["round"] < rounds.count:
        replicas.fit(
            model,
            batches,
            epochs=rounds.count,
            initial_epoch=state["round"],
            steps_per_epoch=steps,
            callbacks=[
                times,
                guard,
                best,
                *callbacks,
                LayerUpdates(rounds.epoch, steps),
                StopAtEnd(total, steps),
                save,
                RoundProgress(config.epochs, rounds.epoch, steps),
            ],
            verbose=verbose,
            schedule=Schedule(total, rounds.epoch),
        )
    if guard.step is not None:
        if replicas.is_chief:
            _keep_batch(data, config, guard.step, folder / NAN_BATCH)
        if not best.best_round:
            raise ValueError(
                f"The loss was NaN after {guard.step} steps, before the first "
                "evaluation. Train with a smaller learning rate or with "
                "`clip_norm`, or look for invalid values in the batch, which "
                f"is saved in {folder / NAN_BATCH}."
            )
        logger.warning(
            "The loss was NaN after %d steps; the batch is saved in %s.",
            guard.step,
            folder / NAN_BATCH,
        )
    with replicas.whole(model):
        replicas.on_chief(
            lambda: checkpoint.restore_either(model, folder / BEST)
        )
    done = len(save.history["val_auc"])
    fitted = Fitted(
        model=model,
        scorer=scorer,
        history=save.history,
        epochs=[
            min((index + 1) * steps, total) / rounds.epoch
            for index in range(done)
        ],
        seconds=times.seconds[:done],
        best=best.best_round - 1,
        step_seconds=float(np.median(times.medians)),
        steps_per_epoch=rounds.epoch,
        diverged=best.diverged,
        calibration=best.calibration,
        calibration_bound=best.calibration_bound,
        backends=save.backends,
    )
    if replicas.is_chief:
        for warning in fitted._of_calibration():
            logger.warning(warning)
    return fitted


def _validated(scorer: Scorer, replicas: Replicas) -> Metrics:
    """The chief's metrics of validation rows, so that all workers agree."""
    found = replicas.on_chief(lambda: scorer.metrics("validation").as_dict())
    return Metrics(**found)


def limits(config: RunConfig, data: ClickLog) -> Limits | None:
    """Ids that the frequency filter keeps; None without it.

    Returns:
        A number for each column, or for each table by name if the log has
        named tables. Tables whose ids were not counted, because they are
        hashed or buckets of numbers, keep all ids.

    Raises:
        ValueError: If no table was counted, or one is open.
    """
    if config.min_count == 1:
        return None
    if data.schema is None:
        columns = range(len(data.cardinalities))
        counts = [data.counts(column) for column in columns]
        return FrequencyFilter.limits(counts, config.min_count)
    counted = data.counted_tables()
    _check_counted(config, data, counted)
    found: dict[str, int] = {}
    for name, rows in data.tables.items():
        if name in counted:
            one = [data.table_counts(name)]
            (found[name],) = FrequencyFilter.limits(one, config.min_count)
        elif rows is not None:
            found[name] = rows
    if data.has_named_tables:
        return found
    return tuple(found[feature.table] for feature in data.schema.single)


def counts(data: ClickLog) -> list[np.ndarray] | None:
    """Counts of the ids of each column, or of each of the named tables.

    Returns:
        As `log_tables.counts`, as a list.
    """
    found = log_tables.counts(data)
    if found is None:
        return None
    if data.has_named_tables or data.schema is None:
        return list(found.values())
    return [found[feature.table] for feature in data.schema.single]


def choices(config: RunConfig, data: ClickLog) -> dict[str, Any]:
    """What the labels of a log say about the options of `method="auto"`."""
    if not is_auto(config.method) or "min_count" in config.options:
        return {}
    return log_tables.worth(data).choices(log_tables.share(data))


def _check_counted(
    config: RunConfig, data: ClickLog, counted: Sequence[str]
) -> None:
    opened = [name for name, rows in data.tables.items() if rows is None]
    if opened or not counted:
        raise ValueError(
            "`min_count` needs ids that were counted, and no open ids. Prepare "
            "the data with ids='vocabulary', or leave `min_count` out. "
            f"Received: min_count={config.min_count}, open tables {opened}, "
            f"counted tables {list(counted)}"
        )


def _keep_batch(
    data: ClickLog, config: RunConfig, step: int, path: Path
) -> None:
    """Writes the batch that follows after `step` steps."""
    stream = data.stream(config.batch_size, config.seed, step)
    features, labels = next(iter(stream))
    arrays = {name: value.numpy() for name, value in features.items()}
    np.savez(path, step=step, label=labels.numpy(), **arrays)
