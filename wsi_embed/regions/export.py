"""Former name of `wsi_embed.plot.qupath`, kept because it was documented."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # tools that inspect all modules (inspect, pickle) must not import it
        raise AttributeError(name)
    return getattr(importlib.import_module("wsi_embed.plot.qupath"), name)
