"""How often an id must occur: the moment formula against drawn labels."""

import numpy as np
import pytest

from keras_pss.layers.planned.worth import LARGEST, Worth


def drawn(spread, ids=20_000, rate=-1.1, seed=0):
    """Counts and clicks of ids whose logits have a standard deviation."""
    rng = np.random.default_rng(seed)
    counts = np.sort(rng.zipf(1.4, ids).clip(1, 500))[::-1]
    logits = rate + spread * rng.standard_normal(ids)
    clicks = rng.binomial(counts, 1 / (1 + np.exp(-logits)))
    nothing = np.zeros(1, int)
    return np.append(nothing, counts), np.append(nothing, clicks)


@pytest.mark.parametrize("spread", [0.3, 0.6])
def test_the_spread_of_the_logits_is_found(spread):
    columns = [drawn(spread, seed=seed) for seed in range(3)]
    rate = sum(c.sum() for _, c in columns) / sum(s.sum() for s, _ in columns)
    found = Worth.of_labels(columns, rate)
    assert found.source == "labels"
    expected = 1 / (rate * (1 - rate) * spread**2)
    assert found.break_even == pytest.approx(expected, rel=0.2)


def test_ids_that_say_nothing_deserve_no_row():
    columns = [drawn(0.0, seed=seed) for seed in range(3)]
    found = Worth.of_labels(columns, 0.25)
    assert found.break_even > 150
    assert found.silent
    assert found.choices(2) == {
        "min_count": round(1.5 * found.break_even),
        "silent": True,
    }
    same = np.full(50, 40), np.full(50, 10)
    assert Worth.of_labels([same], 0.25).break_even == LARGEST


def test_very_frequent_ids_do_not_outweigh_the_others():
    seen, clicks = drawn(0.6)
    often = np.append(seen, [10**6] * 9), np.append(clicks, [250_000] * 9)
    one, other = (
        Worth.of_labels([each], 0.25) for each in ((seen, clicks), often)
    )
    assert one == other


def test_without_labels_the_click_rate_decides():
    assert Worth().break_even == 13
    assert Worth().min_count() == 4
    rare = Worth.of_rate(0.03)
    assert rare.source == "click rate"
    assert not rare.silent
    # Rows without clicks say less each, but ids as much.
    seen, clicks = drawn(0.6, rate=-3.5)
    few = Worth.of_labels([(seen, clicks)], clicks.sum() / seen.sum())
    assert few.break_even > 60
    assert not few.silent
    assert rare.break_even == pytest.approx(13 * 0.19 / (0.03 * 0.97))
    # Labels of too few ids say nothing.
    assert Worth.of_labels([(np.array([5, 3]), [1, 1])], 0.03) == rare
    for rate in (0, 1, -1, 0.0):
        with pytest.raises(ValueError, match=r"`click_rate` must be"):
            Worth.of_rate(rate)


def test_counts_of_more_rows_scale_the_threshold():
    assert Worth(20).min_count() == 6
    assert Worth(20).min_count(2.0) == 12
    assert Worth(20).min_count(0.5) == 3
    assert Worth(20, silent=True).min_count() == 15
    assert Worth(1.0).min_count(0.1) == 1
