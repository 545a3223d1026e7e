"""Plots of a comparison: quality and convergence against size."""

import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    LogLocator,
    NullFormatter,
    NullLocator,
)

from keras_pss.comparison.method_rows import FIRST, FULL
from keras_pss.comparison.summaries.convergence import (
    TOLERANCE,
    Convergence,
)
from keras_pss.comparison.summaries.summary import Summary
from keras_pss.files import complete_file

_MARKERS = "osD^v<>P*X"
_BOLD = {"linewidth": 2.4, "markersize": 6, "zorder": 3}
_THIN = {"linewidth": 1.1, "markersize": 4.5, "zorder": 2, "alpha": 0.85}
# Losses of AUC below it are on a linear scale, larger ones on a logarithmic
# one: what a good method loses is a tenth of what a poor one does.
_SMALL_LOSS = 0.003
_LOSSES = (-0.1, -0.05, -0.02, -0.01, -0.005, -0.002, 0, 0.002, 0.005, 0.01)


def draw(
    summary: Summary, folder: Path, best_auc: float | None = None
) -> list[Path]:
    """Draws the plots for which there is data.

    Args:
        summary: Summary of the runs.
        folder: Folder to write to.
        best_auc: The best AUC that a model can reach, if it is known.

    Returns:
        The paths of the plots: AUC against served bytes for each model, mean
        loss of AUC over models, and epochs and time until a common AUC.
    """
    folder.mkdir(parents=True, exist_ok=True)
    styles = dict(_styles(summary))
    figures = {
        "auc_over_bytes.png": _models(summary, styles, best_auc),
        "loss_over_compression.png": _losses(summary, styles),
        "convergence.png": _convergence(summary, styles),
    }
    found = []
    for name, figure in figures.items():
        path = folder / name
        if figure is None:
            path.unlink(missing_ok=True)
            continue
        # Someone may look at the report while the next one is drawn.
        with complete_file(path) as part:
            figure.savefig(part, dpi=110)
        plt.close(figure)
        found.append(path)
    return found


def _styles(summary: Summary) -> Iterator[tuple[str, dict[str, Any]]]:
    """A color and a marker for each method, the same in all plots."""
    found = dict.fromkeys(row.method for row in summary.rows)
    methods = [method for method in found if method != FULL]
    # A person looks for the first rows among many others.
    bold = [method for method in methods if method in FIRST]
    colors = [
        color
        for name in ("tab10", "Dark2")
        for color in matplotlib.color_sequences[name]
    ]
    places = {
        m: k for k, m in enumerate(sorted(methods, key=lambda m: m not in bold))
    }
    for method in methods:
        place = places[method]
        yield (
            method,
            {
                "color": colors[place % len(colors)],
                "marker": _MARKERS[place % len(_MARKERS)],
                "label": method,
                "capsize": 2,
                "elinewidth": 0.8,
                **(_BOLD if method in bold else _THIN),
            },
        )


def _models(
    summary: Summary, styles: dict[str, Any], best_auc: float | None
) -> Any:
    models = list(dict.fromkeys(row.model for row in summary.rows))
    if not models:
        return None
    across = min(len(models), 4)
    down = math.ceil(len(models) / across)
    figure, panels = plt.subplots(
        down,
        across,
        figsize=(8, 5)
        if len(models) == 1
        else (1.5 + 3.2 * across, 0.8 + 2.9 * down),
        layout="constrained",
        squeeze=False,
    )
    for panel, model in zip(panels.flat, models, strict=False):
        rows = summary.of(model)
        for row in (row for row in rows if row.method == FULL):
            mean, spread = row.mean("auc"), row.deviation("auc")
            panel.axhline(mean, color="0.3", linewidth=1, label=FULL)
            panel.axhspan(mean - spread, mean + spread, color="0.3", alpha=0.12)
        for method, style in styles.items():
            points = sorted(
                (
                    row.served_bytes,
                    row.mean("auc"),
                    row.deviation("auc"),
                )
                for row in rows
                if row.method == method
            )
            _line(panel, points, style)
        panel.set(title=model)
        _logarithmic(panel)
        if best_auc is not None:
            _possible(panel, best_auc)
    for panel in list(panels.flat)[len(models) :]:
        panel.set_axis_off()
    figure.supxlabel("bytes of the served embedding tables")
    figure.supylabel("test AUC")
    _legend(figure, *panels.flat)
    return figure


def _possible(panel: Any, best_auc: float) -> None:
    """Draws the best possible AUC as a line, or as a note if it is far away.

    A distant line would rescale the axis until the methods coincide.
    """
    low, high = panel.get_ylim()
    if best_auc <= high + (high - low) / 4:
        panel.axhline(best_auc, color="0.3", ls=":", label="possible")
        return
    panel.set_ylim(low, high + (high - low) / 10)
    panel.text(
        *(0.98, 0.98, f"possible: {best_auc:.4f} ↑"),
        transform=panel.transAxes,
        ha="right",
        va="top",
        fontsize="small",
        color="0.3",
    )


def _losses(summary: Summary, styles: dict[str, Any]) -> Any:
    if not summary.averages:
        return None
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    # Means over fewer models are not comparable.
    most = max(len(average.models) for average in summary.averages)
    whole = [a for a in summary.averages if len(a.models) == most]
    for method, style in styles.items():
        points = sorted(
            (
                factor,
                average.difference.difference,
                (average.difference.high - average.difference.low) / 2,
            )
            for average in whole
            if average.method == method
            and (factor := summary.factor(method, average.budget))
        )
        _line(axes, points, style)
    axes.axhline(0, color="0.3", linewidth=1, label=FULL)
    axes.set(
        xlabel="times fewer bytes of served embedding tables",
        ylabel="test AUC − full, mean over models\n(bars: 95 %, each alone)",
    )
    _logarithmic(axes)
    axes.set_yscale("symlog", linthresh=_SMALL_LOSS, linscale=1)
    axes.yaxis.set_major_locator(FixedLocator(_LOSSES))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3f}")
    axes.yaxis.set_minor_locator(NullLocator())
    # Intervals of two seeds may be far longer than all differences.
    means = [average.difference.difference for average in whole]
    axes.set_ylim(
        1.5 * min(*means, -_SMALL_LOSS), 2 * max(*means, _SMALL_LOSS / 2)
    )
    _without_size(axes, summary)
    _legend(figure, axes)
    return figure


def _without_size(axes: Any, summary: Summary) -> None:
    """Names the methods and budgets that have no size, below the axis."""
    found: dict[str, list[str]] = {}
    for _, method, budget in summary.infeasible:
        budgets = found.setdefault(method, [])
        if budget not in budgets:
            budgets.append(budget)
    if not found:
        return
    words = "; ".join(f"{k} {', '.join(v)}" for k, v in found.items())
    text = textwrap.fill(f"No size within the budget: {words}.", 100)
    axes.text(
        *(0, -0.14, text),
        transform=axes.transAxes,
        va="top",
        fontsize="small",
        color="0.3",
    )


def _convergence(summary: Summary, styles: dict[str, Any]) -> Any:
    if not summary.common:
        return None
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 4.2), layout="constrained"
    )
    # Models reach different AUCs, so only the first one is drawn.
    model, target = summary.common[0].model, summary.common[0].target
    for found in summary.common:
        if found.model != model:
            continue
        for axes, values in ((left, found.epochs), (right, found.times)):
            points = sorted(
                (factor, value, 0.0)
                for budget, value in values.items()
                if (factor := _factor(summary, found, budget))
            )
            if len(points) > 1:  # it has a size beside full tables
                _line(axes, points, styles[found.method])
    right.axhline(1, color="0.3", linewidth=1)
    left.set(ylabel="epochs", ylim=(0, None))
    right.set(ylabel="training time over that of full tables", yscale="log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        axes.set_xlabel("times fewer bytes of served embedding tables")
        _logarithmic(axes)
    figure.suptitle(
        f"{model}: to validation AUC {target:.4f}, full tables' less "
        f"{TOLERANCE:g}; a size without a point does not reach it"
    )
    _legend(figure, left)
    return figure


def _factor(summary: Summary, found: Convergence, budget: str) -> float | None:
    if budget == FULL:
        return 1.0
    return summary.factor(found.method, budget, found.model)


def _line(axes: Any, points: list[Any], style: dict[str, Any]) -> None:
    if points:
        x, y, spread = zip(*points, strict=True)
        axes.errorbar(x, y, spread, **style)


def _logarithmic(axes: Any) -> None:
    """Sets a logarithmic axis that spans at least a power of ten.

    Its labels are plain text: powers of ten as formulas need fonts that not
    every installation has, and matplotlib logs each one that it misses.
    """
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    middle = math.sqrt(low * high)
    axes.set_xlim(min(low, middle / 4), max(high, middle * 4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)


def _legend(figure: Any, *panels: Any) -> None:
    """Draws one legend with each label of the panels once."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(
            *axes.get_legend_handles_labels(), strict=True
        ):
            found.setdefault(label, handle)
    figure.legend(found.values(), found, loc="outside right upper")
