"""Opens folders and encoders of version 1, which may be damaged."""

import json
from pathlib import Path
from typing import Any

from keras_pss.arrays import open_arrays
from keras_pss.data.criteo import preset
from keras_pss.data.criteo.columns import CATEGORIES
from keras_pss.data.storage import log_metadata
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.data.storage.shard_checks import AGAIN, short
from keras_pss.data.storage.version_1.old_folder import OldFolder
from keras_pss.features import Schema

FORMAT = "keras_pss.criteo"
VERSION = 1
VOCABULARY = "vocabulary.npz"

_Sizes = list[int | None]


def open_folder(directory: Path, content: dict[str, Any]) -> OldFolder:
    """Opens a folder whose metadata has the format of version 1.

    Args:
        directory: Path of the folder.
        content: Content of its `metadata.json`.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: Entries do not agree, or a file has another size.
    """
    path = directory / log_metadata.NAME
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} must have format {FORMAT!r} and version {VERSION}. "
            f"Received: version={short(content.get('version'))}. Prepare the "
            "data again with this version of keras_pss."
        )
    content = {"sources": [], **content}
    try:
        ids = content["ids"]
        schema = _schema(ids, content["split"])
        log_metadata.check_rows(schema, content)
        archive, sizes = _archive(directory / VOCABULARY, ids)
        # Open ids were stored as None for all columns together.
        found = content["cardinalities"] or [None] * len(CATEGORIES)
        if found != sizes:
            raise ValueError(
                f"the cardinalities must be {short(sizes)}, those of the ids, "
                f"and are {short(found)}"
            )
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be written by `criteo.prepare`: "
            f"{type(error).__name__}: {str(error)[:1000]}. {AGAIN}"
        ) from error
    folder = _folder(directory, content, schema, ids, archive, sizes)
    log_metadata.check_shards(directory, content, folder.layout)
    return folder


def open_encoder(path: Path) -> OldFolder:
    """Opens the encoder of a run, as a folder without rows.

    Raises:
        ValueError: The file is damaged or no such encoder.
    """
    try:
        with open_arrays(path) as arrays:
            ids = json.loads(str(arrays["config"]))
        schema = _schema(ids)
        archive, sizes = _archive(path, ids)
    except (
        IndexError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            "`path` must be the encoder of a run. Copy the run again. "
            f"Received: path={str(path)!r} ({str(error)[:1000]})"
        ) from error
    content: dict[str, Any] = {"splits": {}, "sources": [], "rejects": {}}
    return _folder(path.parent, content, schema, ids, archive, sizes)


def _folder(
    directory: Path,
    content: dict[str, Any],
    schema: Schema,
    ids: dict[str, Any],
    archive: Path | None,
    sizes: _Sizes,
) -> OldFolder:
    # The count of the id 0 is read with the texts.
    counted = {} if archive is None else {"oov": 0}
    content = {
        **content,
        "schema": schema.to_dict(),
        "statistics": {},
        "tables": {
            name: {"rows": size, **counted}
            for name, size in zip(CATEGORIES, sizes, strict=True)
        },
        "vocabulary": None,
    }
    layout = LogLayout.of_schema(schema)
    return OldFolder(
        directory, content, schema, layout, ids=ids, archive=archive
    )


def _schema(ids: Any, split: Any = None) -> Schema:
    """Criteo's schema with the ids and the split of the metadata.

    Raises:
        KeyError, TypeError, ValueError: An entry is missing or wrong.
    """
    options: dict[str, Any] = {"ids": ids["policy"]}
    if ids["policy"] == "hash":
        options["hash_buckets"] = ids["buckets"]
        if ids["hash"] != "pss1":
            raise ValueError(
                f"the hash must be 'pss1', not {short(ids['hash'])}. Upgrade "
                "keras_pss"
            )
        if type(ids["seed"]) is not int or not 0 <= ids["seed"] < 2**64:
            raise ValueError(f"a hash of seed={short(ids['seed'])}")
    else:
        options["min_count"] = ids["min_count"]
    if split is not None:
        options |= {
            "split": split["policy"],
            "test_fraction": split["test_fraction"],
            "validation_fraction": split["validation_fraction"],
            "split_seed": split["seed"],
        }
    return preset.schema(**options)


def _archive(path: Path, ids: dict[str, Any]) -> tuple[Path | None, _Sizes]:
    """The archive with the vocabularies, if any, and the number of ids.

    Raises:
        FileNotFoundError: The archive is missing.
        IndexError, ValueError: It is damaged, or has other ids.
    """
    if ids["policy"] == "hash":
        return None, [ids["buckets"]] * len(CATEGORIES)
    if not path.is_file():
        raise FileNotFoundError(
            f"A folder with ids='vocabulary' must hold {path.name}. "
            f"Received: {str(path.parent)!r}. {AGAIN}"
        )
    with open_arrays(path) as arrays:
        held = json.loads(str(arrays["config"]))
        if held != ids:
            raise ValueError(f"{path.name} has the ids {short(held)}")
        sizes = [arrays.shape(f"counts_{name}")[0] for name in CATEGORIES]
    return path, list(sizes)
