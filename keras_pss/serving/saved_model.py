"""SavedModels that TensorFlow Serving and plain TensorFlow load."""

from pathlib import Path

import keras

from keras_pss.files import complete_folder

_FILE = "saved_model.pb"
# What lies in a SavedModel; a removal that was cut leaves some of it.
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
    """Writes a SavedModel with a `serve` signature over the model's inputs.

    It holds TensorFlow's own operations only, so a process that has never
    heard of Keras or of this package loads it, and ids without a row are an
    `InvalidArgumentError` there as well. The folder is whole or not there.

    Args:
        model: A built Functional model.
        path: Folder to write; TensorFlow Serving wants its name to be a
            version number, such as `dlrm/1`.
        overwrite: Whether an existing SavedModel is replaced.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder is there already, or holds something else
            than a SavedModel, or Keras does not run on TensorFlow.
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
        model.export(folder, format="tf_saved_model", verbose=False)
    return path


def _is_saved_model(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    return _FILE in names or names <= _CONTENT
