"""What a log holds: its columns, features, label and splits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import InstanceOf

from keras_pss.features.as_dict import as_dict, parts_of, within
from keras_pss.features.categorical import Categorical
from keras_pss.features.checks.checked import Text, Texts, checked
from keras_pss.features.cross import Cross
from keras_pss.features.dense import Dense
from keras_pss.features.feature import Feature, Single, has_ids
from keras_pss.features.file_format import Format
from keras_pss.features.group import Group
from keras_pss.features.label import Label
from keras_pss.features.multi_categorical import MultiCategorical
from keras_pss.features.schema_checks import check_schema
from keras_pss.features.split import Split
from keras_pss.features.time_feature import TimeFeature
from keras_pss.features.timestamp import Timestamp
from keras_pss.features.toml_file import dump
from keras_pss.files import complete_file
from keras_pss.messages import did_you_mean
from keras_pss.named_toml import names_in, read_named

FOLDER = "features/presets"

if TYPE_CHECKING:
    _Features = Sequence[Feature]  # a list will do, too
else:
    _Features = tuple[
        InstanceOf[Categorical]
        | InstanceOf[MultiCategorical]
        | InstanceOf[Dense]
        | InstanceOf[Cross],
        ...,
    ]


@checked
class Schema:
    """What a log holds: its columns, features, label and splits.

    The order of the features is the order of a prepared row and of a model's
    inputs.

    Args:
        features: List of `Categorical`, `MultiCategorical`, `Dense` and
            `Cross`.
        label: A `Label`. Training needs it; prediction does not.
        timestamp: A `Timestamp`, by which the rows can be split and of which
            time features are made.
        group: A `Group`, such as the user.
        split: A `Split`. By default, the last rows of the log test.
        format: A `Format`, how the files are written. By default, their
            content and header say it.
        keys: Names of columns that predictions copy, such as the id of a row.
        title: One line that says what the log is.

    Attributes:
        single: Features with one id a row, in order: `Categorical`, `Cross`
            and `Dense` with buckets as they are listed, then the time
            features.
        multi: The `MultiCategorical` features, in order.
        dense: The `Dense` features without buckets, in order.
        tables: Dictionary from the name of a table to the features that share
            it, in the order of `single` and then `multi`.
        columns: Columns of the log that are read, each once.

    Raises:
        ValueError: If an argument has the wrong type, or if the parts
            contradict each other.

    Example:

    ```python
    from keras_pss.features import (
        Categorical, Dense, Label, MultiCategorical, Schema
    )

    schema = Schema(
        [
            Dense("price", transform="log1p"),
            Categorical("item", min_count=5),
            MultiCategorical(
                "viewed",
                separator=" ",
                max_length=20,
                table="item",
                min_count=5,
            ),
        ],
        label=Label("clicked"),
    )
    schema["item"].min_count  # 5
    assert list(schema.tables) == ["item"]
    ```
    """

    features: _Features
    label: InstanceOf[Label] | None = None
    timestamp: InstanceOf[Timestamp] | None = None
    group: InstanceOf[Group] | None = None
    split: InstanceOf[Split] = Split()
    format: InstanceOf[Format] = Format()
    keys: Texts = ()
    title: Text | None = None

    def __post_init__(self) -> None:
        check_schema(self)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a schema.

        Args:
            path: Path of a `.toml` file, or the name of a preset: one of
                `Schema.presets()`.

        Raises:
            ValueError: If there is no such file or preset, or if it declares
                no valid schema. The message names the file and the entry.
        """
        name = str(path)
        return cls.from_dict(read_named(name, FOLDER, "schema"), source=name)

    @staticmethod
    def presets() -> list[str]:
        """Names of the schemas of known logs, which `load` takes."""
        return names_in(FOLDER)

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Writes the schema as a TOML file, whole or not at all.

        Args:
            path: The `.toml` file.
            overwrite: Whether to replace an existing file.

        Raises:
            ValueError: If `path` does not end in `.toml`, or exists and may
                not be replaced.
        """
        if Path(path).suffix != ".toml":
            raise ValueError(
                "`path` must end in .toml, as `Schema.load` needs. "
                f"Received: path={str(path)!r}"
            )
        with complete_file(Path(path), overwrite) as part:
            part.write_text(self.to_toml(), encoding="utf-8")

    def to_toml(self) -> str:
        """The text of the file that `save` writes."""
        return dump(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The schema as a dictionary of plain values, as TOML holds it."""
        return as_dict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any], source: str = "") -> Self:
        """The schema of a dictionary that `to_dict` made.

        Args:
            content: The dictionary.
            source: Where it comes from, for messages, such as a file's name.

        Raises:
            ValueError: If it declares no valid schema.
        """
        parts = parts_of(content, source)
        with within(source):
            return cls(**parts)

    @cached_property
    def single(self) -> tuple[Single, ...]:
        """Features with one id a row."""
        listed = tuple(
            feature
            for feature in self.features
            if has_ids(feature) and not isinstance(feature, MultiCategorical)
        )
        return listed + self.time_features

    @cached_property
    def multi(self) -> tuple[MultiCategorical, ...]:
        """Features with a list of ids a row."""
        return tuple(
            f for f in self.features if isinstance(f, MultiCategorical)
        )

    @cached_property
    def dense(self) -> tuple[Dense, ...]:
        """Features that stay numbers."""
        return tuple(
            feature
            for feature in self.features
            if isinstance(feature, Dense) and not has_ids(feature)
        )

    @property
    def time_features(self) -> tuple[TimeFeature, ...]:
        """Features that are made of the timestamp."""
        return () if self.timestamp is None else self.timestamp.parts

    @cached_property
    def tables(self) -> dict[str, tuple[Single | MultiCategorical, ...]]:
        """The features that share each table, by its name."""
        found: dict[str, list[Single | MultiCategorical]] = {}
        for feature in (*self.single, *self.multi):
            found.setdefault(feature.table, []).append(feature)
        return {name: tuple(sharing) for name, sharing in found.items()}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns of the log that are read, each once."""
        found: list[str | None] = []
        for feature in self.features:
            if not isinstance(feature, Cross):
                found.append(feature.column)
            if isinstance(feature, MultiCategorical):
                found.append(feature.weights)
        for part in (self.label, self.timestamp, self.group, self.split):
            found.append(None if part is None else part.column)
        found += self.keys
        return tuple(dict.fromkeys(name for name in found if name))

    def __getitem__(self, name: str) -> Feature | TimeFeature:
        """The feature of that name, also one that the timestamp makes.

        Raises:
            KeyError: If there is no such feature.
        """
        known = {f.name: f for f in (*self.features, *self.time_features)}
        if name not in known:
            raise KeyError(
                f"The schema has no feature {name!r}."
                f"{did_you_mean(name, known)}"
            )
        return known[name]
