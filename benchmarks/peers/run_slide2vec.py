"""slide2vec on one slide, with the encoder registered through `register_encoder`, in one `Pipeline.run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import BATCH, MEAN, MPP, STD, TILE_PX, Found, measure, network
from hs2p import TilingConfig
from slide2vec import (
    ExecutionOptions,
    Model,
    Pipeline,
    PreprocessingConfig,
    TorchTileEncoder,
    register_encoder,
)

NAME = "resnet18-benchmark"
WEIGHTS: list[Path] = []


@register_encoder(
    NAME, encode_dim=512, input_size=TILE_PX, supports_variable_input_size=True, supported_spacing_um=MPP,
    precision="fp32", source="benchmark",
)  # fmt: skip
class ResNet18(TorchTileEncoder):  # type: ignore[misc]
    """Encoder with the weights that all tools use."""

    def __init__(self, *, output_variant: str | None = None) -> None:
        super().__init__(
            network(WEIGHTS[0]), encode_dim=512, input_size=TILE_PX, mean=MEAN, std=STD,
            output_variant=output_variant,
        )  # fmt: skip


def embed(slide: Path, weights: Path, out: Path) -> Found:
    """Embed tissue tiles found by the defaults of the tool."""
    WEIGHTS.append(weights)
    pipeline = Pipeline(
        Model.from_preset(NAME, device="cpu"),
        PreprocessingConfig(tiling=TilingConfig(
            requested_spacing_um=MPP, requested_tile_size_px=TILE_PX, tolerance=0.05, overlap=0.0
        )),
        execution=ExecutionOptions(output_dir=out, output_format="npz", batch_size=BATCH),
    )  # fmt: skip
    result = pipeline.run([{"sample_id": "slide", "image_path": slide}])
    artifact = result.tile_artifacts[0]
    tiles, coordinates = np.load(artifact.path), np.load(artifact.metadata["coordinates_npz_path"])
    return tiles["features"], np.stack([coordinates["x"], coordinates["y"]], 1)[tiles["tile_index"]]


if __name__ == "__main__":
    measure(embed)
