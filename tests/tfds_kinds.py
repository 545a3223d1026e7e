"""A dataset of TFDS with features of all kinds, generated."""

import numpy as np
import tensorflow_datasets as tfds

SPLITS = {"test": 30, "train": 200, "extra": 20}
USERS = ["Ann", "Bo", "Cy"]


def row(number):
    """Row `number` as the schema's columns should hold it."""
    return {
        "price": number / 4,
        "count": number - 5,
        "member": number % 3 == 0,
        "city": "" if number % 7 == 0 else f"city {number % 5}",
        "user": None if number % 10 == 0 else USERS[number % 3],
        "shelf": None if number % 11 == 0 else number % 4,
        "viewed": list(range(number % 6)),
        "friends": [USERS[i % 3] for i in range(number % 3)],
        "vector": [number / 2, 1.0, -1.0],
        "clicked": number % 2,
    }


class KindsOfFeatures(tfds.core.GeneratorBasedBuilder):
    """Its splits come in an order that is not the usual one."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "price": np.float32,
                    "count": np.int64,
                    "member": np.bool_,
                    "city": tfds.features.Text(),
                    "user": tfds.features.ClassLabel(names=USERS),
                    "shelf": tfds.features.ClassLabel(num_classes=4),
                    "viewed": tfds.features.Sequence(np.int32),
                    "friends": tfds.features.Sequence(
                        tfds.features.ClassLabel(names=USERS)
                    ),
                    "vector": tfds.features.Tensor(
                        shape=(3,), dtype=np.float32
                    ),
                    "picture": tfds.features.Tensor(
                        shape=(2, 2), dtype=np.uint8
                    ),
                    "place": {"x": np.float32, "y": np.float32},
                    "visits": tfds.features.Sequence({"day": np.int32}),
                    "clicked": np.int8,
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {
            name: self._generate_examples(rows) for name, rows in SPLITS.items()
        }

    def _generate_examples(self, rows):
        for number in range(rows):
            made = row(number)
            for name in ("user", "shelf"):
                made[name] = -1 if made[name] is None else made[name]
            made |= {
                "picture": np.zeros((2, 2), np.uint8),
                "place": {"x": 1.0, "y": 2.0},
                "visits": [{"day": 1}],
            }
            yield number, made
