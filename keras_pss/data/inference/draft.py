"""The parts of a schema that the columns of a sample suggest.

The file is long because a schema has many parts, with a rule for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import polars as pl

from keras_pss.data.inference.column import ColumnSample
from keras_pss.data.inference.decide import Choice, decide
from keras_pss.data.inference.label import Found, find_label
from keras_pss.data.inference.report import ColumnReport, Report
from keras_pss.data.inference.sample import LogSample
from keras_pss.data.inference.tables import shared_tables
from keras_pss.data.inference.times import TimeValues, moments
from keras_pss.data.readers.tfds.names import is_tfds
from keras_pss.features import (
    Categorical,
    Format,
    Group,
    MultiCategorical,
    Schema,
    Split,
    Timestamp,
)
from keras_pss.features.checks.names import RESERVED
from keras_pss.features.feature import Feature
from keras_pss.features.time_feature import TimePart

_USERS = ("user", "uid", "msno", "member", "visitor", "customer", "session")
# A column of so few different values that predict the label must know it.
_LEAK_ROWS = 10
_MOST_MISSING = 0.05  # share of the rows without a time
_MOST_LAST = 5  # rows of a user that a draft leaves out for testing


@dataclass
class Draft:
    """The parts of a schema, as they are found.

    Args:
        sample: The first rows.
        label: The label's column, if the user gave it.
    """

    sample: LogSample
    label_name: str | None
    columns: dict[str, ColumnSample] = field(init=False)
    choices: dict[str, Choice] = field(init=False, default_factory=dict)
    notes: list[str] = field(init=False)
    label: Found | None = field(init=False)
    time: tuple[str, TimeValues] | None = field(init=False)
    user: str | None = field(init=False)

    def __post_init__(self) -> None:
        rows = self.sample.rows
        self.columns = {n: ColumnSample(n, rows[n]) for n in rows.columns}
        self.notes = list(self.sample.notes)
        self.label = find_label(self.columns, self.label_name)
        self.time = self._find_time()
        self.user = self._find_user()
        for name, column in self.columns.items():
            if not self._is_taken(name):
                self.choices[name] = decide(column, _feature_name(name))
        if self.user is not None and self.choices[self.user].is_key:
            self.user = None  # no user comes twice
        self._pair_weights()
        self._share_tables()

    def finish(self, path: Path) -> tuple[Schema, Report]:
        """The schema and the report about it."""
        features = [c.feature for c in self.choices.values() if c.feature]
        if not features and self.time is None:
            columns = ", ".join(
                f"{n} ({self._decision(n)[1]})" for n in self.columns
            )
            raise ValueError(
                "`file` must have a column that can be a feature. Give "
                f"another file. Received: {path}, with {columns}"
            )
        self._add_notes()
        schema = Schema(
            features,
            label=self.label and self.label.label,
            timestamp=self._timestamp(features),
            group=Group(self.user) if self.user else None,
            split=self._split(),
            format=self._format(),
            keys=tuple(n for n, c in self.choices.items() if c.is_key),
            title=f"Draft of {path if is_tfds(path) else path.name}",
        )
        report = Report(
            str(path),
            self.sample.rows.height,
            self.sample.in_words,
            tuple(self._rows()),
            tuple(self.notes),
        )
        return schema, report

    def _is_taken(self, name: str) -> bool:
        label = self.label and self.label.label.column
        return name == label or (self.time is not None and name == self.time[0])

    def _find_time(self) -> tuple[str, TimeValues] | None:
        for name, column in self.columns.items():
            typed = column.raw.dtype.is_temporal()
            if column.is_list or column.is_nested or not name.strip():
                continue
            if column.missing > _MOST_MISSING:
                continue  # rows without a time are refused
            if self.label is not None and name == self.label.label.column:
                continue
            if found := moments(name, column.raw if typed else column.texts):
                return name, found
        return None

    def _find_user(self) -> str | None:
        def rank(name: str) -> int:
            bare = re.sub(r"[_ ]?id$", "", name, flags=re.IGNORECASE).lower()
            return _USERS.index(bare) if bare in _USERS else len(_USERS)

        named = [n for n in self.columns if rank(n) < len(_USERS)]
        free = [n for n in named if not self._is_taken(n)]
        return min(free, key=rank, default=None)

    def _pair_weights(self) -> None:
        """Makes lists of numbers the weights of lists of equal lengths."""
        for name, choice in list(self.choices.items()):
            if choice.kind != "list" or choice.feature is not None:
                continue
            for other, owner in self.choices.items():
                feature = owner.feature
                if not isinstance(feature, MultiCategorical):
                    continue
                if feature.weights or not self._equal_lengths(name, feature):
                    continue
                why = f"as many numbers as {other} has elements"
                weighted = replace(feature, weights=name)
                self.choices[other] = owner._replace(feature=weighted)
                self.choices[name] = choice._replace(kind="weights", why=why)
                break

    def _equal_lengths(self, name: str, feature: MultiCategorical) -> bool:
        weights, owner = self.columns[name], self.columns[feature.column]
        if weights.is_list != owner.is_list:
            return False
        lengths = [
            each.lists(feature.separator).list.len()
            for each in (weights, owner)
        ]
        return lengths[0].equals(lengths[1], check_names=False)

    def _share_tables(self) -> None:
        features, values = {}, {}
        for name, choice in self.choices.items():
            feature = choice.feature
            if isinstance(feature, MultiCategorical):
                lists = self.columns[name].lists(feature.separator)
                values[name] = lists.explode().drop_nulls().unique()
            elif isinstance(feature, Categorical):
                values[name] = self.columns[name].counts["text"]
            else:
                continue
            features[name] = feature
        for name, (owner, share) in shared_tables(features, values).items():
            choice = self.choices[name]
            table = features[owner].table
            self.choices[name] = choice._replace(
                feature=replace(features[name], table=table),
                why=f"{choice.why}; shares values with {owner} ({share:.0%})",
            )

    def _timestamp(self, features: list[Feature]) -> Timestamp | None:
        if self.time is None:
            return None
        name, found = self.time
        parts: tuple[TimePart, ...] = ("weekday", "weekend")
        if found.has_hours:
            parts = ("hour", *parts)
        taken = {feature.name for feature in features}
        free = tuple(part for part in parts if part not in taken)
        return Timestamp(name, found.format, free)

    def _split(self) -> Split:
        if self.sample.split is not None:
            return self.sample.split
        if self.time is not None:
            return Split("order" if self.time[1].ordered else "time")
        if self.user is not None:
            users = self.columns[self.user]
            rises = users.numbers if users.is_number else users.present
            if rises.is_sorted():
                # The last rows of the file are those of the last users.
                each = float(cast(float, users.counts["count"].median()))
                last = min(_MOST_LAST, max(1, int(each) // 5))
                return Split("group", last=last)
        return Split("order")

    def _format(self) -> Format:
        found = {t for c in self.columns.values() for t in c.missing_texts}
        return replace(self.sample.format, missing=tuple(sorted({"", *found})))

    def _add_notes(self) -> None:
        if self.sample.preset:
            self.notes.append(
                f"The preset {self.sample.preset!r} describes such files: "
                "load it in place of this draft."
            )
        if self.label is None:
            self.notes.append(
                "No column looks like a label. Give `label`, or write [label]."
            )
        for what, name in (
            ("label", self.label and self.label.label.column),
            ("time", self.time and self.time[0]),
        ):
            missing = self.columns[name].missing if name else 0
            if missing:
                self.notes.append(
                    f"{missing:.1%} of the rows have no {what} and will be "
                    "refused."
                )
        for name in self._leaks():
            self.notes.append(
                f"{name} decides the label in every row of the sample. Remove "
                "it if it is known only after the click."
            )

    def _leaks(self) -> Iterator[str]:
        """Columns whose every value goes with one label only."""
        if self.label is None:
            return
        rows = self.sample.rows.height
        labels = self.columns[self.label.label.column].texts
        for name, choice in self.choices.items():
            column = self.columns[name]
            if choice.feature is None or column.is_list:
                continue
            if not 2 <= column.distinct <= rows / _LEAK_ROWS:
                continue
            pairs = pl.DataFrame({"value": column.texts, "label": labels})
            if pairs.n_unique() == column.texts.n_unique():
                yield name

    def _rows(self) -> Iterator[ColumnReport]:
        for name, column in self.columns.items():
            kind, decision, why = self._decision(name)
            nested = column.is_nested
            yield ColumnReport(
                name,
                kind,
                0 if nested else self._distinct(name),
                0.0 if nested else column.missing,
                () if nested else column.examples,
                decision,
                why,
            )

    def _distinct(self, name: str) -> int:
        column, choice = self.columns[name], self.choices.get(name)
        if choice is not None and choice.kind in ("list", "weights"):
            return column.distinct_elements
        return column.distinct

    def _decision(self, name: str) -> tuple[str, str, str]:
        if self.label is not None and name == self.label.label.column:
            return "label", "label", self.label.why.removeprefix("label: ")
        if self.time is not None and name == self.time[0]:
            ordered = "in order" if self.time[1].ordered else "not in order"
            return "time", "timestamp", f"{self.time[1].why}, {ordered}"
        choice = self.choices[name]
        decision = _described(choice)
        if name == self.user:
            decision += ", group"
        return choice.kind, decision, choice.why


def _feature_name(column: str) -> str:
    """A name for the feature of a column, which may be no name itself."""
    name = re.sub(r"[:/\x00-\x1f\x7f]", "_", column).strip() or "unnamed"
    return f"{name}_value" if name in RESERVED else name


def _described(choice: Choice) -> str:
    feature = choice.feature
    if choice.kind == "weights":
        return "weights"
    if feature is None:
        return "key" if choice.is_key else "left out"
    if isinstance(feature, MultiCategorical):
        text = "multi"
    elif isinstance(feature, Categorical):
        text = f"categorical {feature.dtype}"
    else:
        return f"dense {getattr(feature, 'transform', '')}"
    return (
        text
        if feature.table == feature.name
        else f"{text}, table {feature.table}"
    )
