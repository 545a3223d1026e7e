"""One lookup of the ids of several features, which are then pooled."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from keras import backend, ops

from keras_pss.layers.composite.features.feature_inputs import Bag
from keras_pss.layers.fused.table_group import TableGroup

Tensor = Any


def pooled(
    part: Any, bags: Sequence[Bag], combiners: Sequence[str], dtype: str
) -> list[Tensor]:
    """Looks up all ids of the bags at once and pools each bag.

    Args:
        part: A `TableGroup` whose columns are those of the bags, or a
            compressed embedding whose table all bags share.
        bags: The ids of each feature.
        combiners: The combiner of each feature.
        dtype: Dtype of the result.

    Returns:
        The vectors of each feature, `(b, 1, d)`.
    """
    ids = _joined([bag.ids for bag in bags])
    # In half precision a sum over a long bag would lose small terms.
    wide = backend.result_type(dtype, "float32")
    linear = "max" not in combiners
    if isinstance(part, TableGroup):
        rows = part(ids)
    else:
        # Pooling commutes with the method's last linear map, the maximum
        # does not.
        flat = (part.latent if linear else part.lookup)(ops.reshape(ids, (-1,)))
        rows = ops.reshape(flat, (-1, ids.shape[1], flat.shape[-1]))
    rows = _split(ops.cast(rows, wide), [bag.ids.shape[1] for bag in bags])
    vectors = [
        bag.pool(own, combiner)
        for bag, own, combiner in zip(bags, rows, combiners, strict=True)
    ]
    if linear and not isinstance(part, TableGroup):
        projected = part.project(_joined(vectors))
        vectors = _split(projected, [1] * len(bags))
    return [ops.cast(vector, dtype) for vector in vectors]


def observed(bags: Sequence[Bag]) -> tuple[Tensor, Tensor | None]:
    """The ids that a layer may count, and a mask of those that are ids."""
    masks = [
        mask
        for bag in bags
        for mask in (bag.mask, bag.valid)
        if mask is not None
    ]
    ids = _joined([bag.ids for bag in bags])
    if not masks:
        return ids, None
    return ids, _joined([_counted(bag) for bag in bags])


def _counted(bag: Bag) -> Tensor:
    mask = bag.mask
    if mask is None:
        mask = ops.ones_like(bag.ids, dtype="bool")
    if bag.valid is None:
        return mask
    return ops.logical_and(mask, ops.expand_dims(bag.valid, 1))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)


def _split(x: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    ends = list(accumulate(lengths))[:-1]
    return ops.split(x, ends, axis=1) if ends else [x]
