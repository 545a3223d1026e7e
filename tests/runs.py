"""Configurations of runs, and runs without what takes most of their time."""

from unittest import mock

from keras_pss.training.config import RunConfig

# Of DLRM: what a run does with its model depends on no width.
NARROW = {"bottom_units": [8], "top_units": [8]}


def changed(config, **settings):
    return RunConfig.of({**config.as_dict(), **settings})


def without_raw_rows():
    """A context in which runs export models without the graph of raw rows.

    To trace and to write it takes most of a short run, and nothing of it
    depends on how a run has trained.
    """
    return mock.patch("keras_pss.training.run.raw_rows", return_value=None)
