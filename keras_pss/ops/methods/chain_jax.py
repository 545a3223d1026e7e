"""The gradient of chunked rows on JAX.

Loops of unknown length have no reverse derivative, so the rows and their
gradient are both functions with derivatives of their own. Those of second order
are computed for all ids at once.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from keras_pss.ops.methods import chain as chains
from keras_pss.ops.methods.chain import Chain, Stage

Tensor = Any
Stages = tuple[Stage, ...]
Weights = tuple[Tensor, ...]


def differentiable(chain: Chain, ids: Tensor, count: Tensor) -> Tensor:
    """Rows `(chunks, n, k)`; see `chain.first_rows`."""
    return _rows(chain.stages, chain.weights, ids, count)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rows(
    stages: Stages, weights: Weights, ids: Tensor, count: Tensor
) -> Tensor:
    return _forward(stages, weights, ids, count)[-1]


def _rows_forward(
    stages: Stages, weights: Weights, ids: Tensor, count: Tensor
) -> tuple[Tensor, Any]:
    *kept, rows = _forward(stages, weights, ids, count)
    return rows, (weights, ids, count, tuple(kept))


def _rows_backward(stages: Stages, found: Any, upstream: Tensor) -> Any:
    weights, ids, count, kept = found
    slopes = _backward(stages, weights, upstream, ids, count, kept)
    return slopes, None, None


_rows.defvjp(_rows_forward, _rows_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _forward(
    stages: Stages, weights: Weights, ids: Tensor, count: Tensor
) -> tuple[Tensor, ...]:
    return tuple(chains.forward(stages, weights, ids, count))


def _forward_forward(stages: Stages, *args: Any) -> tuple[Any, Any]:
    return _forward(stages, *args), args[:2]


def _forward_backward(stages: Stages, found: Any, upstream: Any) -> Any:
    # What was kept is read by `_backward` alone, whose derivatives are those
    # of a function of the weights.
    return _plain(stages, found[0], upstream[-1], found[1]), None, None


_forward.defvjp(_forward_forward, _forward_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _backward(
    stages: Stages,
    weights: Weights,
    upstream: Tensor,
    ids: Tensor,
    count: Tensor,
    kept: Weights,
) -> Weights:
    return tuple(
        chains.backward(stages, weights, ids, count, kept, upstream, _pulled)
    )


def _backward_forward(stages: Stages, *args: Any) -> tuple[Any, Any]:
    return _backward(stages, *args), args


def _backward_backward(stages: Stages, args: Any, slopes: Weights) -> Any:
    weights, upstream, ids, _, kept = args
    _, pull = jax.vjp(lambda w, u: _plain(stages, w, u, ids), weights, upstream)
    return *pull(slopes), None, None, tuple(jnp.zeros_like(x) for x in kept)


_backward.defvjp(_backward_forward, _backward_backward)


def _plain(
    stages: Stages, weights: Weights, upstream: Tensor, ids: Tensor
) -> Weights:
    """The gradient of the weights, of all ids at once."""
    _, pull = jax.vjp(
        lambda w: chains.result(stages, w, jnp.reshape(ids, -1)), weights
    )
    return pull(jnp.reshape(upstream, (-1, upstream.shape[-1])))[0]


def _pulled(
    stage: Stage,
    weights: Sequence[Tensor],
    x: Tensor,
    upstream: Tensor,
    continued: bool,
) -> tuple[Sequence[Tensor], Tensor | None]:
    if not continued:
        _, pull = jax.vjp(lambda w: stage(w, x), tuple(weights))
        return pull(upstream)[0], None
    _, pull = jax.vjp(stage, tuple(weights), x)
    return pull(upstream)
