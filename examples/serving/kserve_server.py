"""Serves a SavedModel by KServe, with REST in TensorFlow Serving's form.

    pip install kserve 'keras-pss[tensorflow-cpu]'
    python examples/serving/kserve_server.py --model_name shop \\
        --model_dir served/shop
    python examples/serving/client.py --rest http://localhost:8080 \\
        --model shop --rows rows.json

KServe brings health checks, metrics and the open inference protocol, and runs
the same process in a container of Kubernetes. Its further options are those of
`kserve.model_server.parser`, such as `--http_port`.
"""

import argparse

import kserve
from kserve.errors import InvalidInput

from keras_pss.serving.rest.request_error import RequestError
from keras_pss.serving.rest.served_model import ServedModel
from keras_pss.serving.versions import find_version


class SavedModel(kserve.Model):
    """The latest version in a folder, or one SavedModel."""

    def __init__(self, name, folder):
        super().__init__(name)
        self._folder = folder

    def load(self):
        version, folder = find_version(self._folder)
        self._served = ServedModel(folder, self.name, version, 16_384)
        self._served.warm_up()
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None, response_headers=None):
        try:
            return self._served.predict(payload)
        except RequestError as error:
            raise InvalidInput(str(error)) from error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    parser.add_argument("--model_dir", required=True)
    given = parser.parse_args()
    served = SavedModel(given.model_name, given.model_dir)
    served.load()
    kserve.ModelServer().start([served])
