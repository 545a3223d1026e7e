"""Loading of files that `IdEncoder.save` wrote."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.arrays import open_arrays
from keras_pss.data.criteo import schema
from keras_pss.data.encoders.hash_encoder import HashEncoder
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.encoders.vocabulary_encoder import VocabularyEncoder


def load_encoder(path: str | Path) -> IdEncoder:
    """Loads an encoder, which maps raw rows as it did when it was saved.

    Args:
        path: A file that `encoder.save` wrote, such as the `vocabulary.npz`
            of a prepared folder.

    Raises:
        OSError: The file cannot be opened.
        ValueError: The file is damaged or was not written by `save`.
    """
    try:
        with open_arrays(path) as file:
            arrays = {name: file[name] for name in file.names}
        return from_config(json.loads(str(arrays.pop("config"))), arrays)
    except (KeyError, RecursionError, ValueError) as error:
        raise ValueError(
            "`path` must be a file written by an encoder's `save`. Received: "
            f"path={str(path)!r} ({error}). Save the encoder again."
        ) from error


def check_config(config: Any) -> None:
    """Raises ValueError unless `config` is a valid config of an encoder."""
    policy = config.get("policy") if isinstance(config, dict) else None
    if policy == "hash":
        if config.get("hash") != "pss1":
            raise ValueError(
                "The hash must be 'pss1'. Received: "
                f"hash={config.get('hash')!r}. Upgrade keras_pss."
            )
        seed, buckets = config.get("seed"), config.get("buckets", -1)
        if type(seed) is not int or type(buckets) not in (int, type(None)):
            raise ValueError(f"a hash of seed={seed!r}, buckets={buckets!r}")
        HashEncoder(seed, buckets)
    elif policy == "vocabulary":
        min_count = config.get("min_count")
        if type(min_count) is not int or min_count < 1:
            raise ValueError(f"a vocabulary of min_count={min_count!r}")
    else:
        raise ValueError(
            f"ids must be 'vocabulary' or 'hash'. Received: policy={policy!r}"
        )


def from_config(
    config: dict[str, Any], arrays: Mapping[str, np.ndarray]
) -> IdEncoder:
    """Creates an encoder from its `config()` and `arrays()`.

    Raises:
        ValueError: They are invalid or do not match.
    """
    check_config(config)
    if config["policy"] == "hash":
        return HashEncoder(config["seed"], config["buckets"])
    values, counts = [], []
    for name in schema.CATEGORIES:
        kept, often = arrays[f"values_{name}"], arrays[f"counts_{name}"]
        if (
            (kept.dtype, often.dtype) != (np.uint32, np.int64)
            or kept.ndim != 1
            or often.shape != (len(kept) + 1,)
        ):
            raise ValueError(
                f"values of {name}: {kept.dtype} {kept.shape}, counts: "
                f"{often.dtype} {often.shape}"
            )
        values.append(kept)
        counts.append(often)
    return VocabularyEncoder(values, counts, config["min_count"])
