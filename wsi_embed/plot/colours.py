"""Colours of clusters and annotation classes, the same in every picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.cluster_names import ClusterNames

Colour = tuple[int, int, int]
FloatArray = npt.NDArray[np.float64]

INK: Colour = (40, 40, 40)
OUTLINE: Colour = (0, 130, 70)
HALO: Colour = (255, 255, 255)
# Further clusters repeat colours, as more colours cannot be distinguished.
PALETTE_SIZE = 256
# The first colours can also be distinguished with red-green colour blindness; more do not fit.
FOR_ALL_EYES = 20
# Weight of distances in normal vision among those colours. With weight 1, only the two kinds of colour
# blindness would determine the choice.
NORMAL_WEIGHT = 0.6
FIRST: Colour = (0, 105, 180)
# Ranges in OKLab. Darker and paler colours are reserved for contours, text and glass.
LIGHTNESS = (0.42, 0.90)
CHROMA = (0.04, 0.17)
# Contours are strong, dark lines with a white halo; no cluster is as dark or as white.
CLASS_COLOURS: tuple[Colour, ...] = (
    (0, 0, 205), (0, 0, 0), (195, 0, 0), (0, 95, 0), (140, 0, 150), (115, 70, 0), (0, 95, 105), (90, 90, 90),
)  # fmt: skip
# Linear RGB as seen with protanopia and with deuteranopia: Machado et al., "A Physiologically-based Model
# for Simulation of Color Vision Deficiency", IEEE TVCG 2009, severity 1.
PROTANOPE = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
DEUTERANOPE = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)


def cluster_colour(cluster: int, names: ClusterNames | None = None) -> Colour:
    """Return the colour of a cluster, RGB.

    It only depends on the number of the cluster, so it is the same on all slides of a store.

    Args:
        cluster: Number of the cluster.
        names: Names and colours that people gave to clusters.

    Example:
        >>> from wsi_embed.plot import cluster_colour
        >>> cluster_colour(0)
        (0, 105, 180)
    """
    if names is None:
        return _palette()[cluster % PALETTE_SIZE]
    return names.colour(cluster) or _palette()[names.first(cluster) % PALETTE_SIZE]


def class_colours(
    labels: Iterable[str | None], stated: Iterable[tuple[str | None, Colour | None]] = ()
) -> dict[str | None, Colour]:
    """Assign a contour colour to each annotation class: that of its file, or else one in the order of names.

    Args:
        labels: Classes of all slides that are drawn together; None for polygons without a class.
        stated: Classes with their colours in the annotation files. Of several colours of a class the first
            counts. A colour that several classes have, such as the default of a program, is not used.

    Example:
        >>> from wsi_embed.plot import class_colours
        >>> class_colours(["tumour", "stroma"])
        {'stroma': (0, 0, 205), 'tumour': (0, 0, 0)}
    """
    ordered = sorted(set(labels), key=lambda label: (label is not None, label or ""))
    first: dict[str | None, Colour] = {}
    for label, colour in stated:
        if colour is not None:
            first.setdefault(label, colour)
    shared = Counter(first.values())
    kept = {label: colour for label, colour in first.items() if shared[colour] == 1}
    free = [colour for colour in CLASS_COLOURS if colour not in kept.values()] or list(CLASS_COLOURS)
    others = (label for label in ordered if label not in kept)
    assigned = {label: free[i % len(free)] for i, label in enumerate(others)}
    return {label: kept.get(label) or assigned[label] for label in ordered}


@cache
def _palette() -> tuple[Colour, ...]:
    """Choose the palette: each colour is the one farthest from white and from all previous colours.

    Distances are Euclidean in OKLab; for the first `FOR_ALL_EYES` colours, the smallest over three kinds of
    vision.
    """
    steps = np.arange(0, 256, 15)
    rgb = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    rgb = rgb[_usable(_oklab(_linear(rgb)))]
    linear = _linear(rgb)
    seen = [_oklab(linear), _oklab(linear @ np.array(PROTANOPE).T), _oklab(linear @ np.array(DEUTERANOPE).T)]
    white = _oklab(np.ones((1, 3)))
    gap = [np.linalg.norm(space - white, axis=1) for space in seen]
    chosen: list[Colour] = []
    best = int(np.abs(rgb - np.array(FIRST)).sum(1).argmin())
    while len(chosen) < PALETTE_SIZE:
        chosen.append((int(rgb[best, 0]), int(rgb[best, 1]), int(rgb[best, 2])))
        gap = [np.minimum(g, np.linalg.norm(s - s[best], axis=1)) for g, s in zip(gap, seen, strict=True)]
        for_all = np.minimum.reduce([NORMAL_WEIGHT * gap[0], *gap[1:]])
        # rounded, so that differences between processors in the last digit do not change the choice
        best = int((for_all if len(chosen) < FOR_ALL_EYES else gap[0]).round(6).argmax())
    return tuple(chosen)


def _usable(lab: FloatArray) -> npt.NDArray[np.bool_]:
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    light = (lightness > LIGHTNESS[0]) & (lightness < LIGHTNESS[1])
    return np.asarray(light & (chroma > CHROMA[0]) & (chroma < CHROMA[1]))


def _linear(rgb: npt.NDArray[np.integer]) -> FloatArray:
    """Convert sRGB, 0 to 255, to linear light, 0 to 1 (IEC 61966-2-1)."""
    value = rgb / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _oklab(linear: FloatArray) -> FloatArray:
    """Convert linear RGB [N, 3] to OKLab, a space with about uniform perception (Ottosson, 2020)."""
    to_cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.asarray(np.cbrt(linear.clip(0, 1) @ to_cones.T) @ to_lab.T)
