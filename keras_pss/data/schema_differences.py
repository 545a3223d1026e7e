"""What a prepared folder's schema has otherwise than a recipe's."""

from keras_pss.features import Schema


def same_features(schema: Schema, other: Schema | None) -> bool:
    """Whether rows of two schemas give a model the same features."""
    return other is not None and _features(schema) == _features(other)


def schema_differences(found: Schema, wanted: Schema) -> list[str]:
    """Differences in the split and in the fields of features.

    Args:
        found: The schema of a prepared folder.
        wanted: The schema of a recipe.

    Returns:
        Texts such as "min_count=2 of 21 features, such as C1, the recipe has
        1". An empty list if the features are others, which a recipe refuses.
    """
    if not same_features(found, wanted):
        return []
    texts = []
    if found.split != wanted.split:
        splits = [each.to_dict().get("split", {}) for each in (found, wanted)]
        texts.append(f"split={splits[0]}, the recipe has {splits[1]}")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for feature, other in zip(found.features, wanted.features, strict=True):
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


def _features(schema: Schema) -> list[tuple[str, str]]:
    features = (*schema.features, *schema.time_features)
    return [(type(feature).__name__, feature.name) for feature in features]
