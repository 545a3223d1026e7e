"""Configurations of runs that differ from another's."""

from keras_pss.training.config import RunConfig


def changed(config, **settings):
    return RunConfig.of({**config.as_dict(), **settings})
