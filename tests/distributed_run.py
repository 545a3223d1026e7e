"""A run of one worker or on two CPU devices, as a process of its own.

Its argument is JSON: `kind`, `data`, `out`, `config`, `resume`, `data_service`,
and `die`, the worker, round and batch at which a worker kills itself as kill -9
does.
"""

import json
import os
import signal
import sys
from unittest import mock

import tensorflow as tf
from runs import without_raw_rows

from keras_pss import distribution
from keras_pss.data import criteo
from keras_pss.training import fit as fitting
from keras_pss.training.config import RunConfig
from keras_pss.training.run import train

EXPORT = "keras_pss.training.run._export"  # takes seconds


def dying(times, place):
    class Dies(times):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            super().on_epoch_begin(epoch, logs)

        def on_train_batch_begin(self, batch, logs=None):
            if [self.epoch, batch] == place:
                os.kill(os.getpid(), signal.SIGKILL)
            super().on_train_batch_begin(batch, logs)

    return Dies


def main(kind, data, out, config, resume=False, die=None, data_service=None):
    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    replicas = distribution.connect(kind)
    if die is not None and replicas.worker == die[0]:
        fitting.StepTimes = dying(fitting.StepTimes, die[1:])
    with without_raw_rows(), mock.patch(EXPORT):
        report = train(
            criteo.load(data),
            RunConfig(**config),
            out,
            verbose=2,
            resume=resume,
            replicas=replicas,
            data_service=data_service,
        )
    print("auc", report["auc"], flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
