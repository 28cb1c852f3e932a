"""Devices by name: where a model runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wsi_embed.errors import DeviceError

CHOICES = "auto, cpu, cuda[:N], tensorrt[:N], openvino or openvino:bf16"


@dataclass(frozen=True)
class Device:
    """What was asked for.

    Attributes:
        kind: `auto`, `cpu`, `cuda`, `tensorrt` or `openvino`.
        index: Of the GPU.
        bf16: OpenVINO may compute in bfloat16.
    """

    kind: str
    index: int = 0
    bf16: bool = False

    def __str__(self) -> str:
        if self.kind in ("cuda", "tensorrt"):
            return f"{self.kind}:{self.index}"
        return f"{self.kind}:bf16" if self.bf16 else self.kind


def parse_device(text: str) -> Device:
    """Read a device's name.

    Raises:
        DeviceError: There is no such device.
    """
    if text in ("auto", "cpu", "openvino"):
        return Device(text)
    if text == "openvino:bf16":
        return Device("openvino", bf16=True)
    if found := re.fullmatch(r"(cuda|tensorrt)(?::(\d{1,4}))?", text):
        return Device(found[1], int(found[2] or 0))
    raise DeviceError(f"--device {text}: choose {CHOICES}")
