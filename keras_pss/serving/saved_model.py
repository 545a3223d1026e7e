"""SavedModels that TensorFlow Serving and plain TensorFlow load."""

import shutil
import tempfile
from pathlib import Path

import keras


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
        overwrite: Whether an existing folder is replaced.

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
    if path.exists() and not overwrite:
        raise ValueError(
            "The folder is there already. Choose another one or give "
            f"`overwrite`. Received: path={path}"
        )
    if path.exists() and not (path / "saved_model.pb").is_file():
        raise ValueError(
            "`overwrite` replaces a SavedModel and nothing else. Choose "
            f"another folder. Received: path={path}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}-", dir=path.parent
    ) as folder:
        part = Path(folder) / "model"
        model.export(part, format="tf_saved_model", verbose=False)
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    return path
