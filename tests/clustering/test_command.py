"""`wsi-embed cluster`, and the commands that take its folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.made_models import tiny_onnx
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.cli import main

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slides, a model without clusters, its store, and clusters of that."""
    folder = tmp_path_factory.mktemp("clusters")
    (folder / "slides").mkdir()
    for n in range(2):
        write_tiff(folder / "slides" / f"s{n}.tif", he_pixels(256, 320, seed=n), levels=(1,), mpp=0.5)
    tiny_onnx(folder / "model.onnx", clusters=None)
    wsi_embed.embed(
        folder / "slides", folder / "feats.zarr", model=folder / "model.onnx", tissue="none", device="cpu"
    )
    assert run("cluster", folder / "feats.zarr", "--k", 4, "--out", folder / "clusters") == 0
    return folder


def run(*arguments: object) -> int:
    """Exit code of a command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["wsi-embed", *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def test_the_store_is_not_changed(folder: Path) -> None:
    assert wsi_embed.verify(folder / "feats.zarr") == []
    assert wsi_embed.open_store(folder / "feats.zarr").clusters is None


def test_json_says_what_was_made(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cluster", folder / "feats.zarr", "--k", 4, "--out", tmp_path / "c", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["clusters"] == 4
    assert sum(said["shares"]) == pytest.approx(1, abs=1e-4)


def test_other_commands_take_the_clusters(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, clusters = folder / "feats.zarr", folder / "clusters"
    bags = wsi_embed.open_store(store, clusters=clusters)
    assert run("eval", "clusters", store, "--clusters", clusters, "--json") == 0
    assert json.loads(capsys.readouterr().out)["clusters"] == 4
    assert run("plot", store, "--geojson", "--clusters", clusters, "--out", tmp_path / "p") == 0
    features = json.loads((tmp_path / "p" / "s0.geojson").read_text())["features"]
    cluster = bags["s0"].cluster
    assert cluster is not None
    named = {f["properties"]["classification"]["name"] for f in features if f["properties"].get("isLocked")}
    assert named == {f"cluster {n}" for n in np.unique(cluster[:])}
    assert run("convert", store, "--to", "anndata", "--clusters", clusters, "--out", tmp_path / "a") == 0
    import anndata

    written = anndata.read_h5ad(next((tmp_path / "a").glob("s0*.h5ad")))
    assert written.obs["cluster"].astype(int).tolist() == cluster[:].tolist()


def test_other_clusters_are_other_content(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    assert run("convert", folder / "feats.zarr", "--to", "anndata", "--out", out) == 0
    command = ("convert", folder / "feats.zarr", "--to", "anndata", "--out", out)
    assert run(*command, "--clusters", folder / "clusters") == 2
    assert run(*command, "--clusters", folder / "clusters", "--overwrite") == 0


def test_a_model_with_the_clusters_gives_new_slides_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = tmp_path / "with-clusters.onnx"
    arguments = ("export", folder / "model.onnx", "--cluster-head", folder / "clusters", "--out", model)
    assert run(*arguments) == 0
    wsi_embed.embed(folder / "slides", tmp_path / "f.zarr", model=model, tissue="none", device="cpu")
    bags = wsi_embed.open_store(folder / "feats.zarr", clusters=folder / "clusters")
    for slide_id, bag in wsi_embed.open_store(tmp_path / "f.zarr").items():
        expected = bags[slide_id]
        assert expected.cluster is not None
        assert bag.cluster is not None
        assert np.array_equal(bag.features[:], expected.features[:])
        # the head sees float32 features, the store has float16
        assert (bag.cluster[:] == expected.cluster[:]).mean() > 0.98
    about = wsi_embed.load_encoder(model, device="cpu").metadata
    assert about.clusters == 4
    assert about.training["clusters"]["store"] == "feats.zarr"
    # once more, over the head that it has now
    again = tmp_path / "again.zarr"
    wsi_embed.embed(folder / "slides", again, model=model, tissue="none", device="cpu")
    assert run("cluster", again, "--k", 3, "--out", tmp_path / "three") == 0
    three = tmp_path / "three.onnx"
    assert run("export", model, "--cluster-head", tmp_path / "three", "--out", three) == 0
    assert wsi_embed.load_encoder(three, device="cpu").metadata.clusters == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("export", "{f}/other.onnx", "--cluster-head", "{f}/clusters", "--out", "{t}/o.onnx"),
            "clusters of",
        ),
        (("export", "{f}/model.onnx", "--cluster-head", "{f}/slides", "--out", "{t}/o.onnx"), "no clusters"),
        (("export", "{f}/model.onnx", "--cluster-head", "{f}/clusters", "--out", "{t}/o.ts"), ".onnx files"),
        (("plot", "{f}/feats.zarr", "--geojson", "--clusters", "{f}/slides"), "no clusters there"),
        (("cluster", "{f}/feats.zarr", "--k", "9999", "--out", "{t}/c"), "--k 9999"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: tuple[str, ...],
    says: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("torch")
    tiny_onnx(folder / "other.onnx", clusters=None, seed=5)
    assert run(*(text.format(f=folder, t=tmp_path) for text in arguments)) == 2
    said = capsys.readouterr().err.strip()
    assert says in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.glob("o.*"))
