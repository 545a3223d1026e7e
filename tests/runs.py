"""Configurations of runs that differ from another's."""

from keras_pss.training.config import RunConfig

# Of DLRM: what a run does with its model depends on no width.
NARROW = {"bottom_units": [8], "top_units": [8]}


def changed(config, **settings):
    return RunConfig.of({**config.as_dict(), **settings})
