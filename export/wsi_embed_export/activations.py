"""Memory that a model needs for each tile of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

# Memory for the activations of a batch, and how many of the largest ones exist at once in ONNX Runtime,
# which keeps all attention weights: scores, their softmax and copies of both.
BUDGET = 2**30
COPIES = 5
# Of large models the weights take most of the memory, and encoding many tiles takes minutes.
LARGE, BUDGET_OF_LARGE = 2**28, 2**28


def budget_for(weight_bytes: int) -> int:
    """Return the memory for the activations of a batch, bytes, of a model with so many bytes of weights."""
    return BUDGET_OF_LARGE if weight_bytes >= LARGE else BUDGET


def largest_batch(model: nn.Module, tile_px: int, budget: int = BUDGET) -> int:
    """Return the largest number of tiles whose activations fit into the budget, at least 2.

    Args:
        model: Model of tiles, uint8 [B, tile_px, tile_px, 3].
        tile_px: Side of a tile, pixels.
        budget: Memory, bytes.
    """
    largest = largest_activation(model, torch.zeros(1, tile_px, tile_px, 3, dtype=torch.uint8))
    return max(2, budget // (COPIES * largest))


def largest_activation(model: nn.Module, example: Tensor) -> int:
    """Return the size of the largest tensor that a model computes for an example, in bytes.

    Attention is computed step by step, as in an exported graph: kernels of PyTorch that join the steps never
    hold its weights.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _Largest(model) as largest:
            model(example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    size: int = largest.size
    return size


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the size of the largest tensor that an operation returns, bytes; weights do not count."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = 1
        self._weights = {_memory(tensor) for tensor in (*model.parameters(), *model.buffers())}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor) and _memory(value) not in self._weights:
                self.size = max(self.size, value.nbytes)
        return out


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
