"""Sums of results by hand: seeds that are missing, targets that are missed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_pss.comparison import Grid, plots
from keras_pss.comparison import report_tables as tables_of
from keras_pss.comparison.plots import draw
from keras_pss.comparison.runner import Outcome
from keras_pss.comparison.summaries.convergence import TOLERANCE
from keras_pss.comparison.summary import summarise

pytestmark = pytest.mark.tf_only

ROWS = 400
LABELS = np.random.RandomState(0).binomial(1, 0.3, ROWS)


def line(cell, out, strength, curve, step=2.0):
    """A result whose probabilities know `strength` of the labels."""
    random = np.random.RandomState(len(cell.name) + cell.seed)
    noise = random.normal(size=ROWS)
    probabilities = (1 / (1 + np.exp(-strength * LABELS - noise))).astype("f4")
    np.save(out / "probabilities" / f"{cell.name}.npy", probabilities)
    return {
        "name": cell.name,
        "seed": cell.seed,
        "auc": roc_auc_score(LABELS, probabilities),
        "logloss": 0.5,
        "validation_auc": max(curve),
        "full_params": 1000,
        "embedding_params": 1000 if cell.budget == "1x" else 100,
        "embedding_bytes": 4000 if cell.budget == "1x" else 400,
        "embedding_bytes_int8": 150,
        "embedding_training_bytes": 1600,
        "step_ms_median": step,
        "probabilities": f"{cell.name}.npy",
        "history": {
            "epoch": [0.5, 1.0, 1.5],
            "seconds": [step, 2 * step, 3 * step],
            "val_auc": list(curve),
        },
    }


@pytest.fixture
def outcome(tmp_path):
    (tmp_path / "probabilities").mkdir()
    np.save(tmp_path / "labels.npy", LABELS)
    grid = Grid(["dlrm", "dcn"], ["robe"], ["10x"], seeds=2)
    results = {}
    for cell in grid.cells():
        curve = {
            "full": (0.6, 0.8, 0.7),
            "robe": (0.5, 0.6, 0.9),
            "hash": (0.5, 0.55, 0.6),
        }.get(cell.row)
        if curve is None or (cell.model, cell.row) == ("dcn", "hash"):
            continue
        if (cell.model, cell.row, cell.seed) == ("dcn", "robe", 2):
            continue
        strength = {"full": 2.0, "robe": 1.9, "hash": 0.5}[cell.row]
        step = 10.0 * cell.seed if cell.row == "full" else 2.0
        results[cell.name] = line(cell, tmp_path, strength, curve, step)
    infeasible = {f"dlrm-low_rank-10x-{seed}": "too small" for seed in (1, 2)}
    return tmp_path, Outcome(grid, results, infeasible, {"dcn-x": "died"})


def test_rows_and_targets(outcome):
    out, given = outcome
    summary = summarise(given, out)
    rows = {(r.model, r.method): r for r in summary.rows}
    assert set(rows) == {
        ("dlrm", "full"),
        ("dlrm", "hash"),
        ("dlrm", "robe"),
        ("dcn", "full"),
        ("dcn", "robe"),
    }
    robe = rows["dlrm", "robe"]
    assert robe.epochs_to_target == 1.5
    # 6 seconds each, beside 20 and 40 of the full tables.
    assert robe.relative_time == pytest.approx(6 / 30)
    # With one seed, beside the full tables of that seed alone.
    assert rows["dcn", "robe"].relative_time == pytest.approx(6 / 20)
    missed = rows["dlrm", "hash"]
    assert missed.target == [None, None]
    assert missed.epochs_to_target is None
    assert missed.relative_time is None


def test_differences_are_those_of_the_same_seeds(outcome):
    out, given = outcome
    summary = summarise(given, out)
    rows = {(r.model, r.method): r for r in summary.rows}
    auc = {name: x["auc"] for name, x in given.results.items()}
    one = auc["dcn-robe-10x-1"] - auc["dcn-full-1x-1"]
    assert rows["dcn", "robe"].difference.difference == pytest.approx(one)
    assert rows["dcn", "robe"].difference.seeds == 1
    both = np.mean(
        [
            auc[f"dlrm-robe-10x-{seed}"] - auc[f"dlrm-full-1x-{seed}"]
            for seed in (1, 2)
        ]
    )
    assert rows["dlrm", "robe"].difference.difference == pytest.approx(both)
    # Models with fewer seeds than others stay out of the mean.
    averages = {a.method: a for a in summary.averages}
    assert averages["robe"].models == ["dlrm"]
    assert averages["robe"].difference.difference == pytest.approx(both)
    # A method that knows little is worse beyond doubt.
    assert averages["hash"].p_value < 0.001 < averages["robe"].p_value


def test_seeds_without_full_tables_are_left_out_of_differences(outcome):
    out, given = outcome
    results = {k: v for k, v in given.results.items() if k != "dlrm-full-1x-1"}
    summary = summarise(dataclasses.replace(given, results=results), out)
    (robe,) = [r for r in summary.of("dlrm") if r.method == "robe"]
    auc = {name: x["auc"] for name, x in results.items()}
    assert robe.difference.seeds == 1
    assert robe.difference.difference == pytest.approx(
        auc["dlrm-robe-10x-2"] - auc["dlrm-full-1x-2"]
    )
    assert robe.mean("auc") == pytest.approx(
        np.mean([auc["dlrm-robe-10x-1"], auc["dlrm-robe-10x-2"]])
    )
    # Beside seed 2 of the full tables, which took 40 seconds.
    assert robe.relative_time == pytest.approx(6 / 40)
    table = tables_of.of_model(summary, "dlrm")
    assert "(1 of 2 seeds)" in table.rows[-1][table.head.index("AUC − full")]
    # Where none has a pair, there is nothing to say.
    results = {k: v for k, v in results.items() if "-full-" not in k}
    summary = summarise(dataclasses.replace(given, results=results), out)
    assert [row.difference for row in summary.rows] == [None] * 3
    assert summary.averages == []
    assert summary.convergences == []


def test_bars_are_the_reports_intervals(outcome, monkeypatch):
    out, given = outcome
    summary = summarise(given, out)
    drawn = {}

    def keep(axes, points, style):
        drawn[style["label"]] = points

    monkeypatch.setattr(plots, "_line", keep)
    plots._losses(summary, dict(plots._styles(summary)))
    found = {a.method: a.difference for a in summary.averages}
    ((_, middle, half),) = drawn["robe"]
    assert middle == found["robe"].difference
    assert middle - half == pytest.approx(found["robe"].low)
    assert middle + half == pytest.approx(found["robe"].high)


def test_means_over_models(outcome):
    out, given = outcome
    results = {k: v for k, v in given.results.items() if v["seed"] == 1}
    summary = summarise(dataclasses.replace(given, results=results), out)
    (robe,) = [a for a in summary.averages if a.method == "robe"]
    assert robe.models == ["dlrm", "dcn"]
    auc = {name: x["auc"] for name, x in results.items()}
    assert robe.difference.difference == pytest.approx(
        np.mean(
            [
                auc[f"{m}-robe-10x-1"] - auc[f"{m}-full-1x-1"]
                for m in ("dlrm", "dcn")
            ]
        )
    )
    table = tables_of.averages(summary)
    # Low rank has no result for DLRM because it has no size there.
    assert [row[:4] for row in table.rows if row[3] == "no size"] == [
        ("low_rank", "10x", "", "no size")
    ]
    assert [row[2] for row in table.rows][1:] == ["1: dlrm", "2"]


def test_convergence(outcome):
    out, given = outcome
    summary = summarise(given, out)
    found = {(c.model, c.method): c for c in summary.convergences}
    robe = found["dlrm", "robe"]
    # .8 is what both reach: the full tables after 1 epoch, ROBE after 1.5.
    assert robe.target == 0.8
    assert robe.epochs == {"full": 1.0, "10x": 1.5}
    assert robe.times == {"full": 1.0, "10x": pytest.approx(6 / 30)}
    hashed = found["dlrm", "hash"]
    assert hashed.target == 0.6
    assert hashed.epochs == {"full": 0.5, "10x": 1.5}
    # In the plot, all methods of a model run to one target, and one that does
    # not reach it does not move it.
    common = {c.method: c for c in summary.common if c.model == "dlrm"}
    assert {c.target for c in common.values()} == {0.8 - TOLERANCE}
    assert common["hash"].epochs == {"full": 1.0}
    assert common["robe"].epochs == {"full": 1.0, "10x": 1.5}
    assert common["robe"].times["10x"] == pytest.approx(6 / 30)


def test_tables_and_plots(outcome):
    out, given = outcome
    summary = summarise(given, out)
    table = tables_of.of_model(summary, "dlrm")
    assert [row[0] for row in table.rows] == [
        *("full", "low_rank", "hash", "robe")
    ]
    assert {len(row) for row in table.rows} == {len(table.head)}
    hashed = dict(zip(table.head, table.rows[2], strict=True))
    assert hashed["epochs to full's AUC"] == hashed["time to it"] == "–"
    assert hashed["p (Holm)"].endswith("*")
    assert hashed["AUC − full"].startswith("−")
    assert hashed["log loss"] == "0.5000 ± 0.0000"
    assert hashed["kB training"] == "1.6"
    assert hashed["kB served"] == "0.4"
    assert hashed["kB int8"] == "0.1"
    alone = tables_of.of_model(summary, "dcn").rows[1]
    assert dict(zip(table.head, alone, strict=True))["log loss"] == "0.5000"
    lines = table.markdown().splitlines()
    assert len({text.count("|") for text in lines[2:]}) == 1
    assert tables_of.left_out(given) == [
        "dlrm-low_rank-10x-1 and 1 more: too small",
        "dcn-x: died",
    ]
    drawn = draw(summary, out / "plots", best_auc=0.95)
    assert len(drawn) == 3
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")
    assert tables_of.probability(0.0004) == "< .001 *"
    assert tables_of.probability(0.049) == ".049 *"
    assert tables_of.probability(1.0) == "1.000"
    assert tables_of.probability(0.01, starred=False) == ".010"


def test_a_plot_that_fails_leaves_the_last_one(outcome, monkeypatch):
    from matplotlib.figure import Figure

    out, given = outcome
    summary = summarise(given, out)
    paths = draw(summary, out / "plots")
    before = [path.read_bytes() for path in paths]

    def half(figure, path, **_):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(KeyboardInterrupt):
        draw(summary, out / "plots")
    assert [path.read_bytes() for path in paths] == before
    assert sorted(out.glob("plots/*")) == sorted(paths)


def test_gauc_is_a_column_where_all_results_have_it(outcome):
    out, given = outcome
    assert "gAUC" not in tables_of.of_model(summarise(given, out), "dcn").head
    for value, shown in ((None, False), (0.75, True)):
        results = {
            k: {**v, "gauc": 0.25 if v["seed"] == 1 else value}
            for k, v in given.results.items()
        }
        chosen = dataclasses.replace(given, results=results)
        summary = summarise(chosen, out)
        table = tables_of.of_model(summary, "dlrm")
        assert {len(row) for row in table.rows} == {len(table.head)}
        assert ("gAUC" in table.head) == shown
    column = table.head.index("gAUC")
    found = {row[column] for row in table.rows if "no size" not in row}
    assert found == {"0.5000 ± 0.3536"}


def test_an_interval_stands_beside_the_p_of_its_own(outcome):
    out, given = outcome
    summary = summarise(given, out)
    table = tables_of.averages(summary)
    rows = [row for row in table.rows if tables_of.NO_SIZE not in row]
    for average, row in zip(summary.averages, rows, strict=True):
        shown = dict(zip(table.head, row, strict=True))
        found = average.difference
        assert shown["p"] == tables_of.probability(found.p_value, False)
        assert shown["p (Holm)"] == tables_of.probability(average.p_value)
        assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_a_method_of_one_size_has_no_budget(outcome):
    out, given = outcome
    results = dict(given.results)
    for cell in given.grid.cells():
        if cell.row == "filter" and cell.model == "dlrm":
            found = line(cell, out, 2.0, (0.6, 0.7, 0.7))
            results[cell.name] = {**found, "embedding_bytes": 355}
    summary = summarise(dataclasses.replace(given, results=results), out)
    assert summary.size("full", "1x") == ""
    assert summary.size("filter", "1x") == "(11.3x)"
    assert summary.size("robe", "10x") == "10x"
    for table in (
        tables_of.of_model(summary, "dlrm"),
        tables_of.averages(summary),
    ):
        column = table.head.index("budget")
        assert {row[0]: row[column] for row in table.rows}[
            "filter"
        ] == "(11.3x)"
    table = tables_of.convergence(summary)
    assert table.head[3:] == ("own size", "10x")
    # Open ids have no uncompressed size to be beside: nothing is drawn.
    results = {k: {**v, "full_params": None} for k, v in results.items()}
    summary = summarise(dataclasses.replace(given, results=results), out)
    assert summary.size("filter", "1x") == "–"
    assert len(draw(summary, out / "plots")) == 3


def best_of(given, out, **changes):
    chosen = dataclasses.replace(given, **changes)
    return summarise(chosen, out).best


def test_the_best_at_a_size_and_what_is_within_noise_of_it(outcome):
    out, given = outcome
    (best,) = best_of(given, out)
    # Hashing has no result for DCN: only methods of both models compete.
    assert (best.budget, best.method, best.models) == ("10x", "robe", 2)
    assert best.seeds == 1  # DCN's second run of ROBE is missing
    assert (best.within, best.behind) == ({}, {})
    results = {k: v for k, v in given.results.items() if "dlrm" in k}
    for cell in given.grid.cells():
        if (cell.model, cell.row) == ("dlrm", "filter"):
            found = line(cell, out, 2.0, (0.6, 0.7, 0.7))
            results[cell.name] = {**found, "embedding_bytes": 399}
    (best,) = best_of(given, out, results=results)
    assert {best.method, *best.within} == {"robe", "filter"}
    assert set(best.behind) == {"hash"}
    robe = best.auc if best.method == "robe" else None
    both = {
        name: np.mean(
            [results[f"dlrm-{name}-{seed}"]["auc"] for seed in (1, 2)]
        )
        for name in ("robe-10x", "filter-1x", "hash-10x", "full-1x")
    }
    highest = max(both["robe-10x"], both["filter-1x"])
    assert best.auc == pytest.approx(highest)
    assert robe in (None, best.auc)
    assert best.full.difference == pytest.approx(highest - both["full-1x"])
    assert best.behind["hash"].difference == pytest.approx(
        both["hash-10x"] - highest
    )
    # The filter does not compete at sizes that it does not fit into.
    larger = {k: {**v, "embedding_bytes": 401} for k, v in results.items()}
    (best,) = best_of(given, out, results=larger)
    assert "filter" not in {best.method, *best.within, *best.behind}


def test_the_best_is_told_in_words(outcome):
    out, given = outcome
    results = {k: v for k, v in given.results.items() if "dlrm" in k}
    summary = summarise(dataclasses.replace(given, results=results), out)
    table = tables_of.best(summary)
    (row,) = table.rows
    shown = dict(zip(table.head, row, strict=True))
    assert (shown["size"], shown["best"]) == ("10x", "robe")
    assert shown["within noise of the best"] == "–"
    assert shown["behind the best"].startswith("hash −0.")
    assert 'class="words"' in table.html()
    assert "| --- | --- |" in table.markdown()
    # Without full tables, there is no difference from them.
    results = {k: v for k, v in results.items() if "-full-" not in k}
    summary = summarise(dataclasses.replace(given, results=results), out)
    assert tables_of.best(summary).rows[0][3] == "–"
    assert "seeds" not in row[2]
    # DCN's second run of ROBE is missing, so one seed counts for all.
    table = tables_of.best(summarise(given, out))
    assert table.rows[0][2].endswith(" (1 of 2 seeds)")


def test_served_bytes_are_those_of_packed_tables(outcome):
    out, given = outcome
    results = {
        k: {**v, "served_bytes": 100, "packed_auc": 0.625}
        if "robe" in k
        else {**v, "served_bytes": v["embedding_bytes"], "packed_auc": None}
        for k, v in given.results.items()
    }
    assert (
        tables_of.PACKED
        not in tables_of.of_model(summarise(given, out), "dlrm").head
    )
    summary = summarise(dataclasses.replace(given, results=results), out)
    assert summary.factor("robe", "10x") == 40
    assert summary.factor("hash", "10x") == 10
    table = tables_of.of_model(summary, "dlrm")
    column = table.head.index(tables_of.PACKED)
    assert {row[0]: row[column] for row in table.rows} == {
        "full": "",
        "low_rank": "",
        "hash": "",
        "robe": "0.6250 ± 0.0000",
    }


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(38, "38 seconds"), (90, "1.5 minutes"), (9000, "2.5 hours")],
)
def test_a_time_is_told_in_its_unit(seconds, words):
    assert tables_of.duration(seconds) == words


def test_the_possible_auc_does_not_squeeze_the_plot(outcome):
    out, given = outcome
    summary = summarise(given, out)
    styles = dict(plots._styles(summary))

    def panel(best_auc):
        figure = plots._models(summary, styles, best_auc)
        found = figure.axes[0]
        plots.plt.close(figure)
        return found

    low, high = panel(None).get_ylim()
    far, near = panel(high + 3 * (high - low)), panel(high)
    assert far.get_ylim()[1] - low == pytest.approx(1.1 * (high - low))
    (words,) = far.texts
    assert words.get_text().startswith("possible: ")
    assert "possible" in near.get_legend_handles_labels()[1]


def test_sizes_on_an_axis_are_plain_text():
    figure, axes = plots.plt.subplots()
    axes.plot([100, 20_000_000], [0, 1])
    plots._logarithmic(axes)
    figure.canvas.draw()
    words = [label.get_text() for label in axes.get_xticklabels()]
    plots.plt.close(figure)
    assert {"10k", "1M"} <= set(words)
    assert not any("$" in word for word in words)
