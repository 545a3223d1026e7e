"""Exports a saved model by TensorFlow, whatever the backend of this process."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import keras

from keras_pss.serving.export_formats import SAVED_MODEL, export_model
from keras_pss.serving.own_storage import pack
from keras_pss.serving.saved_model import export_saved_model
from keras_pss.training.build_model import dtype_policy
from keras_pss.training.finished.raw_rows import encoding_of, raw_rows

logger = logging.getLogger(__name__)
_PROCESS = "keras_pss.training.backends.export_process"
_LINES = 3  # of a failed process, in the error


@dataclass(frozen=True)
class Export:
    """An export to write.

    Attributes:
        model: The `.keras` file.
        out: Folder to write.
        encoder: The encoder of the run, for raw rows.
        precision: Dtype policy of the model.
        mode: How to quantize the tables, `"int8"` or `"int4"`. Default: None,
            tables with a storage of their own are packed.
        overwrite: Whether to replace an export. Default: False.
        format: As in `export_model`. Default: None, a SavedModel without the
            card, the warm-up requests and the check, as runs have it.
    """

    model: str
    out: str
    encoder: str
    precision: str
    mode: str | None = None
    overwrite: bool = False
    format: str | None = None


def in_process() -> bool:
    """Whether this process can export."""
    return keras.backend.backend() == "tensorflow"


def export_file(task: Export) -> None:
    """Exports a saved model, in a process of TensorFlow's where needed.

    Raises:
        ValueError: As of `export_saved_model`.
        ChildProcessError: If the process fails otherwise.
    """
    if in_process():
        export_here(task)
    else:
        _export_by_process(task)


def export_here(task: Export) -> None:
    """Exports a saved model from Keras on TensorFlow."""
    # Keras decides on loss scaling by the policy while a model is created.
    with dtype_policy(task.precision):
        model = keras.saving.load_model(task.model)
    if task.mode is None:
        pack(model)
    else:
        for layer in model.layers:
            if hasattr(layer, "memory_report"):
                layer.quantize(task.mode)
    encoder = Path(task.encoder)
    if task.format is None:
        raw = raw_rows(encoder)
        export_saved_model(model, task.out, overwrite=task.overwrite, raw=raw)
        return
    export_model(
        model,
        task.out,
        task.format,
        encoding=encoding_of(encoder),
        raw=raw_rows(encoder) if task.format == SAVED_MODEL else None,
        overwrite=task.overwrite,
    )


def _export_by_process(task: Export) -> None:
    done = subprocess.run(
        [sys.executable, "-m", _PROCESS, json.dumps(asdict(task))],
        capture_output=True,
        text=True,
        check=False,
        # This process has the memory of the GPUs.
        env={
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "CUDA_VISIBLE_DEVICES": "-1",
        },
    )
    if done.returncode:
        last = " / ".join(done.stderr.strip().splitlines()[-_LINES:])
        raise ChildProcessError(
            "The process that exports the SavedModel on TensorFlow failed, "
            f"and {task.out} is as it was. The model is in {task.model}. "
            "Repeat the export, a run's with `resume`. Received: exit status "
            f"{done.returncode}, {last or 'no message'}"
        )
    answer = json.loads(done.stdout)
    for warning in answer["warnings"]:
        logger.warning("%s", warning)
    if answer["error"] is not None:
        raise ValueError(answer["error"])
