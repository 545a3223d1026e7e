"""The gradient of chunked rows on TensorFlow, under XLA.

Updates of a slice have no gradient, so the rows and their gradient are both
functions with derivatives of their own. Those of second order are computed for
all ids at once.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_pss.native.dispatch import vectorized
from keras_pss.ops.methods.chain import (
    Chain,
    Stage,
    backward,
    forward,
    result,
)

Tensor = Any

_ZEROS = tf.UnconnectedGradients.ZERO


def differentiable(chain: Chain, ids: Tensor, count: Tensor) -> Tensor:
    """Rows `(chunks, n, k)`; see `chain.first_rows`."""
    stages = chain.stages

    @tf.custom_gradient
    def results(*weights: Tensor) -> tuple[list[Tensor], Any]:
        def gradient(*upstream: Tensor) -> list[Tensor]:
            # What was kept is read by `slopes` alone, whose derivatives are
            # those of a function of the weights.
            return _plain(stages, weights, ids, upstream[-1])

        return forward(stages, _constants(weights), ids, count), gradient

    @tf.custom_gradient
    def rows(*weights: Tensor) -> tuple[Tensor, Any]:
        *kept, found = results(*weights)

        @tf.custom_gradient
        def slopes(upstream: Tensor, *weights: Tensor) -> Any:
            def second(*along: Tensor) -> list[Tensor]:
                with tf.GradientTape() as tape:
                    tape.watch([upstream, *weights])
                    found = _plain(stages, weights, ids, upstream)
                return tape.gradient(found, [upstream, *weights], along, _ZEROS)

            found = backward(
                stages,
                _constants(weights),
                ids,
                count,
                _constants(kept),
                tf.stop_gradient(upstream),
                _pulled,
            )
            return found, second

        def gradient(upstream: Tensor) -> list[Tensor]:
            if vectorized():  # a loop that is vectorized does not end early
                return _plain(stages, weights, ids, upstream)
            return slopes(upstream, *weights)

        return found, gradient

    return rows(*chain.weights)


def _constants(values: Sequence[Tensor]) -> list[Tensor]:
    """The values without a gradient, which TensorFlow would derive at once."""
    return [tf.stop_gradient(value) for value in values]


def _plain(
    stages: Sequence[Stage],
    weights: Sequence[Tensor],
    ids: Tensor,
    upstream: Tensor,
) -> list[Tensor]:
    """The gradient of the weights, of all ids at once."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        rows = result(stages, weights, tf.reshape(ids, [-1]))
    return tape.gradient(rows, weights, tf.reshape(upstream, tf.shape(rows)))


def _pulled(
    stage: Stage,
    weights: Sequence[Tensor],
    x: Tensor,
    upstream: Tensor,
    continued: bool,
) -> tuple[list[Tensor | None], Tensor | None]:
    with tf.GradientTape() as tape:
        tape.watch(weights)
        if continued:
            tape.watch(x)
        y = stage(weights, x)
    given = [*weights, x] if continued else list(weights)
    found = tape.gradient(y, given, upstream)
    return found[: len(weights)], found[-1] if continued else None
