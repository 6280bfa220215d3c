"""Several processes that train one network, each on its part of every batch: started by torchrun, one a GPU.

`torchrun --standalone --nproc-per-node 2 -m dpedtool train ...` starts two. Which part is whose follows from their
ranks; the gradients are averaged over the processes by torch's DistributedDataParallel, so that each takes the step
that one process with the whole batch would take, to rounding.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params import TrainParams
from dpedtool.training.inference import choose_device

Value = TypeVar("Value")
Network = TypeVar("Network", bound=nn.Module)

_RUNS = itertools.count()
"""Runs that this process took part in; each has its own corner of the store, where an earlier one's words stay."""
_GROUPS: list[object] = []
"""Groups of all runs, kept since a group must not go with the network that is the last to hold it: torch then waits for
the group's threads with Python's lock in hand, which they may be waiting for."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them; one process alone unless told otherwise."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one process that writes and prints."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes of a tensor that all have in the same shape."""
        if self.count == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.count

    def joined_lists(self, names: list[str]) -> list[str]:
        """Return the lists of all processes one after the other."""
        if self.count == 1:
            return names
        lists: list[list[str]] = [[] for _ in range(self.count)]
        dist.all_gather_object(lists, names)
        return [name for part in lists for name in part]

    def of_first(self, value: Value) -> Value:
        """Return what the first process has; all wait until all have come here."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def joined(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return the network as one to call, whose gradients are those of all processes together."""
        if self.count == 1:
            return network
        return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)

    def with_joint_norms(self, network: Network) -> Network:
        """Let a network's batch norms take their statistics over the parts of all processes; return the network."""
        if self.count > 1:
            # The norms within are exchanged; a new module is returned only of what is itself one.
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network


def is_first() -> bool:
    """Whether this process is the one to print: the first of torchrun's, or one that torchrun did not start."""
    return _environment()[0] == 0


@contextlib.contextmanager
def join(params: TrainParams) -> Iterator[tuple[Processes, torch.device]]:
    """Yield the processes of this run, connected, and the device of this one.

    When one of them fails, all end: that one with its own message, the others with one that points to it.

    Raises
    ------
    DpedtoolError
        `params.device` is not there, there are more processes on this machine than GPUs, batch norm is wanted of
        several processes without GPUs, or another process has failed.

    """
    rank, count = _environment()
    device = choose_device(params.device)
    if count == 1:
        yield Processes(), device
        return
    device = _own_device(device)
    _check(params, device)
    store = PrefixStore(f"run-{next(_RUNS)}", _open_store(rank, count))
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=PrefixStore("group", store), rank=rank, world_size=count)
    _GROUPS.append(dist.group.WORLD)
    try:
        yield Processes(rank, count), device
    except Exception as error:
        if store.add("failed", 1) > 1:
            raise DpedtoolError(
                f"Process {rank} of the training stopped, since another one failed; the other's message says why."
            ) from None
        if _is_broken_connection(error):
            raise DpedtoolError(
                f"Process {rank} of the training stopped, since it lost another one, which said nothing: the same "
                "command goes on from the last validation."
            ) from None
        raise
    finally:
        dist.destroy_process_group()


def _environment() -> tuple[int, int]:
    """Rank and number of the processes, as torchrun says."""
    if not dist.is_torchelastic_launched():
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _own_device(device: torch.device) -> torch.device:
    if device.type != "cuda":
        return device
    index, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if index >= gpus:
        raise DpedtoolError(f"There are more processes than GPUs here, of which torch finds {gpus}: start {gpus}.")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _check(params: TrainParams, device: torch.device) -> None:
    if params.norm == "batch" and device.type != "cuda":
        raise ParamsError(
            "train.norm is batch, whose statistics several processes can share on GPUs alone: train in one process, "
            "or set train.norm=instance."
        )


def _open_store(rank: int, count: int) -> TCPStore:
    """Where the processes leave words for each other; torchrun keeps one, or else the first process does."""
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, count, is_master=rank == 0 and not kept)


def _is_broken_connection(error: Exception) -> bool:
    # Gloo has no exception of its own.
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())
