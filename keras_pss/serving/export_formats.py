"""Exports a model in any format, compared with Keras before it is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_pss.files import complete_folder
from keras_pss.serving import model_card, saved_model, warm_up
from keras_pss.serving.check_rows import check_rows, id_limits, raw_numbers
from keras_pss.serving.endpoints import (
    EXAMPLES,
    PROBABILITY,
    SERVE_EXAMPLES,
    SERVE_RAW,
    SERVING_DEFAULT,
)
from keras_pss.serving.examples import Examples, raw_examples
from keras_pss.serving.formats.portable import NUMBERS, NumberRules, Portable
from keras_pss.serving.merged_cores import merged_cores
from keras_pss.serving.refusals import (
    FORMATS,
    SAVED_MODEL,
    compared,
    refusing,
)
from keras_pss.serving.signature_names import signature_names

if TYPE_CHECKING:
    from keras_pss.data.storage.log_encoding import LogEncoding
    from keras_pss.serving.raw_rows.raw_scorer import RawScorer

# What a format's module imports, so that the check needs no import.
_PACKAGES = {
    "litert": ("ai_edge_litert",),
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "openvino": ("openvino",),
}
_DENSE = "dense"

Rows = dict[str, np.ndarray]


def check_format(name: str) -> None:
    """Raises unless a format is known and its packages are installed."""
    if name not in FORMATS:
        raise ValueError(
            f"`format` must be one of {', '.join(FORMATS)}. "
            f"Received: format={name!r}"
        )
    if name == SAVED_MODEL:
        return
    missing = [
        package for package in _PACKAGES[name] if find_spec(package) is None
    ]
    if missing:
        raise ValueError(
            f"`format` {name} needs packages that are not installed: "
            f"{', '.join(missing)}. Install them with `pip install "
            f"'keras-pss[export]'`. Received: format={name!r}"
        )


def export_model(
    model: keras.Model,
    path: Path | str,
    format: str = SAVED_MODEL,
    *,
    encoding: "LogEncoding | None" = None,
    raw: keras.Model | None = None,
    rows: Mapping[str, np.ndarray] | None = None,
    output_name: str = PROBABILITY,
    overwrite: bool = False,
    merge_cores: bool | str | int = False,
) -> Path:
    """Exports a model with all that a server or device needs to know.

    - `"tf_saved_model"`: a SavedModel, see `export_saved_model`, with warm-up
      requests of TensorFlow Serving.
    - `"litert"`: `model.tflite`, which takes ids and numbers.
    - `"onnx"`: `model.onnx`, which takes the same.
    - `"openvino"`: `model.xml` and `model.bin`, which take the same.

    Beside them lie `README.md` and `model_card.json`, which say what each input
    holds. With `encoding`, the transform of the dense features is in the graph
    of the other formats: the input `numbers` float32 (batch, n) takes raw
    numbers, and NaN for a missing one. Without it, the function takes the
    model's own inputs.

    Before the folder gets its name, the export is run in the runtime of its
    format on 256 rows with ids over the whole range and missing values. Where
    a probability differs from Keras' by more than 1e-5, it is refused.

    In other formats than SavedModels, which have no errors for values, a row
    with an out-of-range id is NaN.

    Args:
        model: A built Functional model with one output of shape (batch, 1).
        path: Folder to write.
        format: `"tf_saved_model"`, `"litert"`, `"onnx"` or `"openvino"`.
        encoding: The log that the model was trained on, or the encoder of its
            run. Default: None, without raw columns and numbers.
        raw: The result of `raw_rows.preprocessing` for `encoding`. Default:
            None, without `serve_raw`.
        rows: Arrays of valid inputs by the names of the model's inputs, on
            which the export is compared. Default: drawn for the tables of an
            `EmbeddingCollection`.
        output_name: Name of the output.
        overwrite: Whether to replace an existing export. Default: False.
        merge_cores: As in `export_saved_model`. The export is compared with the
            model that is not merged. Default: False.

    Returns:
        The path of the folder.

    Raises:
        ValueError: If the format is unknown, packages are missing, the format
            lacks an operation of the model or computes something else,
            `path` exists, or `merge_cores` finds nothing to merge.
    """
    path = Path(path)
    check_format(format)
    saved_model.check_backend()
    _check_model(model)
    given = dict(rows) if rows is not None else check_rows(model)
    task = _Task(
        model, path, format, encoding, raw, given, output_name, merge_cores
    )
    write = _write_saved_model if format == SAVED_MODEL else _write_portable
    with complete_folder(
        path, overwrite, "an export", _is_export, "path"
    ) as folder:
        difference = write(task, folder)
        checked = len(next(iter(given.values()))), difference
        model_card.write(
            folder, model, format, encoding, output_name, checked, raw
        )
    return path


@dataclass(frozen=True)
class _Task:
    """The arguments of `export_model`."""

    model: keras.Model
    path: Path
    format: str
    encoding: "LogEncoding | None"
    raw: keras.Model | None
    rows: Rows
    output_name: str
    merge_cores: bool | str | int

    def names(self) -> dict[str, str]:
        """Names in signatures by the names of the inputs."""
        return signature_names([x.name for x in self.model.inputs])

    def by_signature(self) -> Rows:
        """The rows by the names of the inputs in signatures."""
        names = self.names()
        return {names[name]: x for name, x in self.rows.items()}


def _check_model(model: keras.Model) -> None:
    inputs = list(getattr(model, "inputs", None) or [])
    plain = not any(x.ragged or x.sparse for x in inputs)
    if not inputs or not plain or model.output_shape != (None, 1):
        raise ValueError(
            "`model` must be a Functional model with dense inputs and one "
            "output of shape (batch, 1). `export_saved_model` exports others, "
            "unchecked. Received: a model with outputs of shape "
            f"{getattr(model, 'output_shape', None)}"
        )


def _is_export(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    files = {"model.tflite", "model.onnx", "model.xml", "model.bin"}
    known = saved_model.CONTENT | files | set(model_card.FILES)
    return saved_model.are_of_export(names, known)


def _write_saved_model(task: _Task, folder: Path) -> float:
    """Writes and checks a SavedModel; the largest difference."""
    import tensorflow as tf

    model, encoding = task.model, task.encoding
    scorer = None if task.raw is None else _scorer(model, task.raw)
    with merged_cores(model, task.merge_cores):
        saved_model.write(model, scorer, task.output_name, folder)
    served = tf.saved_model.load(str(folder)).signatures
    wanted = _probabilities(model, task.rows)
    requests = {SERVING_DEFAULT: task.by_signature()}
    expected = {SERVING_DEFAULT: wanted}
    parse = None
    if scorer is not None and encoding is not None:
        requests[SERVE_RAW] = _raw_columns(encoding, len(wanted))
        columns = {k: tf.constant(x) for k, x in requests[SERVE_RAW].items()}
        expected[SERVE_RAW] = np.ravel(scorer(columns))
        parse, source = raw_examples(scorer.preprocessing), SERVE_RAW
    elif SERVE_EXAMPLES in served and scorer is None:
        names = task.names()
        inputs = {names[x.name]: x for x in model.inputs}
        parse, source = Examples(inputs), SERVING_DEFAULT
    if parse is not None:
        texts = parse.serialized(requests[source])
        requests[SERVE_EXAMPLES] = {EXAMPLES: texts}
        expected[SERVE_EXAMPLES] = expected[source]
    difference = 0.0
    for name, inputs in requests.items():
        given = {k: tf.constant(x) for k, x in inputs.items()}
        found = served[name](**given)[task.output_name].numpy()
        different = compared(task.format, name, found, expected[name])
        difference = max(difference, different)
    # TensorFlow Serving takes the name of the folder as the version.
    versioned = task.path.name.isdigit()
    model_name = task.path.resolve().parent.name if versioned else ""
    warm_up.write(folder, requests, model_name)
    return difference


def _scorer(model: keras.Model, raw: keras.Model) -> "RawScorer":
    # Logs need packages that models alone do not need.
    from keras_pss.serving.raw_rows.raw_scorer import RawScorer

    return RawScorer(model, raw)


def _write_portable(task: _Task, folder: Path) -> float:
    """Writes and checks another format; the largest difference."""
    model, format, rows = task.model, task.format, task.rows
    module = import_module(f"keras_pss.serving.formats.{format}")
    limits = id_limits(model)
    largest = max((max(n) for n in limits.values()), default=0) - 1
    with merged_cores(model, task.merge_cores):
        portable = Portable.of(model, task.encoding, task.output_name, limits)
        with refusing(format):
            module.write(portable.function, folder, largest)
    given, wanted = task.by_signature(), rows
    if portable.rules is not None:
        numbers = raw_numbers(portable.rules)[: len(rows[_DENSE])]
        del given[task.names()[_DENSE]]
        given[NUMBERS] = numbers
        dense = _dense(portable.rules, task.encoding, numbers)
        wanted = {**rows, _DENSE: dense}
    with refusing(format):
        score = module.load(folder)
        found = score(given)
        alone = score({name: x[:1] for name, x in given.items()})
    expected = _probabilities(model, wanted)
    compared(format, "one row", alone, expected[:1])
    return compared(format, "a batch", found, expected)


def _probabilities(model: keras.Model, rows: Rows) -> np.ndarray:
    structure = model.input
    if isinstance(structure, dict):
        given: Any = dict(rows)
    else:
        flat = [rows[x.name] for x in keras.tree.flatten(structure)]
        given = keras.tree.pack_sequence_as(structure, flat)
    return np.ravel(model.predict(given, batch_size=len(rows), verbose=0))


def _dense(
    rules: NumberRules, encoding: "LogEncoding | None", numbers: np.ndarray
) -> np.ndarray:
    """Dense features as `raw_rows` makes them, in float64 up to the end."""
    import tensorflow as tf

    from keras_pss.ops.dense_transform import transform_dense

    assert encoding is not None
    wide = numbers.astype(np.float64)
    kept = np.clip(wide, rules.low, rules.high)
    filled = np.where(np.isnan(wide), rules.fill, kept).astype(np.float32)
    dense: np.ndarray = transform_dense(
        tf.constant(filled), *encoding.transform()
    ).numpy()
    return dense


def _raw_columns(encoding: "LogEncoding", count: int) -> Rows:
    from keras_pss.serving.raw_rows.sample_columns import sample_columns

    def rounded(x: np.ndarray) -> np.ndarray:
        # Examples hold float32.
        return x.astype(np.float32).astype(x.dtype) if x.dtype == float else x

    drawn = sample_columns(encoding, count)
    return {name: rounded(x) for name, x in drawn.items()}
