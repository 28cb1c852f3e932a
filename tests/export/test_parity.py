"""Faults of every output, just within the limits and just beyond them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.made_models import TINY_DIM, made_metadata
from wsi_embed.encoder import Encoded, Encoder, ModelMetadata
from wsi_embed.errors import ModelError
from wsi_embed.slide import UInt8Array
from wsi_embed_export import TileModel, read_source
from wsi_embed_export.parity import TIE, ParityError, _reference, check_parity, limits_of, parity_tiles
from wsi_embed_export.real_tiles import packaged_tiles

Fault = Callable[[Encoded], Encoded]


class Faulty(Encoder):
    """The reference, with a fault in what it says."""

    def __init__(self, model: TileModel, fault: Fault, precision: str) -> None:
        self.model, self.fault, self.path, self.device = model, fault, Path("faulty"), "cpu"
        self.metadata: ModelMetadata = replace(made_metadata(dim=TINY_DIM, clusters=5), precision=precision)

    def _encode(self, tiles: UInt8Array) -> Encoded:
        return self.fault(_reference(self.model, tiles)[0])


@pytest.fixture(scope="module")
def model(run: Path) -> TileModel:
    return TileModel(read_source(run))


def parity_of(model: TileModel, fault: Fault, precision: str, min_cosine: float = 0.97) -> dict[str, float]:
    faulty = Faulty(model, fault, precision)
    found = check_parity(model, faulty, limits_of(precision, min_cosine), parity_tiles(model.tile_px))
    return found.to_dict()


def turned(angle: float) -> Fault:
    """Features turned by an angle, away from themselves and from their mean."""

    def fault(encoded: Encoded) -> Encoded:
        features = encoded.features
        away = np.random.default_rng(0).normal(size=features.shape)
        away -= (away * features).sum(1, keepdims=True) / (features**2).sum(1, keepdims=True) * features
        away *= np.linalg.norm(features, axis=1, keepdims=True) / np.linalg.norm(away, axis=1, keepdims=True)
        return replace(encoded, features=(np.cos(angle) * features + np.sin(angle) * away).astype(np.float32))

    return fault


def flipped(every: int) -> Fault:
    """Another cluster for one tile in so many."""

    def fault(encoded: Encoded) -> Encoded:
        assert encoded.cluster is not None
        cluster = encoded.cluster.copy()
        cluster[::every] = (cluster[::every] + 1) % 5
        return replace(encoded, cluster=cluster)

    return fault


def surer(by: float) -> Fault:
    def fault(encoded: Encoded) -> Encoded:
        assert encoded.confidence is not None
        return replace(encoded, confidence=encoded.confidence + np.float32(by))

    return fault


def shared_mean(encoded: Encoded) -> Encoded:
    """Every tile gets the mean feature: near in cosine, and nothing of the tile is left."""
    mean = encoded.features.mean(0, keepdims=True)
    return replace(encoded, features=np.repeat(mean, len(encoded.features), 0))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_model_itself_passes(model: TileModel, precision: str) -> None:
    found = parity_of(model, lambda encoded: encoded, precision)
    assert found["max_error"] == found["confidence_error"] == 0.0
    assert found["min_cosine"] == found["cluster_agreement"] == found["clear_cluster_agreement"] == 1.0


@pytest.mark.parametrize(
    ("precision", "fault"), [("fp32", turned(1e-3)), ("fp32", surer(9e-4)), ("fp16", surer(0.09))]
)
def test_within_the_limits(model: TileModel, precision: str, fault: Fault) -> None:
    parity_of(model, fault, precision)


@pytest.mark.parametrize(
    ("precision", "fault", "output"),
    [
        ("fp32", turned(6e-3), r"features \(cosine 0\.99998"),
        ("fp32", flipped(64), r"cluster \(agreement without near-ties 0\.\d+, at least 1\.0"),
        ("fp32", surer(1.1e-3), r"cluster_confidence \(off by 0\.0011"),
        ("fp16", shared_mean, r"features \(centred cosine"),
        ("fp16", flipped(8), r"cluster \(agreement without near-ties"),
        ("fp16", surer(0.11), r"cluster_confidence \(off by 0\.11"),
        ("int8", shared_mean, r"features \(mean centred cosine"),
    ],
)
def test_beyond_a_limit_the_output_is_named(
    model: TileModel, precision: str, fault: Fault, output: str
) -> None:
    with pytest.raises(ParityError, match=rf"differs from PyTorch in {output}.*no file was written"):
        parity_of(model, fault, precision)


def test_near_ties_count_in_one_figure_only(model: TileModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TIE, "fp16", 1e9)
    found = parity_of(model, flipped(8), "fp16")
    assert found["cluster_agreement"] <= 7 / 8
    assert found["clear_cluster_agreement"] == 1.0


def test_the_output_that_is_off_most_is_named(model: TileModel) -> None:
    def both(little: float, much: float) -> Fault:
        return lambda encoded: turned(little)(surer(much)(encoded))

    with pytest.raises(ParityError, match=r"in cluster_confidence"):
        parity_of(model, both(6e-3, 0.5), "fp32")
    with pytest.raises(ParityError, match=r"in features"):
        parity_of(model, both(0.5, 2e-3), "fp32")


def test_features_that_are_not_finite_are_refused(model: TileModel) -> None:
    for precision in ("fp32", "fp16", "int8"):
        with pytest.raises(ParityError, match="in features"):
            parity_of(model, lambda encoded: replace(encoded, features=encoded.features * np.nan), precision)


def test_lost_clusters_and_widths_are_refused(model: TileModel) -> None:
    with pytest.raises(ParityError, match="disagree about having clusters"):
        parity_of(model, lambda encoded: Encoded(encoded.features), "fp32")
    with pytest.raises(ModelError, match=r"features of shape \(1, 95\) for 1 tiles, expected \(1, 96\)"):
        parity_of(model, lambda encoded: replace(encoded, features=encoded.features[:, 1:]), "fp32")


def test_made_and_real_tiles_at_every_batch_size(model: TileModel) -> None:
    made, real = parity_tiles(32)
    assert [len(tiles) for tiles in made] == [len(tiles) for tiles in real] == [1, 2, 7, 64]
    users = packaged_tiles(np.random.default_rng(1), 10, 32)
    _, real = parity_tiles(32, users)
    for tiles in real:
        assert all((tile == users).all((1, 2, 3)).any() for tile in tiles)


@pytest.mark.parametrize("px", [32, 224, 800])
def test_packaged_tiles_show_tissue(px: int) -> None:
    tiles = packaged_tiles(np.random.default_rng(0), 6, px)
    assert tiles.shape == (6, px, px, 3)
    assert tiles.dtype == np.uint8
    red, green = tiles[..., 0].mean(), tiles[..., 1].mean()
    assert red - green > 20  # H&E is never green
    assert len({tile.tobytes() for tile in tiles}) == 6
