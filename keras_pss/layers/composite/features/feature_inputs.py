"""The inputs of a collection whose features have names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import backend, ops

from keras_pss.layers.base.checks import shown
from keras_pss.layers.composite.features.feature_config import FeatureConfig
from keras_pss.ops import bags as bags_ops
from keras_pss.ops import ids as ids_ops
from keras_pss.ops import pooling, wide_ids

Tensor = Any
# Inputs of this name hold all single-valued features in one tensor.
PACKED = "categorical"
PADDING = -1


@dataclass(frozen=True)
class Bag:
    """The ids of one feature.

    Attributes:
        ids: Integers `(b, k)` in range; 0 for padding.
        valid: Booleans `(b,)`, False if an out-of-range id was replaced by 0;
            None if all ids are known to be valid.
        mask: Booleans `(b, k)`, False for padding; None for a feature that
            has one id.
        weights: Floats `(b, k)`, 0 for padding; None if all weights are 1.
    """

    ids: Tensor
    valid: Tensor | None
    mask: Tensor | None = None
    weights: Tensor | None = None

    def pool(self, rows: Tensor, combiner: str) -> Tensor:
        """Pools rows of shape `(b, k, d)` to `(b, 1, d)`."""
        if self.mask is None:
            return rows
        if combiner == "max":
            pooled = pooling.largest(rows, self.mask)
        else:
            weights = self.mask if self.weights is None else self.weights
            weights = ops.cast(weights, rows.dtype)
            pooled = pooling.pool(rows, weights, combiner)
        return ops.expand_dims(pooled, 1)

    def marked(self, vectors: Tensor) -> Tensor:
        """The `(b, 1, d)` vectors, with NaN for an out-of-range id."""
        if self.valid is None:
            return vectors
        return ops.where(self.valid[:, None, None], vectors, np.nan)


@dataclass(frozen=True)
class FeatureInputs:
    """What a dict of inputs must hold, and how it is read.

    Attributes:
        features: The features by name, in order.
        bounds: Upper bound of the ids of each feature, by name.
    """

    features: Mapping[str, FeatureConfig]
    bounds: Mapping[str, int]

    @property
    def single(self) -> tuple[str, ...]:
        """Names of the features with one id, in order."""
        return tuple(n for n, f in self.features.items() if f.length is None)

    def shapes(self) -> dict[str, tuple[int, str]]:
        """Length and dtype of each packed input, by name."""
        shapes = {}
        if self.single:
            shapes[PACKED] = len(self.single), "int32"
        for name, feature in self.features.items():
            if feature.length is not None:
                shapes[name] = feature.length, "int32"
                if feature.weighted:
                    shapes[f"{name}_weights"] = feature.length, "float32"
        return shapes

    def exact(self, inputs: Any, layer: str) -> dict[str, Any]:
        """The inputs as tensors or arrays that the backend keeps as they are.

        Raises:
            ValueError: If the inputs are not a dict.
        """
        if not isinstance(inputs, Mapping):
            raise ValueError(
                f"Layer '{layer}' takes a dict of ids by the names of its "
                f"features: {self._names()}. Received: inputs={shown(inputs)}"
            )
        return {
            name: wide_ids.untruncated(
                x if hasattr(x, "shape") else np.asarray(x), layer
            )
            for name, x in inputs.items()
        }

    def check(self, inputs: Mapping[str, Any], layer: str) -> None:
        """Raises a ValueError for a wrong name, form, shape or dtype."""
        wanted: dict[str, int] = {
            name: length for name, (length, _) in self.shapes().items()
        }
        if PACKED in wanted and PACKED not in inputs:
            del wanted[PACKED]
            wanted |= dict.fromkeys(self.single, 1)
        missing = [name for name in wanted if name not in inputs]
        unknown = [name for name in inputs if name not in wanted]
        if missing or unknown:
            raise ValueError(
                f"Layer '{layer}' takes a dict with the names {self._names()}. "
                f"Received: missing={missing}, unknown={unknown}"
            )
        for name, length in wanted.items():
            self._check_one(name, inputs[name], length, layer)

    def _check_one(self, name: str, x: Any, length: int, layer: str) -> None:
        shape = tuple(x.shape)
        flat = name in self.single and len(shape) == 1
        fits = len(shape) == 2 and shape[1] == length
        if bags_ops.form(x) != "dense" or not (flat or fits):
            wanted = f"(batch, {length})"
            padded = f", padded with {PADDING}"
            raise ValueError(
                f"Input '{name}' of layer '{layer}' must be a dense tensor of "
                f"shape {'(batch,) or ' * (name in self.single)}{wanted}"
                f"{padded * (name not in (*self.single, PACKED))}. "
                f"Received: {bags_ops.form(x)} values of shape {shape}"
            )
        if name == PACKED:
            limit = max(self.bounds[single] for single in self.single)
        elif name in self.features:
            limit = self.bounds[name]
        else:
            return
        ids_ops.check_dtype(x.dtype, limit, f"{layer}/{name}")

    def _names(self) -> str:
        """The names of the inputs, for error messages."""
        names = [name for name in self.shapes() if name != PACKED]
        if not self.single:
            return ", ".join(map(repr, names))
        singles = ", ".join(map(repr, (*self.single, *names)))
        return (
            f"{singles}, where '{PACKED}', of shape (batch, "
            f"{len(self.single)}), may replace {', '.join(self.single)}"
        )

    def bags(self, inputs: Mapping[str, Tensor], layer: str) -> dict[str, Bag]:
        """The checked ids of each feature, by name."""
        if PACKED in inputs:
            found = self._packed(ops.convert_to_tensor(inputs[PACKED]), layer)
        else:
            found = {}
            for name in self.single:
                ids = ops.reshape(inputs[name], (-1, 1))
                found[name] = Bag(*self._checked(name, ids, layer))
        for name, feature in self.features.items():
            if feature.length is not None:
                weights = inputs.get(f"{name}_weights")
                found[name] = self._multi(name, inputs[name], weights, layer)
        return found

    def _packed(self, ids: Tensor, layer: str) -> dict[str, Bag]:
        ids, valid = ids_ops.checked(
            ids,
            [self.bounds[name] for name in self.single],
            f"{layer}/{PACKED}",
            [f"feature '{name}'" for name in self.single],
        )
        count = len(self.single)
        known = [None] * count
        if valid is not None:
            # LiteRT splits no booleans.
            known = [valid[:, column] for column in range(count)]
        each = ops.split(ids, count, axis=1)
        return dict(zip(self.single, map(Bag, each, known), strict=True))

    def _multi(
        self, name: str, ids: Tensor, weights: Tensor | None, layer: str
    ) -> Bag:
        ids = ops.convert_to_tensor(ids)
        if backend.standardize_dtype(ids.dtype).startswith("u"):
            mask = ops.ones_like(ids, dtype="bool")
        else:
            mask = ops.not_equal(ids, PADDING)
        ids = ops.where(mask, ids, ops.zeros_like(ids))
        ids, valid = self._checked(name, ids, layer)
        if weights is not None:
            weights = ops.cast(weights, "float32")
            # A product would not do: the weight of padding may be NaN.
            weights = ops.where(mask, weights, ops.zeros_like(weights))
        return Bag(ids, valid, mask, weights)

    def _checked(
        self, name: str, ids: Tensor, layer: str
    ) -> tuple[Tensor, Tensor | None]:
        ids, valid = ids_ops.checked(ids, self.bounds[name], f"{layer}/{name}")
        return ids, None if valid is None else ops.all(valid, axis=1)
