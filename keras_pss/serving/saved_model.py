"""Exports SavedModels for TensorFlow Serving and plain TensorFlow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_pss.files import complete_folder
from keras_pss.serving.merged_cores import merged_cores
from keras_pss.serving.signature_names import signature_names

if TYPE_CHECKING:
    from keras_pss.data.storage.log_encoding import LogEncoding
    from keras_pss.serving.raw_rows.raw_scorer import RawScorer

_FILE = "saved_model.pb"
# Content of a SavedModel; an interrupted removal may leave a part of it.
_CONTENT = {
    _FILE,
    "assets",
    "assets.extra",
    "fingerprint.pb",
    "keras_metadata.pb",
    "variables",
}


def export_saved_model(
    model: keras.Model,
    path: Path | str,
    overwrite: bool = False,
    raw: "keras.Model | LogEncoding | None" = None,
    merge_cores: bool | str | int = False,
) -> Path:
    """Writes a SavedModel with a `serve` signature for the model's inputs.

    With `raw`, it has a second signature, `serve_raw`, with the same outputs
    and the raw columns of a log, as `raw_rows.raw_inputs` names them. A value
    for which a log's row would be rejected raises an `InvalidArgumentError`
    that names the column.

    It contains only TensorFlow's own operations, so it loads without Keras and
    without this package. Out-of-range ids raise an `InvalidArgumentError` there
    as well. Counters of hot rows, which only training reads, are left out (not
    those of a subclassed model). The folder appears only when it is complete.

    The signature has the names of the model's inputs. A character that
    TensorFlow does not allow there becomes `_`, and of names that differ only
    in case the second gets a suffix: `"site id"` is `site_id`.

    The signature has the dtypes of the model's inputs. Tensors of another
    dtype are rejected, but TensorFlow casts NumPy arrays and lists that are
    passed to the loaded `serve` in Python, so pass tensors. For ragged and
    sparse inputs, `serve` takes ragged and sparse tensors, and
    `signatures["serve"]` takes their components (values and row splits;
    indices, values and shape).

    Args:
        model: A built Functional model.
        path: Folder to write. TensorFlow Serving requires its name to be a
            version number, such as `dlrm/1`.
        overwrite: Whether to replace an existing SavedModel. Default: False.
        raw: The log that the model was trained on, the encoder of its run, or
            the result of `raw_rows.preprocessing`. Default: None, without
            `serve_raw`.
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
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "A SavedModel is exported from Keras' TensorFlow backend. Set "
            "KERAS_BACKEND=tensorflow and load the `.keras` file there. "
            f"Received: backend={keras.backend.backend()}"
        )
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
        _write(model, scorer, folder)
    return path


def _is_saved_model(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    return _FILE in names or names <= _CONTENT


def _write(model: keras.Model, scorer: "RawScorer | None", path: Path) -> None:
    inputs = getattr(model, "inputs", None) or []
    if not inputs:
        # Keras alone knows the calls of a subclassed model, whose counters
        # stay.
        model.export(path, format="tf_saved_model", verbose=False)
        return
    # Keras' own signature would be dense, and its padding would be id 0. It
    # would also have names that TensorFlow refuses.
    alone = isinstance(model, keras.Sequential)
    structure = inputs[0] if alone else model.input
    # The archive holds the variables that its functions read, and no others.
    # With `track`, Keras 3.15 writes each of them twice, and a server loads
    # both.
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serve", _traced(model, structure))
    if scorer is not None:
        # One by one: a whole model's call would be traced once more.
        for layer in scorer.preprocessing.layers:
            archive.track(layer)
        archive.add_endpoint("serve_raw", _traced(scorer, scorer.inputs))
    archive.write_out(path, verbose=False)


def _traced(call: Any, inputs: Any) -> Any:
    """A function of a structure of inputs, traced as an endpoint must be."""
    import tensorflow as tf

    names = signature_names([x.name for x in keras.tree.flatten(inputs)])
    signature = keras.tree.map_structure(
        lambda x: _spec(x, names[x.name]), inputs
    )
    function = tf.function(
        lambda inputs: call(inputs),
        input_signature=[signature],
        autograph=False,
    )
    function.get_concrete_function()
    return function


def _spec(x: Any, name: str) -> Any:
    """The spec of an input in the signature, for any batch size."""
    import tensorflow as tf

    shape = (None, *x.shape[1:])
    if x.sparse:
        return tf.SparseTensorSpec(shape, x.dtype)
    if x.ragged:
        unknown = [axis for axis, size in enumerate(shape) if size is None]
        rank = max(1, unknown[-1])
        return tf.RaggedTensorSpec(shape, x.dtype, ragged_rank=rank)
    return tf.TensorSpec(shape, x.dtype, name=name)
