"""Functions of a batch that XLA compiles, computed chunk by chunk.

XLA needs the shapes of tensors when it compiles, but not how often a loop runs.
So where only the first rows of a batch are of use, a loop over chunks of it
ends after these. A function is a chain of stages,

    x_0 = ids,   x_{k+1} = stage_k(weights, x_k),   rows = x_K,

whose results x_1 .. x_{K-1} are kept for the gradient, which is a loop over the
same chunks. A stage's own result is not computed again unless its gradient
needs it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keras import backend, ops

Tensor = Any
Stage = Callable[[Sequence[Tensor], Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Chain:
    """A function of ids, in stages.

    Args:
        stages: Functions of the weights and the result of the stage before,
            `(n, ...)`, each row by itself. The first gets ids `(n,)`, the last
            one returns rows `(n, k)`.
        weights: Tensors of floats.
    """

    stages: tuple[Stage, ...]
    weights: tuple[Tensor, ...]

    def __call__(self, ids: Tensor) -> Tensor:
        return result(self.stages, self.weights, ids)


def result(
    stages: Sequence[Stage], weights: Sequence[Tensor], ids: Tensor
) -> Tensor:
    """Rows `(n, k)` of ids `(n,)`, all at once."""
    x = ids
    for stage in stages:
        x = stage(weights, x)
    return x


def first_rows(chain: Chain, ids: Tensor, count: Tensor) -> Tensor:
    """Rows of the first ids, and numbers without a meaning after them.

    Args:
        chain: The function.
        ids: Ids in chunks, `(chunks, n)`.
        count: Integer scalar, the number of the ids whose rows are computed.

    Returns:
        Rows `(chunks n, k)`. The gradient takes it for granted that the
        upstream gradient of the other rows is zero.
    """
    if backend.backend() == "jax":
        from keras_pss.ops.methods.chain_jax import differentiable
    else:
        from keras_pss.ops.methods.chain_tensorflow import differentiable
    rows = differentiable(chain, ids, count)
    return ops.reshape(rows, (-1, rows.shape[-1]))


def forward(
    stages: Sequence[Stage],
    weights: Sequence[Tensor],
    ids: Tensor,
    count: Tensor,
) -> list[Tensor]:
    """Results of all stages, `(chunks, n, ...)`, of the first `count` ids."""

    def body(k: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
        x, found = ids[k], []
        for stage, whole in zip(stages, kept, strict=True):
            x = stage(weights, x)
            found.append(_updated(whole, k, x))
        return k + 1, *found

    empty = []
    x = ids[0]  # for the shapes; XLA removes what nobody reads
    for stage in stages:
        x = stage(weights, x)
        empty.append(ops.zeros((ops.shape(ids)[0], *ops.shape(x)), x.dtype))
    return _loop(body, ids, count, empty)


def backward(
    stages: Sequence[Stage],
    weights: Sequence[Tensor],
    ids: Tensor,
    count: Tensor,
    kept: Sequence[Tensor],
    upstream: Tensor,
    pull: Callable[..., tuple[Sequence[Tensor | None], Tensor | None]],
) -> list[Tensor]:
    """Gradients of the weights, of their dtypes and summed in float32.

    Args:
        stages: The stages.
        weights: The weights.
        ids: Ids in chunks, `(chunks, n)`.
        count: The number of ids whose rows were computed.
        kept: The results of all stages but the last.
        upstream: The gradient of the rows, `(chunks, n, k)`.
        pull: Returns the gradients of the weights (None if there is none) and
            of `x`, given a stage, the weights, `x`, the upstream gradient and
            whether `x` has a gradient.
    """

    def body(k: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
        found, slope = list(sums), upstream[k]
        for s in reversed(range(len(stages))):
            x = kept[s - 1][k] if s else ids[k]
            slopes, slope = pull(stages[s], weights, x, slope, s > 0)
            for j, own in enumerate(slopes):
                if own is not None:
                    found[j] = found[j] + ops.cast(own, found[j].dtype)
        return k + 1, *found

    sums = [ops.zeros(w.shape, "float32") for w in weights]
    sums = _loop(body, ids, count, sums)
    return [
        ops.cast(total, weight.dtype)
        for total, weight in zip(sums, weights, strict=True)
    ]


def _loop(
    body: Callable[..., tuple[Tensor, ...]],
    ids: Tensor,
    count: Tensor,
    values: Sequence[Tensor],
) -> list[Tensor]:
    """Calls a body for each chunk that has some of the first `count` ids."""
    size = ops.shape(ids)[1]
    first = ops.cast(0, "int32")
    _, *found = ops.while_loop(
        lambda k, *_: k * size < count,
        body,
        (first, *values),
    )
    return list(found)


def _updated(whole: Tensor, k: Tensor, part: Tensor) -> Tensor:
    """`whole` with `part` as its element k."""
    start = [k] + [ops.zeros_like(k)] * len(part.shape)
    return ops.slice_update(whole, start, part[None])
