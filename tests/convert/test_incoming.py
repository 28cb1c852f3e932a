"""Features of other tools as a store of ours."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.convert.conftest import LABELS
from tests.job_tools import tree
from wsi_embed import Store, open_store, verify
from wsi_embed.convert import Given, bring_in, convert
from wsi_embed.diagnostics.describe import describe
from wsi_embed.errors import StoreMismatchError, UsageError

h5py = pytest.importorskip("h5py")

JOB = "20x_256px_0px_overlap"
# what a slide scanned at 40x has, as TRIDENT writes it
GEOMETRY = {
    "patch_size": 256,
    "patch_size_level0": 512,
    "level0_magnification": 40,
    "target_magnification": 20,
    "overlap": 0,
    "name": "s",
    "savetodir": "/somewhere",
    "level0_width": 5000,
    "level0_height": 4000,
}


def write(
    path: Path,
    coords: Any,
    features: npt.NDArray[Any] | None = None,
    attributes: dict[str, Any] | None = None,
) -> Path:
    """A file of features, or of coordinates alone, chunked as TRIDENT chunks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coords = np.asarray(coords, np.int64).reshape(-1, 2)
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("coords", data=coords, chunks=(1, 2), maxshape=(None, 2))
        stored.attrs.update(attributes or {})
        if features is not None:
            file["features"] = features
    return path


def made(n: int, dim: int = 4, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


# two columns, from top to bottom, then the next: another order than ours
COLUMNS = [(512 * x + 100, 512 * y + 40) for x in (3, 5) for y in (2, 4, 3)]


@pytest.fixture
def trident(tmp_path: Path) -> Path:
    """A job of TRIDENT with a slide `s` of six tiles and one without any."""
    folder = tmp_path / "job" / JOB / "features_uni_v1"
    write(folder / "s.h5", COLUMNS, made(6), GEOMETRY)
    write(folder / "none.h5", [], made(0), GEOMETRY)
    return tmp_path / "job"


def test_tiles_come_in_the_order_of_the_grid(trident: Path, tmp_path: Path) -> None:
    done = bring_in(trident, "trident", tmp_path / "f.zarr")
    assert (done.written, done.failed) == (["none", "s"], {})
    bag = open_store(tmp_path / "f.zarr")["s"]
    assert bag.grid[:].tolist() == [[0, 0], [0, 2], [1, 0], [1, 2], [2, 0], [2, 2]]
    order = [COLUMNS.index(tuple(xy)) for xy in bag.coords[:].tolist()]
    assert order == [0, 3, 2, 5, 1, 4]
    np.testing.assert_array_equal(bag.features[:], made(6)[order])
    assert bag.features.dtype == np.float32


def test_the_store_is_whole_and_says_what_is_known_and_what_is_not(trident: Path, tmp_path: Path) -> None:
    bring_in(trident, "trident", tmp_path / "f.zarr")
    store = open_store(tmp_path / "f.zarr")
    assert verify(store.path) == []
    assert store.attrs["model"]["name"] == "uni_v1"
    assert store.attrs["model"]["method"] == "unknown"
    assert store.attrs["settings"] == {
        "model_id": "unknown/trident/uni_v1",
        "tile_px": 256,
        "mpp": 0.5,
        "dtype": "float32",
        "feature_dim": 4,
        "clusters": None,
    }
    attrs = store["s"].attrs
    known = {"tile_px": 256, "extent": 512, "mpp": 0.25, "mpp_source": "magnification", "size": [5000, 4000]}
    assert {name: attrs[name] for name in known} == known
    assert {"tissue_fraction", "tissue", "slide_fingerprint"} <= set(attrs["unknown"])
    assert len(store["none"]) == 0
    facts, rows = describe(str(store.path))
    assert (facts["model"], [row["tiles"] for row in rows]) == ("uni_v1", [0, 6])


def test_it_can_be_trained_on(trident: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    write(trident / JOB / "features_uni_v1" / "t.h5", COLUMNS[:2], made(2, seed=1), GEOMETRY)
    bring_in(trident, "trident", tmp_path / "f.zarr")
    table = tmp_path / "slides.csv"
    table.write_text("slide,patient,label\ns,ann,1\nt,ann,1\nnone,bo,0\n")
    data = open_store(tmp_path / "f.zarr").torch_dataset(
        table, by="patient", missing="skip", classes=["0", "1"], style="torchmil", adjacency=True
    )
    item = data[0]
    assert (item["X"].shape, int(item["Y"])) == (torch.Size([8, 4]), 1)
    assert item["adj"].to_dense().count_nonzero() == 8  # of s: three in each of two columns; of t: none


@pytest.mark.parametrize("name", ["trident", "clam"])
def test_there_and_back(source: Store, tmp_path: Path, name: str) -> None:
    convert(source, name, tmp_path / "out")
    given = Given(encoder="tiny", mpp=0.5 if name == "clam" else None)
    bring_in(tmp_path / "out", name, tmp_path / "back.zarr", given=given)
    back = open_store(tmp_path / "back.zarr")
    assert set(LABELS) <= set(back)
    assert verify(back.path) == []
    for slide_id in LABELS:
        ours, theirs = source[slide_id], back[slide_id]
        np.testing.assert_array_equal(theirs.features[:], ours.features[:].astype(np.float32))
        np.testing.assert_array_equal(theirs.coords[:], ours.coords[:])
        for fact in ("extent", "tile_px", "mpp", "effective_mpp"):
            assert theirs.attrs[fact] == pytest.approx(ours.attrs[fact]), fact
        np.testing.assert_array_equal(theirs.grid[:], ours.grid[:] - ours.grid[:].min(0))
        assert theirs.attrs["settings"]["overlap"] == 8  # CLAM does not record it: from the steps


def test_a_second_run_skips_and_another_file_is_taken_only_when_asked(trident: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.zarr"
    bring_in(trident, "trident", out)
    before = tree(out)
    assert bring_in(trident, "trident", out).skipped == ["none", "s"]
    assert tree(out) == before
    write(trident / JOB / "features_uni_v1" / "s.h5", COLUMNS, made(6, seed=7), GEOMETRY)
    done = bring_in(trident, "trident", out)
    assert "use `overwrite=True` to replace it" in done.failed["s"]
    assert tree(out) == before
    assert bring_in(trident, "trident", out, overwrite=True).written == ["s"]
    assert set(open_store(out)["s"].features[:].ravel()) == set(made(6, seed=7).ravel())


def damage(path: Path, how: str) -> None:
    features, coords, attributes = made(6), np.array(COLUMNS), dict(GEOMETRY)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:300])
        return
    if how == "not finite":
        features[2, 1] = np.nan
    if how == "negative":
        coords[0] = -1
    if how == "other size":
        attributes["patch_size_level0"], attributes["patch_size"] = 1024, 512
    if how == "no size":
        del attributes["patch_size_level0"]
    write(
        path, coords, None if how == "no features" else features[: 5 if how == "too few" else 6], attributes
    )


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", r"bad\.h5: cannot be read"),
        ("not finite", r"bad\.h5: features of row 2 are not finite"),
        ("negative", r"bad\.h5: coords .* are not non-negative"),
        ("too few", r"bad\.h5: features \(5, 4\) do not go with coords \(6, 2\)"),
        ("other size", r"bad: its tiles are of another kind .*tile_px 256 -> 512"),
        ("no size", "bad: its coords lack patch_size_level0"),
        ("no features", "bad: its coords lack features"),
    ],
)
def test_a_bad_file_fails_alone(trident: Path, tmp_path: Path, how: str, words: str) -> None:
    folder = trident / JOB / "features_uni_v1"
    write(folder / "a.h5", COLUMNS, made(6), GEOMETRY)
    damage(shutil.copyfile(folder / "s.h5", folder / "bad.h5"), how)
    done = bring_in(trident, "trident", tmp_path / "f.zarr")
    assert done.written == ["a", "none", "s"]
    assert list(done.failed) == ["bad"]
    assert len(done.failed["bad"].splitlines()) == 1
    assert re.search(words, done.failed["bad"]), done.failed["bad"]
    assert list(open_store(tmp_path / "f.zarr")) == ["a", "none", "s"]


def test_attributes_may_be_in_the_coordinates_file_alone(trident: Path, tmp_path: Path) -> None:
    write(trident / JOB / "features_uni_v1" / "s.h5", COLUMNS, made(6))
    write(trident / JOB / "patches" / "s_patches.h5", COLUMNS, attributes=GEOMETRY)
    assert bring_in(trident, "trident", tmp_path / "f.zarr").failed == {}


def test_several_models_are_told_apart_by_name_or_folder(trident: Path, tmp_path: Path) -> None:
    write(trident / JOB / "features_conch" / "s.h5", COLUMNS, made(6, dim=3), GEOMETRY)
    with pytest.raises(UsageError, match=r"several kinds: .*features_conch, .*features_uni_v1"):
        bring_in(trident, "trident", tmp_path / "f.zarr")
    bring_in(trident, "trident", tmp_path / "a.zarr", given=Given(encoder="conch"))
    bring_in(trident / JOB / "features_conch", "trident", tmp_path / "b.zarr")
    assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")
    with pytest.raises(StoreMismatchError, match="unknown/trident/conch"):
        bring_in(trident / JOB / "features_uni_v1", "trident", tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("folder", "name", "words"),
    [
        ("nowhere", "trident", "no such folder"),
        ("empty", "trident", "no folder features_"),
        ("empty", "clam", "no folder h5_files"),
        ("empty", "stamp", "`format_name='stamp'`: choose trident or clam"),
    ],
)
def test_where_there_is_nothing(folder: str, name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=words):
        bring_in(tmp_path / folder, name, tmp_path / "f.zarr", given=Given(mpp=0.5))
    assert not (tmp_path / "f.zarr").exists()


# CLAM tiles every piece of tissue from a corner of its own
PIECES = [(1000, 1000), (1256, 1000), (1000, 1256), (3100, 1190), (3100, 1446)]


def test_clams_tiles_without_a_lattice_keep_their_places(tmp_path: Path) -> None:
    write(tmp_path / "h5_files" / "s.h5", PIECES, made(5))
    tiling = {"patch_size": 256, "patch_level": 0, "downsample": (1.0, 1.0), "level_dim": (9000, 8000)}
    write(tmp_path / "patches" / "s.h5", PIECES, attributes=tiling)
    bring_in(tmp_path, "clam", tmp_path / "f.zarr", given=Given(mpp=0.5, encoder="resnet50"))
    store = open_store(tmp_path / "f.zarr")
    bag = store["s"]
    assert sorted(map(tuple, bag.coords[:].tolist())) == sorted(PIECES)
    where = {tuple(xy): row for xy, row in zip(bag.coords[:].tolist(), bag.features[:], strict=True)}
    for xy, row in zip(PIECES, made(5), strict=True):
        np.testing.assert_array_equal(where[xy], row)
    assert (bag.attrs["extent"], bag.attrs["mpp"], bag.attrs["size"]) == (256, 0.5, [9000, 8000])
    assert store.attrs["model"]["name"] == "resnet50"
    assert verify(store.path) == []


def test_clams_tiling_may_lie_beside_or_be_replaced_by_what_the_user_says(tmp_path: Path) -> None:
    write(tmp_path / "feats" / "h5_files" / "s.h5", PIECES, made(5))
    given = Given(mpp=0.5)
    failed = bring_in(tmp_path / "feats", "clam", tmp_path / "f.zarr", given=given).failed["s"]
    assert "neither its tiling (patches/s.h5) nor `tile_px=` says how large a tile is" in failed
    bring_in(tmp_path / "feats", "clam", tmp_path / "said.zarr", given=Given(mpp=0.5, tile_px=224))
    attrs = open_store(tmp_path / "said.zarr")["s"].attrs
    # the commonest step within a column or row, not the 66 or 190 between pieces
    assert (attrs["tile_px"], attrs["extent"], "size" in attrs["unknown"]) == (224, 256, True)
    tiling = {"patch_size": 256, "patch_level": 1, "downsample": (4.0, 4.0)}
    write(tmp_path / "patches" / "s.h5", PIECES, attributes=tiling)
    bring_in(tmp_path / "feats", "clam", tmp_path / "beside.zarr", given=given)
    attrs = open_store(tmp_path / "beside.zarr")["s"].attrs
    assert (attrs["tile_px"], attrs["extent"], attrs["mpp"]) == (256, 1024, 0.125)


def test_clam_does_not_say_its_resolution(tmp_path: Path) -> None:
    write(tmp_path / "h5_files" / "s.h5", PIECES, made(5))
    with pytest.raises(UsageError, match="give `mpp=`"):
        bring_in(tmp_path, "clam", tmp_path / "f.zarr")
