"""Device names, as given to `--device`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wsi_embed.encoder.cuda import cuda_driver
from wsi_embed.errors import DeviceError
from wsi_embed.util.text import argument

CHOICES = "auto, cpu, cuda[:N], tensorrt[:N], openvino or openvino:bf16; several GPUs as cuda:0,1 or cuda:all"


@dataclass(frozen=True)
class Device:
    """Requested device.

    Attributes:
        kind: `auto`, `cpu`, `cuda`, `tensorrt` or `openvino`.
        index: Index of the GPU.
        bf16: Whether OpenVINO may compute in bfloat16.
    """

    kind: str
    index: int = 0
    bf16: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether this is an NVIDIA GPU."""
        return self.kind in ("cuda", "tensorrt")

    def __str__(self) -> str:
        if self.on_gpu:
            return f"{self.kind}:{self.index}"
        return f"{self.kind}:bf16" if self.bf16 else self.kind


def parse_devices(text: str) -> list[Device]:
    """Parse a device name, or a list of GPUs that share the work: `cuda:0,1`, `cuda:all`.

    Raises:
        DeviceError: If there is no such device.
    """
    found = re.fullmatch(r"(cuda|tensorrt):(all|\d{1,4}(?:,\d{1,4})+)", text)
    if found is None:
        return [parse_device(text)]
    named = [] if found[2] == "all" else [int(number) for number in found[2].split(",")]
    numbers = named or list(range(cuda_driver()[1]))
    if not numbers:
        raise DeviceError(
            f"{argument('device', text)} cannot be used: no NVIDIA driver, or no GPU",
            remedy="use `device='cpu'`",
        )
    if len(set(numbers)) < len(numbers):
        raise DeviceError("a GPU is named twice", where=argument("device", text))
    return [Device(found[1], number) for number in numbers]


def parse_device(text: str) -> Device:
    """Parse the name of one device.

    Raises:
        DeviceError: If there is no such device.
    """
    if text in ("auto", "cpu", "openvino"):
        return Device(text)
    if text == "openvino:bf16":
        return Device("openvino", bf16=True)
    if found := re.fullmatch(r"(cuda|tensorrt)(?::(\d{1,4}))?", text):
        return Device(found[1], int(found[2] or 0))
    raise DeviceError(f"choose {CHOICES}", where=argument("device", text))
