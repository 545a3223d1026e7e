"""Oracles of fits to trained tables, in NumPy."""

from typing import Any

import numpy as np


def trained_table(
    rows: int = 60, width: int = 12, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a falling scale, and falling counts of their ids."""
    random = np.random.default_rng(seed)
    scale = 1 / np.sqrt(1 + np.arange(rows))
    table = random.normal(size=(rows, width)) * scale[:, None] + 0.1
    counts = np.floor(300 * scale**2)
    return table.astype(np.float32), counts


def relative(table: Any, found: Any, weights: Any = None) -> float:
    """||found - table|| / ||table||, with rows weighted."""
    table = np.asarray(table, np.float64)
    weights = np.ones(len(table)) if weights is None else weights
    error = weights @ np.square(np.asarray(found) - table).sum(axis=1)
    return float(np.sqrt(error / (weights @ np.square(table).sum(axis=1))))


def least_squares(
    layer: Any,
    name: str,
    table: np.ndarray,
    counts: np.ndarray | None,
    ids: Any = None,
) -> np.ndarray:
    """The best rows of a layer that is linear in one of its tables.

    The columns of the design matrix are what the layer's own lookup returns
    for each unit vector.
    """
    weight = getattr(layer, f"{name}_table")
    shape = tuple(weight.shape)
    design = []
    for k in range(int(np.prod(shape))):
        unit = np.zeros(shape, np.float32)
        unit.flat[k] = 1
        weight.assign(unit)
        design.append(layer.materialize(ids).reshape(-1))
    weights = np.ones(len(table)) if counts is None else counts + 1e-9
    root = np.sqrt(np.repeat(weights, table.shape[1]))
    matrix = np.stack(design, axis=1).astype(np.float64)
    best, *_ = np.linalg.lstsq(
        matrix * root[:, None], table.reshape(-1) * root, rcond=None
    )
    return (matrix @ best).reshape(table.shape)
