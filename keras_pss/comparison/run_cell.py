"""One run of a comparison, without the output files of a single run."""

import gc
import hashlib
import json
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.comparison.served import served
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.files import complete_file, write_text
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.training.build_model import free_models
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
    """Trains and tests a cell, or resumes it from its saved state.

    The probabilities of the test rows are saved in `out/probabilities`, in the
    file that the result's `probabilities` names. The name depends on the
    settings and the rows, so results of different runs never share a file. The
    caller removes the state once it has saved the result.

    Args:
        data: The log.
        settings: Dict with the cell's `name` and `config`.
        out: Folder of the comparison.

    Returns:
        The cell's result, or its `name` and the `error` that ended it.
    """
    begun = time.perf_counter()
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
        metrics = Metrics.of(labels, probabilities, data.groups("test"))
        result = {
            **report_of(data, config, fitted),
            **metrics.as_dict(),
            **served(fitted.model, data),
        }
    except Exception as error:  # the other cells must still run
        traceback.print_exc()
        if isinstance(error, ForeignState):
            shutil.rmtree(state)  # the next call starts over
        words = " ".join(str(error).split())[:500]
        kind = "" if isinstance(error, ValueError) else type(error).__name__
        return {"name": name, "error": f"{kind}: {words}".removeprefix(": ")}
    finally:
        free_models()
        gc.collect()
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    path = out / PROBABILITIES / f"{name}-{digest}.npy"
    with complete_file(path) as part:
        np.save(part, probabilities)
    return {
        "name": name,
        **result,
        "cell_seconds": time.perf_counter() - begun,
        "probabilities": path.name,
        "versions": versions(),
        "machine": machine(),
    }
