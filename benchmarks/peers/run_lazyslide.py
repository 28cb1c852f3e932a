"""LazySlide on one slide, with the network as a callable for `feature_extraction`."""

from __future__ import annotations

from pathlib import Path

import lazyslide as zs
import numpy as np
import torch
from common import BATCH, MEAN, MPP, STD, TILE_PX, Found, measure, network
from torchvision.transforms import v2


def embed(slide: Path, weights: Path, out: Path) -> Found:
    """Embed tissue tiles found by the defaults of the tool."""
    wsi = zs.open_wsi(slide)
    zs.pp.find_tissues(wsi)
    zs.pp.tile_tissues(wsi, TILE_PX, mpp=MPP)
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    zs.tl.feature_extraction(
        wsi, network(weights), model_name="resnet18", transform=transform, device="cpu", batch_size=BATCH
    )
    wsi.write(out / "slide.zarr")
    features = np.asarray(wsi.fetch.features_anndata("resnet18").X, np.float32)
    bounds = wsi.shapes["tiles"].bounds[["minx", "miny"]]
    return features, np.asarray(bounds, np.int64)


if __name__ == "__main__":
    measure(embed)
