"""What must hold between the parts of a schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from keras_pss.features.categorical import Categorical
from keras_pss.features.cross import Cross
from keras_pss.features.dense import Dense
from keras_pss.features.multi_categorical import MultiCategorical
from keras_pss.features.time_feature import TimeFeature
from keras_pss.messages import did_you_mean, shown

if TYPE_CHECKING:
    from keras_pss.features.schema import Schema

# What features with a common vocabulary have in common.
_SHARED = ("dtype", "ids", "min_count", "max_values", "buckets")


def check_schema(schema: Schema) -> None:
    """Raises a ValueError if the parts of a schema contradict each other."""
    if not schema.features and not schema.time_features:
        raise ValueError(
            "`features` must hold at least one feature. Received: features=()"
        )
    _check_names(schema)
    _check_crosses(schema)
    _check_tables(schema)
    _check_label(schema)
    _check_split(schema)
    _check_keys(schema)
    _check_columns(schema)


def _check_names(schema: Schema) -> None:
    made = {part.name for part in schema.time_features}
    seen: set[str] = set()
    for feature in schema.features:
        if feature.name in made:
            raise ValueError(
                f"`features` must not have the name of a time feature. Choose "
                f"another name than {feature.name!r}, or leave it out of the "
                f"timestamp's features. Received: {feature}"
            )
        if feature.name in seen:
            raise ValueError(
                "`features` must have different names. Give one of them "
                "another `name` and the column's name as `column`. "
                f"Received: name={feature.name!r} twice"
            )
        seen.add(feature.name)
    _check_weights(schema, seen | made)


def _check_weights(schema: Schema, names: set[str]) -> None:
    """Raises if a feature has the name of another one's weights in a batch."""
    for feature in schema.multi:
        weights = f"{feature.name}_weights"
        if feature.weights is not None and weights in names:
            raise ValueError(
                f"`features` must not have {weights!r} beside "
                f"{feature.name!r}, whose weights have that name. Choose "
                "another name and give the column's name as `column`. "
                f"Received: name={weights!r}"
            )


def _check_crosses(schema: Schema) -> None:
    simple = {
        feature.name
        for feature in (*schema.features, *schema.time_features)
        if isinstance(feature, Categorical | TimeFeature)
    }
    for cross in schema.features:
        if not isinstance(cross, Cross):
            continue
        for name in cross.columns:
            if name not in simple:
                raise ValueError(
                    f"`columns` of the cross {cross.name!r} must name two "
                    "categorical features of the schema."
                    f"{did_you_mean(name, simple)} "
                    f"Received: {name!r}{_kind(schema, name)}"
                )


def _kind(schema: Schema, name: str) -> str:
    for feature in schema.features:
        if feature.name == name:
            return f", a {type(feature).__name__}"
    return ""


def _check_tables(schema: Schema) -> None:
    for table, sharing in schema.tables.items():
        first, *others = sharing
        for other in others:
            for feature in (first, other):
                if isinstance(feature, Cross | Dense | TimeFeature):
                    raise ValueError(
                        "`table` must not name the table of a cross, of "
                        "buckets or of a time feature. Received: "
                        f"table={table!r} for {first.name!r} and {other.name!r}"
                    )
            _check_same_ids(table, first, other)


def _check_same_ids(table: str, first: Any, other: Any) -> None:
    for option in _SHARED:
        values = getattr(first, option), getattr(other, option)
        if values[0] != values[1]:
            raise ValueError(
                f"`{option}` must be the same for all features of one table. "
                f"Received: table={table!r}, {option}={shown(values[0])} for "
                f"{first.name!r} and {option}={shown(values[1])} for "
                f"{other.name!r}"
            )


def _check_label(schema: Schema) -> None:
    if schema.label is None:
        return
    for feature, column in _columns(schema.features):
        if column == schema.label.column:
            raise ValueError(
                "`label` must not be the column of a feature as well: the "
                "model would read the answer. Remove the feature "
                f"{feature.name!r}. Received: label={column!r}"
            )
    for name in ("timestamp", "group", "split"):
        part = getattr(schema, name)
        if part is not None and part.column == schema.label.column:
            raise ValueError(
                f"`label` must be another column than that of `{name}`. "
                f"Received: label={part.column!r}"
            )


def _columns(features: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """The features with each column that they read."""
    for feature in features:
        if not isinstance(feature, Cross):
            yield feature, feature.column
        if isinstance(feature, MultiCategorical) and feature.weights:
            yield feature, feature.weights


def _check_split(schema: Schema) -> None:
    needs = {"time": "timestamp", "group": "group"}
    part = needs.get(schema.split.by)
    if part is not None and getattr(schema, part) is None:
        raise ValueError(
            f"`split` by {schema.split.by!r} needs a `{part}`. Name its "
            f"column, or choose another split. Received: {part}=None"
        )


def _check_keys(schema: Schema) -> None:
    for key in schema.keys:
        if not key or schema.keys.count(key) > 1:
            raise ValueError(
                "`keys` must be different names of columns. "
                f"Received: {key!r} in keys={shown(schema.keys)}"
            )


def _check_columns(schema: Schema) -> None:
    known = schema.format.columns
    for column in schema.columns:
        if known is not None and column not in known:
            raise ValueError(
                "`format.columns` must name every column that is read."
                f"{did_you_mean(column, known)} Received: {column!r}, which "
                f"is not one of the {len(known)} columns"
            )
