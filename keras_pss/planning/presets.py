"""Numbers of ids of public logs, by the name of the log.

They are those of the categorical columns in order, as the named sources
prepare the log.
"""

from collections.abc import Mapping

# DLRM's preparation of Criteo Kaggle's seven days: 33,762,577 ids.
_KAGGLE = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683,
    8351593, 3194, 27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15,
    286181, 105, 142572,
)  # fmt: skip
# MLPerf's DLRM on Criteo's 24 days, ids modulo 40 million: 204,184,588.
_TERABYTE = (
    40000000, 39060, 17295, 7424, 20265, 3, 7122, 1543, 63, 40000000,
    3067956, 405282, 10, 2209, 11938, 155, 4, 976, 14, 40000000, 40000000,
    40000000, 590152, 12973, 108, 36,
)  # fmt: skip
# NVIDIA's DLRM on the same days, ids seen 15 times or more: 32.7 million.
_TERABYTE_15 = (
    7912889, 33823, 17139, 7339, 20046, 4, 7105, 1382, 63, 5554114, 582469,
    245828, 11, 2209, 10667, 104, 4, 968, 15, 8165896, 2675940, 7156453,
    302516, 12022, 97, 35,
)  # fmt: skip
# The same, ids seen 3 times or more: 177,944,275.
_TERABYTE_3 = (
    45833188, 36746, 17245, 7413, 20243, 3, 7114, 1441, 62, 29275261,
    1572176, 345138, 10, 2209, 11267, 128, 4, 974, 14, 48937457, 11316796,
    40094537, 452104, 12606, 104, 35,
)  # fmt: skip

PRESETS: Mapping[str, tuple[int, ...]] = {
    "criteo-kaggle": _KAGGLE,
    "criteo-terabyte": _TERABYTE,
    "criteo-terabyte-15": _TERABYTE_15,
    "criteo-terabyte-3": _TERABYTE_3,
}
