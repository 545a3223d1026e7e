"""Tests whether a difference of AUCs is statistically significant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, t

from keras_pss.metrics.click_metrics import FloatArray
from keras_pss.metrics.labels import BoolArray, checked_labels

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A difference of AUCs, first minus second, and its uncertainty.

    Attributes:
        difference: Mean difference over the seeds.
        standard_error: Standard error of the mean, from the sampling of test
            rows and of seeds.
        p_value: Two-sided p-value under the hypothesis of no difference.
        low, high: Bounds of the 95 % confidence interval.
        seeds: Number of pairs of models.
        test_error: Part of the standard error that more test rows would
            reduce.
        seed_error: Part of the standard error that more seeds would reduce.
            None for one seed, where it is unknown and counts as 0.
    """

    difference: float
    standard_error: float
    p_value: float
    low: float
    high: float
    seeds: int
    test_error: float
    seed_error: float | None


@dataclass(frozen=True, eq=False)
class Components:
    """AUCs of one method on the test rows, and each row's contribution.

        clicked[i]   = mean over seeds and j of ψ(x_i, y_j)
        unclicked[j] = mean over seeds and i of ψ(x_i, y_j)
        ψ(x, y) = 1 if x > y, 1/2 if x = y, else 0

    for the scores x_i of the rows with a click and y_j of those without. The
    mean of each is the mean AUC. Their variances, each divided by the number
    of its rows, sum to the variance of the AUC. Compute them once for a method
    that is compared often: `Components.of(...).minus(reference)`.

    Attributes:
        clicks: Mask of the rows with a click, bool `(rows,)`.
        aucs: AUC of each seed, `(seeds,)`.
        clicked, unclicked: Means over seeds, one for each row with a click
            and each row without.

    References: DeLong et al., "Comparing the areas under two or more
    correlated receiver operating characteristic curves" (1988), equation 4;
    Sun & Xu, "Fast implementation of DeLong's algorithm" (2014), which
    uses mid-ranks.
    """

    clicks: BoolArray
    aucs: FloatArray
    clicked: FloatArray
    unclicked: FloatArray

    @classmethod
    def of(
        cls,
        labels: npt.ArrayLike,
        probabilities: npt.ArrayLike,
    ) -> Self:
        """Computes the components in O(rows log rows) per seed.

        Args:
            labels: 1 for a click and 0 for none, `(rows,)`.
            probabilities: Predictions of shape `(seeds, rows)`, or `(rows,)`
                for one seed. Any scores with the same order work.

        Raises:
            ValueError: If the shapes do not match, a probability is NaN, or
                there are fewer than two rows with or without a click.
        """
        clicks = checked_labels(labels)
        given = np.asarray(probabilities)
        seeds = np.atleast_2d(given)
        if seeds.ndim != 2 or seeds.shape[1] != len(clicks) or not len(seeds):
            raise ValueError(
                "`probabilities` must be of shape (seeds, rows), with the "
                "rows of `labels`. Received: probabilities of shape "
                f"{given.shape}, {len(clicks)} labels"
            )
        if not 2 <= clicks.sum() <= len(clicks) - 2:
            raise ValueError(
                "A comparison needs at least two rows with and two without a "
                f"click. Received: {clicks.sum()} clicks in {len(clicks)} rows"
            )
        if np.isnan(seeds).any():
            raise ValueError(
                "`probabilities` must not be NaN. A model that predicts NaN "
                "has diverged; leave it out. "
                f"Received: {np.isnan(seeds).sum()} probabilities that are NaN"
            )
        rows = [_components(clicks, scores) for scores in seeds]
        return cls(
            clicks,
            np.array([clicked.mean() for clicked, _ in rows]),
            np.mean([clicked for clicked, _ in rows], axis=0),
            np.mean([unclicked for _, unclicked in rows], axis=0),
        )

    @classmethod
    def mean(cls, of: Sequence[Self]) -> Self:
        """Averages several methods or models on the same rows, seed by seed.

        `Components.mean([a, b]).minus(Components.mean([c, d]))` is the mean of
        `a.minus(c)` and `b.minus(d)`, with their joint standard error.

        Raises:
            ValueError: If the labels or the numbers of seeds differ.
        """
        for other in of:
            of[0]._check_pairs(other)
        return cls(
            of[0].clicks,
            np.mean([each.aucs for each in of], axis=0),
            np.mean([each.clicked for each in of], axis=0),
            np.mean([each.unclicked for each in of], axis=0),
        )

    def minus(self, other: Self) -> Difference:
        """The difference from another method on the same rows.

        Raises:
            ValueError: If the labels or the numbers of seeds differ.
        """
        self._check_pairs(other)
        test_variance = sum(
            float(np.var(first - second, ddof=1)) / len(first)
            for first, second in (
                (self.clicked, other.clicked),
                (self.unclicked, other.unclicked),
            )
        )
        differences = self.aucs - other.aucs
        seeds, seed_variance = len(differences), None
        if seeds > 1:
            seed_variance = float(np.var(differences, ddof=1)) / seeds
        return _difference(
            float(differences.mean()), test_variance, seed_variance, seeds
        )

    def _check_pairs(self, other: Self) -> None:
        if not np.array_equal(self.clicks, other.clicks):
            raise ValueError(
                "Both methods must be evaluated on the same rows, in the same "
                f"order. Received: {self.clicks.sum()} clicks in "
                f"{len(self.clicks)} rows and {other.clicks.sum()} in "
                f"{len(other.clicks)}"
            )
        if len(self.aucs) != len(other.aucs):
            raise ValueError(
                "Seeds are compared in pairs, so both methods must have the "
                "same number of seeds. "
                f"Received: {len(self.aucs)} and {len(other.aucs)} seeds"
            )


def compare_auc(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
) -> Difference:
    """Tests whether two methods differ in AUC on the same test rows.

        D = mean over seeds s of AUC(first_s) - AUC(second_s)
        V = V_test + V_seed,   T = D / √V

    V_test is DeLong's variance of D over test rows for fixed models. V_seed is
    the variance of the mean over seeds, from their sample variance. T is
    compared with Student's t distribution with V² (S - 1) / V_seed² degrees of
    freedom for S seeds (Welch-Satterthwaite, with infinitely many for V_test).
    The interaction of seeds and test rows is in both terms, which makes the
    test conservative.

    With one seed the result applies to these two models, not to their
    methods: another seed might reverse it. With few seeds the degrees of
    freedom are a poor estimate: if there is no difference, up to 13 % of
    p-values are below 0.05 with two seeds, 8 % with three and 6 % with five
    (simulated, normal noise, worst ratio of V_seed to V_test).

    Args:
        labels: 1 for a click and 0 for none, `(rows,)`.
        first, second: Probabilities of the two methods, of shape
            `(seeds, rows)` or `(rows,)`. Seed s of one method is paired with
            seed s of the other, on the same rows in the same order.

    Returns:
        A `Difference`. Its p-value is 1 if no row's component differs, and 0
        if all differ by the same amount.

    Raises:
        ValueError: If the shapes do not match, a probability is NaN, or there
            are fewer than two rows with or without a click.

    Example:

    ```python
    from keras_pss.metrics.significance import compare_auc

    random = np.random.RandomState(0)
    labels = random.randint(0, 2, 1000)
    good = labels + random.normal(size=(3, 1000))
    poor = labels + 2 * random.normal(size=(3, 1000))
    found = compare_auc(labels, good, poor)
    round(found.difference, 2)  # 0.15
    round(found.p_value, 3)  # 0.005
    ```

    References: those of `Components`; Welch, "The generalization of
    'Student's' problem when several different population variances are
    involved" (1947).
    """
    return Components.of(labels, first).minus(Components.of(labels, second))


def _components(
    clicks: BoolArray, scores: npt.NDArray[np.generic]
) -> tuple[FloatArray, FloatArray]:
    """Means of ψ for one seed, by row; see `Components`."""
    ranks = rankdata(scores)
    # Ranks among all rows minus ranks within the class count the rows of the
    # other class below, ties as half.
    beaten = ranks[clicks] - rankdata(scores[clicks])
    beaten_by = ranks[~clicks] - rankdata(scores[~clicks])
    return beaten / len(beaten_by), 1 - beaten_by / len(beaten)


def _difference(
    difference: float,
    test_variance: float,
    seed_variance: float | None,
    seeds: int,
) -> Difference:
    variance = test_variance + (seed_variance or 0)
    error = variance**0.5
    freedom = np.inf
    if seed_variance:
        # `**` raises on overflow, while a product becomes infinity.
        ratio = variance / seed_variance
        freedom = (seeds - 1) * ratio * ratio
    if error:
        p_value = float(2 * t.sf(abs(difference) / error, freedom))
    else:
        p_value = float(not difference)
    half = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Difference(
        difference=difference,
        standard_error=error,
        p_value=p_value,
        low=difference - half,
        high=difference + half,
        seeds=seeds,
        test_error=test_variance**0.5,
        seed_error=None if seed_variance is None else seed_variance**0.5,
    )
