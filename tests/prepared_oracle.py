"""The words of prepared rows, computed slowly from lists and dicts."""

from collections import Counter

import numpy as np

from keras_pss.features import Dense


def expected(rows, schema, develop, train):
    """The columns of the records of all rows.

    Args:
        rows: List of dicts, one a row, with the names of a frame of values.
        schema: The schema.
        develop: Numbers of the rows that are counted.
        train: Numbers of the training rows.

    Returns:
        Lists of words by (name, kind), and the vocabularies by table.
    """
    words, tables = {}, {}
    for name, sharing in schema.tables.items():
        if not isinstance(sharing[0], Dense) and sharing[0].ids != "hash":
            tables[name] = vocabulary(rows, sharing, develop)
    if schema.label is not None:
        words["label", "label"] = [row["label"] for row in rows]
    for feature in schema.dense:
        words[feature.name, "dense"] = numbers(rows, feature, train)
    for feature in schema.single:
        values = [row[feature.name] for row in rows]
        if isinstance(feature, Dense):
            words[feature.name, "id"] = bucketed(values, feature, train)
        else:
            words[feature.name, "id"] = [
                id_of(feature, tables, value) for value in values
            ]
    for feature in schema.multi:
        length, name = feature.max_length, feature.name
        words[name, "ids"] = [
            padded([id_of(feature, tables, v) for v in row[name]], length, -1)
            for row in rows
        ]
        if feature.weights is not None:
            words[name, "weights"] = [
                padded(row[f"{name}:weights"], length, 0) for row in rows
            ]
    if schema.group is not None:
        seen = {}
        words["group", "group"] = [
            seen.setdefault(row["group"], len(seen)) for row in rows
        ]
    return words, tables


def vocabulary(rows, sharing, develop):
    """Texts by their ids, and the counts of all ids."""
    counter = Counter()
    for feature in sharing:
        for at in develop:
            value = rows[at][feature.name]
            counter.update(value if isinstance(value, list) else [value])
    first = sharing[0]
    kept = [text for text, n in counter.items() if n >= first.min_count]
    kept.sort(key=lambda text: (-counter[text], text.encode()))
    kept = kept[: first.max_values]
    rest = counter.total() - sum(counter[text] for text in kept)
    return kept, [rest, *(counter[text] for text in kept)]


def id_of(feature, tables, text):
    if feature.ids == "hash":
        import tensorflow as tf

        size = feature.buckets or 2**31 - 1
        return int(tf.strings.to_hash_bucket_fast(text.encode(), size))
    kept, _ = tables[feature.table]
    return kept.index(text) + 1 if text in kept else 0


def padded(values, length, padding):
    return [*values, *[padding] * (length - len(values))]


def numbers(rows, feature, train):
    """Filled and clipped numbers, (rows,) or (rows, size)."""
    values = np.array(
        [
            [np.nan] * feature.size
            if row[feature.name] is None
            else np.ravel(row[feature.name])
            for row in rows
        ],
        np.float64,
    )
    low = -np.inf if feature.minimum is None else feature.minimum
    high = np.inf if feature.maximum is None else feature.maximum
    values = np.clip(values, low, high)
    for column in values.T:
        fill = feature.missing
        if fill == "mean":
            known = [x for x in column[train].tolist() if x == x]
            fill = sum(known) / len(known)
        column[np.isnan(column)] = fill
    return values if feature.size > 1 else values[:, 0]


def bucketed(values, feature, train):
    """0 for a missing value, else 1 + the borders at or below it."""
    known = sorted(
        np.float32(values[at]) for at in train if values[at] is not None
    )
    steps = range(1, feature.num_buckets)
    borders = [known[k * len(known) // feature.num_buckets] for k in steps]
    return [
        0
        if value is None
        else 1 + sum(border <= np.float32(value) for border in borders)
        for value in values
    ]
