"""Embedding tables of PyTorch's libraries, as layers of this package."""

from collections.abc import Mapping
from typing import Any

from keras_pss.convert.checkpoints.fill import fill
from keras_pss.convert.checkpoints.found_table import (
    FoundTable,
    ImportOptions,
)
from keras_pss.convert.checkpoints.found_tables import FoundTables
from keras_pss.convert.checkpoints.sources import opened
from keras_pss.messages import did_you_mean, shown


def read_tables(source: Any) -> FoundTables:
    """Lists the embedding tables of a checkpoint; it reads no weights.

    Args:
        source: Path of a `.safetensors` or `.npz` file; a dict of arrays, such
            as a state dict; or a PyTorch model.

    Returns:
        A mapping from the name of each table, the path of its module, to a
        `FoundTable` with its kind and shapes. `print` shows it, and what else
        the checkpoint contains (`other`). A dense layer without a bias looks
        like a table of rows.

    Raises:
        ImportError: If safetensors is needed and not installed.
        ValueError: If the source is of another kind, such as a pickle.

    Example:

    ```python
    state = {
        "emb_l.0.weight": np.ones((50, 16), "float32"),
        "emb_l.1.weight_q": np.ones((20, 16), "float32"),
        "emb_l.1.weight_r": np.ones((5, 16), "float32"),
    }
    found = keras_pss.convert.read_tables(state)
    found["emb_l.1"].kind  # qr
    found["emb_l.1"].input_dim  # 100
    ```
    """
    with opened(source) as held:
        return FoundTables(held.arrays)


def import_tables(
    source: Any,
    layers: Any = None,
    *,
    operation: str | None = None,
    column_shape: Any = None,
    reversed_digits: bool = False,
    drop_cache: bool = False,
) -> dict[str, Any]:
    """Creates layers with the embedding tables of a checkpoint.

    The rows that a layer returns are those of the module that was trained:
    weights are copied, or transposed, and never fitted. Numbers of other float
    types are cast to the dtype of the layer's weights, float32 by default.

    One array is in memory at a time, and of tables in safetensors only a block
    of rows. docs/import.md lists the modules whose tables are known.

    Args:
        source: As in `read_tables`.
        layers: Which tables. None (the default) for all; a list of names of
            `read_tables`, or of exact keys of matrices; or a dict from such
            names to layers that get the weights, such as
            `keras_pss.TTEmbedding(...)`.
        operation: How quotient and remainder rows are combined, which a
            checkpoint does not say: `"mult"`, `"add"` or `"concat"`.
        column_shape: List of the factors of a row's length, for cores of FBTT,
            which do not say them: its `tt_q_shapes`.
        reversed_digits: Boolean. t3nsor's TTEmbedding reads the first core by
            the least significant digit of an id, and a layer here by the most
            significant. True says that the model gets its ids from
            `reverse_digits`. Defaults to False, and such cores are refused.
        drop_cache: Boolean, whether to ignore the rows of FBTT's cache, which
            replace those of the cores. Defaults to False, and a cache that is
            in use is refused.

    Returns:
        Dict from the names to built layers: `FullEmbedding`, `QREmbedding`,
        `MixedDimensionEmbedding` or `TTEmbedding`.

    Raises:
        ImportError: If safetensors is needed and not installed.
        ValueError: If the source is no such checkpoint or has no such table,
            if an argument that it needs is missing, if numbers are not finite
            in the layer's dtype, or if a module of PyTorch has `max_norm`.

    Example:

    ```python
    state = {"user.weight": np.arange(32, dtype="float32").reshape(8, 4)}
    layers = keras_pss.convert.import_tables(state)
    layers["user"](np.array([7])).shape  # (1, 4)
    ```
    """
    options = ImportOptions(
        operation, column_shape, reversed_digits, drop_cache
    )
    with opened(source) as held:
        found = FoundTables(held.arrays)
        chosen = _chosen(found, layers)
        _check_each_once(layers)
        _check_norms(source, chosen)
        made = {}
        for name, table in chosen.items():
            table.check(held, options)
            given = isinstance(layers, Mapping)
            layer = layers[name] if given else table.layer(options)
            fill(layer, table, held)
            made[name] = layer
        return made


def reverse_digits(ids: Any, row_shape: Any) -> Any:
    """Ids of which the digits in a mixed radix are in the reverse order.

    Args:
        ids: Integers of any shape, an array or a tensor.
        row_shape: The `row_shape` of the `TTEmbedding` that reads the result.

    Returns:
        Integers of the same shape: the row of the id in a layer that was
        imported from t3nsor. Out-of-range ids are out of range in it as well.

    Example:

    ```python
    keras_pss.convert.reverse_digits(1, [3, 4])  # 4
    ```
    """
    result, size = ids * 0, 1
    for base in row_shape:  # the first digit is the least significant of `ids`
        quotient = ids // base
        result = result * base + (ids - quotient * base)
        ids, size = quotient, size * base
    # What is left is zero, except for an out-of-range id.
    return result + ids * size


def _chosen(found: FoundTables, layers: Any) -> dict[str, FoundTable]:
    if layers is None:
        if not found:
            raise ValueError(
                "The source has no embedding table. A matrix of another name "
                "is imported by its key: `layers=[key]`. "
                f"Received: arrays {shown(dict(found.other))}"
            )
        return dict(found)
    if not isinstance(layers, list | tuple | Mapping):
        raise ValueError(
            "`layers` must be None, a list of names, or a dict from names to "
            f"layers. Received: layers={shown(layers)}"
        )
    chosen = {}
    for name in layers:
        table = found[name] if name in found else found.matrix(name)
        if table is None:
            close = did_you_mean(name, [*found, *found.other])
            raise ValueError(
                f"`layers` must name tables of the source.{close} Its tables "
                f"are {shown(list(found))}, its other keys "
                f"{shown(list(found.other))}. Received: {name!r}"
            )
        chosen[name] = table
    return chosen


def _check_each_once(layers: Any) -> None:
    """Refuses a layer that would get the weights of two tables."""
    if not isinstance(layers, Mapping):
        return
    names: dict[int, str] = {}
    for name, layer in layers.items():
        other = names.setdefault(id(layer), name)
        if other != name:
            raise ValueError(
                "`layers` must have a layer of its own for each table. "
                f"Received: the same layer for {other!r} and {name!r}"
            )


def _check_norms(source: Any, chosen: Mapping[str, FoundTable]) -> None:
    """Refuses modules of PyTorch that rescale the rows that they look up."""
    if not hasattr(source, "named_modules"):
        return
    keys = {k for table in chosen.values() for k in table.parts.values()}
    for name, module in source.named_modules():
        norm = getattr(module, "max_norm", None)
        own = f"{name}." if name else ""
        if norm is not None and any(
            key.removeprefix(own) in ("weight", "weight_q", "weight_r")
            and key.startswith(own)
            for key in keys
        ):
            raise ValueError(
                "A module with `max_norm` rescales rows when it looks them "
                "up. Rescale its weights once, then import them: `with "
                "torch.no_grad(): m.weight.copy_(torch.renorm(m.weight, "
                "m.norm_type, 0, m.max_norm)); m.max_norm = None`. "
                f"Received: max_norm={norm} in {name!r}"
            )
