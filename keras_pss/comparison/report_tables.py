"""The tables of a comparison's report, as Markdown and as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from keras_pss.comparison.grid import FULL, ONE_SIZE
from keras_pss.comparison.runner import Outcome
from keras_pss.comparison.summary import Row, Summary

REAL = 0.05  # below it, a p-value after Holm's correction is significant

# Title of a column of results that have groups.
GAUC = "gAUC"
HEAD = (
    "method",
    "budget",
    "parameters",
    "kB",
    "test AUC",
    "log loss",
    GAUC,
    "AUC − full",
    "p (Holm)",
    "ms per step",
    "epochs to full's AUC",
    "time to it",
)
# Like the p next to it, the interval holds for a single difference.
AVERAGE_HEAD = (
    "method",
    "budget",
    "models",
    "AUC − full",
    "95 %",
    "p",
    "p (Holm)",
)
# Title of the column of methods that have one size.
OWN_SIZE = "own size"


@dataclass(frozen=True)
class ReportTable:
    """A table of strings, with a head and a left-aligned first column."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        rule = ["---", *("--:" for _ in self.head[1:])]
        lines = [self.head, rule, *self.rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{text}\n"

    def html(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            inner = "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells)
            return f"<tr>{inner}</tr>"

        body = "\n".join(line(row, "td") for row in self.rows)
        return (
            f'<h2>{escape(self.title)}</h2>\n<div class="wide"><table>\n'
            f"<thead>{line(self.head, 'th')}</thead>\n<tbody>\n{body}\n"
            "</tbody>\n</table></div>\n"
        )


def averages(summary: Summary) -> ReportTable:
    """The loss of AUC of each method and size, mean over models."""
    rows = []
    most = max((len(a.models) for a in summary.averages), default=0)
    for average in summary.averages:
        found = average.difference
        rows.append(
            (
                average.method,
                summary.size(average.method, average.budget),
                _models(average.models, most),
                _signed(found.difference),
                f"{_signed(found.low)} to {_signed(found.high)}",
                probability(found.p_value, starred=False),
                probability(average.p_value),
            )
        )
    return ReportTable("Mean over models", AVERAGE_HEAD, rows)


def convergence(summary: Summary) -> ReportTable:
    """Epochs and time until the AUC that all sizes of a method reach."""
    rows, columns = [], {}
    for found in summary.convergences:
        columns[found.model, found.method] = {
            OWN_SIZE if found.method in ONE_SIZE else budget: budget
            for budget in found.epochs
            if budget != FULL
        }
    shown = list(dict.fromkeys(c for each in columns.values() for c in each))
    for found in summary.convergences:
        budgets = columns[found.model, found.method]
        cells = [
            f"{found.epochs[budgets[column]]:.2f} "
            f"({found.times[budgets[column]]:.2f})"
            if column in budgets
            else "–"
            for column in shown
        ]
        rows.append(
            (
                f"{found.model}, {found.method}",
                f"{found.target:.4f}",
                f"{found.epochs[FULL]:.2f}",
                *cells,
            )
        )
    head = ("model, method", "validation AUC", "full", *shown)
    return ReportTable("Epochs, and time relative to full tables", head, rows)


def of_model(summary: Summary, model: str) -> ReportTable:
    """The table of one model; with gAUC if all results have it."""
    grouped = summary.has("gauc")
    rows = [
        _cells(row, summary.size(row.method, row.budget), grouped)
        for row in summary.of(model)
    ]
    head = tuple(title for title in HEAD if grouped or title != GAUC)
    return ReportTable(model, head, rows)


def _cells(row: Row, size: str, grouped: bool) -> tuple[str, ...]:
    line = row.lines[0]
    epochs = row.epochs_to_target
    reached = sum(epochs is not None for epochs in row.target)
    if epochs is not None:
        to_target = f"{epochs:.2f}"
    else:
        to_target = f"{reached} of {len(row.lines)} runs" if reached else "–"
    difference = ""
    if row.difference is not None:
        difference = _signed(row.difference.difference)
        if row.difference.seeds < len(row.lines):
            difference += f" ({row.difference.seeds} of {len(row.lines)} seeds)"
    return (
        row.method,
        size,
        f"{line['embedding_params']:,}",
        _kilobytes(line["embedding_bytes"]),
        _spread(row, "auc"),
        _spread(row, "logloss"),
        *([_spread(row, "gauc")] if grouped else ()),
        difference,
        "" if row.p_value is None else probability(row.p_value),
        f"{row.mean('step_ms_median'):.1f}",
        to_target,
        "–" if row.relative_time is None else f"{row.relative_time:.2f}",
    )


def _spread(row: Row, key: str) -> str:
    mean = f"{row.mean(key):.4f}"
    if len(row.lines) == 1:
        return mean
    return f"{mean} ± {row.deviation(key):.4f}"


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.{0 if size >= 100_000 else 1}f}"


def _models(names: Sequence[str], most: int) -> str:
    """The number of models, and their names if some are missing."""
    if len(names) == most:
        return str(most)
    return f"{len(names)}: {', '.join(names)}"


def left_out(outcome: Outcome) -> list[str]:
    """Cells without a result, grouped by reason."""
    found: dict[str, list[str]] = {}
    for kind in (outcome.infeasible, outcome.errors):
        for name, reason in kind.items():
            found.setdefault(reason, []).append(name)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: "
        f"{reason}"
        for reason, names in found.items()
    ]


def probability(value: float, starred: bool = True) -> str:
    shown = "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
    return f"{shown} *" if starred and value < REAL else shown


def duration(seconds: float) -> str:
    """A duration in hours, minutes or seconds."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
