"""A comparison of a few short runs."""

from keras_pss.comparison import Grid

SETTINGS = {"epochs": 1, "evaluations": 2, "batch_size": 512, "dim": 4}
NARROW = {"dlrm": {"bottom_units": [8], "top_units": [8]}}


def grid(**settings):
    return Grid(
        ["dlrm"], ["robe"], ["10x"], 1, {**SETTINGS, **settings}, NARROW
    )
