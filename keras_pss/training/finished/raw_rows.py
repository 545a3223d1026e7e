"""Raw rows of a run."""

import logging
from pathlib import Path

import keras

from keras_pss.data.movielens.likes_ids import LikesIds
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.data.storage.open_folder import load_encoder
from keras_pss.serving.raw_rows.preprocessing import preprocessing

logger = logging.getLogger(__name__)


def encoding_of(encoder: Path) -> LogEncoding | None:
    """The encoder of a run on a log with a schema; None of another run.

    Raises:
        ValueError: If the encoder is damaged.
    """
    if not encoder.exists():
        return None
    if encoder.is_file() and LikesIds.are_in(encoder):
        return None
    return load_encoder(encoder)


def raw_rows(encoder: Path) -> keras.Model | None:
    """The preprocessing of raw rows by a run's encoder.

    Args:
        encoder: The encoder of a run.

    Returns:
        The model, or None if there is no encoder of a log with a schema.
        Also None, with a warning, if raw rows cannot be served: a run does
        not fail for that.

    Raises:
        ValueError: If the encoder is damaged.
    """
    encoding = encoding_of(encoder)
    if encoding is None:
        return None
    try:
        return preprocessing(encoding)
    except ValueError as error:
        logger.warning("The SavedModel takes no raw rows: %s", error)
        return None
