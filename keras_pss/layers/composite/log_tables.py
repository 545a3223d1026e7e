"""The tables and features of a prepared log, as arguments of a collection."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_pss.layers.base.checks import shown
from keras_pss.layers.planned.worth import Worth


def arguments(log: Any) -> dict[str, Any]:
    """The arguments of `EmbeddingCollection` that a log determines.

    Args:
        log: An object with a `schema` and with the number of rows of each of
            its `tables` by name.

    Raises:
        ValueError: If `log` is something else, or has no feature with ids.
    """
    # A plan needs the rest of this module alone, without any layer.
    from keras_pss.layers.composite.features.feature_config import (
        FeatureConfig,
    )
    from keras_pss.layers.composite.features.table_config import TableConfig

    schema, tables = checked(log)
    features = {
        feature.name: FeatureConfig(feature.table) for feature in schema.single
    }
    for feature in schema.multi:
        features[feature.name] = FeatureConfig(
            feature.table,
            feature.max_length,
            feature.combiner,
            weighted=feature.weights is not None,
        )
    return {
        "input_dims": {
            name: TableConfig(None if rows is None else int(rows))
            for name, rows in tables.items()
        },
        "features": features,
        "dense": {feature.name: feature.size for feature in schema.dense},
    }


def checked(log: Any) -> tuple[Any, Mapping[str, int | None]]:
    """The schema and the tables of a log.

    Args, Raises: as in `arguments`.
    """
    schema, tables = getattr(log, "schema", None), getattr(log, "tables", None)
    if schema is None or not isinstance(tables, Mapping):
        raise ValueError(
            "`log` must be a prepared log with a `schema` and `tables`, such "
            f"as `keras_pss.data.prepare` returns. Received: log={shown(log)}"
        )
    if not tables:
        raise ValueError(
            "`log` must have at least one feature with ids, for which there "
            "are embeddings. Give the schema a categorical feature, or one of "
            "its dense features transform='buckets' and `num_buckets`. "
            f"Received: the dense features {[f.name for f in schema.dense]}"
        )
    return schema, tables


def knowledge(log: Any) -> dict[str, Any]:
    """What a log knows of its ids, as arguments for `method="auto"`."""
    found = counts(log)
    if found is None:
        return {}
    return {"counts": found, "options": worth(log).choices(share(log))}


def counts(log: Any) -> dict[str, np.ndarray] | None:
    """Counts of the ids of each table, in the rows that are not for testing.

    Ids that were not counted, hashed ones and buckets of numbers, are taken
    to be equally frequent.

    Args:
        log: As in `arguments`. A prepared log has `counted_tables`.

    Returns:
        None if the ids of no table were counted, or those of one are open.
    """
    counted = log.counted_tables() if hasattr(log, "counted_tables") else ()
    if not counted or None in log.tables.values():
        return None
    seen = log.rows("train") + log.rows("validation")
    return {
        name: log.table_counts(name)
        if name in counted
        else np.full(rows or 0, seen // max(1, rows or 0))
        for name, rows in log.tables.items()
    }


def worth(log: Any) -> Worth:
    """How often an id of a log must occur to deserve a row."""
    rows = log.rows("train")
    if log.schema is None or log.schema.label is None:
        return Worth()
    clicks = log.clicks("train")
    if not 0 < clicks < rows:
        return Worth()
    labels = log.label_counts() if hasattr(log, "label_counts") else {}
    if not labels:
        return Worth.of_rate(clicks / rows)
    return Worth.of_labels(labels.values(), clicks / rows)


def share(log: Any) -> float:
    """Rows whose ids were counted, divided by training rows."""
    train = log.rows("train")
    return (train + log.rows("validation")) / max(1, train)
