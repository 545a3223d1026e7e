"""A table of rows, as `nn.Embedding` and `nn.EmbeddingBag` have it."""

from typing import Any

from keras_pss.convert.checkpoints.found_table import (
    FoundTable,
    ImportOptions,
)
from keras_pss.layers.embedding.full_embedding import FullEmbedding


class FoundRows(FoundTable):
    """`embeddings` (n, d)."""

    kind = "full"

    @property
    def input_dim(self) -> int:
        return self.shapes["embeddings"][0]

    @property
    def output_dim(self) -> int:
        return self.shapes["embeddings"][1]

    def layer(self, options: ImportOptions) -> Any:
        # The values are replaced, and zeros take the least memory.
        return FullEmbedding(
            self.input_dim, self.output_dim, "zeros", name=self.layer_name
        )
