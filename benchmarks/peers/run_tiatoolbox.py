"""TIAToolbox on one slide, with the weights in its `CNNBackbone` in a `DeepFeatureExtractor`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import zarr
from common import BATCH, MEAN, MPP, STD, TILE_PX, Found, measure, network
from tiatoolbox.models.architecture.vanilla import CNNBackbone
from tiatoolbox.models.engine.deep_feature_extractor import DeepFeatureExtractor
from tiatoolbox.wsicore.wsireader import WSIReader
from torchvision.transforms import v2


def embed(slide: Path, weights: Path, out: Path) -> Found:
    """Embed tissue tiles found by the defaults of the tool."""
    model = CNNBackbone("resnet18")
    model.feat_extract = torch.nn.Sequential(*list(network(weights).children())[:-2])
    normalize = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    model.preproc_func = lambda image: normalize(image).permute(1, 2, 0)
    found = DeepFeatureExtractor(model, batch_size=BATCH, device="cpu", verbose=False).run(
        [slide], patch_mode=False, patch_input_shape=(TILE_PX, TILE_PX), stride_shape=(TILE_PX, TILE_PX),
        input_resolutions=[{"units": "mpp", "resolution": MPP}], save_dir=out / "run", output_type="zarr",
        auto_get_mask=True,
    )  # fmt: skip
    store = zarr.open_group(str(found[slide]), mode="r")
    corners = np.asarray(store["coordinates"])[:, :2] * (MPP / WSIReader.open(slide).info.mpp[0])
    return np.asarray(store["features"], np.float32), corners.round().astype(np.int64)


if __name__ == "__main__":
    measure(embed)
