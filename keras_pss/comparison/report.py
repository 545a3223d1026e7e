"""The report of a comparison, as an HTML page and as Markdown."""

import base64
import json
import re
import shlex
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

from keras_pss.comparison import plots
from keras_pss.comparison import report_tables as tables
from keras_pss.comparison.runner import Outcome
from keras_pss.comparison.summaries.convergence import TOLERANCE
from keras_pss.comparison.summaries.summary import Summary
from keras_pss.comparison.summary import summarise
from keras_pss.files import write_text

PAGE = "report.html"
MARKDOWN = "report.md"

TITLE = "Quality against size"
NOTES = (
    "Mean ± standard deviation over seeds. The validation rows choose the best "
    "checkpoint (early stopping); each run is tested once. A size in brackets "
    "is not a budget: the method has only this size. No size: the method "
    "cannot be built within this budget; the reasons are below.",
    "kB of the embedding tables, with pointers and other index tables. "
    "Training: parameters, gradients, the optimizer's slots and counters. "
    "Served: what a served model stores, which the budgets and the plots count "
    "(budgets count the slots of adaptive rows as well); tables with "
    "a storage of their own, such as int4, are packed. Int8: after "
    "`quantize('int8')`; AUC packed is that of the packed model, where tables "
    "are served so.",
    "Best at each size: the highest AUC, mean over the models and seeds that "
    "all methods have finished. Within noise: the difference from the best has "
    "a p-value of at least .05, without correction. Methods of one size take "
    "part where they fit.",
    "AUC − full: mean difference from full tables with the same seeds and the "
    "same test rows. p: p-value of no difference, with DeLong's variance over "
    "the test rows plus the variance over seeds, and a t distribution with "
    "Welch-Satterthwaite degrees of freedom. The 95 % interval has the same "
    "distribution; it and p hold for a single difference. p (Holm): Holm's "
    "correction of p over all such differences in the report, which holds for "
    "all of them together; * means below .05.",
    "Epochs and time to full's AUC: training until the validation AUC reaches "
    "that of full tables, which is the lowest among the best validation AUCs "
    "of their runs; the time is relative to theirs. –: not reached.",
    "Epochs, and time relative to full tables: training until the validation "
    "AUC that all runs of the method and of full tables reach, which is the "
    "lowest among their best validation AUCs. The plot has one target for all "
    f"methods, {TOLERANCE:g} below the AUC of full tables.",
)
GROUP_NOTE = (
    "gAUC: AUC among the test rows of each group, such as a user; mean over "
    "the groups with both labels, weighted by their numbers of rows."
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
       max-width: 75rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0;
        font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .45rem;
         text-align: right; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
p, li { overflow-wrap: anywhere; }
th:first-child, td:first-child { text-align: left; }
table.words td { text-align: left; white-space: normal; vertical-align: top; }
tbody tr:hover { background: #f4f6f8; }
img { max-width: 100%; }
code { background: #f4f6f8; padding: .1rem .3rem; }
"""


# While cells are trained, a browser shows the latest report.
RELOAD = '<meta http-equiv="refresh" content="60">'


def write_report(
    outcome: Outcome,
    out: Path,
    best_auc: float | None = None,
    summary: Summary | None = None,
    data: str | None = None,
) -> Path:
    """Writes `report.html`, `report.md` and `plots/` of the finished runs.

    Args:
        outcome: The result of `compare`.
        out: Folder of the comparison.
        best_auc: The best expected AUC of a model, if it is known, as for
            synthetic rows.
        summary: The result of `summarise`. Default: it is computed.
        data: Name of the log in the title. Default: the names of its files.

    Returns:
        The path of `report.html`, a page that needs no other file.

    Raises:
        ValueError: If no run is finished.
    """
    if not outcome.results:
        reasons = [*outcome.errors.values(), *outcome.infeasible.values()]
        raise ValueError(
            "A report needs at least one finished run. "
            f"Received: none in {out}. {reasons[0] if reasons else ''}".strip()
        )
    summary = summary or summarise(outcome, out)
    drawn = plots.draw(summary, out / "plots", best_auc)
    found = [
        tables.best(summary),
        tables.averages(summary),
        *(
            tables.of_model(summary, model)
            for model in dict.fromkeys(row.model for row in summary.rows)
        ),
        tables.convergence(summary),
    ]
    found = [table for table in found if table.rows]
    missing = tables.left_out(outcome)
    about = _about(outcome)
    if best_auc is not None:
        about.insert(
            1, f"The true probabilities have AUC {best_auc:.4f} in expectation."
        )
    data = data or outcome.data
    title = f"{TITLE}: {data}" if data else TITLE
    notes = [*NOTES, GROUP_NOTE] if summary.has("gauc") else NOTES
    parts = about, found, notes, missing, drawn
    write_text(_markdown(title, *parts), out / MARKDOWN)
    training = outcome.seconds_left is not None
    write_text(_page(title, *parts, reload=training), out / PAGE)
    return out / PAGE


def _about(outcome: Outcome) -> list[str]:
    """Lines about the runs, the data, the machine and the command."""
    line = next(iter(outcome.results.values()))
    made = ", ".join(f"{k} {v}" for k, v in line["versions"].items())
    total = sum(x["history"]["seconds"][-1] for x in outcome.results.values())
    grid = outcome.grid
    options = {
        model: grid.model_options[model]
        for model in grid.models
        if model in grid.model_options
    }
    return [
        *_progress(outcome),
        f"{len(outcome.results)} runs, {line['train_rows']:,} rows to train "
        f"on, {line['rows']:,} to test on; {tables.duration(total)} of "
        "training in all.",
        f"{line['machine']['cores']} cores, {line['machine']['cpu']}; {made}.",
        f"Settings of all runs: {json.dumps(grid.run)}; of the models: "
        f"{json.dumps(options)}.",
        f"Command: `{shlex.join(['keras-pss', *sys.argv[1:]])}`",
    ]


def _progress(outcome: Outcome) -> list[str]:
    """What an unfinished comparison still has to do."""
    if not outcome.left:
        return []
    whole = outcome.left + len(outcome.results) + len(outcome.errors)
    words = f"Unfinished: {outcome.left} of {whole} cells have no result yet"
    if outcome.seconds_left is not None:
        time = tables.duration(outcome.seconds_left)
        words += f", which takes about {time} more"
    return [f"{words}."]


def _markdown(
    title: str,
    about: list[str],
    found: list[tables.ReportTable],
    notes: Sequence[str],
    missing: list[str],
    drawn: list[Path],
) -> str:
    text = [f"# {title}\n", *(f"{line}\n" for line in about)]
    text += [f"![{path.stem}](plots/{path.name})\n" for path in drawn]
    text += [table.markdown() for table in found]
    text += [f"{note}\n" for note in notes]
    if missing:
        text.append("## Without a result\n")
        text.append("\n".join(f"- {line}" for line in missing) + "\n")
    return "\n".join(text)


def _page(
    title: str,
    about: list[str],
    found: list[tables.ReportTable],
    notes: Sequence[str],
    missing: list[str],
    drawn: list[Path],
    reload: bool = False,
) -> str:
    parts = [f"<h1>{escape(title)}</h1>"]
    parts += [f"<p>{_html(line)}</p>" for line in about]
    for path in drawn:
        image = base64.b64encode(path.read_bytes()).decode()
        source = f"data:image/png;base64,{image}"
        parts.append(f'<p><img alt="{path.stem}" src="{source}"></p>')
    parts += [table.html() for table in found]
    parts += [f"<p>{_html(note)}</p>" for note in notes]
    if missing:
        items = "".join(f"<li>{_html(line)}</li>" for line in missing)
        parts.append(f"<h2>Without a result</h2><ul>{items}</ul>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"{RELOAD if reload else ''}"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _html(line: str) -> str:
    """A line of Markdown text as HTML, with code between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(line))
