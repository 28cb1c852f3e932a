from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.made_models import tiny_config, tiny_onnx, tiny_tiles
from tests.train.data.made import place_slide
from tests.train.weights.test_start import Lines
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_train import train
from wsi_embed_train.data import open_tiles
from wsi_embed_train.devices import Devices
from wsi_embed_train.teacher import Teacher, load_teacher, start_teaching

CPU = Devices("cpu", 1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_onnx(tmp_path_factory.mktemp("teacher") / "big.onnx", changes={"licence": "CC-BY-NC-4.0"})


def refused(model: Path | None, recipe: str = "distil", **settings: Any) -> str:
    with pytest.raises(UsageError) as caught:
        load_teacher(model, tiny_config(recipe, **settings), CPU)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def started(
    model: Path, tiles: Path, before: dict[str, Any] | None = None, **settings: Any
) -> tuple[Teacher, dict[str, Any], list[str]]:
    config, lines = tiny_config("distil", **settings), Lines()
    opened = open_tiles(tiles, config)
    data = opened.about()
    encoder = load_encoder(model, device="cpu")
    found = start_teaching(encoder, config, opened, data, before, tiles.parent / "run", lines)
    return found, data, lines.notes


def test_a_method_has_a_teacher_or_none(teacher: Path) -> None:
    assert refused(None) == "distil needs a teacher; give `teacher=`, a file of wsi-embed export"
    assert refused(teacher, "byol").endswith("byol has no teacher; leave it out, or use `recipe='distil'`")
    assert load_teacher(None, tiny_config("byol"), CPU) is None


def test_files_that_are_no_exported_model_say_how_to_export_them(tmp_path: Path) -> None:
    for name, command in {
        "run": "wsi-embed export {} --out model.onnx",
        "last.ckpt": "wsi-embed export {} --out model.onnx",
        "uni2.pth": "wsi-embed export timm:NAME --weights {} --out model.onnx",
        "uni2.safetensors": "wsi-embed export timm:NAME --weights {} --out model.onnx",
    }.items():
        path = tmp_path / name
        path.write_bytes(b"x") if path.suffix else path.mkdir()
        assert refused(path).endswith(f"is no exported model; export it first: {command.format(path)}")
    assert refused(Path("timm:vit_tiny")).endswith(
        "wsi-embed export timm:vit_tiny --weights FILE --out model.onnx"
    )
    assert refused(tmp_path / "none.onnx").endswith("none.onnx: no such file; check `teacher=`")


def test_models_of_others_and_damaged_ones(tmp_path: Path) -> None:
    foreign = refused(tiny_onnx(tmp_path / "foreign.onnx", metadata=False))
    assert foreign.startswith("foreign.onnx: was not exported by wsi-embed; a teacher is a file that")
    assert "tile_px" not in foreign
    (tmp_path / "damaged.onnx").write_bytes(b"nothing")
    assert refused(tmp_path / "damaged.onnx").endswith(
        "a teacher is a file that wsi-embed export has written"
    )


def test_clusters_need_a_teacher_with_clusters(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "plain.onnx", clusters=None)
    assert "plain.onnx: has no clusters that the student could learn" in refused(path, cluster_weight=1.0)
    assert load_teacher(path, tiny_config("distil"), CPU) is not None


def test_facts_are_recorded_and_said(teacher: Path, tiles: Path) -> None:
    _, data, notes = started(teacher, tiles, mpp=0.5)
    assert data["teacher"] == {
        "name": "tiny", "model_id": "made:32-8-4-0-None", "licence": "CC-BY-NC-4.0", "method": "made",
        "backbone": "quadrants", "tile_px": 32, "mpp": 0.5, "feature_dim": 8, "clusters": 4,
    }  # fmt: skip
    assert notes == ["taught by tiny (made:32-8-4-0-None; CC-BY-NC-4.0; 8 features)"]


def test_other_tile_sizes_are_said(tmp_path: Path, tiles: Path) -> None:
    model = tiny_onnx(tmp_path / "big.onnx", tile_px=64, mpp=0.5)
    _, _, (note,) = started(model, tiles, mpp=0.5)
    assert note.endswith("tiles of 32 pixels (0.5 um per pixel) are resized to its 64 (0.5 um per pixel)")
    _, _, (note,) = started(model, tiles)
    assert note.endswith("tiles of 32 pixels (unknown resolution) are resized to its 64 (0.5 um per pixel)")


@pytest.mark.parametrize(("px", "mpp", "fits"), [
    (32, 0.5, True), (32, 0.505, True), (32, 1.0, False), (32, 0.25, False),
    (64, 1.0, True),  # half as many pixels over the same field
    (64, 2.0, False),
])  # fmt: skip
def test_resolutions_that_contradict_each_other_are_refused(
    tmp_path: Path, tiles: Path, px: int, mpp: float, fits: bool
) -> None:
    model = tiny_onnx(tmp_path / "big.onnx", tile_px=px, mpp=0.5)
    if fits:
        started(model, tiles, mpp=mpp)
        return
    with pytest.raises(UsageError, match=rf"big\.onnx: takes tiles at 0\.5 um .* at {mpp:g}; use `mpp=0\.5`"):
        started(model, tiles, mpp=mpp)


def test_only_whole_tile_images_are_cached(teacher: Path, tmp_path: Path) -> None:
    folder = tiny_tiles(tmp_path / "tiles", 4)
    found, _, _ = started(teacher, folder)
    assert found.cache is None
    found, _, notes = started(teacher, folder, teacher_sees="tile")
    assert found.cache is not None
    assert len(found.cache) == 4
    assert notes[1] == "the teacher encodes 4 tile images once, and its features are kept"
    same, _, _ = started(teacher, folder, teacher_sees="tile")
    assert same.cache is not None
    assert same.cache.path == found.cache.path
    (folder / "tile_00.png").write_bytes((folder / "tile_01.png").read_bytes())
    for changed in (teacher, tiny_onnx(tmp_path / "other.onnx", seed=1)):
        other, _, _ = started(changed, folder, teacher_sees="tile")
        assert other.cache is not None
        assert other.cache.path != found.cache.path


def test_regions_of_slides_are_said_to_be_encoded_anew(teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    place_slide(tmp_path / "source" / "s.tif", 128, 128)
    settings: dict[str, Any] = {"teacher_sees": "tile", "mpp": 0.5, "tissue": "none"}
    found, _, notes = started(teacher, tmp_path / "source", **settings)
    assert found.cache is None
    expected = (
        "regions of slides are shifted in every epoch, so the teacher encodes their 16 tiles anew each time"
    )
    assert notes[1:] == [expected]
    tiny_tiles(tmp_path / "source", 3)
    found, _, notes = started(teacher, tmp_path / "source", **settings)
    assert found.cache is not None
    assert len(found.cache) == 3
    assert notes[1:] == [expected, "the teacher encodes 3 tile images once, and its features are kept"]


def test_resuming_with_another_teacher_is_refused(teacher: Path, tiles: Path, tmp_path: Path) -> None:
    _, before, _ = started(teacher, tiles)
    started(teacher, tiles, before)
    other = tiny_onnx(tmp_path / "other.onnx", seed=1)
    with pytest.raises(
        UsageError, match=r"was taught by tiny \(made:32-8-4-0-None\), not by tiny \(made:32-8-4-1"
    ):
        started(other, tiles, before)


def test_nothing_is_written_before_a_refusal(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="distil needs a teacher"):
        train(tiles, tmp_path / "run", tiny_config("distil"))
    assert not (tmp_path / "run").exists()
