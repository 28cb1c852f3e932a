"""Gathering of a batch from all processes, for losses over a whole batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """Return the number of processes that train together; 1 without `torch.distributed`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(tensor: Tensor) -> Tensor:
    """Concatenate the rows of all processes, in the order of their ranks.

    A loss of gathered rows has the same value on every process. The backward pass sums its gradients over
    all processes, so that the mean over processes, taken by `DistributedDataParallel`, is the gradient of
    that one loss.

    Args:
        tensor: Rows of this process, [B, ...] with the same shape on every process.

    Returns:
        Tensor [B * processes, ...]; in a single process the tensor itself.
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
