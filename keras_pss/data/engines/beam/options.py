"""Options of Beam, as they are written in a command line."""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    TypeOptions,
)

# Other runners may know more options, which their job servers tell.
_KNOWN = ("DirectRunner", "DataflowRunner")


def checked_options(words: Sequence[str]) -> PipelineOptions:
    """The options that words mean.

    Raises:
        ValueError: A value is of another type, an option or the runner is not
            known, or the runner lacks an option or a package.
    """
    words = list(map(str, words))
    options = PipelineOptions(words)
    parsers: list[Any] = []
    told = io.StringIO()
    try:
        with redirect_stderr(told):
            options.get_all_options(add_extra_args_fn=parsers.append)
            _, unknown = parsers[0].parse_known_args(words)
    except SystemExit as error:
        last = told.getvalue().strip().splitlines()[-1:] or [str(error)]
        raise _wrong(words, last[0].partition("error: ")[2]) from None
    runner = options.view_as(StandardOptions).runner or _KNOWN[0]
    if unknown and runner in _KNOWN:
        raise _wrong(words, f"{runner} does not know {' '.join(unknown)}")
    try:
        if runner.lower() in ("direct", "directrunner"):
            # It would fetch another runner from the Internet and hand the
            # pipelines to it, which knows neither workers nor processes:
            # Prism, which can be had as --runner=PrismRunner. Beam spares it
            # pipelines with this option, which is about triggers, of which
            # there are none here.
            options.view_as(TypeOptions).allow_unsafe_triggers = True
        beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise _wrong(words, " ".join(str(error).split())) from error
    return options


def exchange_folder(options: PipelineOptions) -> str | None:
    """The option `--temp_location`, where workers may exchange files."""
    return options.view_as(GoogleCloudOptions).temp_location


def _wrong(words: Sequence[str], why: str) -> ValueError:
    return ValueError(
        "`beam_options` must be options of Apache Beam and of its runner: "
        f"{why.rstrip('.')}. Received: beam_options={list(words)}"
    )
