"""One run of a comparison, without the files that a single run leaves."""

import gc
import hashlib
import json
import shutil
import traceback
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.files import complete_file, write_text
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.training.checkpoint import ForeignState
from keras_pss.training.config import RunConfig
from keras_pss.training.environment import machine, versions
from keras_pss.training.fit import fit, model_for
from keras_pss.training.run import report_of

STATES = "running"
ASKED = "asked.json"
PROBABILITIES = "probabilities"


def run_cell(
    data: ClickLog, settings: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Trains and tests; goes on from the cell's state if it was stopped.

    The probabilities of the test rows are in `out/probabilities` when this
    returns, in a file whose name is the result's `probabilities`. It depends
    on settings and rows, so that a result never has those of another run. The
    state is left to whoever keeps the result.

    Args:
        data: The rows.
        settings: `name` of the cell and its `config`.
        out: Folder of the comparison.

    Returns:
        The cell's line of results, or the `error` that ended it.
    """
    name = settings["name"]
    config = RunConfig.of(settings["config"])
    state = out / STATES / name
    asked = json.dumps([settings["config"], data.fingerprint()])
    if (state / ASKED).is_file() and (state / ASKED).read_text() != asked:
        shutil.rmtree(state)
    state.mkdir(parents=True, exist_ok=True)
    write_text(asked, state / ASKED)
    try:
        model = model_for(data, config)
        fitted = fit(model, data, config, state, verbose=0)
        labels, probabilities = fitted.scorer.whole("test")
        metrics = Metrics.of(labels, probabilities)
        result = {**report_of(data, config, fitted), **metrics.as_dict()}
    except Exception as error:  # the other cells go on
        traceback.print_exc()
        if isinstance(error, ForeignState):
            shutil.rmtree(state)  # the next call begins anew
        words = " ".join(str(error).split())[:500]
        kind = "" if isinstance(error, ValueError) else type(error).__name__
        return {"name": name, "error": f"{kind}: {words}".removeprefix(": ")}
    finally:
        keras.utils.clear_session()
        gc.collect()
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    path = out / PROBABILITIES / f"{name}-{digest}.npy"
    with complete_file(path) as part:
        np.save(part, probabilities)
    return {
        "name": name,
        **result,
        "probabilities": path.name,
        "versions": versions(),
        "machine": machine(),
    }
