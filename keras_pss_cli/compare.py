"""The command that compares methods, sizes and models."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from keras_pss_cli.common import goes_on, load
from keras_pss_cli.data import SchemaOption, find
from keras_pss_cli.train import option, parsed


def compare(
    data: Annotated[
        str,
        option(
            "A folder that `prepare` wrote, a Criteo TSV file, MovieLens' "
            "ratings, files of --schema, a dataset of TensorFlow Datasets "
            "(tfds:NAME), or 'synthetic'."
        ),
    ],
    out: Annotated[
        Path, option("Folder of results; an existing one is resumed.")
    ],
    schema: SchemaOption = None,
    grid: Annotated[
        str,
        option(
            "Settings of all runs: 'small' (narrow networks, batches of 512, "
            "for about 100,000 rows on a few cores), 'paper' (the widths of "
            "ROBE's table 8), a TOML file, or 'auto': below a million training "
            "rows 'small', with 3 seeds for less than 200,000 rows (within an "
            "hour on two cores, for all methods and budgets), 2 for less than "
            "400,000, else 1; from a million on 'paper'. Other options "
            "override it."
        ),
    ] = "auto",
    models: Annotated[
        str | None,
        option(
            "Comma-separated models, or 'all'. Default: dlrm, or with --grid "
            "auto neuralcf for a log without dense features."
        ),
    ] = None,
    methods: Annotated[
        str | None,
        option(
            "Comma-separated methods of `train`, robe_fold, or methods with "
            "options, 'robe\\[block_size=4]'. full, filter (ids seen 10 times "
            "or more), low_rank and hash are always included. Default: all "
            "that a comparison has a row for."
        ),
    ] = None,
    budgets: Annotated[
        str | None,
        option(
            "Comma-separated budgets, such as 10x,100x or 18kB (served "
            "bytes). Default: 10x,100x,1000x,10000x."
        ),
    ] = None,
    seeds: Annotated[int | None, option("Number of runs of each cell.")] = None,
    setting: Annotated[
        list[str] | None,
        option(
            "A setting of `train` for all runs, such as "
            "batch_size=2048 or epochs=3; repeat for more.",
            "--set",
        ),
    ] = None,
    workers: Annotated[
        int,
        option(
            "Number of cells that train at the same time and share the "
            "cores: more cells per hour, but slower steps."
        ),
    ] = 1,
    report_only: Annotated[
        bool,
        typer.Option(
            "--report-only", help="Train nothing; report the finished runs."
        ),
    ] = False,
    rows: Annotated[
        int | None,
        option("Number of rows of --data synthetic. Default: 300000."),
    ] = None,
    scale: Annotated[
        float | None,
        option("Scale of --data synthetic; see `synth`. Default: 0.01."),
    ] = None,
) -> None:
    """Compare methods, sizes and models on one log, with baselines.

    Finished runs are kept: the same command resumes the comparison. It writes
    results.jsonl, report.html, report.md and plots to OUT, and rewrites the
    report while it trains: a first picture exists within minutes.
    """
    changes: dict[str, Any] = {"run": parsed(setting or [], "--set")}
    from keras_pss.data.locate import check as check_data
    from keras_pss.training.config import RunConfig
    from keras_pss.training.settings import MODELS

    RunConfig.of(changes["run"])  # or an error
    check_data(data, rows, scale, None, schema)
    load()
    from keras_pss.comparison.default_grid import AUTO, grid_for
    from keras_pss.comparison.grid import load_grid
    from keras_pss.comparison.live_report import LiveReport
    from keras_pss.comparison.report import write_report
    from keras_pss.comparison.report_tables import averages, best, duration
    from keras_pss.comparison.runner import compare as compare_runs
    from keras_pss.comparison.summary import summarise
    from keras_pss.data.locate import open_click_log

    if models is not None:
        changes["models"] = list(MODELS) if models == "all" else split(models)
    if methods is not None:
        changes["methods"] = split(methods)
    if budgets is not None:
        changes["budgets"] = split(budgets)
    if seeds is not None:
        changes["seeds"] = seeds
    # Mistakes are told before the log is prepared, which can take long.
    chosen = load_grid("small" if grid == AUTO else grid, **changes)
    console = Console(markup=False)
    begun = time.time()
    with goes_on("The same command resumes the comparison."):
        log = find(data, out, rows, scale, schema=schema)
        if grid == AUTO:
            chosen = grid_for(open_click_log(log.path), **changes)
        report = LiveReport(out, log.best_auc, log.name)
        with _Bar() as bar:

            def watch(outcome: Any) -> None:
                report(outcome)
                bar.expect(outcome)

            outcome = compare_runs(
                log.path, chosen, out, workers, bar.advance, report_only, watch
            )
    summary = summarise(outcome, out)
    page = write_report(outcome, out, log.best_auc, summary, log.name)
    for table in (averages(summary), best(summary)):
        if table.rows:
            console.print(_shown(table))
    for name, error in outcome.errors.items():
        console.print(f"{name}: {error}", style="red")
    console.print(
        f"{len(outcome.results)} runs are finished; this command took "
        f"{duration(time.time() - begun)}. Tables and plots: {page}",
        soft_wrap=True,
    )


def _shown(table: Any) -> Table:
    shown = Table(*table.head, title=table.title)
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown


def split(text: str) -> list[str]:
    """Splits at commas, except those within brackets."""
    words, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and not depth:
            words.append("")
        else:
            words[-1] += letter
    return [word.strip() for word in words if word.strip()]


class _Bar:
    """A progress bar over cells on stderr; in a file, a line for each."""

    def __enter__(self) -> "_Bar":
        self.console = Console(stderr=True, markup=False, highlight=False)
        self.progress = Progress(
            TextColumn("cells"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.progress.start()
        self.task = self.progress.add_task("", total=None)
        self.last, self.told = "", False
        return self

    def advance(self, done: int, total: int, line: dict[str, Any]) -> None:
        what = line.get("error") or f"AUC {line['auc']:.4f}"
        self.last = f"{line['name']}: {what}"
        self.progress.update(self.task, completed=done, total=total)

    def expect(self, outcome: Any) -> None:
        """Tells the last cell, and how long the rest will take."""
        from keras_pss.comparison.report_tables import duration

        known = len(outcome.results)
        total = outcome.left + known + len(outcome.errors)
        time = f"about {duration(outcome.seconds_left)} left"
        if not self.told:
            self.told = True
            self.console.print(_begin(outcome, time), soft_wrap=True)
            return
        text = f"{self.last}; {time}"
        self.progress.update(self.task, description=escape(text))
        if self.progress.disable:
            self.console.print(f"{known}/{total} {text}", soft_wrap=True)

    def __exit__(self, *raised: object) -> None:
        self.progress.stop()


def _begin(outcome: Any, time: str) -> str:
    """What is said before the first cell is trained."""
    text = f"{outcome.left} cells to train, {time}"
    if not outcome.results:
        text += ", a guess until the first of them are measured"
    if outcome.infeasible:
        text += (
            f"; {len(outcome.infeasible)} others have no size within their "
            "budget"
        )
    return text + ". The report is rewritten meanwhile."
