"""One course on several processes: each draws its share of a step's crops, gradients are averaged, the first one decides."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from conf.errors import InputError


@contextmanager
def joined(device: str) -> Iterator[None]:
    """The processes that torchrun started beside this one, as one group; the environment says which. Over NCCL on GPUs, else gloo."""
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process among those of the course; 0 decides, reports and writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """How many share the course."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def device_of(asked: str) -> str:
    """`auto`, `cpu` or `cuda` as a device of this process: each on its machine takes a GPU of its own.
    Raises InputError where cuda is asked for and not there."""
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise InputError("train.device cuda: torch finds no CUDA device; use cpu or auto")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if there and asked != "cpu" else "cpu"


def averaging(network: nn.Module) -> nn.Module:
    """The network with gradients that all processes average as they are computed; alone, as it is."""
    return DistributedDataParallel(network) if processes() > 1 else network


def itself(network: nn.Module) -> nn.Module:
    """What `averaging` was given."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def alike(network: nn.Module) -> nn.Module:
    """The first process's weights and statistics, everywhere."""
    if processes() > 1:
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, src=0)
    return network


def agreed(values: Sequence[float], device: str) -> list[float]:
    """The first process's numbers, everywhere."""
    if processes() == 1:
        return list(values)
    shared = torch.tensor(list(values), dtype=torch.float64, device=device)
    distributed.broadcast(shared, src=0)
    return [float(value) for value in shared]


def summed(value: float, device: str) -> float:
    """Over all processes."""
    if processes() == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.all_reduce(shared)
    return float(shared)
