"""Valid raw rows of a log, drawn from its encoder."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.features import Dense, MultiCategorical, TimeFeature
from keras_pss.serving.raw_rows.column_values import column_values
from keras_pss.serving.raw_rows.raw_inputs import raw_inputs

_TEXTS = 1000  # of a vocabulary, the most frequent first
_LENGTH = 4  # elements of a list, at most
_DAY = 86_400
_START = 1_600_000_000  # seconds: September 2020


def sample_columns(
    encoding: LogEncoding, rows: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Raw rows that a model of a log takes.

    Categories are texts of the vocabulary, unknown ones and missing ones;
    numbers are of all magnitudes and may be missing.

    Args:
        encoding: A prepared log, or the encoder of a run.
        rows: Number of rows.
        seed: Seed of what is drawn.

    Returns:
        Arrays (rows, ...) by the names of `raw_inputs`, as clients send them.
    """
    schema = encoding.schema
    random = np.random.default_rng(seed)
    lists: dict[str, list[int]] = {
        feature.column: random.integers(0, _LENGTH + 1, rows).tolist()
        for feature in schema.multi
    }
    weights = {
        feature.weights: feature
        for feature in schema.multi
        if feature.weights is not None
    }
    found = {}
    for raw in raw_inputs(schema):
        readers = [
            feature
            for feature in schema.features
            if getattr(feature, "column", None) == raw.column
        ]
        column = raw.column
        values: list[Any]
        if column in weights:
            of = weights[column]
            values = [
                _joined([float(random.random()) for _ in range(n)], of)
                for n in lists[of.column]
            ]
        elif column in lists:
            (of,) = [f for f in readers if isinstance(f, MultiCategorical)][:1]
            draw = _texts(encoding, readers, random)
            values = [
                _joined([draw() or "0" for _ in range(n)], of)
                for n in lists[column]
            ]
        elif not readers or any(isinstance(f, TimeFeature) for f in readers):
            values = _times(schema.timestamp, rows, random)
            if raw.dtype == "string":
                values = [str(value) for value in values]
        elif raw.kind in ("number", "numbers"):
            values = _numbers(readers, raw.shape, rows, random)
        else:
            draw = _texts(encoding, readers, random)
            values = [draw() for _ in range(rows)]
        found[raw.name] = column_values(raw, values, schema)
    return found


def _joined(values: list[Any], feature: MultiCategorical) -> Any:
    if feature.separator is None:
        return values
    return feature.separator.join(map(str, values))


def _texts(
    encoding: LogEncoding, readers: list[Any], random: np.random.Generator
) -> Callable[[], str]:
    """What draws a text that all features of a column take."""
    known: list[str] = []
    for feature in readers:
        if isinstance(feature, Dense) or feature.dtype != "string":
            # Digits are numbers, integers, hexadecimal and texts.
            return lambda: (
                "" if random.random() < 0.1 else str(random.integers(0, 100))
            )
        if feature.ids == "vocabulary":
            known += encoding.vocabulary(feature.table).head(_TEXTS).to_list()

    def draw() -> str:
        kind = random.random()
        if kind < 0.1:
            return ""
        if kind < 0.2 or not known:
            return f"new{random.integers(0, 10**6)}"
        return known[random.integers(0, len(known))]

    return draw


def _numbers(
    readers: list[Any],
    shape: tuple[int | None, ...],
    rows: int,
    random: np.random.Generator,
) -> list[Any]:
    """Numbers, or lists of them; NaN where one is missing."""
    width = shape[0] or _LENGTH if shape else 1
    drawn = np.exp(random.normal(0, 3, (rows, width)))
    if any(getattr(feature, "dtype", "") == "integer" for feature in readers):
        drawn = np.floor(drawn)
    drawn[random.random(drawn.shape) < 0.1] = np.nan
    return drawn.tolist() if shape else drawn[:, 0].tolist()


def _times(rule: Any, rows: int, random: np.random.Generator) -> list[Any]:
    seconds = _START + random.integers(0, 365 * _DAY, rows)
    if rule.format == "epoch_s":
        return seconds.tolist()
    if rule.format == "epoch_ms":
        return (seconds * 1000).tolist()
    # A fraction of a second may be left out.
    form = (rule.format or "%Y-%m-%d %H:%M:%S").replace("%.f", "")
    return [datetime.fromtimestamp(int(s), UTC).strftime(form) for s in seconds]
