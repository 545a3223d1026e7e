"""keras-rs' `EmbedReduce`: an embedding that pools the rows of its ids."""

from collections.abc import Mapping
from typing import Any

from keras_pss import keras_internals
from keras_pss.convert.kinds.single_table import SingleTable
from keras_pss.layers.composite.embedding_bag import EmbeddingBag


class PooledTable(SingleTable):
    """A layer with one table, which maps bags of ids to pooled rows.

    It is known by its registered name, since keras-rs need not be installed.
    """

    REGISTERED = "keras_rs>EmbedReduce"
    allowed = SingleTable.allowed | {"weights"}

    @classmethod
    def obstacle(cls, layer: Any) -> str | None:
        if any(rank < 2 for rank in keras_internals.input_ranks(layer)):
            return "it is called on ids without an axis of bags"
        return super().obstacle(layer)

    def create(
        self, method: str, options: Mapping[str, Any], size: int | None
    ) -> Any:
        # With `mask_zero` keras-rs pools the row of id 0 all the same.
        own = {**options, "mask_zero": False, "activity_regularizer": None}
        table = self._embedding(method, own, size, f"{self.name}_table")
        return EmbeddingBag(
            table,
            self.layer.combiner,
            name=self.name,
            activity_regularizer=self.layer.activity_regularizer,
        )

    def _fitted(self, created: Any) -> Any:
        return created.embedding
