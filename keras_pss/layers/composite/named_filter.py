"""The form of a frequency filter in which tables and features have names."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import LARGEST_DIM, positive_int, shown, text
from keras_pss.layers.composite.features.feature_inputs import (
    Bag,
    FeatureInputs,
)
from keras_pss.layers.composite.features.named_features import NamedFeatures
from keras_pss.layers.composite.frequency_filter import (
    FrequencyFilter,
    check_rows,
)

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class NamedFilter(NamedFeatures, FrequencyFilter):
    """A `FrequencyFilter` over a collection with named tables.

    Its arguments are documented there. All features of a table are filtered
    by its limit, and so is each id of a multi-hot feature: a rare id counts as
    id 0 in the pooled vector, with its own weight. Padding remains padding.
    """

    def _create(self, input_dims: Any) -> None:
        self.input_dims = _checked_dims(
            input_dims, self.embeddings.table_rows()
        )
        self.features = dict(self.embeddings.features)
        self.dense = dict(self.embeddings.dense)
        self.widths = self.embeddings.widths
        self._inputs = FeatureInputs(
            dict(self.features),
            {
                name: self.input_dims[feature.table]
                for name, feature in self.features.items()
            },
        )

    def pooled(
        self, bags: Mapping[str, Bag], training: bool | None
    ) -> dict[str, Tensor]:
        # The ids are checked first, since out-of-range ids would otherwise
        # pass as rare ones.
        limits = self.embeddings.table_rows()
        kept = {
            name: self._filtered(bags[name], feature.table, limits)
            for name, feature in self.features.items()
        }
        return self.embeddings.pooled(kept, training)

    def _filtered(self, bag: Bag, table: str, limits: Mapping[str, int]) -> Bag:
        if limits[table] == self.input_dims[table]:
            return bag
        ids = ops.where(bag.ids < limits[table], bag.ids, 0)
        return dataclasses.replace(bag, ids=ops.cast(ids, bag.ids.dtype))

    def table_rows(self) -> dict[str, int | None]:
        return dict(self.input_dims)

    def full_parameters(self) -> int:
        widths = {
            feature.table: width
            for feature, width in zip(
                self.features.values(), self.widths, strict=True
            )
        }
        return sum(rows * widths[t] for t, rows in self.input_dims.items())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "input_dims": dict(self.input_dims)}


def _checked_dims(
    input_dims: Any, limits: Mapping[str, int | None]
) -> dict[str, int]:
    if not isinstance(input_dims, Mapping) or set(input_dims) != set(limits):
        raise ValueError(
            "`input_dims` must be a dict with the number of ids of each table "
            f"of `embeddings`, by its name: {', '.join(map(repr, limits))}. "
            f"Received: input_dims={shown(input_dims)}"
        )
    dims = {
        text("input_dims", name): positive_int(
            "input_dims", input_dims[name], LARGEST_DIM
        )
        for name in limits
    }
    check_rows(dims, dims.values(), limits.values())
    return dims
