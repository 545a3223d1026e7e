"""Creates the sub-layers that hold the tables of a collection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_pss.layers.base.tables import TableLayer
from keras_pss.layers.composite.allocation import TableSpec
from keras_pss.layers.embedding.full_embedding import FullEmbedding
from keras_pss.layers.initial_values import table_scale


@dataclass(frozen=True)
class PartFactory:
    """Creates layers of one table or of several.

    Attributes:
        tables: All tables of the collection.
        embeddings_initializer: Initializer of each uncompressed table.
        arguments: Dict of arguments of every layer.
    """

    tables: Sequence[TableSpec]
    embeddings_initializer: Any
    arguments: Mapping[str, Any]

    def full(self, tables: Sequence[int], **kwargs: Any) -> TableLayer | None:
        """A layer of uncompressed tables of one width; None for no tables."""
        if not tables:
            return None
        return self._fused(FullEmbedding, tables, None, **kwargs)

    def shared(
        self, tables: Sequence[int], size: int | None, **kwargs: Any
    ) -> TableLayer | None:
        """A layer with one fused lookup; None if the method has none.

        Args:
            tables: Indices of tables of one width and method.
            size: Parameters of all tables together; None if the options of
                the method determine it.
            **kwargs: Further arguments of the layer.
        """
        if not tables:
            return None
        first = self.tables[tables[0]]
        return self._fused(first.cls, tables, size, **first.options, **kwargs)

    def _fused(
        self, cls: Any, tables: Sequence[int], size: int | None, **kwargs: Any
    ) -> TableLayer | None:
        return cls.fuse(
            [self.tables[table].rows for table in tables],
            self.tables[tables[0]].width,
            tables,
            size,
            **{
                "embeddings_initializer": self.embeddings_initializer,
                **self.arguments,
                **kwargs,
            },
        )

    def single(self, table: int, size: int | None) -> Any:
        """The separate layer of a table, within a size if there is one."""
        spec = self.tables[table]
        arguments = {
            **self.moved(table),
            "name": f"table_{table}",
            **spec.options,
            **self.arguments,
        }
        if size is None:
            return spec.cls.sized(spec.rows, spec.width, **arguments)
        return spec.cls.from_budget(spec.rows, spec.width, size, **arguments)

    def moved(self, table: int) -> dict[str, Any]:
        """The initializer as an argument, with another seed for each table."""
        moved = table_scale.with_seed_offset(
            self.embeddings_initializer, 100 * table
        )
        return {"embeddings_initializer": moved}
