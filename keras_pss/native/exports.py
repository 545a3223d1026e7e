"""Names of `keras_pss.native`, imported when one is first used."""

from keras_pss.native.dispatch import available as available
from keras_pss.native.switch import disabled as disabled
