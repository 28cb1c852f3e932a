"""What a model returns is compared with what it says of itself, for every batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

import wsi_embed
from tests.made_models import made_metadata, tiny_onnx
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.encoder import load_encoder
from wsi_embed.encoder.base import Encoded, Encoder
from wsi_embed.errors import ModelError
from wsi_embed.slide.base import UInt8Array

Tiles = npt.NDArray[np.uint8]


class Returning(Encoder):
    """Encoder of 8 features and 4 clusters, sound apart from what `change` does to a batch."""

    def __init__(self, change: Callable[[Encoded], Encoded]) -> None:
        self.path, self.metadata, self.device, self.mpp = (
            Path("m.onnx"),
            made_metadata(clusters=4),
            "cpu",
            0.5,
        )
        self.change, self.batches = change, 0

    def _encode(self, tiles: UInt8Array) -> Encoded:
        n = len(tiles)
        self.batches += 1
        sound = Encoded(np.ones((n, 8), np.float32), np.arange(n) % 4, np.full(n, 0.5, np.float32))
        return self.change(sound)


def with_cluster(value: int) -> Callable[[Encoded], Encoded]:
    def change(e: Encoded) -> Encoded:
        assert e.cluster is not None
        return Encoded(e.features, np.where(np.arange(len(e.cluster)) == 2, value, e.cluster), e.confidence)

    return change


def with_confidence(value: float) -> Callable[[Encoded], Encoded]:
    return lambda e: Encoded(e.features, e.cluster, np.full(len(e.features), value, np.float32))


WRONG: dict[str, tuple[Callable[[Encoded], Encoded], str]] = {
    "cluster K": (with_cluster(4), "returns clusters 0 to 4, of which there are 4"),
    "cluster 70000": (with_cluster(70_000), "clusters 0 to 70000"),
    "cluster -1": (with_cluster(-1), "clusters -1 to 3"),
    "confidence 5": (with_confidence(5), "a cluster_confidence of 5 to 5, not 0 to 1"),
    "confidence NaN": (with_confidence(np.nan), "a cluster_confidence of nan to nan"),
    "confidence infinite": (with_confidence(np.inf), "a cluster_confidence of inf"),
    "confidence negative": (with_confidence(-0.5), "a cluster_confidence of -0.5"),
    "one row": (
        lambda e: Encoded(e.features[:1], e.cluster, e.confidence),
        r"features of shape \(1, 8\) for 5 tiles, expected \(5, 8\)",
    ),
    "one number less": (
        lambda e: Encoded(e.features[:, 1:], e.cluster, e.confidence),
        r"features of shape \(5, 7\)",
    ),
    "one cluster": (
        lambda e: Encoded(e.features, np.zeros(1, np.int64), e.confidence),
        r"clusters of shape \(1,\) and \(5,\) for 5 tiles",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_batch_is_refused(wrong: str, tiles: Tiles) -> None:
    change, message = WRONG[wrong]
    with pytest.raises(ModelError, match=rf"m\.onnx: returns .*{message.removeprefix('returns ')}"):
        Returning(change).encode(tiles)


@pytest.mark.parametrize("value", [0.0, 1.0, 1.0004, -0.0004])
def test_rounding_is_no_error(value: float, tiles: Tiles) -> None:
    assert Returning(with_confidence(value)).encode(tiles).confidence is not None


def test_every_part_of_a_batch_is_looked_at(tiles: Tiles) -> None:
    """Also those of a batch that did not fit into memory as a whole."""

    def change(e: Encoded) -> Encoded:
        return with_cluster(9)(e) if encoder.batches == 3 else e

    encoder = Returning(change)
    encoder.most = 3
    assert len(encoder.encode(tiles).features) == 5
    with pytest.raises(ModelError, match="clusters 0 to 9"):
        encoder.encode(tiles)


def wrong_model(path: Path, cast: int | None, shift: int) -> Path:
    """Save the tiny model with clusters that are shifted where a tile is not white, or of another type."""
    model = onnx.load(tiny_onnx(path))
    graph = model.graph
    output = next(o for o in graph.output if o.name == "cluster")
    last = next(n for n in graph.node if "cluster" in n.output)
    last.output[list(last.output).index("cluster")] = "sound"
    if cast is not None:
        graph.node.append(helper.make_node("Cast", ["sound"], ["cluster"], to=cast))
        output.type.tensor_type.elem_type = cast
    else:
        white = helper.make_tensor("white", TensorProto.UINT8, [], [255])
        number = helper.make_tensor("number", TensorProto.INT64, [], [shift])
        axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
        graph.initializer.extend([white, number, axes])
        graph.node.extend(
            [
                helper.make_node("Cast", ["tiles"], ["as_integers"], to=TensorProto.INT64),
                helper.make_node("ReduceMin", ["as_integers", "axes"], ["darkest"], keepdims=0),
                helper.make_node("Cast", ["white"], ["limit"], to=TensorProto.INT64),
                helper.make_node("Less", ["darkest", "limit"], ["tissue"]),
                helper.make_node("Cast", ["tissue"], ["more"], to=TensorProto.INT64),
                helper.make_node("Mul", ["more", "number"], ["added"]),
                helper.make_node("Add", ["sound", "added"], ["cluster"]),
            ]
        )
    onnx.save(model, path)
    return path


def test_clusters_that_are_no_integers_are_refused_at_loading(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="clusters of type float32"):
        load_encoder(wrong_model(tmp_path / "m.onnx", TensorProto.FLOAT, 0))


def test_a_model_that_is_wrong_on_tissue_writes_nothing(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "a.tif", he_pixels(300, 300), mpp=0.5)
    model: Any = wrong_model(tmp_path / "m.onnx", None, 70_000)
    report = wsi_embed.embed(slide, tmp_path / "f.zarr", model=model)
    assert report.count("failed") == 1
    assert "of which there are 4" in (report.slides[0].reason or "")
    assert list(wsi_embed.open_store(tmp_path / "f.zarr")) == []
