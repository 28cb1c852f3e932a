"""Metadata of OME-Zarr: which images are slides, at which resolution, and why others are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.made_formats.ome_zarr import change_attributes, multiscale, write_ome_zarr
from tests.made_slides import he_pixels
from wsi_embed.errors import ResolutionError, SlideError
from wsi_embed.slide import open_slide, resolve_mpp

PIXELS = he_pixels(300, 400, seed=2)


def described(**changed: Any) -> list[dict[str, Any]]:
    """Return `multiscales` with other values."""
    return [multiscale("0.4", factors=(1,)) | changed]


def scaled(*scale: float) -> list[dict[str, Any]]:
    """Return `multiscales` with another scale."""
    transforms = [{"type": "scale", "scale": list(scale)}]
    return described(datasets=[{"path": "0", "coordinateTransformations": transforms}])


@pytest.mark.parametrize(
    ("unit", "side"),
    [
        ("micrometer", 0.25), ("nanometer", 250.0), ("millimeter", 0.00025), ("meter", 2.5e-7),
        ("Micrometer", 0.25), ("um", 0.25), ("µm", 0.25), ("angstrom", 2500.0),
    ],
)  # fmt: skip
def test_the_resolution_is_the_scale_in_the_unit_of_the_axes(tmp_path: Path, unit: str, side: float) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, mpp=(side, side), unit=unit)
    with open_slide(folder) as slide:
        assert resolve_mpp(slide).mpp == pytest.approx(0.25)
        assert resolve_mpp(slide).source == "scale of OME-Zarr"


@pytest.mark.parametrize("unit", [None, "pixel", 7])
def test_without_a_unit_of_length_there_is_no_resolution(tmp_path: Path, unit: Any) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, mpp=(1.0, 1.0), unit=unit)
    with open_slide(folder) as slide:
        assert slide.mpp is None
        with pytest.raises(ResolutionError, match="the file does not say its resolution; give it with"):
            resolve_mpp(slide)
        assert resolve_mpp(slide, 0.5).mpp == 0.5


def test_the_scale_of_the_whole_multiplies_that_of_the_levels(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, mpp=(1.0, 1.0))
    scale = [{"type": "scale", "scale": [1.0, 0.25, 0.25]}]
    change_attributes(
        folder, multiscales=[multiscale("0.4", mpp=(1, 1)) | {"coordinateTransformations": scale}]
    )
    with open_slide(folder) as slide:
        assert slide.mpp == (0.25, 0.25)
        assert slide.level_scales == [(1.0, 1.0), (2.0, 2.0), (4.0, 4.0)]


def test_transformations_to_other_coordinate_systems_are_no_scale(tmp_path: Path) -> None:
    """SpatialData describes there how images lie beside each other."""
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS)
    moved = [{"type": "affine", "affine": [[1, 2], [3, 4]], "input": {}, "output": {"name": "global"}}]
    change_attributes(folder, multiscales=[multiscale("0.4") | {"coordinateTransformations": moved}])
    assert open_slide(folder).mpp == (0.5, 0.5)


@pytest.mark.parametrize("unit", ["micrometer", None])
def test_pixels_that_are_not_square_are_refused_with_both_sides(tmp_path: Path, unit: str | None) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, mpp=(0.5, 0.25), unit=unit)
    with pytest.raises(
        SlideError, match=r"a\.zarr: its pixels are not square: .* is 0\.5 along x and 0\.25 along y"
    ):
        open_slide(folder)
    almost = write_ome_zarr(tmp_path / "b.zarr", PIXELS, mpp=(0.5, 0.5005))
    assert resolve_mpp(open_slide(almost)).mpp == pytest.approx(0.50025)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "`multiscales`, which name"),
        ([], "`multiscales`, which name its levels, are missing or empty"),
        ([7], "are missing or empty"),
        ({"datasets": []}, "are missing or empty"),
        (described(datasets=[]), "list no `datasets`"),
        (described(datasets=[{"path": 7}]), "one of its `datasets` has no path"),
        (described(datasets=[{"path": "../../b"}]), "one of its `datasets` is outside of it"),
        (described(axes=None), r"its axes are not described \(version 0\.4\)"),
        (described(axes=["c", "y", "x"], version="0.3"), r"its axes are not described \(version 0\.3\)"),
        (described(axes=[{"name": n} for n in "cyz"]), "its axes are c, y, z, without one x and one y"),
        (described(datasets=[{"path": "0"}]), "of its levels have no scale"),
        (scaled(1.0), "its scale is not a list of 3 numbers"),
        (scaled(1.0, True, 1.0), "its scale is not a list of 3 numbers"),
        (scaled(1.0, float("nan"), 1.0), "its scale is not a list of 3 numbers"),
        (scaled(1.0, 0.0, 1.0), "its scale is 1 x 0"),
        (described(coordinateTransformations=[{"type": "affine"}]), "transformation 'affine' is not read"),
        (described(name="label image"), "its first image is called a label"),
    ],
)  # fmt: skip
def test_invalid_metadata_are_one_clear_line(tmp_path: Path, found: Any, says: str) -> None:
    folder = write_ome_zarr(tmp_path / "a.ome.zarr", PIXELS, factors=(1,))
    change_attributes(folder, multiscales=found, omero={})
    with pytest.raises(SlideError, match=rf"a\.ome\.zarr: .*{says}.*; ") as caught:
        open_slide(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "axes", "says"),
    [
        (PIXELS.astype(np.uint16), "cyx", r"has more than 8 bits a channel \(uint16\); convert it to 8-bit"),
        (PIXELS.astype(np.float32), "cyx", r"has more than 8 bits a channel \(float32\)"),
        (PIXELS.astype(np.int8), "cyx", r"has signed pixels \(int8\)"),
        (PIXELS[..., :1], "cyx", "has one channel, not red, green and blue"),
        (np.dstack([PIXELS, PIXELS[..., 0]]), "tczyx", "has 4 channels, not red, green and blue"),
    ],
)
def test_other_pixels_are_refused_by_kind(tmp_path: Path, pixels: Any, axes: str, says: str) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, axes=axes, factors=(1,))
    with pytest.raises(SlideError, match=rf"a\.zarr: {says}"):
        open_slide(folder)


def test_focal_planes_are_refused(tmp_path: Path) -> None:
    import zarr

    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, axes="tczyx", factors=(1,))
    zarr.open_array(folder / "0", mode="r+").resize((1, 3, 5, 300, 400))
    with pytest.raises(SlideError, match=r"has several planes along z \(5\); save one of them"):
        open_slide(folder)


@pytest.mark.parametrize("colours", [["0000FF", "00FF00", "FF0000"], ["808080"] * 3])
def test_channels_of_fluorescence_are_refused_by_their_colours(tmp_path: Path, colours: list[str]) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,))
    change_attributes(
        folder, omero={"channels": [{"color": each} for each in ["FF0000", "00ff00", "0000FF"]]}
    )
    assert (open_slide(folder).read(0, 0, 0, 400, 300) == PIXELS).all()
    change_attributes(folder, omero={"channels": [{"color": each} for each in colours]})
    with pytest.raises(SlideError, match=rf"have the colours {', '.join(colours)}, as in fluorescence"):
        open_slide(folder)


def test_arrays_of_absurd_size_are_refused(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,))
    file = folder / "0/.zarray"
    plain = json.loads(file.read_text())
    for changed, says in {
        (("shape", (3, 10**9, 10**9)),): (
            "has 1000000000 x 1000000000 pixels in chunks of 3 x 128 x 128, 61,035,156,250,000 of them; "
            r"at most [\d,]+ are read; is its `shape` right\? else write it in larger chunks"
        ),
        (("shape", (3, 200_000, 200_000)),): r"level 0 has 200000 x 200000 pixels, and \d+ bytes of chunks",
        (("chunks", (3, 20_000, 20_000)),): r"its chunks are too large \(3 x 20000 x 20000\)",
        (("chunks", (3, 128, 0)),): r"its chunks have no pixels \(3 x 128 x 0\)",
        (("shape", (3, 0, 400)),): r"has no pixels \(3 x 0 x 400\)",
        (("shape", (300, 400)), ("chunks", (128, 128))): "its arrays have 2 axes, and its metadata 3",
        (("compressor", None), ("shape", "x")): "cannot be opened by Zarr",
    }.items():
        file.write_text(json.dumps(plain | dict(changed)))
        with pytest.raises(SlideError, match=rf"a\.zarr: .*{says}") as caught:
            open_slide(folder)
        assert "\n" not in str(caught.value)


def test_an_unknown_codec_is_named(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,))
    file = folder / "0/.zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"compressor": {"id": "imagecodecs_jpegxr"}}))
    with pytest.raises(SlideError, match=r"0: cannot be opened by Zarr \(.*imagecodecs_jpegxr.*; convert it"):
        open_slide(folder)


def test_an_array_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1, 2))
    (folder / "1/.zarray").unlink()
    with open_slide(folder) as slide:
        assert slide.level_sizes == [(400, 300)]
        assert slide.left_out == ("level 1: 1: is not there; is it complete? copy it again",)
        assert slide.warnings == ("a.zarr: level 1 is not read: is not there",)
    (folder / "0/.zarray").unlink()
    with pytest.raises(SlideError, match=r"a\.zarr: 0: is not there; is it complete\? copy it again"):
        open_slide(folder)
