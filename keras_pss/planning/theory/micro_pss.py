"""Parameters of a micro PSS: each important row keeps an error.

The setup, its assumptions and the source of the constants are those of
`macro_pss`.

References: Desai and Shrivastava, "The trade-offs of model size in large
recommendation models: 10000x compressed Criteo-TB DLRM model" (NeurIPS 2022),
section 2.
"""

import math

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import positive_int
from keras_pss.planning.theory.arguments import Floats, fraction, table_of
from keras_pss.planning.theory.gaussian_norms import deviation, spread_of


def importance(table: npt.ArrayLike) -> Floats:
    """Importance factor of each row, `ρ(i) = |E[i]|₂ / σ(E)`.

    σ(E) is the largest singular value, so that ρ is at most 1. Since the
    squares of all singular values add up to those of all rows, at most
    `d / ρ²` rows have an importance of ρ or more.

    Args:
        table: Array of shape `(n, d)`.

    Returns:
        Float64 `(n,)` in [0, 1]; zeros for a table of zeros.

    Raises:
        ValueError: If `table` is not an array of finite numbers.

    Example:

    ```python
    theory = keras_pss.planning.theory
    theory.importance([[3.0, 0.0], [0.0, 1.5]]).tolist()  # [1.0, 0.5]
    ```

    References: definition 3.
    """
    rows = table_of("table", table)
    norms = np.linalg.norm(rows, axis=1)
    if not norms.any():
        return norms
    # Rounding may put a table of one row above 1.
    return np.minimum(norms / np.linalg.norm(rows, 2), 1.0)


def micro_pss_size(
    input_dim: int, output_dim: int, epsilon: float, delta: float, rho: float
) -> int:
    """Parameters k d that keep each important row, theorem 7.

        |<M(i), x> - <E[i], x>| <= ε |E[i]| |x|   for all x in R^d and all i
                                                  of importance above ρ

    with probability 1 - δ over S, if

        k >= ((√d + √(2 ln((n+2)/δ))) / t)²,   √5 t (1 + t) = ρ ε,

    which has the theorem's order, `d max(d, ln n) / (ρ² ε²)`. It says that the
    error of each important row is at most ε of its norm. At most `d / ρ²` rows
    are that important: the memory is never smaller than these rows themselves,
    and pays for not having to know them.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        epsilon: Float ε in (0, 1], the relative error of a row.
        delta: Float δ in (0, 1), the probability of a larger error.
        rho: Float ρ in (0, 1], the least importance; see `importance`.

    Returns:
        Integer, a number of parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    theory.micro_pss_size(10**6, 16, 0.5, delta=0.05, rho=0.1)  # 3208272
    ```

    References: definition 3, theorem 7 and the paragraph below it.
    """
    ids = positive_int("input_dim", input_dim)
    width = positive_int("output_dim", output_dim)
    epsilon = fraction("epsilon", epsilon, one=True)
    error = epsilon * fraction("rho", rho, one=True)
    step = (math.sqrt(1 + 4 * error / math.sqrt(5)) - 1) / 2
    spread = math.sqrt(width) + deviation(ids + 2, fraction("delta", delta))
    return width * math.ceil((spread / step) ** 2)


def micro_pss_error(
    parameters: int, input_dim: int, output_dim: int, delta: float, rho: float
) -> float:
    """The ε that `parameters` guarantee; the inverse of `micro_pss_size`.

    Args:
        parameters: Integer k d; what exceeds a multiple of d is not used.
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        delta: Float δ in (0, 1), the probability of a larger error.
        rho: Float ρ in (0, 1], the least importance.

    Returns:
        Float ε, above 1 where the bound says nothing.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    round(theory.micro_pss_error(10**7, 10**6, 16, 0.05, rho=0.1), 3)  # 0.281
    ```

    References: theorem 7.
    """
    ids = positive_int("input_dim", input_dim)
    step = spread_of(parameters, output_dim, ids + 2, delta)
    return math.sqrt(5) * step * (1 + step) / fraction("rho", rho, one=True)


def pairwise_error(epsilon: float) -> float:
    """Error of the product of two important rows, `ε² + 2 ε`, theorem 4.

        |<M(i), M(j)> - <E[i], E[j]>| <= (ε² + 2 ε) |E[i]| |E[j]|

    Args:
        epsilon: Float ε in (0, 1], the error of a micro PSS.

    Returns:
        Float, relative to the norms of both rows.

    Raises:
        ValueError: If `epsilon` is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    theory.pairwise_error(0.5)  # 1.25
    ```

    References: theorem 4.
    """
    epsilon = fraction("epsilon", epsilon, one=True)
    return epsilon**2 + 2 * epsilon
