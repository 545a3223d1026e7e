"""Replaces the tables of trained models by compressed ones, and tunes them.

The fit of a single layer to a table is the layer's own `fit_table`.
"""

from keras_pss.convert.compress_model import compress_model as compress_model
from keras_pss.convert.fine_tune import TuneReport as TuneReport
from keras_pss.convert.fine_tune import fine_tune as fine_tune
from keras_pss.convert.report import CompressionReport as CompressionReport
