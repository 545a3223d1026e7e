"""A run's model for raw rows in Python."""

from pathlib import Path

from keras_pss.serving.raw_rows.raw_model import RawModel
from keras_pss.training.finished.finished_run import (
    load_encoder,
    load_model,
)


def raw_model(run: Path | str) -> RawModel:
    """The model of a finished run, for raw columns of its log.

    Args:
        run: Folder of a finished run on a prepared log.

    Returns:
        A function from a dictionary or a frame of columns to probabilities.

    Raises:
        ValueError: If the run has no encoder, or as `RawModel` does.

    Example:

    ```python
    from keras_pss.training import raw_model

    score = raw_model("run")
    score({"item": ["a", "b"], "price": [1.5, None]})  # float32 (2,)
    ```
    """
    run = Path(run)
    encoding = load_encoder(run)
    return RawModel(load_model(run), encoding)
