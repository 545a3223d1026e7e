"""Names of `keras_pss.comparison`, imported when one is first used."""

from keras_pss.comparison.grid import Grid as Grid
from keras_pss.comparison.grid import load_grid as load_grid
from keras_pss.comparison.report import write_report as write_report
from keras_pss.comparison.runner import compare as compare
