"""Which column is the label, and which of its values mean 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from keras_pss.data.inference.column import ColumnSample
from keras_pss.features import Label
from keras_pss.messages import did_you_mean, shown

_NAMES = (
    *("click", "clicked", "is_click", "is_clicked", "clk", "label", "target"),
    *("y", "conversion", "converted", "purchase", "purchased", "installed"),
    *("is_installed", "like", "liked", "rating"),
)
_PLAIN = ({"0", "1"}, {"true", "false"}, {"True", "False"})
_POSITIVE = (
    "yes",
    "y",
    "true",
    "t",
    "click",
    "positive",
    "pos",
    "good",
    ">50k",
)


class Found(NamedTuple):
    """A label, and why it is read so."""

    label: Label
    why: str


def find_label(
    columns: Mapping[str, ColumnSample], label: str | None
) -> Found | None:
    """The label; None if none is given and no column looks like one.

    Args:
        columns: The columns of the sample by name.
        label: Name of the label's column, if the user gave it.

    Raises:
        ValueError: If there is no such column, or it has no two kinds of
            values.
    """
    if label is not None:
        if label not in columns:
            raise ValueError(
                "`label` must be a column of the file."
                f"{did_you_mean(label, columns)} Received: label={label!r}, "
                f"with the columns {shown(list(columns))}"
            )
        found = rule(columns[label])
        if found is None:
            column = columns[label]
            raise ValueError(
                "`label` must be a column of two values or of numbers. Make "
                "one of it, or write [label] with `positive` by hand. "
                f"Received: label={label!r} with {column.distinct} different "
                f"values, such as {shown(list(column.examples))}"
            )
        return found
    by_name = {name.strip().lower(): name for name in columns}
    for name in _NAMES:
        if name in by_name and (found := rule(columns[by_name[name]])):
            return found
    # Without names, the label is where logs have it: in front or at the end.
    names = list(columns)
    for name in (names[0], names[-1]):
        column = columns[name]
        if name.startswith("column_") and set(column.counts["text"]) in _PLAIN:
            return rule(column)
    return None


def rule(column: ColumnSample) -> Found | None:
    """How the values of a column become 0 and 1; None if nothing says it."""
    if column.is_list or column.is_nested:
        return None
    name, values = column.name, set(column.counts["text"])
    if values and any(values <= plain for plain in _PLAIN):
        return Found(Label(name), f"label: {_listed(sorted(values))}")
    if column.is_number and len(values) > 1:
        numbers = column.numbers
        high = float(numbers.max())  # type: ignore[arg-type]
        if set(numbers.unique()) == {0.0, 1.0}:
            return Found(Label(name), "label: 0 and 1")
        if len(values) == 2:
            why = f"label: the larger of two numbers, {high:g}, means 1"
            return Found(Label(name, threshold=high), why)
        threshold = _threshold(high, column.median)
        share = float((numbers >= threshold).mean())  # type: ignore[arg-type]
        why = (
            f"label: numbers up to {high:g}; from {threshold:g} on, they mean "
            f"1 ({share:.0%} of the rows)"
        )
        return Found(Label(name, threshold=threshold), why)
    if len(values) == 2:
        return _of_two(column)
    return None


def _threshold(high: float, median: float) -> float:
    """Four of five stars, or the median of what is no rating."""
    if high in (5, 10, 100):
        return 0.8 * high
    return median


def _of_two(column: ColumnSample) -> Found:
    """Two texts: a word for yes, or else the rarer one, means 1."""
    common, rare = column.counts["text"]
    known = [t for t in (common, rare) if t.strip().lower() in _POSITIVE]
    positive = known[0] if len(known) == 1 else rare
    reason = "" if len(known) == 1 else ", the rarer one,"
    (negative,) = {common, rare} - {positive}
    why = f"label: {positive!r}{reason} means 1, {negative!r} means 0"
    return Found(Label(column.name, positive, negative), why)


def _listed(values: list[str]) -> str:
    return " and ".join(values)
