"""Names of datasets, `"tfds:NAME/CONFIG:VERSION[SPLITS]"`, and their builders.

TFDS itself is imported within functions: it is an optional package.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from keras_pss.data.readers.tfds.own_datasets import PRESETS
from keras_pss.features import Format, Schema, Split
from keras_pss.messages import shown

PREFIX = "tfds:"

# The column that says which split a row belongs to.
SPLIT_COLUMN = "tfds_split"

_NAME = re.compile(
    r"(?P<dataset>\w+(/[\w.\-+]+)?(:[\w.*]+)?)(\[(?P<splits>.+)\])?"
)
_ALL = " Check its name: `tfds.list_builders()` lists all."
_FIRST = ("train", "validation", "test")
_VALIDATION = ("validation", "valid", "val", "dev")


class Named(NamedTuple):
    """A dataset that is ready to be read.

    Attributes:
        builder: A TFDS builder whose dataset is prepared.
        splits: Splits or slices of splits in TFDS' syntax, in order.
    """

    builder: Any
    splits: list[str]

    @property
    def dataset(self) -> str:
        """Name, config and version of the dataset."""
        name, _, version = self.builder.info.full_name.rpartition("/")
        return f"{name}:{version}"


def is_tfds(source: Any) -> bool:
    """Whether the name of a source is that of a dataset of TFDS."""
    return isinstance(source, str | Path) and str(source).startswith(PREFIX)


def open_dataset(source: str) -> Named:
    """Finds a dataset; downloads and prepares it if that was not done yet.

    Args:
        source: `"tfds:NAME"`, with `"/CONFIG"`, `":VERSION"` and `"[SPLITS]"`
            where wanted. By default, all splits are read.

    Raises:
        ValueError: If TFDS is not installed, has no such dataset, config,
            version or split, or cannot prepare the dataset.
    """
    match = _NAME.fullmatch(source.removeprefix(PREFIX))
    if match is None:
        raise ValueError(
            "A dataset of TFDS must be named as tfds:NAME, "
            "tfds:NAME/CONFIG:1.0.0 or tfds:NAME[train[:10%]+test]. "
            f"Received: {source!r}"
        )
    builder = _builder(match["dataset"])
    _prepare(builder, source)
    known = list(builder.info.splits)
    if match["splits"] is None:
        first = [name for name in _FIRST if name in known]
        return Named(builder, first + [n for n in known if n not in first])
    splits = [part.strip() for part in match["splits"].split("+")]
    for split in splits:
        try:
            builder.info.splits[split]
        except Exception as error:  # TFDS raises what its parser raises
            raise ValueError(
                f"The dataset must have the split. It has {', '.join(known)}; "
                f"slices are written as {known[0]}[:10%]. Received: {source!r}"
            ) from error
    return Named(builder, splits)


def split_of(splits: Sequence[str]) -> Split | None:
    """A split by the dataset's own splits; None if it has no two of them."""
    names = dict.fromkeys(split.partition("[")[0] for split in splits)
    values: dict[Any, Any] = {
        "test": tuple(n for n in names if n == "test"),
        "validation": tuple(n for n in names if n in _VALIDATION),
    }
    values = {part: texts for part, texts in values.items() if texts}
    if not values or len(names) == sum(map(len, values.values())):
        return None
    return Split("column", column=SPLIT_COLUMN, values=values)


def schema_of(source: str) -> Schema:
    """The schema of a dataset of `keras_pss.data.tfds`, with its splits.

    Raises:
        ValueError: If the dataset is another one.
    """
    found = open_dataset(source)
    if found.builder.name not in PRESETS:
        raise ValueError(
            "`schema` is needed: TFDS does not say which features of a dataset "
            "predict which label. Draft one with `keras-pss schema infer "
            f"'{source}' --out schema.toml`. Received: {source!r}"
        )
    schema = Schema.load(PRESETS[found.builder.name])
    # How the files are written that the dataset was made from is no matter.
    form = Format(missing=schema.format.missing, strip=schema.format.strip)
    split = split_of(found.splits) or schema.split
    return replace(schema, split=split, format=form)


def _builder(name: str) -> Any:
    tfds = _tfds()
    try:
        return tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        dataset = re.split("[/:]", name)[0]
        known = tfds.list_builders(with_community_datasets=False)
        raise ValueError(
            "TFDS must have the dataset."
            f"{_near(dataset, known, _ALL)} Received: {PREFIX + name!r}"
        ) from error
    except (ValueError, AssertionError) as error:
        # The class knows its configs and versions.
        dataset, *config = re.split("[/:]", name)
        made = tfds.builder_cls(dataset)
        configs = list(made.builder_configs)
        if "/" in name and config[0] not in configs:
            have = f"the configs {', '.join(configs)}" if configs else "none"
            raise ValueError(
                f"The dataset must have the config.{_near(config[0], configs)} "
                f"It has {have}. Received: {PREFIX + name!r}"
            ) from error
        raise ValueError(
            "The dataset must have the version. Received: "
            f"{PREFIX + name!r}: {error}"
        ) from error


def _near(name: str, known: Sequence[str], others: str = "") -> str:
    near = get_close_matches(name, known, n=3)
    near += [n for n in known if name in n and n not in near]
    return f" Near names: {', '.join(near[:5])}." if near else others


def _prepare(builder: Any, source: str) -> None:
    if builder.is_prepared():
        return
    tfds = _tfds()
    # No copy of these is on Google's servers.
    remote = builder.name not in PRESETS
    config = tfds.download.DownloadConfig(try_download_gcs=remote)
    try:
        # Commands write what they were asked for to stdout.
        with redirect_stdout(sys.stderr):
            builder.download_and_prepare(download_config=config)
    except Exception as error:  # of TFDS, the network, or the builder
        raise ValueError(
            "TFDS must be able to download and prepare the dataset. "
            f"Received: {source!r}: {error}"
        ) from error


def _tfds() -> Any:
    try:
        import tensorflow_datasets
    except ModuleNotFoundError as error:
        raise ValueError(
            "'tfds:' names datasets of TensorFlow Datasets, which is not "
            "installed. Install it with `pip install 'keras-pss[tfds]'`. "
            f"Received: {shown(error)}"
        ) from error
    import keras_pss.data.tfds  # noqa: F401  (registers the datasets)

    return tensorflow_datasets
