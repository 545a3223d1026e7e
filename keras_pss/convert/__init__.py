"""Trained models and tables, converted.

`compress_model` replaces the tables of a trained model by compressed ones,
`fine_tune` trains them further, and `import_tables` creates layers from tables
that were trained elsewhere. The fit of a single layer to a table is the
layer's own `fit_table`.
"""

from keras_pss.convert.compress_model import compress_model as compress_model
from keras_pss.convert.fine_tune import TuneReport as TuneReport
from keras_pss.convert.fine_tune import fine_tune as fine_tune
from keras_pss.convert.report import CompressionReport as CompressionReport
from keras_pss.convert.torch_tables import import_tables as import_tables
from keras_pss.convert.torch_tables import read_tables as read_tables
from keras_pss.convert.torch_tables import reverse_digits as reverse_digits
