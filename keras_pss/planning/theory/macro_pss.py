"""Parameters of a macro PSS: products of the whole table keep an error.

A table E of shape (n, d) is projected to M = S E with k rows by a random S,
and the row of id i is read as `M(i) = (S e_i)^T M`. The memory has k d
parameters. Theorems 6 and 7 give the order of k; the functions below have the
constants that hold for independent standard normal entries of S, divided by
`sqrt(k)`, from `gaussian_norms`. Independent signs behave alike.

What the theorems assume: E is known and projected, not trained in compressed
form; entries of S are independent, which a hash replaces in practice; S is
dense, where ROBE adds each number to one place.

References: Desai and Shrivastava, "The trade-offs of model size in large
recommendation models: 10000x compressed Criteo-TB DLRM model" (NeurIPS 2022),
section 2.
"""

import math

from keras_pss.layers.base.checks import positive_int
from keras_pss.planning.theory.arguments import fraction
from keras_pss.planning.theory.gaussian_norms import deviation, spread_of


def macro_pss_size(output_dim: int, epsilon: float, delta: float) -> int:
    """Parameters k d that keep all products of the whole table, theorem 6.

        |<Mx, My> - <Ex, Ey>| <= ε |Ex| |Ey|   for all x, y in R^d

    with probability 1 - δ over S, if

        k >= ((√d + √(2 ln(2/δ))) / (√(1+ε) - 1))²,

    which has the theorem's order, `d (d + ln(1/δ)) / ε²` parameters; n plays
    no part. Definition 2 writes `ε |x| |y|` on the right, which this
    implies for tables with σ(E) <= 1.

    Args:
        output_dim: Integer d, the length of a row.
        epsilon: Float ε in (0, 1], the relative error.
        delta: Float δ in (0, 1), the probability of a larger error.

    Returns:
        Integer, a number of parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    theory.macro_pss_size(16, epsilon=0.5, delta=0.05)  # 14304
    ```

    References: theorem 6 and the paragraph below it.
    """
    width = positive_int("output_dim", output_dim)
    epsilon = fraction("epsilon", epsilon, one=True)
    spread = math.sqrt(width) + deviation(2, fraction("delta", delta))
    return width * math.ceil((spread / (math.sqrt(1 + epsilon) - 1)) ** 2)


def macro_pss_error(parameters: int, output_dim: int, delta: float) -> float:
    """The ε that `parameters` guarantee; the inverse of `macro_pss_size`.

    Args:
        parameters: Integer k d; what exceeds a multiple of d is not used.
        output_dim: Integer d, the length of a row.
        delta: Float δ in (0, 1), the probability of a larger error.

    Returns:
        Float ε, above 1 where the bound says nothing.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    theory = keras_pss.planning.theory
    round(theory.macro_pss_error(160_000, 16, delta=0.05), 3)  # 0.139
    ```

    References: theorem 6.
    """
    step = spread_of(parameters, output_dim, 2, delta)
    return step * (2 + step)
