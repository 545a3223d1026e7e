"""Maps all rare ids to one id, a baseline for compressed embeddings."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self, cast, overload

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    positive_int,
    positive_ints,
    shown,
)
from keras_pss.layers.base.fitting.fits_tables import FitsSeveralTables
from keras_pss.layers.base.multi_column import MultiColumn
from keras_pss.layers.composite.features.named_features import NamedFeatures
from keras_pss.layers.fused.popular.frequent_ids import frequent_rows
from keras_pss.ops.fitting.trained_table import TrainedTable, shared_row

Tensor = Any


class _EitherForm(MultiColumn):
    """Chooses the class by the form of the collection.

    A base class, so that the signature of `FrequencyFilter` remains that of
    its `__init__`.
    """

    def __new__(cls, embeddings: Any = None, *args: Any, **kwargs: Any) -> Self:
        if cls is FrequencyFilter and isinstance(embeddings, NamedFeatures):
            # Its module imports this one.
            from keras_pss.layers.composite import named_filter

            named = cast(type[Self], named_filter.NamedFilter)
            return super().__new__(named, embeddings, *args, **kwargs)
        return super().__new__(cls, embeddings, *args, **kwargs)


@keras.saving.register_keras_serializable("keras_pss")
class FrequencyFilter(FitsSeveralTables, _EitherForm):
    """Keeps only frequent ids; all rare ids share the row of id 0.

        E_f[i] = embeddings_f[i]   if i < limits_f,   else embeddings_f[0]

    for table f, with `limits = embeddings.input_dims`. The ids of each
    vocabulary must be sorted by frequency, with id 0 for out-of-vocabulary
    values. The layer has the effect of a smaller vocabulary without preparing
    the data again. It is the baseline that a compressed embedding has to beat.

    If the tables have names, a limit applies to all features of its table, and
    to each id of multi-hot features; padding remains padding.

    Args:
        embeddings: A collection for the frequent ids, such as
            `keras_pss.EmbeddingCollection(limits, ...)`, built or not.
        input_dims: Number of ids of each column before the filter, at least
            the number of rows of the collection's table. A dict by the names
            of the tables if they have names.
        **kwargs: `name`, `trainable` and `dtype`. The dtype defaults to the
            collection's.

    Call arguments:
        inputs: Integer ids in [0, input_dims); column f has the ids of table
            f. For tables with names, a dict, as the collection takes.

    Input shape: `(..., F)`. Output shape: `(..., F, output_dim)`. With names,
    those of the collection.

    Memory: only the parameters of the collection.

    Raises:
        ValueError: If `input_dims` do not match the tables of the collection.
            Also for an id outside [0, input_dims), as in every layer here:
            such an id is out of range, not rare.

    Example:

    ```python
    counts = [[7, 900, 20, 3, 1], [5, 700, 300]]
    limits = keras_pss.FrequencyFilter.limits(counts, min_count=10)
    limits  # (3, 3)
    tables = keras_pss.EmbeddingCollection(limits, 16, "full")
    layer = keras_pss.FrequencyFilter(tables, input_dims=[5, 3])
    layer(np.array([[4, 2]])).shape  # (1, 2, 16)
    named = keras_pss.EmbeddingCollection({"item": 3, "user": 3}, 16, "full")
    by_name = keras_pss.FrequencyFilter(named, {"item": 5, "user": 3})
    ids = {"item": np.array([4]), "user": np.array([2])}
    by_name(ids).shape  # (1, 2, 16)
    ```

    References: Song et al., "AutoInt: automatic feature interaction learning
    via self-attentive neural networks" (2019), section 5.1; Zhu et al., "Open
    benchmarking for click-through rate prediction" (2021).
    """

    nested = ("embeddings",)

    def __init__(
        self,
        embeddings: Any,
        input_dims: Sequence[int] | Mapping[str, int],
        **kwargs: Any,
    ) -> None:
        for attribute in ("input_dims", "output_dim", "parts"):
            if not hasattr(embeddings, attribute):
                raise ValueError(
                    "`embeddings` must be a collection of keras_pss, such as "
                    "keras_pss.EmbeddingCollection(limits, ...). "
                    f"Received: embeddings={shown(embeddings)}"
                )
        super().__init__(**{"dtype": embeddings.dtype_policy, **kwargs})
        self.embeddings = embeddings
        self.output_dim = embeddings.output_dim
        self.autocast = False
        self._create(input_dims)
        self.hold_nested()

    def _create(self, input_dims: Any) -> None:
        """Checks the argument that depends on the form of the collection."""
        self.input_dims = _checked_dims(input_dims, self.embeddings.input_dims)

    @overload
    @staticmethod
    def limits(
        counts: Mapping[str, npt.ArrayLike], min_count: int
    ) -> dict[str, int]: ...

    @overload
    @staticmethod
    def limits(
        counts: Sequence[npt.ArrayLike], min_count: int
    ) -> tuple[int, ...]: ...

    @staticmethod
    def limits(
        counts: Sequence[npt.ArrayLike] | Mapping[str, npt.ArrayLike],
        min_count: int,
    ) -> tuple[int, ...] | dict[str, int]:
        """Number of rows of each table if rare ids share id 0.

        Args:
            counts: One array for each column, the number of occurrences of
                each id, in descending order from id 1 on, such as
                `prepared.counts(column)`. Id 0 is always kept. Or a dict of
                arrays by the names of tables.
            min_count: Integer; ids with fewer occurrences are rare.

        Returns:
            Tuple of integers, or a dict of them by name: for each column or
            table, 1 + the number of ids from 1 on that occur at least
            `min_count` times.

        Raises:
            ValueError: If the ids of a column are not sorted by frequency.
        """
        positive_int("min_count", min_count)
        if isinstance(counts, Mapping):
            return {
                name: frequent_rows(name, given, min_count)
                for name, given in counts.items()
            }
        return tuple(
            frequent_rows(column, given, min_count)
            for column, given in enumerate(counts)
        )

    def twin(self, output_dim: int | None = None, name: str = "twin") -> Self:
        """Creates separate tables; see `EmbeddingCollection.twin`."""
        tables = self.embeddings.twin(output_dim, f"{name}_tables")
        return type(self)(tables, self.input_dims, name=name)

    def fitted_shapes(self) -> dict[Any, tuple[int | None, int]]:
        # The dims are a dict by name in the other form.
        named = isinstance(self.input_dims, Mapping)
        dims = self.input_dims.values() if named else self.input_dims
        own = self.embeddings.fitted_shapes()
        return {
            name: (rows, width)
            for rows, (name, (_, width)) in zip(dims, own.items(), strict=True)
        }

    def _limits(self) -> list[int]:
        return [rows for rows, _ in self.embeddings.fitted_shapes().values()]

    def check_fits(self) -> None:
        super().check_fits()
        self.embeddings.check_fits()

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        kept = [
            table.first_rows(limit, shared_row(table, limit))
            for table, limit in zip(tables, self._limits(), strict=True)
        ]
        self.embeddings.fit_to(kept)

    def rows_at(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self.embeddings.rows_at(
            [
                np.where(own < limit, own, 0).astype(own.dtype)
                for own, limit in zip(ids, self._limits(), strict=True)
            ]
        )

    def column_rows(
        self, ids: Tensor, valid: Tensor | None, training: bool | None
    ) -> Tensor:
        # The base class checks the ids first, since out-of-range ids would
        # otherwise pass as rare ones.
        limits = np.asarray(self.embeddings.input_dims, np.int32)
        kept = ids < ops.cast(ops.convert_to_tensor(limits), ids.dtype)
        return self.embeddings(ops.where(kept, ids, ops.zeros_like(ids)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "input_dims": self.input_dims}


def _checked_dims(
    input_dims: Any, limits: Sequence[int | None]
) -> tuple[int, ...]:
    dims = positive_ints("input_dims", input_dims, LARGEST_DIM)
    check_rows(dims, dims, limits)
    return dims


def check_rows(
    input_dims: Any, dims: Collection[int], limits: Collection[int | None]
) -> None:
    """Raises a ValueError unless each table has at least the rows it keeps.

    Args:
        input_dims: The argument of the filter, for the message.
        dims: Number of ids of each table before the filter.
        limits: Number of rows of each table; None for an open one.
    """
    if len(dims) != len(limits) or any(
        kept is None or kept > rows
        for rows, kept in zip(dims, limits, strict=True)
    ):
        raise ValueError(
            "`input_dims` must have one number for each table of "
            "`embeddings`, at least the number of rows of that table, and no "
            "table may have an open vocabulary. Received: "
            f"input_dims={input_dims} over tables of {tuple(limits)} rows"
        )
