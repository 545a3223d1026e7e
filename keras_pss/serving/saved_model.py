"""Exports SavedModels for TensorFlow Serving and plain TensorFlow."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_pss.files import complete_folder

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
    model: keras.Model, path: Path | str, overwrite: bool = False
) -> Path:
    """Writes a SavedModel with a `serve` signature for the model's inputs.

    It contains only TensorFlow's own operations, so it loads without Keras and
    without this package. Out-of-range ids raise an `InvalidArgumentError` there
    as well. The folder appears only when it is complete.

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

    Returns:
        The path of the folder.

    Raises:
        ValueError: If the folder already exists, if it holds something other
            than a SavedModel, or if Keras does not run on TensorFlow.
    """
    path = Path(path)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "A SavedModel is exported from Keras' TensorFlow backend. Set "
            "KERAS_BACKEND=tensorflow and load the `.keras` file there. "
            f"Received: backend={keras.backend.backend()}"
        )
    with complete_folder(
        path, overwrite, "a SavedModel", _is_saved_model, "path"
    ) as folder:
        _write(model, folder)
    return path


def _is_saved_model(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    return _FILE in names or names <= _CONTENT


def _write(model: keras.Model, path: Path) -> None:
    inputs = getattr(model, "inputs", None) or []
    names = _signature_names([x.name for x in inputs])
    dense = not any(x.ragged or x.sparse for x in inputs)
    if dense and all(name == own for name, own in names.items()):
        model.export(path, format="tf_saved_model", verbose=False)
        return
    import tensorflow as tf

    # Keras' own signature would be dense, and its padding would be id 0. It
    # would also have names that TensorFlow refuses.
    alone = isinstance(model, keras.Sequential)
    structure = inputs[0] if alone else model.input
    signature = keras.tree.map_structure(
        lambda x: _spec(x, names[x.name]), structure
    )
    serve = tf.function(
        lambda inputs: model(inputs),
        input_signature=[signature],
        autograph=False,
    )
    serve.get_concrete_function()  # an endpoint must have been traced
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve)
    archive.write_out(path, verbose=False)


def _signature_names(names: Sequence[str]) -> dict[str, str]:
    """Names in a signature by the names of the inputs."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        safe = re.sub(r"\W", "_", name, flags=re.ASCII)
        if not safe[0].isalnum():
            safe = f"input{safe}"
        # TensorFlow does not distinguish upper and lower case.
        while safe.lower() in taken:
            safe = f"{safe}_1"
        taken.add(safe.lower())
        found[name] = safe
    return found


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
