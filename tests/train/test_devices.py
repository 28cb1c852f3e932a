from __future__ import annotations

import pytest

from wsi_embed.errors import DeviceError, UsageError
from wsi_embed_train.devices import Devices, check_devices, choose_devices, per_process

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
BATCH = {"SLURM_NTASKS": "6", "SLURM_NNODES": "3", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "train"}
SRUN = BATCH | {"SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(
    ("devices", "gpus", "environ", "chosen"),
    [
        ("auto", 0, {}, Devices("cpu", 1)), ("auto", 3, {}, Devices("gpu", 3)),
        ("cpu", 3, {}, Devices("cpu", 1)), ("cpu:2", 0, {}, Devices("cpu", 2)),
        ("cuda", 2, {}, Devices("gpu", 2)), ("1", 2, {}, Devices("gpu", 1)),
        ("auto", 4, TORCHRUN, Devices("gpu", 4, 2)), ("cpu", 0, TORCHRUN, Devices("cpu", 4, 2)),
        ("auto", 2, SRUN, Devices("gpu", 2, 3)),
        # a shell within an allocation is not one task of several
        ("auto", 2, SRUN | {"SLURM_JOB_NAME": "bash"}, Devices("gpu", 2)),
    ],
)  # fmt: skip
def test_choice(devices: str, gpus: int, environ: dict[str, str], chosen: Devices) -> None:
    assert choose_devices(devices, "32", gpus, environ) == chosen
    assert chosen.processes == chosen.per_node * chosen.nodes


@pytest.mark.parametrize("devices", ["tpu", "", "0", "cpu:0", "cuda:1", "-1", "1,2"])
def test_no_choice(devices: str) -> None:
    with pytest.raises(UsageError, match="choose auto, cpu, cuda"):
        check_devices(devices)


@pytest.mark.parametrize(
    ("devices", "precision", "gpus", "says"),
    [
        ("cuda", "32", 0, "`devices='cuda'`: PyTorch sees no CUDA device; use `devices='cpu'` or auto"),
        ("2", "32", 0, "`devices='2'`: PyTorch sees no CUDA device"),
        ("3", "32", 2, "`devices='3'`: PyTorch sees 2 CUDA devices"),
        ("cpu", "16", 2, "`precision='16'` needs a GPU.*`precision='bf16'` or 32"),
        ("auto", "16", 0, "`precision='16'` needs a GPU"),
    ],
)
def test_what_is_not_there_is_said(devices: str, precision: str, gpus: int, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        choose_devices(devices, precision, gpus, {})


def test_a_batch_is_divided_evenly() -> None:
    assert per_process(512, 1, 1) == 512
    assert per_process(512, 4, 2) == 64
    with pytest.raises(UsageError, match=r"`batch_size=510` .* multiple of 8; try 512"):
        per_process(510, 4, 2)
    with pytest.raises(UsageError, match="leaves one tile per process; give 16 or more"):
        per_process(8, 4, 2)


def test_a_batch_script_of_several_tasks_without_srun_is_refused() -> None:
    """It would wait for the other processes for ever."""
    with pytest.raises(
        UsageError, match=r"started as one of 6 Slurm tasks, without srun; start .* with srun"
    ):
        choose_devices("cpu", "32", 0, BATCH)
    assert choose_devices("cpu", "32", 0, BATCH | {"SLURM_NTASKS": "1", "SLURM_NNODES": "1"}) == Devices(
        "cpu", 1
    )
