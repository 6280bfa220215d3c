"""Several processes that train one network, each on its part of every batch; torchrun starts one process per GPU.

`torchrun --standalone --nproc-per-node 2 -m dpedtool train ...` starts two. The rank of a process decides which part it
takes. torch's DistributedDataParallel averages the gradients over the processes, so that each takes the same step,
except for rounding, as one process with the whole batch would take.
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
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.inference import choose_device

Value = TypeVar("Value")
Network = TypeVar("Network", bound=nn.Module)

_RUNS = itertools.count()
"""Counts the runs of this process; each has its own prefix in the store, which keeps the entries of earlier runs."""
_GROUPS: list[object] = []
"""Groups of all runs. They are kept because a group must not be freed together with its network: torch would wait for
the group's threads while it holds Python's lock, and the threads may be waiting for that lock."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them; by default a single process."""

    rank: int = 0
    count: int = 1
    device_type: str = "cpu"
    """Of the device that each of them has: cpu or cuda."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes; its shape is the same in all of them."""
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
        """Return the first process's value; all processes wait for each other here."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def joined(self, network: nn.Module, device: torch.device, *, leaves_unused: bool = False) -> nn.Module:
        """Return the network ready to call; its gradients are averaged over all processes.

        Parameters
        ----------
        network, device
            The network, and where it is.
        leaves_unused
            Whether some of its weights have no effect; each step then looks which ones.

        """
        if self.count == 1:
            return network
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, find_unused_parameters=leaves_unused)

    def with_joint_norms(self, network: Network) -> Network:
        """Make a network's batch norms take their statistics over the parts of all processes; return the network.

        Raises
        ------
        ParamsError
            A network of the user's own has batch norms, and there are no GPUs.

        """
        if self.count > 1 and self.device_type != "cuda" and _has_batch_norm(network):
            raise ParamsError(
                "The network has batch norms, and several processes can share their statistics only on GPUs: train in "
                "one process, or take another norm."
            )
        if self.count > 1:
            # This replaces the norms within; it returns a new module only if the module itself is a norm.
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network


def is_first() -> bool:
    """Whether this process should print: it is torchrun's first process, or torchrun did not start it."""
    return _environment()[0] == 0


@contextlib.contextmanager
def join(params: TrainParams) -> Iterator[tuple[Processes, torch.device]]:
    """Connect the processes of this run; yield them and the device of this one.

    When one process fails, all end: that one with its own message, the others with a message that points to it.

    Raises
    ------
    DpedtoolError
        `params.device` is not available, there are more processes than GPUs on this machine, several processes would
        train batch norm without GPUs, or another process has failed.

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
        yield Processes(rank, count, device.type), device
    except Exception as error:
        if store.add("failed", 1) > 1:
            raise DpedtoolError(
                f"Process {rank} of the training stopped, since another process failed: see that process's message."
            ) from None
        if _is_broken_connection(error):
            raise DpedtoolError(
                f"Process {rank} of the training stopped, since it lost the connection to another process, which left "
                "no message: run the same command to continue from the last validation."
            ) from None
        raise
    finally:
        dist.destroy_process_group()


def _environment() -> tuple[int, int]:
    """Return the rank and the number of processes, as torchrun sets them."""
    if not dist.is_torchelastic_launched():
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _own_device(device: torch.device) -> torch.device:
    if device.type != "cuda":
        return device
    index, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if index >= gpus:
        processes = "process" if gpus == 1 else "processes"
        raise DpedtoolError(f"There are more processes than GPUs: torch finds {gpus}, so start {gpus} {processes}.")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _check(params: TrainParams, device: torch.device) -> None:
    if params.norm == "batch" and device.type != "cuda":
        raise ParamsError(
            "train.norm is batch, and several processes can share its statistics only on GPUs: train in one process, "
            "or set train.norm=instance."
        )


def _has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def _open_store(rank: int, count: int) -> TCPStore:
    """Return the store in which the processes exchange messages; torchrun or else the first process serves it."""
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, count, is_master=rank == 0 and not kept)


def _is_broken_connection(error: Exception) -> bool:
    # Gloo has no exception type of its own, so its messages are checked.
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())
