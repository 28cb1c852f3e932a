from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.made_models import tiny_tiles
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_export import StagePooling, TrainedModel, export
from wsi_embed_export.parity import made_tiles
from wsi_embed_train.backbones import make_backbone

MEAN, STD = (0.5, 0.6, 0.7), (0.25, 0.2, 0.3)


def pooled() -> StagePooling:
    torch.manual_seed(3)
    net: Any = make_backbone("timm/test_efficientnet")[0].eval()
    stem, stages = nn.Sequential(net.conv_stem, net.bn1), list(net.blocks)[:4]
    with torch.no_grad():
        x, channels = stem(torch.zeros(1, 3, 64, 64)), []
        for stage in stages:
            x = stage(x)
            channels.append(x.shape[1])
    return StagePooling(stem, stages, [(), ("mean", "std"), ("std",), ("mean",)], channels).eval()


def test_features_are_means_and_deviations_of_the_stages() -> None:
    model, images = pooled(), torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        x, expected = model.stem(images), []
        for number, stage in enumerate(model.stages):
            x = stage(x)
            values = x.numpy().reshape(*x.shape[:2], -1)
            expected += [values.mean(-1)] * (number in (1, 3))
            expected += [values.std(-1)] * (number in (1, 2))
        features = model(images)
    assert features.shape == (3, model.feature_dim)
    np.testing.assert_allclose(features.numpy(), np.concatenate(expected, 1), rtol=1e-4, atol=1e-6)


def test_standardised_features_have_mean_zero_and_deviation_one() -> None:
    model = pooled()
    batches = [torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(n)) for n in range(4)]
    model.standardise(batches)
    with torch.no_grad():
        features = torch.cat([model(batch) for batch in batches])
    torch.testing.assert_close(features.mean(0), torch.zeros(model.feature_dim), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(model.feature_dim), atol=1e-3, rtol=0)
    before = model.shift.clone()
    model.standardise(batches)
    torch.testing.assert_close(model.shift, before)


def test_components_are_those_of_an_independent_decomposition() -> None:
    model, images = pooled(), torch.rand(90, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    model.standardise([images])
    with torch.no_grad():
        pools = model(images).double().numpy()
        model.standardise([images[:30], images[30:]], components=4)
        features = model(images).double().numpy()
    assert features.shape == (90, 4) == (90, model.feature_dim)
    left, singular, _ = np.linalg.svd(pools - pools.mean(0), full_matrices=False)
    variances = singular[:4] ** 2 / 89
    expected = left[:, :4] * np.sqrt(89) * variances**0.25 / np.sqrt(np.sqrt(variances).mean())
    np.testing.assert_allclose(np.abs(features - features.mean(0)), np.abs(expected), rtol=5e-3, atol=5e-3)
    assert features.var(0, ddof=1).mean() == pytest.approx(1, rel=1e-3)
    assert (np.diff(features.var(0)) <= 0).all()
    assert model.projection is not None
    assert (model.projection.abs().amax(1) == model.projection.amax(1)).all()


def test_more_components_than_images_have_are_refused() -> None:
    with pytest.raises(UsageError, match="`components=9`: 5 images have fewer components; give more images"):
        pooled().standardise([torch.rand(5, 3, 64, 64)], components=9)


@pytest.mark.parametrize(("precision", "components"), [("fp32", None), ("fp16", 8), ("int8", 8)])
def test_a_network_of_ones_own_is_exported(precision: str, components: int | None, tmp_path: Path) -> None:
    model, rng = pooled(), np.random.default_rng(0)
    tiles = made_tiles(rng, 12, 64)
    images = (
        torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255 - torch.tensor(MEAN).view(3, 1, 1)
    ) / (torch.tensor(STD).view(3, 1, 1))
    model.standardise([images], components)
    trained = TrainedModel(
        backbone=model, feature_dim=model.feature_dim, projector=None, cluster_head=None, clusters=None,
        method="weights", architecture="mine", tile_px=64, mpp=0.5, mean=MEAN, std=STD,
    )  # fmt: skip
    more: dict[str, Any] = {}
    if precision == "int8":
        more = {"calibrate": tiny_tiles(tmp_path / "tiles", 24, 64), "min_cosine": 0.5}
    metadata = export(trained, tmp_path / "m.onnx", precision=precision, **more)
    assert (metadata.feature_dim, metadata.backbone) == (model.feature_dim, "mine")
    with torch.no_grad():
        expected = model(images).numpy()
    found = load_encoder(tmp_path / "m.onnx", device="cpu").encode(tiles).features
    limit = {"fp32": 1e-3, "fp16": 0.1, "int8": 3.0}[precision]
    assert np.abs(found - expected).max() < limit


def test_wrong_pools_are_refused() -> None:
    with pytest.raises(UsageError, match=r"choose of mean, std"):
        StagePooling(nn.Identity(), [nn.Identity()], [("max",)], [3])
    with pytest.raises(UsageError, match="one entry for each stage is expected"):
        StagePooling(nn.Identity(), [nn.Identity()], [(), ("mean",)], [3])
