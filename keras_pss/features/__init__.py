"""Schemas: which columns of a log are features, and what becomes of each.

A schema is declared in Python or TOML and needs no framework.
"""

from keras_pss.features.categorical import Categorical as Categorical
from keras_pss.features.cross import Cross as Cross
from keras_pss.features.dense import Dense as Dense
from keras_pss.features.file_format import Format as Format
from keras_pss.features.group import Group as Group
from keras_pss.features.label import Label as Label
from keras_pss.features.multi_categorical import (
    MultiCategorical as MultiCategorical,
)
from keras_pss.features.schema import Schema as Schema
from keras_pss.features.split import Split as Split
from keras_pss.features.time_feature import TimeFeature as TimeFeature
from keras_pss.features.timestamp import Timestamp as Timestamp
