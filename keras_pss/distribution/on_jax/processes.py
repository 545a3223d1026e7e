"""Connects the processes of a job, and lets them agree."""

import atexit
import logging
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from keras_pss.distribution.chief import from_chief
from keras_pss.distribution.failures import lost

ADDRESS = "JAX_COORDINATOR_ADDRESS"
COUNT = "JAX_NUM_PROCESSES"
INDEX = "JAX_PROCESS_ID"
# Seconds without a sign of life after which a process counts as lost.
HEARTBEAT = 30
# Variables of a step of Slurm, from which JAX finds the other processes.
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID")
# What messages of collectives contain when a process is lost.
_SIGNS = (
    *("gloo", "nccl", "coordination service", "heartbeat"),
    *("connection closed", "connection reset", "connection refused"),
)
_LONGEST = 200  # characters of JAX's own message


def connect_processes() -> None:
    """Connects this process to the others that its environment names.

    Without variables that name any, and where `jax.distributed.initialize` was
    called before, it does nothing.

    Raises:
        ValueError: If a variable is missing or wrong, or JAX runs already.
    """
    if jax.distributed.is_initialized():
        return
    address = os.environ.get(ADDRESS)
    by_slurm = all(name in os.environ for name in _SLURM)
    if not address and not (by_slurm and _number(_SLURM[2]) != 1):
        for name in (COUNT, INDEX):
            if os.environ.get(name):
                raise _wrong(f"{name} without {ADDRESS}")
        return
    count, index = _number(COUNT), _number(INDEX)
    if not by_slurm and (address is None or None in (count, index)):
        raise _wrong(f"{ADDRESS}={address} alone")
    if count is not None and index is not None and not 0 <= index < count:
        raise _wrong(f"{INDEX}={index} of {count} processes")
    if address is not None and not address.rpartition(":")[2].isdecimal():
        raise _wrong(f"{ADDRESS}={address}, which is no host:port")
    # Without it, processes without GPUs have no collectives.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            address,
            count,
            index,
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    except RuntimeError as error:
        raise ValueError(
            "Call `distribution.connect` first: processes can connect only "
            "before JAX has run anything. All of them must be started, and "
            f"reach the address of process 0. Received: {error}"
        ) from error
    _leave_at_errors()
    _share_seeds()


def _number(name: str) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise _wrong(f"{name}={text}, which is no number")
    return int(text)


def _wrong(found: str) -> ValueError:
    return ValueError(
        "Training with several processes of JAX needs the environment "
        f"variables {ADDRESS}=host0:2222, the same in each process, {COUNT}, "
        f"and {INDEX} from 0 on; under Slurm, srun sets others. "
        f"Received: {found}"
    )


def _share_seeds() -> None:
    """Gives all processes the generator from which Keras draws seeds."""
    version, words, rest = random.getstate()
    state = _sent_words(np.array(words, np.uint32))
    random.setstate((version, tuple(int(word) for word in state), rest))


def _sent_words(words: np.ndarray) -> np.ndarray:
    """The chief's uint32 words."""
    return np.asarray(multihost_utils.broadcast_one_to_all(words))


def sent_text(text: str) -> str:
    """The chief's text, on all processes."""
    content = text.encode()
    (size,) = _sent_words(np.array([len(content)], np.uint32))
    mine = np.zeros(int(size), np.uint8)
    if jax.process_index() == 0:
        mine[:] = np.frombuffer(content, np.uint8)
    sent = multihost_utils.broadcast_one_to_all(mine)
    return np.asarray(sent).astype(np.uint8).tobytes().decode()


def on_chief(function: Any) -> Any:
    """See `Replicas.on_chief`."""
    if jax.process_count() == 1:
        return function()
    with process_lost():
        return from_chief(function, jax.process_index() == 0, sent_text)


@contextmanager
def process_lost() -> Iterator[None]:
    """Raises `WorkerLost` for what JAX raises when a process is gone.

    This process then ends with status 1, since JAX cannot end in order.
    """
    try:
        yield
    # JAX raises ValueError as well as JaxRuntimeError.
    except (ValueError, RuntimeError) as error:
        told = str(error)
        signs = any(sign in told.lower() for sign in _SIGNS)
        if jax.process_count() == 1 or not signs:
            raise
        atexit.register(leave, 1)
        raise lost(
            jax.process_index(), jax.process_count(), told[:_LONGEST]
        ) from error


def leave(status: int) -> None:
    """Ends a process of several at once, so that the others notice.

    Otherwise JAX would wait for them to end, while they wait for this one.

    Args:
        status: Exit status.
    """
    if not jax.distributed.is_initialized():
        return
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _leave_at_errors() -> None:
    """Lets an error that nothing catches end this process at once."""
    before = sys.excepthook

    def hook(*error: Any) -> None:
        before(*error)
        leave(1)

    sys.excepthook = hook
