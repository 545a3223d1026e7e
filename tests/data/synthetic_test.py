"""Synthetic logs: their text, their planted scores, and what is learnable."""

import os
import subprocess
import sys

import numpy as np
import pytest
from criteo_text import parsed
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from keras_pss.data import synthetic
from keras_pss.data.criteo.tsv_writer import MAX_INTEGER, format_rows
from keras_pss.data.synthetic.bayes import BayesScore, sigmoid
from keras_pss.data.synthetic.world import (
    BLOCK_ROWS,
    KAGGLE_CARDINALITIES,
    World,
    raw_values,
    zipf_ranks,
)
from keras_pss.ops.hash_families import pss1


def test_text_round_trip(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 500, np.int32)
    sizes = 10.0 ** random.uniform(0, 8, (500, 13))
    integers = np.minimum(sizes, MAX_INTEGER).astype(np.int32)
    integers[random.random(integers.shape) < 0.2] = 0
    edges = [0, 9, 10, 9_999, 10_000, 10_001, 99_999, MAX_INTEGER, -1, -2]
    integers[:10, 0] = edges
    categories = random.integers(0, 2**32, (500, 26), np.uint32)
    categories[0, :3] = 0, 1, 2**32 - 1
    gone = random.random((500, 13)) < 0.1, random.random((500, 26)) < 0.1
    text = format_rows(labels, integers, gone[0], categories, gone[1])
    lines = text.split(b"\n")
    assert lines.pop() == b""
    for i, line in enumerate(lines):
        fields = [b"%d" % labels[i]]
        fields += [
            b"" if m else b"%d" % v
            for v, m in zip(integers[i], gone[0][i], strict=True)
        ]
        fields += [
            b"" if m else b"%08x" % v
            for v, m in zip(categories[i], gone[1][i], strict=True)
        ]
        assert line == b"\t".join(fields)


def test_a_log_is_a_prefix_of_a_longer_one(tmp_path):
    short, long = tmp_path / "a.tsv", tmp_path / "b.tsv"
    rows = BLOCK_ROWS + 100
    synthetic.generate(short, rows=rows, seed=3, scale=0.001)
    synthetic.generate(long, rows=rows + BLOCK_ROWS, seed=3, scale=0.001)
    assert long.read_bytes().startswith(short.read_bytes())
    other = tmp_path / "c.tsv"
    synthetic.generate(other, rows=rows, seed=4, scale=0.001)
    assert other.read_bytes() != short.read_bytes()


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
def test_files_and_folders_hold_the_same_rows(tmp_path, suffix):
    folder = tmp_path / "log"
    seen = []
    report = synthetic.generate(
        folder,
        rows=2500,
        rows_per_file=1000,
        progress=lambda *call: seen.append(call),
    )
    assert seen[-1] == (2500, 2500, "generate")
    names = [f"part-0000{i}-of-00003.tsv" for i in range(3)]
    assert report.files == names
    assert synthetic.SyntheticReport.load(folder / "synthetic.json") == report
    single = tmp_path / f"log.tsv{suffix}"
    again = synthetic.generate(single, rows=2500)
    assert (again.bayes_auc, again.bytes) == (report.bayes_auc, report.bytes)
    parts = [parsed(folder / name) for name in names]
    for got, *expected in zip(parsed(single), *parts, strict=True):
        np.testing.assert_array_equal(got, np.concatenate(expected))
    first = single.read_bytes()
    synthetic.generate(single, rows=2500, overwrite=True)
    assert single.read_bytes() == first


@pytest.mark.parametrize("name", ["log", "log.tsv"])
def test_a_failure_leaves_nothing(tmp_path, name):
    def fail(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthetic.generate(tmp_path / name, rows=50_000, progress=fail)
    assert not list(tmp_path.iterdir())


def test_errors(tmp_path):
    path = tmp_path / "a.tsv"
    for arguments, message in (
        ({"rows": 0}, r"`rows`.*at least 1.*rows=0"),
        ({"rows": 1, "rows_per_file": 0}, r"rows_per_file=0"),
        ({"rows": 1, "seed": -1}, r"`seed`.*seed=-1"),
        ({"rows": 1, "scale": 0}, r"`scale`.*\(0, 423\].*scale=0"),
        ({"rows": 1, "scale": 424}, r"`scale`.*\(0, 423\].*scale=424"),
        ({"rows": 1, "zipf_exponent": 1}, r"not 1.*zipf_exponent=1"),
        ({"rows": 1, "click_rate": 1}, r"\(0, 1\).*click_rate=1"),
        ({"rows": 1, "bayes_auc": 0.4}, r"\[0\.5, 0\.99\].*bayes_auc=0\.4"),
    ):
        with pytest.raises(ValueError, match=message):
            synthetic.generate(path, **arguments)
    path.touch()
    with pytest.raises(FileExistsError, match=r"`path`.*new file.*overwrite"):
        synthetic.generate(path, rows=1)
    with pytest.raises(FileExistsError, match=r"`path`.*folder.*overwrite"):
        synthetic.generate(tmp_path, rows=1)


def test_cardinalities():
    assert World(scale=1.0).cardinalities == KAGGLE_CARDINALITIES
    small = World(scale=0.01).cardinalities
    assert small[:3] == (1000, 583, 101_312)
    assert len(small) == 26


def test_zipf_ranks_follow_the_power_law():
    size, exponent, draws = 50, 1.1, 200_000
    uniform = np.random.default_rng(1).random(draws)
    ranks = zipf_ranks(uniform, size, exponent)
    assert ranks.min() == 0
    assert ranks.max() == size - 1
    edges = np.arange(1, size + 2, dtype=float) ** (1 - exponent)
    chance = -np.diff(edges) / (1 - edges[-1])
    counts = np.bincount(ranks, minlength=size)
    np.testing.assert_allclose(
        counts, draws * chance, atol=5 * np.sqrt(draws * chance.max())
    )
    bounds = zipf_ranks(np.array([0.0, 1 - 2**-53]), 10**7, exponent)
    assert bounds.tolist() == [0, 10**7 - 1]


def test_raw_values_are_distinct_and_spread():
    ranks = np.arange(1 << 20, dtype=np.uint32)
    values = raw_values(ranks, 0, 2)
    assert len(np.unique(values)) == len(ranks)
    ones = [(values >> np.uint32(bit) & 1).mean() for bit in range(32)]
    np.testing.assert_allclose(ones, 0.5, atol=0.005)
    assert not np.array_equal(values, raw_values(ranks, 0, 3))


def test_bayes_score_equals_all_pairs():
    random = np.random.default_rng(0)
    logits = random.normal(-1, 1.5, 800)
    logits[:100] = logits[100:200]  # ties
    labels = (random.random(800) < sigmoid(logits)).astype(np.int32)
    score = BayesScore()
    score.add(logits[:300], labels[:300])
    score.add(logits[300:], labels[300:])
    p = sigmoid(logits)
    # One row is positive, another negative; ties are won half the time.
    wins = (logits[:, None] > logits) + 0.5 * (logits[:, None] == logits)
    weights = p[:, None] * (1 - p)
    assert score.auc == pytest.approx(
        (wins * weights).sum() / weights.sum(), abs=1e-4
    )
    assert score.realised_auc == pytest.approx(
        roc_auc_score(labels, logits), abs=1e-4
    )
    assert score.realised_log_loss == pytest.approx(log_loss(labels, p))
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert score.log_loss == pytest.approx(entropy)
    assert score.click_rate == labels.mean()
    assert score.rows == 800


@pytest.mark.parametrize(
    ("click_rate", "bayes_auc"), [(0.25, 0.8), (0.03, 0.75)]
)
def test_the_targets_are_met(tmp_path, click_rate, bayes_auc):
    report = synthetic.generate(
        tmp_path / "a.tsv",
        rows=100_000,
        click_rate=click_rate,
        bayes_auc=bayes_auc,
    )
    assert report.bayes_auc == pytest.approx(bayes_auc, abs=0.005)
    assert report.realised_auc == pytest.approx(bayes_auc, abs=0.02)
    assert report.click_rate == pytest.approx(click_rate, rel=0.05)
    assert report.realised_log_loss == pytest.approx(
        report.bayes_log_loss, rel=0.05
    )


def features(path, buckets):
    """Hashed one-hot categories and standardised log integers."""
    from scipy import sparse

    labels, integers, categories = parsed(path)
    hashed = [
        pss1.starts(categories[:, i], buckets, table=i) for i in range(26)
    ]
    columns = np.concatenate(hashed, 1).astype(np.int64)
    columns += np.arange(26) * buckets
    starts = np.arange(len(labels) + 1) * 26
    ones = np.ones(columns.size, np.float32)
    shape = (len(labels), 26 * buckets)
    onehot = sparse.csr_matrix((ones, columns.ravel(), starts), shape)
    logs = StandardScaler().fit_transform(np.log1p(integers))
    return sparse.hstack([onehot, 0.3 * logs]).tocsr(), labels


def test_a_log_is_learnable_and_its_limit_holds(tmp_path):
    """Linear models learn a part, more of it with larger tables."""
    train, test = tmp_path / "a.tsv", tmp_path / "b.tsv"
    synthetic.generate(train, rows=60_000)
    report = synthetic.generate(test, rows=30_000, seed=1)
    scores = []
    for buckets in (20, 20_000):
        model = LogisticRegression(C=0.1, max_iter=30, tol=1e-2)
        model.fit(*features(train, buckets))
        x, labels = features(test, buckets)
        scores.append(roc_auc_score(labels, model.decision_function(x)))
    assert 0.55 < scores[0] < scores[1] - 0.02
    assert scores[1] < report.realised_auc - 0.01


def test_missing_fields_and_negative_integers(tmp_path):
    path = tmp_path / "a.tsv"
    synthetic.generate(path, rows=5000)
    rows = [line.split(b"\t") for line in path.read_bytes().splitlines()]
    by_column = list(zip(*rows, strict=True))
    missing = [column.count(b"") / 5000 for column in by_column]
    assert missing[0] == 0
    assert max(missing) > 0.5
    assert sum(share > 0 for share in missing[1:]) >= 15
    assert {b"-1", b"-2"} <= set(by_column[2])


def test_import_of_the_data_modules_loads_no_tensorflow():
    """Beside what importing keras_pss itself loads."""
    code = (
        "import sys\n"
        "from keras_pss_cli import without_layers\n"
        "without_layers.enter()\n"
        "import keras_pss.data, keras_pss.data.locate\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=dict(os.environ)
    )
