"""Presets of published encoders: one TOML file each, with the figures of its model card."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Figures of a published encoder.

    Attributes:
        name: Name in commands.
        title: Name that its authors use.
        repository: Address of its model card.
        file: Name of the published weights.
        licence: Licence of the weights.
        non_commercial: Whether the licence forbids commercial use.
        gated: Whether the weights are only given on request.
        architecture: `timm:NAME`, `torchvision:NAME`, or the name of a network in `networks`.
        arguments: Arguments of the architecture.
        layout: Key layout of the published file; see `key_layouts`.
        pooling: Pooling of the tokens; None if the network pools by itself.
        other_poolings: Further poolings that the card offers.
        feature_dim: Number of features.
        parameters: Number of parameters of the network.
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile; None if the card states none.
        resize: Side of the resized tile, pixels.
        crop: Side of the centre that the network sees, pixels.
        interpolation: Interpolation of the resizing.
        mean: RGB mean of the normalisation, in [0, 1].
        std: RGB standard deviation of the normalisation, in [0, 1].
        sources: Source of each group of figures.
        signature: Names and shapes of tensors by which the published file is recognised.
        positions: Grid of the position embeddings in the published file and the way in which its authors
            resample them; empty if they fit the network.
        norm_eps: Epsilon of the layer norms; None for that of the architecture.
        remark: Sentence for users; may be empty.
    """

    name: str
    title: str
    repository: str
    file: str
    licence: str
    non_commercial: bool
    gated: bool
    architecture: str
    arguments: Mapping[str, Any]
    layout: str
    feature_dim: int
    parameters: int
    tile_px: int
    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sources: Mapping[str, str]
    signature: Mapping[str, tuple[int, ...]]
    pooling: str | None = None
    other_poolings: tuple[str, ...] = ()
    mpp: float | None = None
    positions: Mapping[str, Any] | None = None
    norm_eps: float | None = None
    remark: str = ""

    @property
    def terms(self) -> str:
        """Licence, and whether it forbids commercial use."""
        said = "non-commercial" in self.licence.lower() or not self.non_commercial
        return self.licence if said else f"{self.licence} (non-commercial use only)"


@cache
def presets() -> dict[str, Preset]:
    """Return all presets by name.

    Example:
        >>> from wsi_embed_export.presets import presets
        >>> presets()["uni"].mean
        (0.485, 0.456, 0.406)
    """
    folder = resources.files(__name__)
    files = (file.name for file in folder.iterdir())
    names = sorted(file.removesuffix(".toml") for file in files if file.endswith(".toml"))
    return {name: _preset(name, (folder / f"{name}.toml").read_text("utf-8")) for name in names}


def _preset(name: str, text: str) -> Preset:
    values = tomllib.loads(text)
    known = {field.name for field in fields(Preset)}
    if unknown := values.keys() - known:
        raise ValueError(f"preset {name}: unknown {', '.join(sorted(unknown))}")
    for key in ("mean", "std", "other_poolings"):
        values[key] = tuple(values.get(key, ()))
    values["signature"] = {key: tuple(shape) for key, shape in values["signature"].items()}
    values.setdefault("arguments", {})
    return Preset(name=name, **values)


def preset_rows() -> list[tuple[str, ...]]:
    """Return the table of the presets, with its header."""
    header = ("preset", "model", "features", "pooling", "tile", "um/px", "licence", "weights")
    rows = [
        (
            each.name,
            each.title,
            str(each.feature_dim),
            each.pooling or "its own",
            f"{each.tile_px} px" + f" -> {each.crop}" * (each.tile_px != each.crop),
            "" if each.mpp is None else f"{each.mpp:g}",
            each.terms,
            each.repository + " (gated)" * each.gated,
        )
        for each in presets().values()
    ]
    return [header, *rows]
