"""The schema of a recipe: a preset, with the settings of the published runs."""

from dataclasses import fields, replace
from typing import Any

from keras_pss.features import Schema, Split

# What [prepare] may change in a schema.
SETTINGS = ("min_count", "split")


def schema_of(name: str, settings: dict[str, Any]) -> Schema:
    """A schema with the settings of a recipe.

    Args:
        name: Name of a preset, or path of a `.toml` file.
        settings: `min_count`, for all features with a vocabulary, and
            `split`, the fields of a `Split`, which replaces the schema's.

    Raises:
        ValueError: If there is no such schema, or a setting is invalid.
    """
    schema = Schema.load(name)
    if "min_count" in settings:
        count = settings["min_count"]
        schema = replace(
            schema,
            features=tuple(_counted(f, count) for f in schema.features),
        )
    if "split" in settings:
        split = settings["split"]
        if not isinstance(split, dict):
            raise ValueError(
                "`split` must be a table, as [split] of a schema is. "
                f"Received: split={split!r}"
            )
        schema = replace(schema, split=Split(**split))
    return schema


def _counted(feature: Any, min_count: int) -> Any:
    names = {field.name for field in fields(feature)}
    if "min_count" not in names or feature.ids != "vocabulary":
        return feature
    return replace(feature, min_count=min_count)
