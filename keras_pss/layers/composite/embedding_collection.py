"""All embedding tables of a model, as one layer.

The budget is divided in allocation.py. A method's `fuse` creates the layer
that looks up several tables at once. The form with named tables has a class
of its own in named_collection.py. The file is long because it documents and
checks the arguments of both forms.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import keras
import numpy as np
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
    shown,
)
from keras_pss.layers.base.fitting.fits_tables import FitsSeveralTables
from keras_pss.layers.base.multi_column import MultiColumn
from keras_pss.layers.base.part_policies import policies_of, set_part_policies
from keras_pss.layers.base.tables import TableLayer
from keras_pss.layers.composite import log_tables, twins
from keras_pss.layers.composite.allocation import TableSpec, allocate
from keras_pss.layers.composite.auto_tables import (
    popular_beside,
    resolved,
)
from keras_pss.layers.composite.part_factory import PartFactory
from keras_pss.layers.embedding.methods import checked_options, method_class
from keras_pss.layers.fused.popular.popular_ids import MIN_COUNT
from keras_pss.layers.fused.popular.popularity_group import PopularityGroup
from keras_pss.layers.fused.popular.ranked_counts import ranked
from keras_pss.layers.planned.choices import is_auto
from keras_pss.ops import columns
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any


class _EitherForm(MultiColumn):
    """Chooses the class by the form of `input_dims`.

    A base class, so that the signature of `EmbeddingCollection` remains that
    of its `__init__`.
    """

    def __new__(cls, input_dims: Any = None, *args: Any, **kwargs: Any) -> Self:
        if cls is EmbeddingCollection and isinstance(input_dims, Mapping):
            # Its module imports this one.
            from keras_pss.layers.composite import named_collection

            named = cast(type[Self], named_collection.NamedCollection)
            return super().__new__(named, input_dims, *args, **kwargs)
        return super().__new__(cls, input_dims, *args, **kwargs)


@keras.saving.register_keras_serializable("keras_pss")
class EmbeddingCollection(FitsSeveralTables, _EitherForm):
    """The embedding tables of all features, compressed within one budget.

        E[..., f, :] = E_f[x[..., f]]

    Small tables stay uncompressed and are read by one gather. With ROBE the
    large tables share one memory and one fused lookup; so they do with rows
    by popularity and with hot rows that are counted in slots. With another
    method each large table has a separate layer, and the budget is divided in
    proportion to the sizes of the tables.

    Tables and features may have names instead of positions. Then several
    features may share a table, tables may differ in width and method, and
    multi-hot features are pooled:

        E[b, f, :] = pool_l E_t(f)[x_f[b, l]]

    Args:
        input_dims: Rows of each of the F tables; None for an open vocabulary
            (only ROBE and hashing methods), whose ids must be below 2^31 - 1.
            Or a dict of tables by name, each a `keras_pss.TableConfig` or a
            number of rows.
        output_dim: Integer d, the length of a row in all tables without a
            width of their own.
        method: Any method string of `keras_pss.embedding`. Defaults to
            `"robe"`. `"auto"` chooses by the budget and `counts`; the
            attributes `method`, `options` and `budget` are then those of the
            choice, and `why` explains it.
        budget: Upper bound on everything that the served tables store
            together: a ratio such as `"1000x"` (the default), an int
            (parameters, four bytes each) or a string such as `"10MB"`.
            `"full"` ignores it. None if `options` determine the size of each
            compressed table, as in papers: `{"rank": 32}`, or
            `{"memory_size": 540_000}` for the single memory of ROBE.
        min_rows: Integer; tables with fewer rows stay uncompressed. By
            default the smallest tables do, up to a quarter of the budget, or
            none if there is no budget or the method divides it by a rule of
            its own.
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
        features: Dict of features by name, each a `keras_pss.FeatureConfig`
            or the name of its table. Only for tables with names; defaults to
            one feature for each table, with its name and one id.
        dense: List of names of dense features, or a dict of their lengths by
            name. The layer does not use them; the models of
            `keras_pss.models` make an input for them. Only for tables with
            names; defaults to none.
        counts: For each table the number of occurrences of each id, in
            descending order from id 1 on, such as `prepared.counts(name)`; a
            dict for tables with names. `method="auto"`, `"popularity"` and,
            with the option `alpha`, `"mixed_dimension"` use them; the latter
            two only without `min_rows` and if no table has a width, a method
            or options of its own. The config does not keep them. Defaults to
            None, unknown.
        **kwargs: `name`, `dtype` and `trainable`.

    Call arguments:
        inputs: Integer ids; column f has the ids of table f. For tables with
            names, a dict: the ids of each feature by its name, and the
            weights of feature `x` as `"x_weights"`. A tensor named
            `"categorical"` may replace all features with one id; column f has
            the ids of the f-th of them.

    Input shape: `(..., F)`. With names, `(batch,)` or `(batch, 1)` for a
    feature with one id and `(batch, length)` for a multi-hot one, padded with
    -1.
    Output shape: `(..., F, output_dim)`. With names, `(batch, F, output_dim)`
    if the tables of all F features have the same width; otherwise a dict of
    `(batch, width)` by name.

    Memory: at most the budget; see `memory_report()`.

    Raises:
        ValueError: If the method has no size within the budget; the message
            states the smallest feasible budget. Also for an out-of-range id,
            as in every layer here, and for a missing or unknown name.

    Example:

    ```python
    layer = keras_pss.EmbeddingCollection(
        [1_000_000, 50_000, 12], 16, method="robe", budget="100x"
    )
    layer(np.array([[999_999, 7, 11]])).shape  # (1, 3, 16)
    named = keras_pss.EmbeddingCollection(
        {"user": 1_000_000, "item": 50_000},
        16,
        budget="100x",
        features={
            "user": "user",
            "item": "item",
            "viewed": keras_pss.FeatureConfig("item", length=4),
        },
    )
    ids = {
        "user": np.array([999_999]),
        "item": np.array([7]),
        "viewed": np.array([[3, 49_999, -1, -1]]),
    }
    named(ids).shape  # (1, 3, 16)
    ```

    References: Desai et al., "Random Offset Block Embedding (ROBE)",
    section 3 (one array for all tables).
    """

    def __init__(
        self,
        input_dims: Sequence[int | None] | Mapping[str, Any],
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
        features: Mapping[str, Any] | None = None,
        dense: Mapping[str, int] | Sequence[str] | None = None,
        counts: Sequence[Any] | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_dim = positive_int("output_dim", output_dim, LARGEST_ROW)
        parsed = None if budget is None else Budget.parse(budget)
        given = checked_options(
            method, {} if options is None else options, budget is None
        )
        if min_rows is not None:
            non_negative_int("min_rows", min_rows)
        choice = resolved(
            input_dims, output_dim, method, parsed, given, counts, min_rows
        )
        self.method = choice.method
        self.budget = choice.budget
        self.options = choice.options
        if choice.why:
            self.why = choice.why
        if choice.budget is not None:
            implied = method_class(choice.method).budget_options(
                Budget.parse(choice.budget)
            )
            self.options = {**implied, **self.options}
        self.min_rows = min_rows
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
        self._create(input_dims, features, dense)

    def _create(self, input_dims: Any, features: Any, dense: Any) -> None:
        """Creates the parts from the arguments that depend on the form."""
        if features is not None or dense is not None:
            raise ValueError(
                "`features` and `dense` belong to tables with names. Give "
                "`input_dims` as a dict of tables by name. Received: "
                f"features={shown(features)}, dense={shown(dense)} with "
                f"input_dims={shown(input_dims)}"
            )
        self.input_dims = _checked_dims(input_dims, self.method, self.options)
        parts = self._divided()
        sizes: Sequence[Any] = self._allocation.sizes
        compressed = self._allocation.compressed
        self.full: TableLayer | None = parts.full(
            self._allocation.full, name="full"
        )
        self.shared: Any = parts.shared(
            compressed, sizes[0] if sizes else None, name="shared"
        )
        self.single: list[Any] = []
        if self.shared is None:
            self.single = [
                parts.single(table, size)
                for table, size in zip(
                    compressed, sizes or [None] * len(compressed), strict=True
                )
            ]

    def specs(self) -> list[TableSpec]:
        """The tables, in the order of `input_dims`."""
        return [
            TableSpec(rows, self.output_dim, self.method, dict(self.options))
            for rows in self.input_dims
        ]

    def uncompressed(self) -> tuple[int, ...]:
        """Indices of the tables that stay uncompressed."""
        return tuple(self._allocation.full)

    def _divided(self) -> PartFactory:
        """Divides the budget; returns what creates the parts."""
        tables = self.specs()
        budget = None if self.budget is None else Budget.parse(self.budget)
        self._allocation = allocate(
            tables,
            budget,
            self.min_rows,
            # A budget in bytes has always counted index tables.
            self.count_index or (budget is not None and budget.is_bytes),
        )
        return PartFactory(
            tables,
            self.embeddings_initializer,
            {
                "dtype": self.dtype_policy,
                "embeddings_regularizer": self.embeddings_regularizer,
                "embeddings_constraint": self.embeddings_constraint,
                "gradient": self.gradient,
            },
        )

    @classmethod
    def from_counts(
        cls,
        counts: Sequence[Any] | Mapping[str, Any],
        output_dim: int,
        budget: Budget | str | int = "1000x",
        min_count: int = MIN_COUNT,
        inner_dim: int | Sequence[int] | None = None,
        storage: str | None = None,
        tail: str = "oov",
        **kwargs: Any,
    ) -> Self:
        """Creates tables with rows for the most frequent ids of all columns.

        The method is `"popularity"`; see `keras_pss.PopularityEmbedding`. A
        budget first buys a row for each frequent id, then wider rows.

        Args:
            counts: For each table the number of occurrences of each id, such
                as `prepared.counts(name)`; a dict for tables with names. Id 0
                is for out-of-vocabulary values and always has a row. Where
                the counts do not descend from id 1 on, an index of four bytes
                a row, which the budget counts, finds the rows.
            output_dim, budget: As in the class.
            min_count: Integer; ids that occur less often share the row of id
                0 of their table, whatever the budget. Defaults to 4.
            inner_dim: Integer, the length of the rows in memory, or a list of
                falling numbers for bands of ids. Defaults to the largest
                integer within the budget.
            storage: `"float32"`, `"int8"` or `"int4"`. By default a ratio or
                a number of parameters buys float32, and bytes buy int4, or a
                wider storage where rows of `output_dim` numbers leave room.
            tail: `"oov"` (the default), `"hash"` or `"robe"`: what the ids
                without a row share.
            **kwargs: Further arguments of the class.

        Raises:
            ValueError: If `counts` is not a list of arrays, or the budget is
                too small for the uncompressed tables of fewer than `min_rows`
                rows and a row of each other table.
        """
        named = isinstance(counts, Mapping)
        each = list(counts.values()) if isinstance(counts, Mapping) else counts
        in_order, ids = ranked(each)
        indexed = tuple(order is not None for order in ids)
        found = popular_beside(
            in_order,
            output_dim,
            budget,
            kwargs.get("min_rows"),
            indexed,
            min_count=min_count,
            inner_dim=inner_dim,
            storage=storage,
            tail=tail,
        )
        if any(indexed):
            found["ids"] = indexed
        rows = [len(column) for column in in_order]
        layer = cls(
            dict(zip(counts, rows, strict=True)) if named else rows,
            output_dim,
            "popularity",
            None,
            options={**kwargs.pop("options", {}), **found},
            **kwargs,
        )
        for part in layer.parts():
            if isinstance(part, PopularityGroup):
                part.keep_most_frequent(ids)
        return layer

    @classmethod
    def for_log(
        cls,
        log: Any,
        output_dim: int,
        method: str = "robe",
        budget: Budget | str | int | None = "1000x",
        **kwargs: Any,
    ) -> Self:
        """Creates the tables of all features of a prepared log.

        Args:
            log: A prepared log, such as `keras_pss.data.prepare` returns. Its
                `schema` describes the features, and its `tables` are the
                number of rows of each table by name. A method that ranks ids,
                such as `"popularity"`, takes the counts of the log's ids;
                `"auto"` its labels as well.
            output_dim, method, budget, **kwargs: Arguments of the class.

        Returns:
            A collection with named tables. It takes the inputs that the log's
            pipeline yields, `"categorical"` and one for each multi-hot
            feature, and knows the dense features of the log.

        Raises:
            ValueError: If `log` has no schema and tables.
        """
        tables = log_tables.arguments(log)
        if "counts" not in kwargs and budget is not None:
            if is_auto(method):
                known = log_tables.knowledge(log)
                options = kwargs.pop("options", None) or {}
                kwargs |= known
                kwargs["options"] = {**known.get("options", {}), **options}
            else:
                kwargs["counts"] = log_tables.counts(log)
        return cls(
            **tables,
            output_dim=output_dim,
            method=method,
            budget=budget,
            **kwargs,
        )

    def twin(self, output_dim: int | None = None, name: str = "twin") -> Any:
        """Creates separate tables for the same ids.

        They have the same method, or are hashed if the method has no table of
        that width within the budget. A budget that is a ratio stays the same,
        any other is multiplied by the ratio of the widths.

        Args:
            output_dim: Integer, the length of all rows, such as 1 for
                first-order weights. Defaults to None, the same as here.
            name: Name of the layer.

        Raises:
            ValueError: If `options` instead of a budget determine the size of
                tables of another width.
        """
        return twins.twin(self, output_dim, name)

    def parts(self) -> list[Any]:
        parts = [self.full, self.shared, *self.single]
        return [part for part in parts if part is not None]

    def fitted_shapes(self) -> dict[Any, tuple[int | None, int]]:
        return {
            place: (rows, self.output_dim)
            for place, rows in enumerate(self.input_dims)
        }

    def part_tables(self) -> list[tuple[Any, tuple[int, ...]]]:
        """The parts, and the indices of the tables of each."""
        full, others = self._allocation.full, self._allocation.compressed
        found = [(self.full, full), (self.shared, others)]
        found += [
            (layer, (table,))
            for layer, table in zip(self.single, others, strict=False)
        ]
        return [(part, tuple(t)) for part, t in found if part is not None]

    def check_fits(self) -> None:
        super().check_fits()
        for part in self.parts():
            part.check_fits()

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        for part, own in self.part_tables():
            part.fit_to([tables[table] for table in own])

    def rows_at(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for part, own in self.part_tables():
            rows = part.rows_at([ids[table] for table in own])
            found |= zip(own, rows, strict=True)
        return [found[table] for table in range(len(ids))]

    def column_rows(
        self, ids: Tensor, valid: Tensor | None, training: bool | None
    ) -> Tensor:
        full, width = self._allocation.full, len(self.input_dims)
        of_full, of_others = columns.split(ids, full, width)
        first = None if self.full is None else self.full(of_full)
        second = None
        if self.shared is not None:
            second = self.shared(of_others)
            if training and self.shared.observes:
                self.shared.observe(of_others, self._of_others(valid))
        elif self.single:
            rows = [
                layer.rows(of_others[:, place])
                for place, layer in enumerate(self.single)
            ]
            if training:
                self._observe(of_others, valid)
            second = ops.stack(rows, axis=1)
        return columns.join(first, second, full, width)

    def _of_others(self, valid: Tensor | None) -> Tensor | None:
        """The columns of compressed tables."""
        if valid is None:
            return None
        return ops.take(valid, list(self._allocation.compressed), axis=1)

    def _observe(self, ids: Tensor, valid: Tensor | None) -> None:
        """Passes the ids of a training step to the separate layers."""
        for place, layer in enumerate(self.single):
            column = self._allocation.compressed[place]
            mask = None if valid is None else valid[:, column]
            layer.observe(ids[:, place], mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **policies_of(self),
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
            **self._unwritten_ids(),
        }

    def _unwritten_ids(self) -> dict[str, Any]:
        """The ids with a row that no weight has yet, by the part's place."""
        found = {
            str(place): part.unwritten_ids()
            for place, part in enumerate(self.parts())
            if isinstance(part, PopularityGroup)
        }
        found = {k: ids for k, ids in found.items() if ids is not None}
        return {"kept_ids": found} if found else {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        given = {"count_index": False, **config}
        policies = given.pop("part_dtypes", None)
        kept = given.pop("kept_ids", {})
        layer = cls(**given)
        for place, ids in kept.items():
            layer.parts()[int(place)].keep_ids(ids)
        set_part_policies(layer, policies)
        return layer


def _checked_dims(
    input_dims: Sequence[int | None], method: str, options: Mapping[str, Any]
) -> tuple[int | None, ...]:
    dims = tuple(as_sequence("input_dims", input_dims, "numbers of rows"))
    if not dims:
        raise ValueError(
            "`input_dims` must have at least one table. Received: []"
        )
    open_vocabulary = method_class(method).takes_open_vocabulary(options)
    for rows in dims:
        if rows is not None or not open_vocabulary:
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
