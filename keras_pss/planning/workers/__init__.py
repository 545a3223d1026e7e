"""Training on many workers: what a step sends, keeps in memory and takes.

A model on paper, and a simulation of its assumptions. Plain NumPy on the host.
"""

from keras_pss.planning.workers.scaling import scaling as scaling
from keras_pss.planning.workers.scaling_report import Scaling as Scaling
from keras_pss.planning.workers.scaling_report import WorkerStep as WorkerStep
from keras_pss.planning.workers.traffic import (
    simulated_traffic as simulated_traffic,
)
