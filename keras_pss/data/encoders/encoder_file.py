"""Reading the file that `IdEncoder.save` writes."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.data.criteo import schema
from keras_pss.data.encoders.hash_encoder import HashEncoder
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.encoders.vocabulary_encoder import VocabularyEncoder


def load_encoder(path: str | Path) -> IdEncoder:
    """Loads an encoder, to map raw rows as those it was made with.

    Args:
        path: A file that `encoder.save` wrote; the `vocabulary.npz` of a
            prepared folder is one too.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another kind of file.
    """
    try:
        # Opened here, because numpy leaves files that it rejects open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as npz:
            arrays = {name: npz[name] for name in npz.files}
        return from_config(json.loads(str(arrays.pop("config"))), arrays)
    except (
        AttributeError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(
            "`path` must be a file written by an encoder's `save`. Received: "
            f"path={str(path)!r} ({error}). Save the encoder again."
        ) from error


def from_config(config: dict[str, Any], arrays: dict[str, Any]) -> IdEncoder:
    """Makes an encoder of its `config()` and `arrays()`."""
    if config["policy"] == "hash":
        if config["hash"] != "pss1":
            raise ValueError(
                "The hash must be 'pss1'. Received: "
                f"hash={config['hash']!r}. Upgrade keras_pss."
            )
        return HashEncoder(config["seed"], config["buckets"])
    return VocabularyEncoder(
        [arrays[f"values_{name}"] for name in schema.CATEGORIES],
        [arrays[f"counts_{name}"] for name in schema.CATEGORIES],
        config["min_count"],
    )
