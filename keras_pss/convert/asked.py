"""What `compress_model` was asked for, and what it created."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_pss.convert.kinds.kind import Kind
from keras_pss.layers.base.budget import Budget

FITS = "its tables fit into the budget"
STAYS = "small enough to stay"
# Entries of options that name a number for each table, besides the size.
EACH = "num_rows"


@dataclass(frozen=True)
class Asked:
    """The arguments of `compress_model` on methods and sizes.

    Attributes:
        method: A method string, or `"auto"`.
        budget: Budget of all tables together.
        min_rows: Tables with fewer rows stay; None for the default rule.
        options: Arguments of the method's layer.
        counts: For each kind, by its layer's `id`, the counts of its tables.
    """

    method: str
    budget: Budget
    min_rows: int | None
    options: Mapping[str, Any]
    counts: Mapping[int, list[np.ndarray]]


@dataclass(frozen=True)
class Created:
    """A layer that replaces another one, not built, or None if that stays.

    Attributes:
        kind: What it replaces.
        layer: The new layer.
        method: Method string.
        why: Why this method, or why the layer stays.
    """

    kind: Kind
    layer: Any
    method: str
    why: str = ""
