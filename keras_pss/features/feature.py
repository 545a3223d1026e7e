"""The types of the features of a schema."""

from keras_pss.features.categorical import Categorical
from keras_pss.features.cross import Cross
from keras_pss.features.dense import Dense
from keras_pss.features.multi_categorical import MultiCategorical
from keras_pss.features.time_feature import TimeFeature

# What a schema lists.
Feature = Categorical | MultiCategorical | Dense | Cross
# What becomes one id a row: of `Dense`, those with buckets.
Single = Categorical | Cross | TimeFeature | Dense


def has_ids(feature: Feature) -> bool:
    """Whether a feature becomes ids rather than numbers."""
    return not isinstance(feature, Dense) or feature.transform == "buckets"
