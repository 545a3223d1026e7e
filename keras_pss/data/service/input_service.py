"""The input servers of a trainer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from keras_pss.data.pipelines.log_dataset import element_of
from keras_pss.data.pipelines.record_batches import (
    WINDOW_ROWS,
    Records,
    check_batch_size,
    prefetched,
)
from keras_pss.data.pipelines.shards import Shard, check_shard
from keras_pss.data.service.addresses import parse_addresses
from keras_pss.data.service.checks import check_servers
from keras_pss.data.service.joined_batches import joined_batches
from keras_pss.data.service.reading import distributed
from keras_pss.data.service.window_stream import Windows, window_stream
from keras_pss.data.storage import log_metadata
from keras_pss.data.storage.prepared_folder import PreparedFolder

if TYPE_CHECKING:
    import tensorflow as tf

_LEAST_AHEAD = 16  # pieces that a server prepares before they are asked for


class InputService:
    """Training batches from input servers, as they would be read here.

    Args:
        addresses: Addresses `grpc://host:port` of the servers: a list, or a
            string with commas.
        compress: Whether servers compress what they send. Default: False.
        timeout: Seconds to wait for a server at the start, and for one that
            does not answer or send. Default: 120.
        window_rows: Number of rows that are shuffled together. Default: as
            in `dataset`, which has the same order only then.

    Attributes:
        addresses: `host:port` of each server.
        lost: What happened to servers that were lost.
        failure: The exception that ended a pipeline, or None.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        compress: bool = False,
        timeout: float = 120.0,
        window_rows: int = WINDOW_ROWS,
    ) -> None:
        self.addresses = parse_addresses(addresses)
        self.compress = compress
        self.timeout = timeout
        self.window_rows = window_rows
        self.lost: list[str] = []
        self.failure: Exception | None = None

    @classmethod
    def of(
        cls, service: "InputService | str | Sequence[str]"
    ) -> "InputService":
        """The service itself, or that of some addresses."""
        return service if isinstance(service, cls) else cls(service)  # type: ignore[arg-type]

    def check(self, prepared: PreparedFolder) -> None:
        """Raises unless all servers answer and see the same folder.

        Raises:
            OSError: `InputLost` if a server does not answer.
            ValueError: If a server has other versions or other rows, or does
                not see the folder.
        """
        path = prepared.directory.absolute() / log_metadata.NAME
        check_servers(self.addresses, path, self.timeout)

    def batches(
        self,
        prepared: PreparedFolder,
        *,
        batch_size: int,
        seed: int = 0,
        skip: int = 0,
        named: bool = False,
        shard: Shard | None = None,
    ) -> "tf.data.Dataset":
        """As `service_dataset`, without a check of the servers."""
        import tensorflow as tf

        check_batch_size(batch_size)
        if shard is not None:
            check_shard(shard)
        if skip < 0:
            raise ValueError(
                f"`skip` must be at least 0. Received: skip={skip}"
            )
        windows = Windows(
            Records(
                "train",
                tuple(str(p.absolute()) for p in prepared.shards("train")),
                prepared.layout.words,
                prepared.rows("train"),
                prepared.metadata["rows_per_shard"],
            ),
            batch_size,
            seed,
            self.window_rows,
        )
        element = element_of(prepared, named)
        decode = tf.function(
            element,
            input_signature=[
                tf.TensorSpec((None, prepared.layout.words), tf.int32)
            ],
        )
        own = shard or (0, 1)
        count = len(self.addresses)
        ahead = windows.most_pieces if count > 1 else 0

        def pieces(window: int, piece: int) -> "tf.data.Dataset":
            return window_stream(
                windows,
                element,
                own,
                first=window,
                step=count,
                piece=piece,
                ahead=max(_LEAST_AHEAD, ahead),
            )

        def received() -> Iterator[Any]:
            def sent(
                address: str, window: int, piece: int
            ) -> "tf.data.Dataset":
                return distributed(
                    pieces(window, piece), address, self.compress
                )

            self.failure = None  # that of an earlier pipeline
            try:
                yield from joined_batches(
                    windows,
                    sent,
                    decode,
                    own,
                    skip=skip,
                    servers=self.addresses,
                    timeout=self.timeout,
                    on_lost=self.lost.append,
                    with_rows=shard is not None,
                )
            except Exception as error:
                self.failure = error
                raise

        signature = _spec(decode)
        if shard is not None:
            parts = signature if isinstance(signature, tuple) else (signature,)
            signature = (*parts, tf.TensorSpec((), tf.int64))
        made = tf.data.Dataset.from_generator(
            received, output_signature=signature
        )
        endless = tf.data.experimental.assert_cardinality(
            tf.data.INFINITE_CARDINALITY
        )
        return prefetched(made.apply(endless))

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raises what ended a pipeline in place of TensorFlow's error."""
        try:
            yield
        except Exception as error:
            if self.failure is None or self.failure is error:
                raise
            raise self.failure from error


def _spec(decode: Any) -> Any:
    """What a function of records returns, without the names of its graph."""
    import tensorflow as tf

    return tf.nest.map_structure(
        lambda spec: tf.TensorSpec(spec.shape, spec.dtype),
        decode.get_concrete_function().structured_outputs,
    )
