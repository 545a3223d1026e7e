"""A table that was found in a checkpoint: what each kind has in common."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from keras_pss.convert.checkpoints.sources import Checkpoint

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ImportOptions:
    """What a checkpoint does not say; see `import_tables`."""

    operation: str | None = None
    column_shape: Any = None
    reversed_digits: bool = False
    drop_cache: bool = False


@dataclass(frozen=True)
class FoundTable:
    """A table of a checkpoint, before it is read.

    Attributes:
        name: Path of its module, such as `"emb_l.3"`; `""` for that of a
            single layer.
        parts: Key in the checkpoint of each weight, by the name of the layer's
            table: `{"quotient": "emb_l.3.weight_q", ...}`.
        shapes: Shape in the checkpoint of each weight, by the same names.
        kind: Class attribute, the method string of the layer that it becomes.
    """

    name: str
    parts: Mapping[str, str]
    shapes: Mapping[str, Shape]

    kind: ClassVar[str]

    @property
    def input_dim(self) -> int:
        """The number of ids, or the largest if the arrays do not say it."""
        raise NotImplementedError

    @property
    def output_dim(self) -> int | None:
        """The length of a row; None if the arrays do not say it."""
        raise NotImplementedError

    @property
    def layer_name(self) -> str | None:
        """The name as Keras allows it."""
        return re.sub(r"\W+", "_", self.name).strip("_") or None

    def table_shape(self, part: str) -> tuple[int, int]:
        """Shape `(rows, width)` of a table of the layer."""
        rows, width = self.shapes[part]
        return rows, width

    def rows(
        self, source: Checkpoint, part: str, begin: int, end: int
    ) -> np.ndarray:
        """Rows `[begin, end)` of a table of the layer, as float32."""
        return source.rows(self.parts[part], begin, end)

    def check(self, source: Checkpoint, options: ImportOptions) -> None:
        """Raises a ValueError if a layer would give other rows."""

    def check_layer(self, layer: Any) -> None:
        """Raises a ValueError if the weights fit but mean something else."""

    def layer(self, options: ImportOptions) -> Any:
        """Creates the layer, which is not yet built."""
        raise NotImplementedError

    def __str__(self) -> str:
        parts = [f"{self.parts[part]} {s}" for part, s in self.shapes.items()]
        return f"{self.kind}: {', '.join(parts)}"
