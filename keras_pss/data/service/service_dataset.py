"""The function `service_dataset`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_pss.data.service.input_service import InputService
from keras_pss.data.storage.open_folder import load
from keras_pss.data.storage.prepared_folder import PreparedFolder

if TYPE_CHECKING:
    import tensorflow as tf


def service_dataset(
    prepared: PreparedFolder | str | Path,
    service: InputService | str | Sequence[str],
    *,
    batch_size: int = 2048,
    seed: int = 0,
    skip: int = 0,
    named: bool = False,
    shard: tuple[int, int] | None = None,
) -> "tf.data.Dataset":
    """Training batches that input servers read, shuffle and decode.

    They are those of `dataset(prepared, batch_size=batch_size, seed=seed,
    repeat=True, skip=skip, named=named)`, in the same order and bit for bit on
    equal processors, whatever the number of servers. If a server is lost, the
    others go on from the row at which it stopped: no row is lost or repeated.
    Each batch is counted, and other rows than expected are an error.

    Args:
        prepared: As of `dataset`. Its metadata is read here, its training rows
            by the servers, at the same path.
        service: Addresses of servers that `keras-pss data-service` started,
            such as `"grpc://host0:5050,grpc://host1:5050"`; or an
            `InputService`, which has more options.
        batch_size: As of `dataset`. Default: 2048.
        seed: As of `dataset`. Default: 0.
        skip: As of `dataset`. Default: 0.
        named: As of `dataset`. Default: False.
        shard: As of `dataset`. Default: None, whole batches.

    Returns:
        An endless prefetched dataset with elements like those of `dataset`.

    Raises:
        OSError: `InputLost` if a server cannot be reached.
        ValueError: If an argument is wrong, or a server has another version
            of TensorFlow or of the folder, or does not see it.

    Example:

    ```python
    from keras_pss import data

    log = data.load("prepared")
    batches = data.service_dataset(
        log, "grpc://host0:5050,grpc://host1:5050", batch_size=8192
    )
    steps = -(-log.rows("train") // 8192)
    model.fit(batches, epochs=2, steps_per_epoch=steps)
    ```
    """
    if not isinstance(prepared, PreparedFolder):
        prepared = load(prepared)
    service = InputService.of(service)
    prepared.shards("train")  # raises if there are none
    service.check(prepared)
    return service.batches(
        prepared,
        batch_size=batch_size,
        seed=seed,
        skip=skip,
        named=named,
        shard=shard,
    )
