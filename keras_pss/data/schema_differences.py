"""What a prepared folder's schema has otherwise than a recipe's."""

from typing import Any

from keras_pss.features import Schema


def schema_differences(found: Schema, wanted: Schema) -> list[str]:
    """Differences in the split and the fields of features.

    Args:
        found: The schema of a prepared folder.
        wanted: The schema of a recipe, for the same columns.

    Returns:
        Texts such as "min_count=2 of 21 features, such as C1, the recipe has
        1".
    """
    texts = []
    if found.split != wanted.split:
        splits = [each.to_dict().get("split", {}) for each in (found, wanted)]
        texts.append(f"split={splits[0]}, the recipe has {splits[1]}")
    others: dict[str, Any] = {
        feature.name: feature for feature in wanted.features
    }
    groups: dict[tuple[str, str, str], list[str]] = {}
    for feature in found.features:
        other = others.get(feature.name)
        if other is None or type(other) is not type(feature):
            continue  # the run itself needs equal columns
        for name, value in vars(feature).items():
            if value != getattr(other, name):
                key = name, repr(value), repr(getattr(other, name))
                groups.setdefault(key, []).append(feature.name)
    for (name, before, now), names in groups.items():
        of = names[0]
        if names[1:]:
            of = f"{len(names)} features, such as {of}"
        texts.append(f"{name}={before} of {of}, the recipe has {now}")
    return texts
