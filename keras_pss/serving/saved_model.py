"""Exports SavedModels for TensorFlow Serving and plain TensorFlow."""

from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_pss.files import complete_folder
from keras_pss.serving.endpoints import PROBABILITY, endpoints
from keras_pss.serving.merged_cores import merged_cores

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
    merge_cores: bool | str | int = False,
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
        merge_cores: Whether to multiply neighbouring cores of tensor trains
            and rings beforehand, which makes the file larger and lookups
            cheaper: the largest size of the products of each layer, as bytes
            (`"64MB"`) or a number of parameters; True is `"64MB"`. Default:
            False.

    Returns:
        The path of the folder.

    Raises:
        ValueError: If the folder already exists, if it holds something other
            than a SavedModel, or if Keras does not run on TensorFlow. Also if
            `raw` does not give the inputs of the model, or `preprocessing`
            raises one; and if `merge_cores` finds nothing to merge.
    """
    path = Path(path)
    check_backend()
    scorer = None
    if raw is not None:
        # Logs need packages that models alone do not need.
        from keras_pss.serving.raw_rows.raw_scorer import RawScorer

        scorer = RawScorer(model, raw)
    with (
        merged_cores(model, merge_cores),
        complete_folder(
            path, overwrite, "a SavedModel", _is_saved_model, "path"
        ) as folder,
    ):
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
    return _FILE in names or are_of_export(names, CONTENT)


def are_of_export(names: set[str], known: set[str]) -> bool:
    """Whether a folder with these names is an export, or a part of one.

    Args:
        names: Names of all that is in the folder.
        known: What exports hold.
    """
    # A folder of documents, say, may hold these two alone.
    return names <= known and not names <= {"README.md", "assets"}


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
    # The archive holds the variables that its functions read, and no others.
    # With `track`, Keras 3.15 writes each of them twice, and a server loads
    # both.
    archive = keras.export.ExportArchive()
    if scorer is not None:
        # One by one: a whole model's call would be traced once more.
        for layer in scorer.preprocessing.layers:
            archive.track(layer)
    for name, function in endpoints(model, scorer, output_name).items():
        archive.add_endpoint(name, function)
    archive.write_out(path, verbose=False)
