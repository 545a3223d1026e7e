"""Narrow rows and a projection, as dlrm's `--md-flag` trains them."""

from typing import Any

import numpy as np

from keras_pss.convert.checkpoints.found_table import (
    FoundTable,
    ImportOptions,
)
from keras_pss.convert.checkpoints.sources import Checkpoint
from keras_pss.layers.embedding.mixed_dimension_embedding import (
    MixedDimensionEmbedding,
)


class FoundNarrow(FoundTable):
    """`narrow` (n, k) and `projection` (d, k), which a layer transposes."""

    kind = "mixed_dimension"

    @property
    def input_dim(self) -> int:
        return self.shapes["narrow"][0]

    @property
    def output_dim(self) -> int:
        return self.shapes["projection"][0]

    def table_shape(self, part: str) -> tuple[int, int]:
        rows, width = super().table_shape(part)
        return (width, rows) if part == "projection" else (rows, width)

    def rows(
        self, source: Checkpoint, part: str, begin: int, end: int
    ) -> np.ndarray:
        if part == "projection":
            return source.whole(self.parts[part]).T[begin:end]
        return super().rows(source, part, begin, end)

    def layer(self, options: ImportOptions) -> Any:
        width, inner = self.shapes["projection"]
        narrow = self.shapes["narrow"][1]
        if inner != narrow or inner >= width:
            raise ValueError(
                f"The rows of table {self.name!r} must be narrower than what "
                f"they are projected to. Received: rows of {narrow} columns "
                f"and a projection of shape {(width, inner)}"
            )
        return MixedDimensionEmbedding(
            self.input_dim, width, inner_dim=inner, name=self.layer_name
        )
