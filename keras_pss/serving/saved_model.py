"""Exports SavedModels for TensorFlow Serving and plain TensorFlow."""

from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_pss.files import complete_folder
from keras_pss.layers.base.tables import TableLayer
from keras_pss.layers.base.walk import every, outermost
from keras_pss.serving.endpoints import PROBABILITY, endpoints

if TYPE_CHECKING:
    from keras_pss.data.storage.log_encoding import LogEncoding
    from keras_pss.serving.raw_rows.raw_scorer import RawScorer

_FILE = "saved_model.pb"
# Content of a SavedModel; an interrupted removal may leave a part of it.
CONTENT = {
    _FILE,
    "assets",
    "assets.extra",
    "README.md",
    "model_card.json",
    "fingerprint.pb",
    "keras_metadata.pb",
    "variables",
}


def export_saved_model(
    model: keras.Model,
    path: Path | str,
    overwrite: bool = False,
    raw: "keras.Model | LogEncoding | None" = None,
    output_name: str = PROBABILITY,
) -> Path:
    """Writes a SavedModel with named signatures.

    - `serving_default` takes the inputs of the model, by their names.
    - `serve_raw`, with `raw`, takes the raw columns of a log, as
      `raw_rows.raw_inputs` names them. A value for which a log's row would be
      rejected raises an `InvalidArgumentError` that names the column.
    - `serve_examples` takes serialized `tf.train.Example`, string (batch,), as
      its input `examples`: with `raw` the raw columns, without it the inputs of
      the model; see `serving.examples.Examples`. Models with inputs that are
      ragged, sparse or of unknown size do without it.
    - `serve` is Keras' own, with the structure of the model's inputs and
      outputs; `keras.layers.TFSMLayer` and clients of older versions call it.

    A model with one output of shape (batch, 1), as ranking models have, gives
    `{"probability": (batch,) float32}` in the first three. Other outputs keep
    their shapes, and their names where they have any.

    It contains only TensorFlow's own operations, so it loads without Keras and
    without this package. Out-of-range ids raise an `InvalidArgumentError` there
    as well. Counters of hot rows, which only training reads, are left out (not
    those of a subclassed model). The folder appears only when it is complete.

    The signatures have the names of the model's inputs. A character that
    TensorFlow does not allow there becomes `_`, and of names that differ only
    in case the second gets a suffix: `"site id"` is `site_id`.

    The signatures have the dtypes of the model's inputs. Tensors of another
    dtype are rejected, but TensorFlow casts NumPy arrays and lists that are
    passed to the loaded `serve` in Python, so pass tensors. For ragged and
    sparse inputs, `serve` takes ragged and sparse tensors, and
    `signatures["serving_default"]` takes their components (values and row
    splits; indices, values and shape).

    Args:
        model: A built Functional model.
        path: Folder to write. TensorFlow Serving requires its name to be a
            version number, such as `dlrm/1`.
        overwrite: Whether to replace an existing SavedModel. Default: False.
        raw: The log that the model was trained on, the encoder of its run, or
            the result of `raw_rows.preprocessing`. Default: None, without
            `serve_raw`.
        output_name: Name of the only output, if its shape is (batch, 1).
            Default: `"probability"`.

    Returns:
        The path of the folder.

    Raises:
        ValueError: If the folder already exists, if it holds something other
            than a SavedModel, or if Keras does not run on TensorFlow. Also if
            `raw` does not give the inputs of the model, or `preprocessing`
            raises one.
    """
    path = Path(path)
    check_backend()
    scorer = None
    if raw is not None:
        # Logs need packages that models alone do not need.
        from keras_pss.serving.raw_rows.raw_scorer import RawScorer

        scorer = RawScorer(model, raw)
    with complete_folder(
        path, overwrite, "a SavedModel", _is_saved_model, "path"
    ) as folder:
        write(model, scorer, output_name, folder)
    return path


def check_backend() -> None:
    """Raises a ValueError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "A SavedModel is exported from Keras' TensorFlow backend. Set "
            "KERAS_BACKEND=tensorflow and load the `.keras` file there. "
            f"Received: backend={keras.backend.backend()}"
        )


def _is_saved_model(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    return _FILE in names or names <= CONTENT


def write(
    model: keras.Model,
    scorer: "RawScorer | None",
    output_name: str,
    path: Path,
) -> None:
    """Writes a SavedModel to a folder that is there.

    Args:
        model, output_name: As in `export_saved_model`.
        scorer: What scores raw rows, or None.
        path: The folder.
    """
    if not getattr(model, "inputs", None):
        # Keras alone knows the calls of a subclassed model, whose counters of
        # hot rows stay.
        model.export(path, format="tf_saved_model", verbose=False)
        return
    archive = keras.export.ExportArchive()
    # The archive also tracks the variables that its functions read.
    for part in outermost(model, lambda layer: not _only_trains(layer)):
        archive.track(part)
    if scorer is not None:
        # One by one: a whole model's call would be traced once more.
        for layer in scorer.preprocessing.layers:
            archive.track(layer)
    for name, function in endpoints(model, scorer, output_name).items():
        archive.add_endpoint(name, function)
    archive.write_out(path, verbose=False)


def _only_trains(layer: keras.layers.Layer) -> bool:
    """Whether a layer has tables that only training steps read."""
    return any(
        table.training
        for part in every(layer, TableLayer)
        for table in part.tables().values()
    )
