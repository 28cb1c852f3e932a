"""Warnings about levels whose pixel size contradicts that of level 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wsi_embed.slide.levels.choice import SAME_MPP, LevelImage, Pair
from wsi_embed.slide.resolution.choice import SAY_MPP
from wsi_embed.slide.resolution.stated import Stated

# Spacings are written with few digits, and levels are padded.
OTHER_SPACING = 0.02


def spacing_warnings(
    path: Path, source: str, images: Sequence[LevelImage], levels: Sequence[int], scales: Sequence[Pair]
) -> list[str]:
    """Return warnings about levels whose pixel size contradicts that of level 0; either may be wrong.

    Args:
        path: Slide file.
        source: Subject and verb of the warning: `PixelSpacing says`.
        images: All images, level 0 first.
        levels: Indices of the levels among them.
        scales: Level-0 pixels per pixel of each level, (x, y).
    """
    first, warnings = images[0].mpp, list[str]()
    for number, scale in zip(levels, scales, strict=True):
        mpp = images[number].mpp
        if first is None or mpp is None:
            continue
        if any(abs(a * s - b) > OTHER_SPACING * a * s for a, b, s in zip(first, mpp, scale, strict=True)):
            warnings.append(
                f"{path.name}: {source} {mpp[0]:g} um per pixel of {images[number].name} and "
                f"{first[0]:g} of level 0, but the former has 1/{scale[0]:.4g} of the pixels across; check "
                f"the resolution, and give the right one with {SAY_MPP}"
            )
    return warnings


def with_own_sizes(images: Sequence[LevelImage]) -> list[LevelImage]:
    """Return the images of a TIFF without pixel sizes that writers copy from level 0, or defaults."""
    first = images[0].mpp
    return [
        replace(image, mpp=None)
        if image.mpp
        and first
        and (not Stated(image.mpp, "").plausible or (number and abs(image.mpp[0] / first[0] - 1) < SAME_MPP))
        else image
        for number, image in enumerate(images)
    ]
