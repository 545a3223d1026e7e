"""Quotient and remainder tables, as dlrm's `--qr-flag` trains them."""

from typing import Any

from keras_pss.convert.checkpoints.found_table import (
    FoundTable,
    ImportOptions,
)
from keras_pss.layers.embedding.qr_embedding import OPERATIONS, QREmbedding
from keras_pss.messages import shown


class FoundQuotients(FoundTable):
    """`quotient` (⌈n/c⌉, d) and `remainder` (c, d)."""

    kind = "qr"

    @property
    def input_dim(self) -> int:
        return self.shapes["quotient"][0] * self.shapes["remainder"][0]

    @property
    def output_dim(self) -> None:
        return None

    def layer(self, options: ImportOptions) -> Any:
        if options.operation not in OPERATIONS:
            raise ValueError(
                f"A checkpoint does not say how table {self.name!r} combines "
                "quotients and remainders. Give `operation`, 'mult' (the "
                "default of dlrm's --qr-operation), 'add' or 'concat'. "
                f"Received: operation={shown(options.operation)}"
            )
        widths = [shape[1] for shape in self.shapes.values()]
        if widths[0] != widths[1]:
            raise ValueError(
                "A QREmbedding has quotients and remainders of the same "
                "width. Import them as two tables, and concatenate their "
                f"rows: `layers={[*self.parts.values()]}`. "
                f"Received: widths {widths} in table {self.name!r}"
            )
        return QREmbedding(
            self.input_dim,
            sum(widths) if options.operation == "concat" else widths[0],
            num_buckets=self.shapes["remainder"][0],
            operation=options.operation,
            name=self.layer_name,
        )
