"""The model and the encoder of a finished run."""

from pathlib import Path

import keras

from keras_pss.data.movielens.likes_ids import LikesIds
from keras_pss.data.storage import open_folder
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.files import read_json
from keras_pss.training.backends.trainable import leave_gpus
from keras_pss.training.build_model import dtype_policy
from keras_pss.training.run import ENCODER_FILE, MODEL_FILE, REPORT_FILE


def load_encoder(run: Path | str) -> LogEncoding:
    """What encodes rows as the training rows of a run.

    Raises:
        ValueError: The run has none, or it is damaged.
    """
    path = Path(run) / ENCODER_FILE
    if not path.exists() or has_likes(path):
        raise ValueError(
            f"`run` must be a run on a prepared log, with an {ENCODER_FILE}. "
            "Copy the run whole, or prepare the log (`keras-pss prepare`) and "
            "train again; older runs on MovieLens' ratings saved none. "
            f"Received: run={str(run)!r}"
        )
    return open_folder.load_encoder(path)


def has_likes(encoder: Path) -> bool:
    """Whether an encoder holds the ids of a run on MovieLens' ratings."""
    return encoder.is_file() and LikesIds.are_in(encoder)


def load_model(run: Path | str) -> keras.Model:
    """The model of a finished run, at its best checkpoint."""
    leave_gpus()
    # Keras decides on loss scaling by the policy while a model is created.
    with dtype_policy(precision_of(run)):
        return keras.saving.load_model(Path(run) / MODEL_FILE)


def precision_of(run: Path | str) -> str:
    """The dtype policy of a finished run.

    Raises:
        ValueError: If the run is not finished, or its report is damaged.
    """
    run = Path(run)
    if not (run / REPORT_FILE).is_file():
        raise ValueError(
            f"`run` must be the folder of a finished `keras-pss train`, with a "
            f"{REPORT_FILE}. Received: run={run}"
        )
    report = read_json(
        run / REPORT_FILE,
        "Copy the run again, or train again in another folder.",
    )
    precision: str = report.get("precision", "float32")
    return precision
