"""Where a run computes: how many processes, on what, started by whom."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from wsi_embed.errors import DeviceError, UsageError

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
_GRAMMAR = re.compile(r"auto|cpu(:[1-9]\d*)?|cuda|[1-9]\d*")


@dataclass(frozen=True)
class Devices:
    """What Lightning is told.

    Attributes:
        accelerator: `gpu` or `cpu`.
        per_node: Processes on each node.
        nodes: How many nodes.
    """

    accelerator: str
    per_node: int
    nodes: int = 1

    @property
    def processes(self) -> int:
        """All processes, which share a batch."""
        return self.per_node * self.nodes


def check_devices(devices: str) -> None:
    """Refuse what is no choice of devices, wherever the run will be.

    Raises:
        UsageError: It is none of `auto`, `cpu`, `cpu:N`, `cuda`, `N`.
    """
    if not _GRAMMAR.fullmatch(devices):
        raise UsageError(
            f"devices {devices!r}: choose auto, cpu, cuda (all GPUs), a number of GPUs, or cpu:N processes"
        )


def choose_devices(
    devices: str, precision: str, gpus: int, environ: Mapping[str, str] = os.environ
) -> Devices:
    """Decide where to compute on this machine.

    Under `torchrun` and under Slurm's `srun` the launcher decides how many processes there are.

    Args:
        devices: `auto` (all GPUs, else the CPU), `cpu`, `cpu:N` processes, `cuda` (all GPUs) or a number
            of GPUs.
        precision: `32`, `bf16` or `16`.
        gpus: GPUs that PyTorch sees.
        environ: The environment.

    Raises:
        DeviceError: GPUs, or a precision that needs one, were asked for and are not there.
    """
    check_devices(devices)
    wants_gpu = devices == "cuda" or devices.isdecimal()
    if wants_gpu and gpus == 0:
        raise DeviceError(f"--devices {devices}: PyTorch sees no CUDA device; use --devices cpu or auto")
    on_gpu = wants_gpu or (devices == "auto" and gpus > 0)
    if precision == "16" and not on_gpu:
        raise DeviceError(
            "--precision 16 needs a GPU, and this run is on the CPU; use --precision bf16 or 32"
        )
    launched = _launched(environ)
    if launched is not None:
        return Devices("gpu" if on_gpu else "cpu", *launched)
    if devices.isdecimal() and int(devices) > gpus:
        raise DeviceError(f"--devices {devices}: PyTorch sees {gpus} CUDA devices")
    if on_gpu:
        return Devices("gpu", int(devices) if devices.isdecimal() else gpus)
    return Devices("cpu", int(devices.partition(":")[2] or 1))


def _launched(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """Processes a node and nodes, where a launcher has started this process among others."""
    if "TORCHELASTIC_RUN_ID" in environ:
        local = int(environ["LOCAL_WORLD_SIZE"])
        return local, int(environ["WORLD_SIZE"]) // local
    # the same test as Lightning's: an interactive shell is not one task of several
    interactive = environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_NTASKS" in environ and "SLURM_PROCID" in environ and not interactive:
        nodes = int(environ.get("SLURM_NNODES", "1"))
        return int(environ["SLURM_NTASKS"]) // nodes, nodes
    return None


def per_process(batch_size: int, processes: int, accumulate: int) -> int:
    """Tiles that a process takes at a time.

    Raises:
        UsageError: The batch cannot be divided evenly.
    """
    parts = processes * accumulate
    if batch_size % parts:
        near = max(parts, round(batch_size / parts) * parts)
        raise UsageError(
            f"--batch-size {batch_size} is for {processes} processes with accumulate = {accumulate}, and is "
            f"no multiple of {parts}; try {near}"
        )
    if batch_size // parts < 2:
        raise UsageError(f"--batch-size {batch_size} leaves one tile to a process; give {2 * parts} or more")
    return batch_size // parts
