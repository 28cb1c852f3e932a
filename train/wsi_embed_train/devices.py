"""Hardware of a run: accelerator, processes and nodes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from wsi_embed.errors import DeviceError, UsageError
from wsi_embed.util.text import argument

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
# Variables that srun sets for the processes it starts, and sbatch does not for its script.
IN_STEP = ("SLURM_STEP_ID", "SLURM_STEPID", "SLURM_STEP_NUM_TASKS")
_GRAMMAR = re.compile(r"auto|cpu(:[1-9]\d*)?|cuda|[1-9]\d*")


@dataclass(frozen=True)
class Devices:
    """Processes of a run, and the hardware they use.

    Attributes:
        accelerator: `gpu` or `cpu`.
        per_node: Number of processes on each node.
        nodes: Number of nodes.
    """

    accelerator: str
    per_node: int
    nodes: int = 1

    @property
    def processes(self) -> int:
        """Total number of processes, which share a batch."""
        return self.per_node * self.nodes


def check_devices(devices: str) -> None:
    """Check the syntax of a device setting, regardless of this machine.

    Args:
        devices: The setting.

    Raises:
        UsageError: If it is none of `auto`, `cpu`, `cpu:N`, `cuda`, `N`.
    """
    if not _GRAMMAR.fullmatch(devices):
        raise UsageError(
            "choose auto, cpu, cuda (all GPUs), a number of GPUs, or cpu:N processes",
            where=argument("devices", devices),
        )


def choose_devices(
    devices: str, precision: str, gpus: int, environ: Mapping[str, str] = os.environ
) -> Devices:
    """Choose the hardware of a run on this machine.

    Under `torchrun` and Slurm's `srun` the launcher determines the number of processes.

    Args:
        devices: `auto` (all GPUs, or the CPU if there are none), `cpu`, `cpu:N` (N processes), `cuda` (all
            GPUs) or a number of GPUs.
        precision: `32`, `bf16` or `16`.
        gpus: Number of GPUs that PyTorch sees.
        environ: Environment variables.

    Raises:
        DeviceError: If GPUs, or a precision that needs one, are requested but not available.
        UsageError: If Slurm has several tasks for the job, and this process was not started by srun.
    """
    check_devices(devices)
    wants_gpu = devices == "cuda" or devices.isdecimal()
    if wants_gpu and gpus == 0:
        raise DeviceError(
            "PyTorch sees no CUDA device",
            where=argument("devices", devices),
            remedy="use `devices='cpu'` or auto",
        )
    on_gpu = wants_gpu or (devices == "auto" and gpus > 0)
    if precision == "16" and not on_gpu:
        raise DeviceError(
            "`precision='16'` needs a GPU, and this run is on the CPU", remedy="use `precision='bf16'` or 32"
        )
    launched = _launched(environ)
    if launched is not None:
        return Devices("gpu" if on_gpu else "cpu", *launched)
    if devices.isdecimal() and int(devices) > gpus:
        raise DeviceError(f"PyTorch sees {gpus} CUDA devices", where=argument("devices", devices))
    if on_gpu:
        return Devices("gpu", int(devices) if devices.isdecimal() else gpus)
    return Devices("cpu", int(devices.partition(":")[2] or 1))


def _launched(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """Return (processes per node, nodes) if a launcher has started this process, else None."""
    if "TORCHELASTIC_RUN_ID" in environ:
        local = int(environ["LOCAL_WORLD_SIZE"])
        return local, int(environ["WORLD_SIZE"]) // local
    # the same test as in Lightning: an interactive shell is not one of several tasks
    interactive = environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_NTASKS" in environ and "SLURM_PROCID" in environ and not interactive:
        tasks, nodes = int(environ["SLURM_NTASKS"]), int(environ.get("SLURM_NNODES", "1"))
        if tasks > 1 and not any(name in environ for name in IN_STEP):
            # a batch script has these numbers, too, and the other processes would be waited for for ever
            raise UsageError(
                f"started as one of {tasks} Slurm tasks, without srun",
                remedy="start the command with srun, or give the job one task (#SBATCH --ntasks=1)",
            )
        return tasks // nodes, nodes
    return None


def per_process(batch_size: int, processes: int, accumulate: int) -> int:
    """Return the number of tiles that a process computes at a time.

    Args:
        batch_size: Number of tiles in a step.
        processes: Number of processes.
        accumulate: Number of parts into which each process splits its batch.

    Raises:
        UsageError: If the batch cannot be divided evenly.
    """
    parts = processes * accumulate
    if batch_size % parts:
        near = max(parts, round(batch_size / parts) * parts)
        raise UsageError(
            f"{argument('batch_size', batch_size)} is for {processes} processes with accumulate = "
            f"{accumulate}, and is no multiple of {parts}",
            remedy=f"try {near}",
        )
    if batch_size // parts < 2:
        raise UsageError(
            f"{argument('batch_size', batch_size)} leaves one tile per process",
            remedy=f"give {2 * parts} or more",
        )
    return batch_size // parts
