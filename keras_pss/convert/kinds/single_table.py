"""A stock `Embedding`, or this package's own uncompressed table."""

from collections.abc import Mapping
from typing import Any

from keras_pss import keras_internals
from keras_pss.convert.kinds.kind import Counts, Kind, described
from keras_pss.convert.kinds.table_rows import TableRows
from keras_pss.convert.report import ConvertedTable
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.embedding.methods import method_class


class SingleTable(Kind):
    """A layer with one table, which maps ids to rows."""

    # Arguments besides the inputs that calls may have.
    allowed = frozenset({"training", "mask"})

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.tables = [TableRows(layer.embeddings)]
        self.report: Any = None

    @property
    def rows(self) -> int:
        return self.tables[0].shape[0]

    @property
    def width(self) -> int:
        return self.tables[0].shape[1]

    @classmethod
    def obstacle(cls, layer: Any) -> str | None:
        if not layer.built:
            return "it is not built, so it has no trained table"
        if layer.quantization_mode is not None:
            return (
                f"its table is packed ({layer.quantization_mode}); compress "
                "the float model"
            )
        if getattr(layer, "lora_enabled", False):
            return (
                "it has LoRA weights; `save_weights` merges them: load them "
                "into a model without LoRA"
            )
        for node in keras_internals.calls_of(layer):
            if node.get("reverse"):
                return "its table is tied to an output (reverse=True)"
            if set(node) - cls.allowed:
                return f"it is called with {', '.join(set(node) - cls.allowed)}"
        if getattr(layer, "tie_weights", True) is False:
            return "it has weights for an output (tie_weights=False)"
        return None

    def _each(self, counts: Any) -> list[Any]:
        if isinstance(counts, Mapping):
            raise ValueError(
                "`counts` must be an array of one number for each id, or a "
                f"dict with one by the name of the layer, {self.name!r}. "
                f"Received: counts={described(counts)}"
            )
        return [counts]

    def create(
        self, method: str, options: Mapping[str, Any], size: int | None
    ) -> Any:
        """The layer that replaces this one, not built.

        Args:
            method: A method string.
            options: Arguments of the method.
            size: Parameters of the served layer; None if the options
                determine them.
        """
        return self._embedding(method, options, size, self.name)

    def _embedding(
        self,
        method: str,
        options: Mapping[str, Any],
        size: int | None,
        name: str,
    ) -> CompressedEmbedding:
        cls, layer = method_class(method), self.layer
        arguments = {
            "embeddings_regularizer": layer.embeddings_regularizer,
            "activity_regularizer": layer.activity_regularizer,
            "mask_zero": layer.mask_zero,
            "name": name,
            "dtype": layer.dtype_policy,
            "gradient": getattr(layer, "gradient", "auto"),
            **options,
        }
        if size is None:
            return cls.sized(self.rows, self.width, **arguments)
        return cls.from_budget(self.rows, self.width, size, **arguments)

    def fit(self, created: Any, counts: Counts, progress: Any) -> None:
        self.report = self._fitted(created).fit_table(
            self.tables[0],
            None if counts is None else counts[0],
            progress=progress,
        )

    def _fitted(self, created: Any) -> Any:
        """The embedding within the new layer."""
        return created

    def converted(
        self, created: Any, method: str, counts: Counts
    ) -> list[ConvertedTable]:
        constraint = getattr(self.layer, "embeddings_constraint", None)
        return [
            ConvertedTable(
                self.name,
                "",
                self.rows,
                self.width,
                method,
                self.tables[0].size,
                self._fitted(created).budget_size(),
                self.report.relative_error,
                self.report.weighted_relative_error,
                why="" if constraint is None else "its constraint is left out",
            )
        ]
