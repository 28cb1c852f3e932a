"""TRIDENT on one slide, through its documented `Processor` with a `CustomInferenceEncoder`.

It is not published as a package, so its environment is created from a checkout.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch
from common import BATCH, MEAN, MPP, STD, TILE_PX, Found, measure, network
from torchvision.transforms import v2
from trident import Processor
from trident.patch_encoder_models.load import CustomInferenceEncoder
from trident.segmentation_models.load import segmentation_model_factory


def embed(slide: Path, weights: Path, out: Path) -> Found:
    """Embed tissue tiles found by its Otsu segmenter, as the others need weights from a hub."""
    slides, job = out / "slides", out / "job"
    slides.mkdir(exist_ok=True)
    (slides / slide.name).symlink_to(slide)
    processor = Processor(job_dir=str(job), wsi_source=str(slides))
    processor.run_segmentation_job(segmentation_model_factory("otsu"), device="cpu")
    coords = processor.run_patching_job(target_magnification=round(10 / MPP), patch_size=TILE_PX, overlap=0)
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    encoder = CustomInferenceEncoder("resnet18", network(weights), transform, torch.float32)
    processor.run_patch_feature_extraction_job(
        coords_dir=coords, patch_encoder=encoder, device="cpu", saveas="h5", batch_limit=BATCH
    )
    with h5py.File(next(job.rglob(f"features_resnet18/{slide.stem}.h5"))) as file:
        return np.asarray(file["features"], np.float32), np.asarray(file["coords"], np.int64)


if __name__ == "__main__":
    measure(embed)
