"""What a budget or a method's options make of hot rows and their embedding."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from keras_pss.layers.base.checks import shown
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.composite.hot.hot_cache import HotCache
from keras_pss.layers.composite.hot.hot_group import HotGroup
from keras_pss.layers.composite.hot.hot_options import (
    OWN_OPTIONS,
    divided,
    row_dim_of,
    smallest_hot,
    unsized_capacity,
)
from keras_pss.layers.composite.hot.hot_sizes import HotSizes, all_rows


class HotBudgets(HotCache, CompressedEmbedding):
    """The part of `HotRows` that divides a size between rows and embedding."""

    embedding: CompressedEmbedding

    @classmethod
    def shares_memory(cls, options: Mapping[str, Any]) -> bool:
        own, inner, rest = divided(options)
        # The tables of other collections have always been separate.
        return own.get("counts") == "slots" and inner.fuses_cold(rest)

    @classmethod
    def takes_open_vocabulary(cls, options: Mapping[str, Any]) -> bool:
        own, inner, rest = divided(options)
        slots = own.get("counts") == "slots"
        return slots and inner.takes_open_vocabulary(rest)

    @classmethod
    def option_names(cls, options: Mapping[str, Any]) -> list[str]:
        _, inner, rest = divided(options)
        own = ["inner", "method", "capacity", *OWN_OPTIONS]
        own += ["row_dim"] if cls.shares_memory(options) else []
        return [*own, *inner.option_names(rest)]

    @classmethod
    def size_name(cls, options: Mapping[str, Any]) -> str:
        _, inner, rest = divided(options)
        return inner.size_name(rest)

    @classmethod
    def sized(
        cls,
        input_dim: Any,
        output_dim: int,
        *,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> Self:
        own, inner, options = divided(kwargs)
        cls._check_rows(input_dim, kwargs)
        capacity = unsized_capacity(capacity, input_dim)
        return cls(
            inner.sized(input_dim, output_dim, **options), capacity, **own
        )

    @classmethod
    def _check_rows(cls, input_dim: Any, arguments: Mapping[str, Any]) -> None:
        """Raises an error for what a table alone cannot have."""
        if arguments.get("row_dim") is not None:
            raise ValueError(
                "`row_dim` belongs to tables that share hot rows: give it in "
                "the `options` of an EmbeddingCollection, or leave it out. "
                f"Received: row_dim={shown(arguments['row_dim'])}"
            )
        if input_dim is None and not cls.takes_open_vocabulary(arguments):
            raise ValueError(
                "`input_dim` must be a positive integer, unless ids are "
                "counted with counts='slots' over a method for open "
                "vocabularies, such as inner='hash'. Received: input_dim=None"
            )

    @classmethod
    def smallest_size(
        cls, input_dim: Any, output_dim: int, **kwargs: Any
    ) -> int:
        _, inner, options = divided(kwargs)
        cls._check_rows(input_dim, kwargs)
        inner.check_unsized(options)
        least = inner.smallest_size(input_dim, output_dim, **options)
        return least + smallest_hot([input_dim], output_dim, kwargs)

    @classmethod
    def smallest_together(
        cls, input_dims: Sequence[Any], output_dim: int, **kwargs: Any
    ) -> int:
        if not cls.shares_memory(kwargs):
            return super().smallest_together(input_dims, output_dim, **kwargs)
        own, inner, options = divided(kwargs)
        inner.check_unsized(options)
        least = inner.smallest_cold(
            input_dims, row_dim_of(own, output_dim), **options
        )
        return least + smallest_hot(input_dims, output_dim, kwargs)

    @classmethod
    def index_size(cls, input_dim: Any, output_dim: int, **kwargs: Any) -> int:
        """Size of what hot rows store besides their numbers."""
        _, inner, options = divided(kwargs)
        capacity = kwargs.get("capacity") or 1
        index = inner.index_size(input_dim, output_dim, **options)
        hot = smallest_hot([input_dim], output_dim, kwargs)
        return index + hot - capacity * output_dim

    @classmethod
    def of_size(
        cls,
        size: int,
        input_dim: Any,
        output_dim: int,
        *,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> Self:
        own, inner, options = divided(kwargs)
        sizes = HotSizes.of(own, [input_dim], output_dim)
        least = inner.smallest_size(input_dim, output_dim, **options)
        capacity = sizes.capacity(capacity, [input_dim], size, least)
        embedding = inner.of_size(
            size - sizes.total(capacity), input_dim, output_dim, **options
        )
        return cls(embedding, capacity, **own)

    @classmethod
    def fuse(
        cls,
        input_dims: Sequence[Any],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> HotGroup | None:
        """Creates one table of hot rows for several tables.

        Without `counts="slots"`, the tables of a collection have separate
        hot rows.
        """
        if not cls.shares_memory(kwargs):
            return None
        own, inner, options = divided(kwargs)
        row_dim = row_dim_of(own, output_dim)
        cold_size = None
        if size is None:
            capacity = unsized_capacity(capacity, all_rows(input_dims))
        else:
            own["row_dim"] = row_dim
            sizes = HotSizes.of(own, input_dims, output_dim)
            least = inner.smallest_cold(input_dims, row_dim, **options)
            capacity = sizes.capacity(capacity, input_dims, size, least)
            cold_size = size - sizes.total(capacity)
        cold: Any = inner.fuse_cold(
            input_dims, row_dim, numbers, cold_size, **options, name="cold"
        )
        common = (
            "embeddings_initializer",
            "embeddings_regularizer",
            "embeddings_constraint",
            "gradient",
            "dtype",
            "columns",
        )
        given = {key: options[key] for key in common if key in options}
        return HotGroup(input_dims, output_dim, cold, capacity, **own, **given)

    def budget_size(self) -> int:
        own = {"counts": self.counts, "sketch_width": self.sketch_width}
        sizes = HotSizes.of(own, [self.input_dim], self.output_dim)
        return self.embedding.budget_size() + sizes.total(self.capacity)
