from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.job_tools import invoke
from tests.made_models import tiny_clusters, tiny_features, tiny_onnx, tiny_tiles
from wsi_embed.encoder import load_encoder
from wsi_embed.encoder.difference import Difference
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.compare import Comparison, Tile, compare, find_tiles
from wsi_embed.slide import UInt8Array
from wsi_embed.slide.tile_images import TileError

COUNT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tiles(tmp_path_factory.mktemp("tiles") / "t", COUNT)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_onnx(tmp_path_factory.mktemp("models") / "other.onnx", seed=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_onnx(tmp_path_factory.mktemp("models") / "model.onnx")


def pixels(tiles: list[Tile]) -> UInt8Array:
    return np.stack([np.asarray(Image.open(tile.path)) for tile in tiles])


def labelled(folder: Path, table: Path) -> Path:
    rows = [
        f"{path},{'ab'[n % 2]},{'train' if n < 16 else 'test'}"
        for n, path in enumerate(sorted(folder.iterdir()))
    ]
    table.write_text("path,label,split\n" + "\n".join(rows) + "\n")
    return table


def nearest(features: npt.NDArray[np.float32]) -> list[int]:
    """One tile at a time, by the definition."""
    centred = features.astype(np.float64) - features.mean(0)
    found = []
    for n, row in enumerate(centred):
        cosines = [
            -2.0 if m == n else row @ each / (np.linalg.norm(row) * np.linalg.norm(each))
            for m, each in enumerate(centred)
        ]
        found.append(int(np.argmax(cosines)))
    return found


def test_figures_by_hand(folder: Path, model: Path, other: Path) -> None:
    tiles = find_tiles(folder)
    found = compare(load_encoder(model, device="cpu"), load_encoder(other, device="cpu"), tiles, batch_size=7)
    batch = pixels(tiles)
    a, b = tiny_features(batch), tiny_features(batch, seed=1)
    centred = (a - a.mean(0), b - a.mean(0))
    norms = np.linalg.norm(centred[0], axis=1) * np.linalg.norm(centred[1], axis=1)
    cosines = (centred[0] * centred[1]).sum(1) / norms
    assert found.tiles == COUNT
    assert found.difference is not None
    assert found.difference.centred_cosine == pytest.approx(cosines.mean(), abs=1e-5)
    assert found.difference.min_centred_cosine == pytest.approx(cosines.min(), abs=1e-5)
    same = tiny_clusters(batch) == tiny_clusters(batch, seed=1)
    assert found.difference.cluster_agreement == pytest.approx(same.mean())
    shared = np.mean([x == y for x, y in zip(nearest(a), nearest(b), strict=True)])
    assert found.same_neighbour == pytest.approx(shared)
    assert found.knn is None
    assert min(found.images_per_s) > 0


def test_a_model_and_itself(folder: Path, model: Path) -> None:
    encoder = load_encoder(model, device="cpu")
    found = compare(encoder, encoder, find_tiles(folder))
    assert found.difference is not None
    assert found.difference.min_centred_cosine == pytest.approx(1.0)
    assert (found.same_neighbour, found.difference.cluster_agreement) == (1.0, 1.0)
    assert found.notes == ["both are the same model"]


def test_other_widths_have_no_cosine(folder: Path, model: Path, tmp_path: Path) -> None:
    wide = load_encoder(tiny_onnx(tmp_path / "wide.onnx", dim=16, mpp=0.25), device="cpu")
    found = compare(load_encoder(model, device="cpu"), wide, find_tiles(folder))
    assert found.difference is None
    assert any("8 and 16 numbers" in note for note in found.notes)
    assert any("0.5 and 0.25 um per pixel" in note for note in found.notes)
    assert 0 <= found.same_neighbour <= 1


@pytest.mark.parametrize(
    ("mean", "least", "clusters", "verdict"),
    [
        (0.9999, 0.999, 0.995, "can take the place"),
        (0.9999, 0.999, None, "can take the place"),
        (0.9999, 0.998, 1.0, "is close to A, as int8"),
        (
            0.9999,
            0.999,
            0.99,
            "is close to A: its features can take the place of A's, but 1.0 % of the tiles",
        ),
        (0.97, 0.2, 0.9, "is close"),
        (0.96, 0.95, 1.0, "is another encoder"),
        (float("nan"), 0.999, 1.0, "is another encoder"),
    ],
)
def test_the_verdict_follows_the_limits_of_exports(
    mean: float, least: float, clusters: float | None, verdict: str
) -> None:
    far = Difference(
        max_error=0.0,
        min_cosine=1.0,
        centred_cosine=mean,
        min_centred_cosine=least,
        cluster_agreement=clusters,
    )
    assert Comparison(9, 1.0, (1.0, 1.0), far).verdict.startswith(f"B {verdict}")
    assert Comparison(9, 1.0, (1.0, 1.0)).verdict.startswith("B is another encoder")


def test_each_model_gets_its_own_size(folder: Path, model: Path, tmp_path: Path) -> None:
    small = load_encoder(tiny_onnx(tmp_path / "small.onnx", tile_px=16), device="cpu")
    assert compare(load_encoder(model, device="cpu"), small, find_tiles(folder)).tiles == COUNT
    large = load_encoder(tiny_onnx(tmp_path / "large.onnx", tile_px=64), device="cpu")
    with pytest.raises(TileError, match="32 x 32 pixels, smaller than the crop of 64"):
        compare(load_encoder(model, device="cpu"), large, find_tiles(folder))


def test_nearest_neighbours_where_labels_are_given(
    folder: Path, model: Path, other: Path, tmp_path: Path
) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    tiles = find_tiles(labelled(folder, tmp_path / "tiles.csv"))
    found = compare(load_encoder(model, device="cpu"), load_encoder(other, device="cpu"), tiles)
    assert found.knn is not None
    batch = pixels(tiles)
    labels = [tile.label for tile in tiles]
    for seed, scores in enumerate(found.knn):
        features = tiny_features(batch, seed=seed).astype(np.float64)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        predicted = [labels[int((unit[:16] @ unit[n]).argmax())] for n in range(16, COUNT)]
        assert scores["f1_macro"] == pytest.approx(
            sklearn.f1_score(labels[16:], predicted, average="macro"), abs=1e-9
        )


def test_labels_without_a_split_are_no_scores(folder: Path, model: Path, tmp_path: Path) -> None:
    table = tmp_path / "tiles.csv"
    table.write_text("path,label\n" + "\n".join(f"{path},a" for path in sorted(folder.iterdir())) + "\n")
    encoder = load_encoder(model, device="cpu")
    found = compare(encoder, encoder, find_tiles(table))
    assert found.knn is None
    assert any("need a column `split`" in note for note in found.notes)


def test_a_sample_of_many_is_always_the_same(folder: Path) -> None:
    first, again = find_tiles(folder, limit=10), find_tiles(folder, limit=10)
    assert len(first) == 10
    assert first == again


def test_tiles_that_are_not_there(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="expected a folder of tile images"):
        find_tiles(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="0 tile images found"):
        find_tiles(tmp_path / "empty")


def test_an_unreadable_tile_is_named(model: Path, tmp_path: Path) -> None:
    folder = tiny_tiles(tmp_path / "t", 3)
    (folder / "tile_01.png").write_bytes(b"no image")
    encoder = load_encoder(model, device="cpu")
    with pytest.raises(TileError, match=r"tile_01\.png: not a readable image"):
        compare(encoder, encoder, find_tiles(folder))


def test_size_and_resolution_are_for_the_model_that_does_not_state_them(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    foreign = tiny_onnx(tmp_path / "foreign.onnx", tile_px=16, metadata=False)
    given = ("compare", model, foreign, "--tiles", folder, "--device", "cpu")
    refused = invoke(*given)
    assert refused.returncode == 2
    assert "--tile-px" in refused.stderr
    done = invoke(*given, "--tile-px", "16", "--mpp", "0.5")  # the first takes 32 pixels
    assert done.returncode == 0, done.stderr
    assert "verdict" in done.stdout


def test_on_the_command_line(folder: Path, model: Path, other: Path, tmp_path: Path) -> None:
    table = labelled(folder, tmp_path / "tiles.csv")
    done = invoke("compare", model, other, "--tiles", table, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    for words in ("centred cosine", "same cluster", "same neighbour", "verdict", "images/s", "kNN macro F1"):
        assert words in done.stdout
    as_json = invoke(
        "compare", model, model, "--tiles", folder, "--device", "cpu", "--json", "--min-cosine", "0.99"
    )
    assert as_json.returncode == 0, as_json.stderr
    document = json.loads(as_json.stdout)
    assert document["difference"]["centred_cosine"] == 1.0
    far = invoke("compare", model, other, "--tiles", folder, "--device", "cpu", "--min-cosine", "0.99")
    assert far.returncode == 1
    assert far.stderr.startswith("error: mean centred cosine ")
    assert "Traceback" not in far.stderr
