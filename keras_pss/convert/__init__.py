"""Tables of models that were trained elsewhere, as layers of this package."""

from keras_pss.convert.torch_tables import import_tables as import_tables
from keras_pss.convert.torch_tables import read_tables as read_tables
from keras_pss.convert.torch_tables import reverse_digits as reverse_digits
