"""The file `config.json` that timm stores beside weights on a model hub."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed_export.resize import INTERPOLATIONS

NAME = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class HubConfig:
    """Description of weights by timm.

    Attributes:
        architecture: Name of the architecture in timm, without a tag.
        arguments: Arguments of `create_model`, with `global_pool`.
        px: Side of the images, pixels; None if it is not given.
        mean: RGB mean of the normalisation, in [0, 1]; None if it is not given.
        std: RGB standard deviation of the normalisation, in [0, 1]; None if it is not given.
        interpolation: Interpolation of the resizing, as timm names it.
        crop_pct: Share of the resized image that the network sees.
        licence: Licence of the weights; may be empty.
    """

    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    px: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str = "bicubic"
    crop_pct: float = 1.0
    licence: str = ""

    @property
    def graph_interpolation(self) -> str:
        """Interpolation of the resizing in the graph, `bicubic` for one that the graph does not offer."""
        return self.interpolation if self.interpolation in INTERPOLATIONS else "bicubic"

    def check_interpolation(self) -> None:
        """Check that the graph offers the interpolation, which matters only where tiles are resized.

        Raises:
            UsageError: If it does not.
        """
        if self.interpolation not in INTERPOLATIONS:
            raise UsageError(
                f"the interpolation {self.interpolation!r} of {NAME} is not offered",
                where=self.architecture,
                remedy=f"give `interpolation='{INTERPOLATIONS[0]}'` or `'{INTERPOLATIONS[1]}'`",
            )

    @property
    def note(self) -> str:
        """Sentence on the part of timm's transform that is left out; may be empty."""
        if self.px is None or self.crop_pct >= 1:
            return ""
        side = math.floor(self.px / self.crop_pct)
        return (
            f"{NAME} has a crop_pct of {self.crop_pct:g}, which is left out: tiles are seen as a whole; "
            f"`resize={side}` and `crop={self.px}` see their centre, as timm's transform does"
        )


def read_hub_config(weights: Path) -> HubConfig | None:
    """Read the `config.json` beside a file of weights; None if there is none of timm.

    Args:
        weights: File of the weights.

    Raises:
        UsageError: If the file is damaged, or has values that cannot be.
    """
    path = weights.parent / NAME
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{NAME} beside the weights is not JSON ({error})", where=path) from error
    if not isinstance(values, dict) or not isinstance(values.get("architecture"), str):
        return None  # of another library
    try:
        return _config(values)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise UsageError(f"{NAME} beside the weights is damaged ({error!r})", where=path) from error


def hub_weights(path: Path) -> Path | None:
    """Return the file of weights at a path that has a `config.json` of timm; None if there is none.

    Args:
        path: The file, or a folder as downloaded from a model hub.

    Raises:
        UsageError: If the config is damaged.
    """
    files = [path / name for name in _WEIGHTS] if path.is_dir() else [path]
    found = next((file for file in files if file.is_file()), None)
    return found if found is not None and read_hub_config(found) is not None else None


def _config(values: Mapping[str, Any]) -> HubConfig:
    details = {**values, **(values.get("pretrained_cfg") or {})}  # old files have all in one dictionary
    arguments = dict(values.get("model_args") or {})
    arguments.pop("num_classes", None)
    px = _side(details.get("input_size"))
    if px is not None and details.get("fixed_input_size"):
        arguments.setdefault("img_size", px)
    if "global_pool" in values:
        arguments.setdefault("global_pool", values["global_pool"])
    return HubConfig(
        architecture=values["architecture"].partition(".")[0],
        arguments=arguments,
        px=px,
        mean=_colours(details.get("mean")),
        std=_colours(details.get("std"), least=1e-3),
        interpolation=str(details.get("interpolation") or "bicubic"),
        crop_pct=float(details.get("crop_pct") or 1),
        licence=str(details.get("license") or ""),
    )


def _side(size: Any) -> int | None:
    """Return the side of images [3, side, side]."""
    if size is None:
        return None
    channels, height, width = size
    if channels != 3 or height != width:
        raise ValueError(f"images are {size}, not [3, side, side]")
    return int(width)


def _colours(values: Any, least: float = 0.0) -> tuple[float, ...] | None:
    if values is None:
        return None
    colours = tuple(float(value) for value in values)
    if len(colours) != 3 or not all(least <= value <= 1 for value in colours):
        raise ValueError(f"{values} are not three numbers in [{least:g}, 1]")
    return colours
