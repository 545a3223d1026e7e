"""The tables of a comparison's report, as Markdown and as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from keras_pss.comparison.method_rows import FULL, ONE_SIZE
from keras_pss.comparison.runner import Outcome
from keras_pss.comparison.summaries.row import Row
from keras_pss.comparison.summaries.summary import Summary
from keras_pss.metrics.significance import Difference

REAL = 0.05  # below it, a p-value after Holm's correction is significant

# Title of a column of results that have groups.
GAUC = "gAUC"
# Title of a column of results with tables that are served packed.
PACKED = "AUC packed"
HEAD = (
    "method",
    "budget",
    "parameters",
    "kB training",
    "kB served",
    "kB int8",
    "test AUC",
    PACKED,
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
BEST_HEAD = (
    "size",
    "best",
    "test AUC",
    "AUC − full",
    "within noise of the best",
    "behind the best",
)
# Stands for the numbers of a method that has no size within a budget.
NO_SIZE = "no size"
# Title of the column of methods that have one size.
OWN_SIZE = "own size"


@dataclass(frozen=True)
class ReportTable:
    """A table of strings, with a head and a left-aligned first column.

    Attributes:
        title: Its title.
        head: Titles of the columns.
        rows: Strings of each row.
        words: Whether columns are lists of words, which wrap, not numbers.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: bool = False

    def markdown(self) -> str:
        rest = "---" if self.words else "--:"
        rule = ["---", *(rest for _ in self.head[1:])]
        lines = [self.head, rule, *self.rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{text}\n"

    def html(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            inner = "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells)
            return f"<tr>{inner}</tr>"

        kind = ' class="words"' if self.words else ""
        body = "\n".join(line(row, "td") for row in self.rows)
        return (
            f'<h2>{escape(self.title)}</h2>\n<div class="wide"><table{kind}>\n'
            f"<thead>{line(self.head, 'th')}</thead>\n<tbody>\n{body}\n"
            "</tbody>\n</table></div>\n"
        )


def best(summary: Summary) -> ReportTable:
    """The best method at each size, and how the others compare with it."""
    most = max((len(row.lines) for row in summary.rows), default=0)

    def of_seeds(auc: float, seeds: int) -> str:
        # One method without a seed takes it from all of them.
        few = f" ({seeds} of {most} seeds)" if seeds < most else ""
        return f"{auc:.4f}{few}"

    rows = [
        (
            each.budget,
            f"{each.method} {summary.size(each.method, '1x')}"
            if each.method in ONE_SIZE
            else each.method,
            of_seeds(each.auc, each.seeds),
            "–" if each.full is None else _signed(each.full.difference),
            _named(each.within),
            _named(each.behind),
        )
        for each in summary.best
    ]
    models = max((each.models for each in summary.best), default=1)
    title = "Best at each size"
    if models > 1:
        title += f", mean over {models} models"
    return ReportTable(title, BEST_HEAD, rows, words=True)


def _named(differences: dict[str, Difference]) -> str:
    """Methods and their differences from the best one."""
    words = (f"{k} {_signed(d.difference)}" for k, d in differences.items())
    return ", ".join(words) or "–"


def averages(summary: Summary) -> ReportTable:
    """The loss of AUC of each method and size, mean over models."""
    rows: list[tuple[str, ...]] = []
    most = max((len(a.models) for a in summary.averages), default=0)
    found = {(a.method, a.budget): a for a in summary.averages}
    for method, budget in summary.sizes():
        size = summary.size(method, budget)
        if (method, budget) not in found:
            rows.append(_without_size((method, size, ""), AVERAGE_HEAD))
            continue
        average = found[method, budget]
        difference = average.difference
        rows.append(
            (
                method,
                size,
                _models(average.models, most),
                _signed(difference.difference),
                f"{_signed(difference.low)} to {_signed(difference.high)}",
                probability(difference.p_value, starred=False),
                probability(average.p_value),
            )
        )
    return ReportTable("Mean over models", AVERAGE_HEAD, rows)


def _without_size(
    known: tuple[str, ...], head: Sequence[str]
) -> tuple[str, ...]:
    """The line of a method that has no size within a budget."""
    return (*known, NO_SIZE, *[""] * (len(head) - len(known) - 1))


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
    shown = {
        GAUC: summary.has("gauc"),
        PACKED: summary.has("packed_auc", everywhere=False),
    }
    found = {(row.method, row.budget): row for row in summary.of(model)}
    rows = []
    for method, budget in summary.sizes(model):
        size = summary.size(method, budget)
        if (method, budget) in found:
            rows.append(_cells(found[method, budget], size))
        else:
            rows.append(_without_size((method, size), HEAD))
    kept = [k for k, title in enumerate(HEAD) if shown.get(title, True)]
    return ReportTable(
        model,
        [HEAD[k] for k in kept],
        [[row[k] for k in kept] for row in rows],
    )


def _cells(row: Row, size: str) -> tuple[str, ...]:
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
        _kilobytes(line["embedding_training_bytes"]),
        _kilobytes(row.served_bytes),
        _kilobytes(line["embedding_bytes_int8"]),
        _spread(row, "auc"),
        _spread(row, "packed_auc"),
        _spread(row, "logloss"),
        _spread(row, "gauc"),
        difference,
        "" if row.p_value is None else probability(row.p_value),
        f"{row.mean('step_ms_median'):.1f}",
        to_target,
        "–" if row.relative_time is None else f"{row.relative_time:.2f}",
    )


def _spread(row: Row, key: str) -> str:
    """Mean and standard deviation of a value; nothing if it is unknown."""
    if any(line.get(key) is None for line in row.lines):
        return ""
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
