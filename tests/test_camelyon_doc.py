"""The CAMELYON16 runbook: its blocks run, one after the other, on slides made with the data set's names."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.job_tools import invoke
from tests.made_models import tiny_onnx
from tests.made_slides import he_pixels, write_tiff
from wsi_embed import open_store
from wsi_embed_train import load_recipe
from wsi_embed_train.data import open_tiles

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "camelyon16.md").read_text("utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
# hours on a GPU; what they do is tested with the training and the export
SKIPPED = ("wsi-embed train", "wsi-embed export")

SLIDES = {
    "training/normal/normal_001": 0.243,
    "training/normal/normal_002": 0.243,
    "training/normal/normal_086": 0.243,
    "training/tumor/tumor_076": 0.226,
    "training/tumor/tumor_110": 0.243,
    "testing/images/test_001": 0.226,
    "testing/images/test_002": 0.243,
}
XML = """<?xml version="1.0"?>
<ASAP_Annotations>
  <Annotations>
    <Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="_0" Color="#F4FA58"><Coordinates>
      <Coordinate Order="0" X="200.5" Y="250" /><Coordinate Order="1" X="900" Y="300" />
      <Coordinate Order="2" X="800.25" Y="900" /><Coordinate Order="3" X="250" Y="700" />
    </Coordinates></Annotation>
    <Annotation Name="Annotation 1" Type="Polygon" PartOfGroup="_2" Color="#00FF00"><Coordinates>
      <Coordinate Order="0" X="400" Y="450" /><Coordinate Order="1" X="600" Y="450" />
      <Coordinate Order="2" X="500" Y="600" />
    </Coordinates></Annotation>
    <Annotation Name="Annotation 2" Type="Polygon" PartOfGroup="_1" Color="#F4FA58"><Coordinates>
      <Coordinate Order="0" X="100" Y="100" /><Coordinate Order="1" X="150" Y="100" />
      <Coordinate Order="2" X="150" Y="150" />
    </Coordinates></Annotation>
  </Annotations>
  <AnnotationGroups><Group Name="_0" PartOfGroup="None" Color="#ff0000" /></AnnotationGroups>
</ASAP_Annotations>
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the page's blocks ran, and what they printed."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("c16")
    root = folder / "CAMELYON16"
    for seed, (name, mpp) in enumerate(SLIDES.items()):
        path = root / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tiff(path, he_pixels(1100, 1300, seed=seed), mpp=mpp)
    (root / "testing" / "reference.csv").write_text("test_001,Tumor,IDC,Macro\ntest_002,Normal,None,None\n")
    for archive, names in (("training", ("tumor_076", "tumor_110")), ("testing", ("test_001",))):
        with zipfile.ZipFile(root / archive / "lesion_annotations.zip", "w") as packed:
            for name in names:
                packed.writestr(f"lesion_annotations/{name}.xml", XML)
    tiny_onnx(folder / "clubyol.onnx", tile_px=224, dim=512, clusters=100, mpp=0.5)
    return folder, "".join(run_block(block, folder) for block in BLOCKS if not is_skipped(block))


def is_skipped(block: str) -> bool:
    commands = [line for line in block.splitlines() if line.startswith("wsi-embed")]
    return bool(commands) and all(line.startswith(SKIPPED) for line in commands)


def run_block(block: str, folder: Path) -> str:
    """Run a block in a shell, and then, in this process, the commands that it gives to wsi-embed."""
    bin_folder, calls = folder / "bin", folder / "calls"
    bin_folder.mkdir(exist_ok=True)
    scripts = {
        "wsi-embed": f"""printf '%s\\0' "$@" >> '{calls}'; echo >> '{calls}'""",
        "python": f'exec "{sys.executable}" "$@"',
    }
    for name, command in scripts.items():
        (bin_folder / name).write_text(f"#!/bin/sh\n{command}\n")
        (bin_folder / name).chmod(0o755)
    calls.write_text("")
    # small enough for a test: the pictures' size and the number of epochs change nothing else
    block = block.replace("--max-px 4000", "--max-px 400").replace("--seeds 3", "--seeds 2 --epochs 2")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    said = done.stdout
    for call in calls.read_text().splitlines():
        done = invoke(*call.split("\0")[:-1], cwd=folder)
        assert done.returncode == 0, f"{call}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    return said


def test_all_blocks_but_the_training_run(ran: tuple[Path, str]) -> None:
    assert sum(map(is_skipped, BLOCKS)) == 1
    for words in ("6 slides: 3 normal, 3 tumor", "1 fold, 2 seeds", "auc tumor", "nearest neighbour"):
        assert words in ran[1]


def test_the_manifest_has_labels_and_leaves_out_what_was_withdrawn(ran: tuple[Path, str]) -> None:
    with (ran[0] / "c16.csv").open(newline="") as lines:
        rows = {row["slide_id"]: (row["split"], row["label"]) for row in csv.DictReader(lines)}
    assert rows == {
        "normal_001": ("train", "normal"),
        "normal_002": ("train", "normal"),
        "tumor_076": ("train", "tumor"),
        "tumor_110": ("train", "tumor"),
        "test_001": ("test", "tumor"),
        "test_002": ("test", "normal"),
    }
    assert "6 slides\n" in ran[1]


def test_training_tiles_are_those_of_the_store(ran: tuple[Path, str]) -> None:
    store = open_store(ran[0] / "c16.zarr")
    for slide_id in ("normal_001", "tumor_076", "tumor_110"):
        names = {f"{x}_{y}.jpg" for x, y in store[slide_id].coords[:].tolist()}
        assert names
        assert names == {path.name for path in (ran[0] / "tiles" / slide_id).glob("*.jpg")}
    assert not (ran[0] / "tiles" / "test_001").exists()


def test_the_manifest_is_a_source_of_training_tiles(ran: tuple[Path, str]) -> None:
    config = load_recipe("clubyol-paper", mpp=0.5)
    tiles = open_tiles(ran[0] / "c16.csv", config, split="train")
    assert tiles.slide_ids == ["normal_001", "normal_002", "tumor_076", "tumor_110"]
    store = open_store(ran[0] / "c16.zarr")
    assert len(tiles) == sum(len(store[slide_id].coords) for slide_id in tiles.slide_ids)


def test_the_pictures_are_there(ran: tuple[Path, str]) -> None:
    names = {path.name for path in (ran[0] / "pictures").iterdir()}
    assert {"tumor_076.png", "tumor_110.png", "legend.png"} <= names
    assert any(name.startswith("clusters") for name in names)
    attention = {path.name for path in (ran[0] / "attention").iterdir()}
    assert attention == {"legend.png", "test_001-attention.png", "test_002-attention.png"}
    assert {path.name for path in (ran[0] / "panels").iterdir()} == {
        "tumor_076.png",
        "tumor_110.png",
        "legend.png",
    }
    with Image.open(ran[0] / "panels" / "tumor_076.png") as picture:
        pixels = picture.convert("RGB").getcolors(1 << 24) or []
    assert (0, 0, 205) in {colour for _, colour in pixels}  # the contours


def test_the_page_names_only_options_that_exist() -> None:
    for command in ("train", "export"):
        help_text = invoke(command, "--help", env={"COLUMNS": "200"}).stdout
        lines = [line for line in PAGE.splitlines() if line.startswith(f"wsi-embed {command} ")]
        assert lines
        for option in {o for line in lines for o in re.findall(r"--[a-z-]+", line)}:
            assert f"{option} " in help_text
