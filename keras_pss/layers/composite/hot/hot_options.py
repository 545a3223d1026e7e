"""The arguments of hot rows among those of a method."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_pss.layers.base.checks import LARGEST_ROW, positive_int
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.composite.hot.hot_cache import HotCache
from keras_pss.layers.composite.hot.hot_sizes import HotSizes, all_rows
from keras_pss.layers.composite.hot.hot_table import default_capacity

# Default method of the embedding.
INNER = "tt"
# Arguments of `HotRows` in a method's options; the others are the embedding's.
OWN_OPTIONS = ("counts", "sketch_width", "decay")


def row_dim_of(own: Mapping[str, Any], output_dim: int) -> int:
    """The length of the rows in memory that tables share."""
    given = own.get("row_dim")
    if given is None:
        return output_dim
    # First-order tables of the same method have one column.
    return min(positive_int("row_dim", given, LARGEST_ROW), output_dim)


def smallest_hot(
    input_dims: Sequence[Any], output_dim: int, arguments: Mapping[str, Any]
) -> int:
    """Size of the fewest hot rows of several tables."""
    own, _, _ = divided(arguments)
    capacity = arguments.get("capacity")
    capacity = default_capacity(capacity, all_rows(input_dims), 1)
    own["row_dim"] = row_dim_of(own, output_dim)
    return HotSizes.of(own, input_dims, output_dim).total(capacity)


def divided(
    arguments: Mapping[str, Any],
) -> tuple[dict[str, Any], type[CompressedEmbedding], dict[str, Any]]:
    """Separates the arguments of `HotRows` from those of its embedding.

    Returns:
        Arguments of `HotRows`, the class of the embedding, and the arguments
        of the embedding.
    """
    # Imported here because methods.py imports hot_rows.py.
    from keras_pss.layers.embedding.methods import method_class

    rest = dict(arguments)
    method = rest.pop("method", INNER)
    method = rest.pop("inner", method)
    rest.pop("capacity", None)
    inner = method_class(method)
    if issubclass(inner, HotCache):
        raise ValueError(
            "The `method` of the embedding within HotRows must not be "
            "'hot_rows'; use another one, such as 'tt'. "
            f"Received: method={method!r}"
        )
    names: tuple[str, ...] = (*OWN_OPTIONS, "name", "trainable")
    if rest.get("counts") == "slots" and inner.fuses_cold(rest):
        names += ("row_dim",)  # of tables that share the rows
    own = {name: rest.pop(name) for name in names if name in rest}
    return own, inner, rest


def unsized_capacity(capacity: int | None, rows: int | None) -> int:
    """Number of hot rows without a budget; see `default_capacity`."""
    if capacity is None and rows is None:
        raise ValueError(
            "`capacity`, the number of hot rows, has no default for an open "
            "vocabulary. Give `capacity` or a budget. Received: capacity=None"
        )
    return default_capacity(capacity, rows, rows or 1)
