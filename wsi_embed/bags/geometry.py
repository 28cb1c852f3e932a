"""Tiles as neighbours: positions in steps of the grid, also where a bag is several slides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.patient import PatientBag

# Between the slides of a patient: further than any two neighbours.
GAP = 2


def lattice(bag: Bag | PatientBag) -> npt.NDArray[np.int64]:
    """Position of each tile in steps of the grid, (x, y), int64 [N, 2].

    Tiles that touch differ by 1 at most in both. A patient's slides lie one below the other with a gap, so
    that tiles of different slides are never neighbours.
    """
    parts, top = [], 0
    for one in bag.bags if isinstance(bag, PatientBag) else [bag]:
        xy = one.grid[:].astype(np.int64)[:, ::-1]
        if len(xy):
            xy[:, 1] += top
            parts.append(xy)
            top = int(xy[:, 1].max()) + GAP
    return np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)
