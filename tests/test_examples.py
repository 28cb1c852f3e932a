"""The scripts of examples/ run, one after the other as their README shows them, and print what is true."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.made_slides import he_pixels, write_tiff
from wsi_embed import Store, open_store

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def run_example(name: str, *arguments: str | Path) -> str:
    """Run a script as a user does, in a process of its own, and return what it prints."""
    python_path = os.pathsep.join(str(ROOT / part) for part in ("", "train", "export"))
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": python_path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three slides, the last of glass alone."""
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("a", 1), ("b", 2)):
        write_tiff(folder / f"{name}.tif", he_pixels(900, 1000, seed=seed), mpp=0.5)
    write_tiff(folder / "glass.tif", np.full((600, 600, 3), 243, np.uint8), mpp=0.5)
    return folder


@pytest.fixture(scope="module")
def embedded(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Store]:
    """What embed_slides.py printed, and the store it made."""
    out = tmp_path_factory.mktemp("store") / "feats.zarr"
    return run_example("embed_slides.py", slides, "--out", out), open_store(out)


def test_slides_are_embedded_and_the_store_is_read(embedded: tuple[str, Store]) -> None:
    printed, store = embedded
    assert sorted(store) == ["a", "b", "glass"]
    assert "glass: no tissue" in printed
    for slide_id in ("a", "b"):
        found = re.search(rf"^{slide_id}: (\d+) tiles, 96 features, .* at \((\d+), (\d+)\)$", printed, re.M)
        assert found
        tiles, x, y = map(int, found.groups())
        assert tiles == len(store[slide_id]) > 0
        assert [x, y] in store[slide_id].coords[:].tolist()


def test_tiles_of_clusters_are_drawn(embedded: tuple[str, Store], slides: Path, tmp_path: Path) -> None:
    _, store = embedded
    out = tmp_path / "clusters.png"
    printed = run_example("show_clusters.py", store.path, slides / "a.tif", "--out", out)
    bag = store["a"]
    assert bag.cluster is not None
    assert bag.cluster_confidence is not None
    numbers, counts = np.unique(bag.cluster[:], return_counts=True)
    largest = int(numbers[np.argmax(counts)])
    assert printed.startswith(f"cluster {largest}: {100 * counts.max() / len(bag):.1f} % of the tiles\n")

    members = np.flatnonzero(bag.cluster[:] == largest)
    x, y = bag.coords[:][members[np.argmax(bag.cluster_confidence[:][members])]]
    side = round(bag.attrs["extent"])
    assert side == 224
    tile = tifffile.imread(slides / "a.tif", level=0)[y : y + side, x : x + side]
    drawn = np.asarray(Image.open(out), np.float64)[:96, :96]
    small = Image.fromarray(tile).resize((96, 96), Image.Resampling.BOX)
    np.testing.assert_allclose(drawn, np.asarray(small, np.float64), atol=1)


def test_a_slide_that_the_store_lacks_is_named(embedded: tuple[str, Store], slides: Path) -> None:
    with pytest.raises(AssertionError, match=r"has no clusters of c\.tif"):
        run_example("show_clusters.py", embedded[1].path, slides / "c.tif")


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("embed_slides.py", ["gone.svs"]),
        ("show_clusters.py", ["gone.zarr", "gone.svs"]),
        ("train_mil.py", ["gone.zarr", "gone.csv"]),
    ],
)
def test_a_wrong_path_is_one_line(
    script: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script == "train_mil.py":
        pytest.importorskip("torch")
    typed = [script, *(str(tmp_path / name) for name in arguments)]
    monkeypatch.setattr(sys, "argv", typed)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    assert arguments[0] in str(ended.value)
    assert "\n" not in str(ended.value)


def test_a_mil_model_learns_the_labels(embedded: tuple[str, Store], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    _, store = embedded
    (tmp_path / "slides.csv").write_text("slide_id,label\na,tumour\nb,normal\n")
    options = ("--epochs", "20", "--lr", "1e-2")  # two bags need no more
    printed = run_example("train_mil.py", store.path, tmp_path / "slides.csv", *options)
    assert printed.startswith("2 slides of 2 classes\n")
    assert re.search(r"^.*without a label: glass$", printed, re.M)
    losses = [float(loss) for loss in re.findall(r"loss (\S+)$", printed, re.M)]
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    for slide_id, label in (("a", "tumour"), ("b", "normal")):
        found = re.search(
            rf"^{slide_id}: {label}, predicted {label} .* tile \((\d+), (\d+)\)$", printed, re.M
        )
        assert found
        assert [int(n) for n in found.groups()] in store[slide_id].coords[:].tolist()


def test_every_script_is_in_the_readme_and_tested() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    assert scripts == set(re.findall(r"\]\((\w+\.py)\)", readme))
    assert scripts == set(re.findall(r'run_example\("(\w+\.py)"', Path(__file__).read_text("utf-8")))
