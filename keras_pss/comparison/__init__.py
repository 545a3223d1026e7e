"""Grids of runs: methods, sizes and models beside honest baselines."""

from keras_pss.comparison.compare import compare as compare
from keras_pss.comparison.grid import Grid as Grid
from keras_pss.comparison.grid import load_grid as load_grid
from keras_pss.comparison.report import write_report as write_report
