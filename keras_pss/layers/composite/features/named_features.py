"""What models read of a layer whose features have names."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.composite import Composite
from keras_pss.layers.composite.features.feature_config import FeatureConfig
from keras_pss.layers.composite.features.feature_inputs import (
    PACKED,
    Bag,
    FeatureInputs,
)

Tensor = Any


class NamedFeatures(Composite):
    """Base of layers that map a dict of ids to a vector of each feature.

    A subclass sets the attributes and defines `pooled` and `table_rows`. It
    lists this class before its other bases, whose `call` is for a tensor.

    Attributes:
        features: The features by name, in order.
        dense: Lengths of dense features by name, for which models make an
            input. The layer does not use them.
        output_dim: Length of a row in tables without a width of their own.
        widths: Lengths of the features' vectors, in order.
    """

    features: Mapping[str, FeatureConfig]
    dense: Mapping[str, int]
    output_dim: int
    widths: tuple[int, ...]
    _inputs: FeatureInputs

    def pooled(
        self, bags: Mapping[str, Bag], training: bool | None
    ) -> dict[str, Tensor]:
        """Maps checked ids to vectors, `(b, 1, width)`, by feature.

        Args:
            bags: The ids of each feature, by name.
            training: Boolean, whether sub-layers may count the ids.
        """
        raise NotImplementedError

    def table_rows(self) -> dict[str, int | None]:
        """Number of ids of each table, by name; None for an open one."""
        raise NotImplementedError

    @property
    def same_width(self) -> bool:
        """Whether the vectors of all features have the same length."""
        return len(set(self.widths)) == 1

    def inputs(self) -> dict[str, tuple[int, str]]:
        """Length and dtype of each input of ids and weights, by name.

        All single-valued features together are the input `"categorical"`.
        """
        return self._inputs.shapes()

    def reads(self) -> Any:
        """What another such layer must share to read the same inputs."""
        return dict(self.features), self.table_rows()

    def packed_names(self) -> dict[str, dict[str, int]]:
        """The features within each packed input, with their lengths."""
        packed = {
            "dense": dict(self.dense),
            PACKED: dict.fromkeys(self._inputs.single, 1),
        }
        return {name: within for name, within in packed.items() if within}

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        # Not that of other bases, which takes a single tensor.
        inputs = self._inputs.exact(inputs, self.name)
        return Composite.__call__(self, inputs, *args, **kwargs)

    def call(
        self, inputs: Mapping[str, Tensor], training: bool | None = None
    ) -> Any:
        self._inputs.check(inputs, self.name)
        bags = self._inputs.bags(inputs, self.name)
        vectors = self.pooled(bags, training)
        each = [
            ops.cast(bags[name].marked(vectors[name]), self.compute_dtype)
            for name in self.features
        ]
        if self.same_width:
            return ops.concatenate(each, axis=1)
        return {
            name: ops.squeeze(vector, 1)
            for name, vector in zip(self.features, each, strict=True)
        }

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch = next(iter(input_shape.values()))[0]
        if self.same_width:
            return (batch, len(self.widths), self.widths[0])
        return {
            name: (batch, width)
            for name, width in zip(self.features, self.widths, strict=True)
        }

    def compute_output_spec(
        self, inputs: Mapping[str, Any], training: bool | None = None
    ) -> Any:
        self._inputs.check(inputs, self.name)
        shapes = self.compute_output_shape(
            {name: tuple(x.shape) for name, x in inputs.items()}
        )
        if self.same_width:
            return keras.KerasTensor(shapes, dtype=self.compute_dtype)
        return {
            name: keras.KerasTensor(shape, dtype=self.compute_dtype)
            for name, shape in shapes.items()
        }
