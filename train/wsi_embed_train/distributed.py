"""The batch of all processes, for losses that are of a batch and not of a tile."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """How many processes train together; 1 without `torch.distributed`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(tensor: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks.

    A loss of gathered rows is the same number on every process. Its gradient flows back into every
    process's rows as often as there are processes, so that the mean over processes, which
    `DistributedDataParallel` takes, is the gradient of that one loss.

    Args:
        tensor: [B, ...]; the same shape on every process.

    Returns:
        [B * processes, ...]; the tensor itself in a single process.
    """
    if processes() == 1:
        return tensor
    gathered: Tensor = _Gather.apply(tensor)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(processes())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(processes())[dist.get_rank()]
