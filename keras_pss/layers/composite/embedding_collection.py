"""All embedding tables of a model, as one layer.

The budget is divided in allocation.py. A method's `fuse` creates the layer
that looks up several tables at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
from keras import initializers, ops

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    LARGEST_ROW,
    as_sequence,
    boolean,
    fetched,
    non_negative_int,
    positive_int,
)
from keras_pss.layers.base.multi_column import MultiColumn
from keras_pss.layers.base.tables import TableLayer
from keras_pss.layers.composite.allocation import allocate
from keras_pss.layers.embedding.full_embedding import FullEmbedding
from keras_pss.layers.embedding.methods import checked_options, method_class
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops import columns

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class EmbeddingCollection(MultiColumn):
    """The embedding tables of all features, compressed within one budget.

        E[..., f, :] = E_f[x[..., f]]

    Small tables stay uncompressed and are read by one gather. With ROBE the
    large tables share one memory and one fused lookup. With another method
    each large table has a separate layer, and the budget is divided in
    proportion to the sizes of the tables.

    Args:
        input_dims: Rows of each of the F tables; None for an open vocabulary
            (only ROBE and hashing methods), whose ids must be below 2^31 - 1.
        output_dim: Integer d, the length of a row in all tables.
        method: Any method string of `keras_pss.embedding`. Defaults to
            `"robe"`.
        budget: Upper bound on everything that the served tables store
            together: a ratio such as `"1000x"` (the default), an int
            (parameters, four bytes each) or a string such as `"10MB"`.
            `"full"` ignores it. None if `options` determine the size of each
            compressed table, as in papers: `{"rank": 32}`, or
            `{"memory_size": 540_000}` for the single memory of ROBE.
        min_rows: Integer; tables with fewer rows stay uncompressed. By
            default the smallest tables do, up to a quarter of the budget, or
            none if there is no budget.
        options: Dict of further arguments of the method's layer, such as
            `{"block_size": 8}` or `{"gauge": "last_core"}`.
        embeddings_initializer: Initializer of each uncompressed `(n, d)`
            table. Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of each trained weight.
        embeddings_constraint: Constraint of each trained weight.
        gradient: `"auto"`, `"dense"` or `"sparse"`; see `CompressedEmbedding`.
        count_index: Boolean, whether a budget that is a ratio or a number
            counts index tables. False only for collections that were saved
            by versions that did not count them, so that their tables keep
            their sizes.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: Integer ids; column f has the ids of table f.

    Input shape: `(..., F)`. Output shape: `(..., F, output_dim)`.

    Memory: at most the budget; see `memory_report()`.

    Raises:
        ValueError: If the method has no size within the budget; the message
            states the smallest feasible budget. Also for an out-of-range id,
            as in every layer here.

    Example:

    ```python
    layer = keras_pss.EmbeddingCollection(
        [1_000_000, 50_000, 12], 16, method="robe", budget="100x"
    )
    layer(np.array([[999_999, 7, 11]])).shape  # (1, 3, 16)
    ```

    References: Desai et al., "Random Offset Block Embedding (ROBE)",
    section 3 (one array for all tables).
    """

    def __init__(
        self,
        input_dims: Sequence[int | None],
        output_dim: int,
        method: str = "robe",
        budget: Budget | str | int | None = "1000x",
        min_rows: int | None = None,
        options: Mapping[str, Any] | None = None,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        gradient: str = "auto",
        count_index: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dims = _checked_dims(input_dims, method)
        self.output_dim = positive_int("output_dim", output_dim, LARGEST_ROW)
        self.method = method
        parsed = None if budget is None else Budget.parse(budget)
        self.budget = None if parsed is None else parsed.form
        if min_rows is not None:
            non_negative_int("min_rows", min_rows)
        self.min_rows = min_rows
        self.options = checked_options(
            method, {} if options is None else options, budget is None
        )
        self.embeddings_initializer = fetched(
            "embeddings_initializer", initializers.get, embeddings_initializer
        )
        self.embeddings_regularizer = fetched(
            "embeddings_regularizer",
            keras.regularizers.get,
            embeddings_regularizer,
        )
        self.embeddings_constraint = fetched(
            "embeddings_constraint",
            keras.constraints.get,
            embeddings_constraint,
        )
        self.gradient = gradient
        self.count_index = boolean("count_index", count_index)
        self.autocast = False
        self._allocation = allocate(
            self.input_dims,
            output_dim,
            method,
            parsed,
            min_rows,
            self.options,
            # A budget in bytes has always counted index tables.
            count_index or (parsed is not None and parsed.is_bytes),
        )
        common = {
            "dtype": self.dtype_policy,
            "embeddings_regularizer": self.embeddings_regularizer,
            "embeddings_constraint": self.embeddings_constraint,
            "gradient": gradient,
        }
        self.full: TableLayer | None = self._full(common)
        self.shared: TableLayer | None = self._shared(common)
        self.single: list[Any] = self._single(common)

    def _dims(self, columns: Sequence[int]) -> list[Any]:
        return [self.input_dims[column] for column in columns]

    def _full(self, common: dict[str, Any]) -> TableLayer | None:
        if not self._allocation.full:
            return None
        return FullEmbedding.fuse(
            self._dims(self._allocation.full),
            self.output_dim,
            self._allocation.full,
            embeddings_initializer=self.embeddings_initializer,
            name="full",
            **common,
        )

    def _shared(self, common: dict[str, Any]) -> TableLayer | None:
        columns = self._allocation.compressed
        if not columns:
            return None
        sizes = self._allocation.sizes
        return method_class(self.method).fuse(
            self._dims(columns),
            self.output_dim,
            columns,
            sum(sizes) if sizes else None,
            embeddings_initializer=self.embeddings_initializer,
            name="shared",
            **self.options,
            **common,
        )

    def _single(self, common: dict[str, Any]) -> list[Any]:
        if self.shared is not None:
            return []
        cls = method_class(self.method)
        layers = []
        for place, column in enumerate(self._allocation.compressed):
            shape = (self.input_dims[column], self.output_dim)
            arguments = {
                "embeddings_initializer": table_scale.with_seed_offset(
                    self.embeddings_initializer, 100 * column
                ),
                "name": f"table_{column}",
                **self.options,
                **common,
            }
            if self.budget is None:
                layer = cls.sized(*shape, **arguments)
            else:
                size = self._allocation.sizes[place]
                layer = cls.from_budget(*shape, size, **arguments)
            layers.append(layer)
        return layers

    def parts(self) -> list[Any]:
        parts = [self.full, self.shared, *self.single]
        return [part for part in parts if part is not None]

    def column_rows(
        self, ids: Tensor, valid: Tensor | None, training: bool | None
    ) -> Tensor:
        full, width = self._allocation.full, len(self.input_dims)
        of_full, of_others = columns.split(ids, full, width)
        first = None if self.full is None else self.full(of_full)
        second = None
        if self.shared is not None:
            second = self.shared(of_others)
        elif self.single:
            rows = [
                layer.lookup(of_others[:, place])
                for place, layer in enumerate(self.single)
            ]
            if training:
                self._observe(of_others, valid)
            second = ops.stack(rows, axis=1)
        return columns.join(first, second, full, width)

    def _observe(self, ids: Tensor, valid: Tensor | None) -> None:
        """Passes the ids of a training step to the separate layers."""
        for place, layer in enumerate(self.single):
            column = self._allocation.compressed[place]
            mask = None if valid is None else valid[:, column]
            layer.observe(ids[:, place], mask)

    def get_config(self) -> dict[str, Any]:
        # `model.quantize` may have quantized the parts one by one; a copy must
        # be built with their policy.
        policy = self.parts()[0].dtype_policy
        return {
            **super().get_config(),
            "dtype": keras.dtype_policies.serialize(policy),
            "input_dims": self.input_dims,
            "output_dim": self.output_dim,
            "method": self.method,
            "budget": self.budget,
            "min_rows": self.min_rows,
            "options": _plain(self.options),
            "embeddings_initializer": initializers.serialize(
                self.embeddings_initializer
            ),
            "embeddings_regularizer": keras.regularizers.serialize(
                self.embeddings_regularizer
            ),
            "embeddings_constraint": keras.constraints.serialize(
                self.embeddings_constraint
            ),
            "gradient": self.gradient,
            "count_index": self.count_index,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{"count_index": False, **config})


def _checked_dims(
    input_dims: Sequence[int | None], method: str
) -> tuple[int | None, ...]:
    dims = tuple(as_sequence("input_dims", input_dims, "numbers of rows"))
    if not dims:
        raise ValueError(
            "`input_dims` must have at least one table. Received: []"
        )
    for rows in dims:
        if rows is not None or not method_class(method).open_vocabulary:
            positive_int("input_dims", rows, LARGEST_DIM)
    return dims


def _plain(value: Any) -> Any:
    """Converts the containers in which Keras tracks an attribute to plain."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        kind = tuple if isinstance(value, tuple) else list
        return kind(map(_plain, value))
    return value
