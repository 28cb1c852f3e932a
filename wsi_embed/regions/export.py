"""The old name of `wsi_embed.plot.qupath`, which documents have promised."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # what looks through all modules (inspect, pickle) imports nothing
        raise AttributeError(name)
    return getattr(importlib.import_module("wsi_embed.plot.qupath"), name)
