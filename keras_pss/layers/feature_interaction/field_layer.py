"""Base classes of the feature interactions, which check input shapes."""

from collections.abc import Sequence
from typing import Any

import keras

Tensor = Any
Shape = Sequence[int | None]


class FieldLayer(keras.layers.Layer):
    """Base of layers whose input is one tensor of feature vectors.

    Symbolic and eager calls, `build` and `compute_output_shape` raise the same
    error if the shape is not `(batch, F, d)`.
    """

    # Axes (1 for F, 2 for d) that must have a known length.
    known_axes: tuple[int, ...] = ()
    # Axes on whose lengths the shapes of the weights depend.
    weight_axes: tuple[int, ...] = ()
    # Lengths of these axes, after the layer is built.
    _built_for: tuple[int, ...] | None = None

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.check_shape(_shape_of(inputs, self.name))
        return super().__call__(inputs, *args, **kwargs)

    def check_shape(self, shape: Any) -> tuple[Any, ...]:
        """Checks a shape, and returns it as a tuple `(batch, F, d)`.

        Raises:
            ValueError: If the rank is not 3, if a length that the layer needs
                is unknown, or if the layer was built for other lengths.
        """
        shape = _one_shape(shape, self.name)
        if len(shape) != 3:
            raise ValueError(
                f"Layer '{self.name}' needs feature vectors of shape (batch, "
                "fields, dim). Stack vectors of shape (batch, dim) by "
                "keras.ops.stack(vectors, axis=1), or reshape a flat row by "
                "keras.ops.reshape(x, (-1, fields, dim)). "
                f"Received: inputs of shape {shape}"
            )
        if any(shape[axis] is None for axis in self.known_axes):
            raise ValueError(
                f"Layer '{self.name}' needs a static shape, in which "
                f"{' and '.join(_AXES[axis] for axis in self.known_axes)} "
                "must be known. Give keras.Input the whole shape, such as "
                f"(26, 16). Received: inputs of shape {shape}"
            )
        lengths = tuple(shape[axis] for axis in self.weight_axes)
        if self._built_for not in (None, lengths):
            raise ValueError(
                f"Layer '{self.name}' has weights for "
                f"{self._named(self._built_for)}. Create another layer for "
                "inputs of another shape. "
                f"Received: inputs of shape {shape}"
            )
        return shape

    def built_for(self, shape: Any) -> tuple[Any, ...]:
        """Checks a shape in `build`, and stores it for later checks."""
        shape = self.check_shape(shape)
        self._built_for = tuple(shape[axis] for axis in self.weight_axes)
        return shape

    def _named(self, lengths: tuple[int, ...]) -> str:
        return " and ".join(
            f"{_AXES[axis]} = {length}"
            for axis, length in zip(self.weight_axes, lengths, strict=True)
        )


_AXES = {1: "the number of fields", 2: "the vectors' dim"}


class CrossLayer(keras.layers.Layer):
    """Base of layers with two input tensors of one shape, `(batch, k)`."""

    # k, after the layer is built.
    _width: int | None = None

    def __call__(
        self, x0: Any, x: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if x is None or isinstance(x0, list | tuple):
            raise ValueError(
                f"Layer '{self.name}' needs two tensors. Call it as "
                "cross(x0, x), and the first layer of a stack as "
                "cross(x0, x0). Received: "
                + ("a list" if isinstance(x0, list | tuple) else "x0 alone")
            )
        self.check_shapes(
            _shape_of(x0, self.name, "x0"), _shape_of(x, self.name, "x")
        )
        return super().__call__(x0, x, *args, **kwargs)

    def check_shapes(self, x0: Any, x: Any) -> int:
        """Checks two shapes `(batch, k)`, and returns k.

        Raises:
            ValueError: If the shapes differ or are not `(batch, k)` with a
                known k, or if the layer was built for another k.
        """
        x0, x = _one_shape(x0, self.name), _one_shape(x, self.name)
        if len(x0) != 2 or len(x) != 2 or x0[1] is None or not _agree(x0, x):
            raise ValueError(
                f"Layer '{self.name}' needs two tensors of the same shape "
                "(batch, k), with a known k. Pass the inputs of the stack as "
                "x0 and the output of the previous layer as x; flatten "
                "feature vectors by keras.ops.reshape(x, (-1, k)). "
                f"Received: x0 of shape {x0}, x of shape {x}"
            )
        if self._width not in (None, x0[1]):
            raise ValueError(
                f"Layer '{self.name}' has weights for k = {self._width}. "
                "Create another layer for inputs of another width. "
                f"Received: x0 of shape {x0}"
            )
        return x0[1]

    def built_for(self, x0_shape: Any, x_shape: Any) -> int:
        """Checks shapes in `build`, and stores k for later checks."""
        self._width = self.check_shapes(x0_shape, x_shape)
        return self._width

    def compute_output_shape(
        self, x0_shape: tuple[Any, ...], x_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        self.check_shapes(x0_shape, x_shape)
        return x_shape


def _agree(x0: Shape, x: Shape) -> bool:
    """Whether two shapes can be equal; an unknown batch size may be any."""
    return x0[1] == x[1] and (None in (x0[0], x[0]) or x0[0] == x[0])


def _shape_of(inputs: Any, layer: str, argument: str = "inputs") -> Any:
    shape = getattr(inputs, "shape", None)
    if shape is None:
        what = f"a {type(inputs).__name__}"
        if isinstance(inputs, list | tuple):
            what += f" of {len(inputs)}"
        raise ValueError(
            f"Layer '{layer}' needs one tensor as `{argument}`. Stack a list "
            "of vectors of shape (batch, dim) by keras.ops.stack(vectors, "
            f"axis=1). Received: {argument} is {what}"
        )
    return shape


def _one_shape(shape: Any, layer: str) -> tuple[Any, ...]:
    """Converts a shape to a tuple, which is empty for an unknown rank.

    Raises:
        ValueError: For the shapes of a list of tensors.
    """
    try:
        found = tuple(shape)
    except (TypeError, ValueError):  # a TensorFlow shape of unknown rank
        found = ()
    if any(isinstance(length, list | tuple) for length in found):
        raise ValueError(
            f"Layer '{layer}' needs one tensor, not a list. Stack vectors of "
            "shape (batch, dim) by keras.ops.stack(vectors, axis=1). "
            f"Received: shapes {found}"
        )
    return found
