"""How far norms of Gaussian matrices spread, for the constants of PSS bounds.

The singular values of a `(k, d)` matrix of independent normal numbers of
variance 1/k lie within `1 ± (√d + u) / √k`, except with probability
`2 exp(-u²/2)`.

Reference: Davidson and Szarek, "Local operator theory, random matrices and
Banach spaces" (2001), theorem II.13.
"""

import math

from keras_pss.layers.base.checks import positive_int
from keras_pss.planning.theory.arguments import fraction


def deviation(events: int, delta: float) -> float:
    """The u that `events` Gaussian norms exceed with probability δ."""
    return math.sqrt(2 * math.log(events / delta))


def spread_of(
    parameters: int, output_dim: int, events: int, delta: float
) -> float:
    """`(√d + u) / √k` of a memory of `parameters` numbers, k rows of d."""
    width = positive_int("output_dim", output_dim)
    rows = positive_int("parameters", parameters) // width
    if not rows:
        raise ValueError(
            "`parameters` must be at least `output_dim`, which is one row of "
            f"the memory. Received: parameters={parameters}, "
            f"output_dim={output_dim}"
        )
    spread = math.sqrt(width) + deviation(events, fraction("delta", delta))
    return spread / math.sqrt(rows)
