"""Names of `keras_pss.planning`, imported when one is first used."""

from keras_pss.planning import theory as theory
from keras_pss.planning.make_plan import plan as plan
from keras_pss.planning.model_report import ModelReport as ModelReport
from keras_pss.planning.model_report import memory_report as memory_report
from keras_pss.planning.plan_file import load_plan as load_plan
from keras_pss.planning.planned_tables import Plan as Plan
from keras_pss.planning.planned_tables import PlannedTable as PlannedTable
from keras_pss.planning.presets import PRESETS as PRESETS
from keras_pss.planning.workers import Scaling as Scaling
from keras_pss.planning.workers import WorkerStep as WorkerStep
from keras_pss.planning.workers import scaling as scaling
from keras_pss.planning.workers import simulated_traffic as simulated_traffic
