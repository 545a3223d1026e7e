"""Chooses among a few plans by short runs, judged on validation rows."""

import gc
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import keras
import numpy as np

from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.composite import log_tables
from keras_pss.planning import Plan, plan
from keras_pss.training.build_model import build_model, free_models
from keras_pss.training.config import RunConfig
from keras_pss.training.fit import counts, fit
from keras_pss.training.tuning.candidates import Candidate, candidates
from keras_pss.training.tuning.part_of_log import PartOfLog

ROWS = 1_000_000
# Candidates this close differ less than two seeds of the same one.
CLOSE = 0.001
_SETTINGS: dict[str, Any] = {"epochs": 4, "evaluations": 2, "patience": 1}
_TRIED_STEPS = 20
_START_SECONDS = 10


def tune(
    log: ClickLog,
    output_dim: int,
    budget: Budget | str | int,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    rows: int = ROWS,
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """Plans tables as `keras_pss.plan`, and tries what counts leave open.

    At most six candidates are trained on a part of the training rows, each
    to its best checkpoint by validation AUC. Those within .001 of the best
    are trained with a second seed, and the mean decides.

    Args:
        log: The rows, with labels and validation rows.
        output_dim, budget, options: As in `keras_pss.plan`.
        settings: Settings of `RunConfig` for the runs, such as `model`.
            Default: DLRM, at most 4 epochs, two evaluations an epoch.
        rows: Largest number of training rows. Counts are scaled to it, so
            that thresholds mean the same.
        progress: Called with a line of text before, between and after runs.
            Default: None.

    Returns:
        The plan of the best candidate; `notes["tuned"]` has all results.

    Raises:
        ValueError: If the log has no validation rows or labels, or a setting
            is invalid.
    """
    positive_int("rows", rows)
    say = progress or (lambda text: None)
    log.check()
    known = log_tables.knowledge(log) if log.schema is not None else {}
    given = {**known.get("options", {}), **(options or {})}
    part = PartOfLog(log, rows)
    scaled = counts(log) if known else None
    if scaled is not None:
        scaled = [(each * part.share).astype(np.int64) for each in scaled]
    config = _config(part, output_dim, budget, settings or {})
    parsed = Budget.parse(budget)
    tried = candidates(
        list(log.cardinalities) if scaled is None else _dims(log),
        output_dim,
        parsed,
        scaled,
        given,
        tuple(options or {}),
    )
    target: Any = list(log.cardinalities) if log.schema is None else log
    if len(tried) == 1:
        say("Counts leave nothing open: no run is needed.")
        return plan(target, output_dim, budget, options=options)
    begun = time.perf_counter()
    runs = _Runs(part, config, scaled)
    seconds = runs.expected(tried[0]) * len(tried)
    say(
        f"{len(tried)} candidates on {part.rows('train'):,} of "
        f"{log.rows('train'):,} training rows: about {_time(seconds)}, and "
        "up to twice that where they are close"
    )
    for number, each in enumerate(tried, 1):
        auc = runs.run(each, 1)
        say(f"{number} of {len(tried)}: {each.name}: validation AUC {auc:.4f}")
    best = max(map(runs.mean, tried))
    close = [each for each in tried if runs.mean(each) > best - CLOSE]
    for each in close[1:] and close:
        auc = runs.run(each, 2)
        say(f"second seed: {each.name}: validation AUC {auc:.4f}")
    chosen = max(close, key=runs.mean)
    # What the counts chose needs no luck.
    if runs.mean(tried[0]) > runs.mean(chosen) - CLOSE / 2:
        chosen = tried[0]
    taken = time.perf_counter() - begun
    say(f"{chosen.name} is the best; the runs took {_time(taken)}")
    made = plan(
        target,
        output_dim,
        budget,
        method=chosen.method,
        options=chosen.options or None,
    )
    return replace(
        made,
        why=f"{made.why}. Best of {len(tried)} on validation rows: "
        f"{chosen.name}",
        advice="",
        notes={
            "rows": part.rows("train"),
            "seconds": round(taken, 1),
            "tuned": {each.name: runs.found[each.name] for each in tried},
        },
    )


class _Runs:
    """Runs of candidates, and their validation AUC by name."""

    def __init__(self, data: PartOfLog, config: RunConfig, counts: Any) -> None:
        self.data, self.config, self.counts = data, config, counts
        self.found: dict[str, list[float]] = {}

    def expected(self, candidate: Candidate) -> float:
        """Largest number of seconds of a run, from its first steps."""
        config = self._config(candidate, 1)
        model = self._model(config)
        batches = self.data.stream(config.batch_size, config.seed, 0)
        # The first steps compile.
        few: dict[str, Any] = {"shuffle": False, "verbose": 0}
        model.fit(batches, steps_per_epoch=2, **few)
        begun = time.perf_counter()
        model.fit(batches, steps_per_epoch=_TRIED_STEPS, **few)
        each = (time.perf_counter() - begun) / _TRIED_STEPS
        epoch = config.rounds(self.data.rows("train")).epoch
        free_models()
        return _START_SECONDS + each * epoch * config.epochs

    def run(self, candidate: Candidate, seed: int) -> float:
        """Trains a candidate; returns its best validation AUC."""
        config = self._config(candidate, seed)
        with tempfile.TemporaryDirectory() as folder, _quiet():
            fitted = fit(
                self._model(config),
                self.data,
                config,
                Path(folder),
                verbose=0,
            )
            auc = float(fitted.history["val_auc"][fitted.best])
        free_models()
        gc.collect()
        self.found.setdefault(candidate.name, []).append(round(auc, 6))
        return auc

    def mean(self, candidate: Candidate) -> float:
        return mean(self.found[candidate.name])

    def _config(self, candidate: Candidate, seed: int) -> RunConfig:
        own = {"method": candidate.method, "options": dict(candidate.options)}
        return RunConfig.of({**self.config.as_dict(), **own, "seed": seed})

    def _model(self, config: RunConfig) -> keras.Model:
        data = self.data
        return build_model(
            config,
            data.cardinalities,
            data.num_dense,
            steps=config.epochs * config.rounds(data.rows("train")).epoch,
            log=data if data.has_named_tables else None,
            counts=self.counts,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Drops warnings about a model that is not kept, such as calibration."""
    logger = logging.getLogger("keras_pss.training.fit")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _config(
    part: PartOfLog,
    output_dim: int,
    budget: Budget | str | int,
    settings: Mapping[str, Any],
) -> RunConfig:
    for name in ("method", "options", "budget", "dim", "seed"):
        if name in settings:
            raise ValueError(
                f"`{name}` is what tuning decides or sets. Leave it out of "
                f"the settings. Received: {name}={settings[name]!r}"
            )
    if settings.get("min_count", 1) != 1:
        raise ValueError(
            "`min_count` is the threshold of a filter, which tuning does not "
            "use. Leave it out of the settings, or give it as an option of "
            f"method='auto'. Received: min_count={settings['min_count']!r}"
        )
    small = {"batch_size": 512} if part.rows("train") < 300_000 else {}
    form = Budget.parse(budget).form
    return RunConfig.of(
        {**_SETTINGS, **small, **settings, "budget": form, "dim": output_dim}
    )


def _dims(log: ClickLog) -> list[int | None]:
    """Rows of each table, in the order of the counts."""
    if log.has_named_tables:
        return list(log.tables.values())
    return list(log.cardinalities)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes"
