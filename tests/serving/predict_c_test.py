"""The C program of examples/serving, built and run."""

import csv
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import served_shop
import tensorflow as tf

import keras_pss
from keras_pss import data
from keras_pss.features import Categorical, Dense, Label, Schema, Timestamp
from keras_pss.serving import export_saved_model
from keras_pss.serving.raw_rows import preprocessing

pytestmark = [
    pytest.mark.tf_only,
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc"),
]
SCHEMA = Schema(
    [Categorical("user"), Dense("price", transform="log1p")],
    label=Label("clicked"),
    timestamp=Timestamp("at", format="epoch_s", features=("hour",)),
)
