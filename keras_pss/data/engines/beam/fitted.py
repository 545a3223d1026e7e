"""Columns of records in all workers, with what was learned so far."""

from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared

from keras_pss.data.encoders.known_texts import KnownTexts
from keras_pss.data.encoders.text_table import TextTable
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.storage.columns.log_columns import LogColumns
from keras_pss.features import Schema

_NO_COUNTS = np.zeros(0, np.int64)

# What the caller tells the workers: names of columns and of files.
State = dict[str, Any]


def new_state(schema: Schema) -> State:
    """The state before anything was learned."""
    return {
        "schema": schema.to_dict(),
        "wide": [],  # integers that are written as float32
        "groups": None,  # file with the groups in order
        "vocabularies": {},  # files with the texts of each table
        "borders": {},
        "fill": {},
    }


def columns_of(exchange: Exchange, state: State) -> LogColumns:
    """The columns, fitted as far as the state says."""
    tables: dict[str, TextTable] = {
        name: KnownTexts(_vocabulary(exchange, file))
        for name, file in state["vocabularies"].items()
    }
    groups = None
    if state["groups"] is not None:
        groups = _vocabulary(exchange, state["groups"])
    schema = Schema.from_dict(state["schema"])
    columns = LogColumns(schema, tables=tables, groups=groups)
    for number in columns.dense:
        if number.name in state["wide"]:
            number.staged.widen("float32")
        if number.name in state["fill"]:
            number.fill = np.array(state["fill"][number.name], np.float64)
    for bucket in columns.buckets:
        if bucket.name in state["borders"]:
            found = state["borders"][bucket.name]
            bucket.borders = np.array(found, np.float32)
    return columns


def _vocabulary(exchange: Exchange, file: str) -> Vocabulary:
    texts = exchange.read_frame(file)
    return Vocabulary(texts["value"], _NO_COUNTS)


class OnColumns(beam.DoFn):
    """Base class of what workers do with fitted columns.

    The threads of a worker share the columns, whose vocabularies may be large.

    Args:
        exchange: Where vocabularies are read.
        state: What was learned so far.
    """

    def __init__(self, exchange: Exchange, state: State):
        self.exchange = exchange
        self._state = state
        self._shared = Shared()

    def setup(self) -> None:
        self.log: LogColumns = self._shared.acquire(
            lambda: columns_of(self.exchange, self._state)
        )
