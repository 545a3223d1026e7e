"""The last dense layer of a network, by least squares."""

from collections.abc import Callable

import numpy as np

from keras_pss.ops.fitting.trained_table import TrainedTable

# Ridge of the normal equations, relative to their mean diagonal.
_RIDGE = 1e-9


def fitted(
    table: TrainedTable, features: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The kernel `(k, width)` and the bias `(1, width)`.

    Args:
        table: The trained table.
        features: Function from ids to the inputs of the layer, `(n, k)`.
    """
    gram = right = np.zeros(())
    for block in table.blocks():
        x = np.asarray(features(block.ids), np.float64)
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        weighted = x.T * block.weights
        gram = gram + weighted @ x
        right = right + weighted @ block.rows
    ridge = _RIDGE * np.trace(gram) / len(gram) or 1.0
    found = np.linalg.solve(gram + ridge * np.eye(len(gram)), right)
    return found[:-1], found[-1:]
