"""An input or output of a signature."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of a tensor.

    Args:
        name: Its name in the signature.
        dtype: NumPy's name of its dtype, or `"string"`.
        shape: Its shape, None for axes of any size; the first axis are the
            rows. None if the number of axes is unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def shown_shape(self) -> str:
        """Such as `(?, 13)`."""
        if self.shape is None:
            return "(...)"
        sizes = ["?" if size is None else str(size) for size in self.shape]
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
