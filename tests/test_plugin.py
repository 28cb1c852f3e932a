"""The package of examples/plugin, installed as users install it: its reader and its format work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.job_tools import COMMAND, invoke, make_model
from tests.made_slides import he_pixels
from wsi_embed import open_store

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "examples" / "plugin"
PIXELS = he_pixels(400, 500, seed=1)
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command where the package is installed."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("installed")
    # pip builds where the sources are
    source = shutil.copytree(PLUGIN, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--target", folder / "site", source)
    pip = [sys.executable, "-m", "pip", "--quiet", "install", *map(str, options)]
    subprocess.run(pip, check=True, capture_output=True)
    paths = [folder / "site", *(ROOT / part for part in ("", "train", "export"))]

    def run_command(*command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        )

    return run_command


@pytest.fixture(scope="module")
def store(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of one picture, as an array and as a PNG image."""
    folder = tmp_path_factory.mktemp("embedded")
    slides = folder / "slides"
    slides.mkdir()
    np.save(slides / "array.npy", PIXELS)
    (slides / "array.json").write_text('{"mpp": 0.5}')
    Image.fromarray(PIXELS).save(slides / "image.png")
    (slides / "list.csv").write_text("path,mpp\narray.npy,\nimage.png,0.5\n")
    options = ("--out", folder / "f.zarr", "--model", make_model(folder))
    done = run(*COMMAND, "embed", slides / "list.csv", *options)
    assert done.returncode == 0, done.stderr
    return folder / "f.zarr"


def test_a_file_of_its_format_is_embedded(store: Path) -> None:
    bags = open_store(store)
    array, image = bags["array"], bags["image"]
    assert len(array) > 20
    assert np.array_equal(array.features[:], image.features[:])
    assert np.array_equal(array.coords[:], image.coords[:])
    assert (array.attrs["reader"], array.attrs["vendor"], array.attrs["mpp_source"]) == (
        "npy",
        "numpy",
        "mpp",
    )
    assert array.attrs["versions"]["wsi-embed-npy"] == "0.1.0"
    assert array.attrs["settings"]["reader"] == "npy"


def test_a_folder_is_searched_for_its_files_and_the_reader_can_be_named(
    run: Run, store: Path, tmp_path: Path
) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in ("array.npy", "array.json"):
        shutil.copy(store.parent / "slides" / name, slides)
    options = ("--out", tmp_path / "tiles", "--tile-px", 64, "--reader", "npy")
    done = run(*COMMAND, "tile", slides, *options)
    assert done.returncode == 0, done.stderr
    assert "1 done" in done.stdout
    about = run(*COMMAND, "info", slides / "array.npy", "--json")
    assert json.loads(about.stdout)["reader"] == "npy"


def test_features_become_csv(run: Run, store: Path, tmp_path: Path) -> None:
    done = run(*COMMAND, "convert", store, "--to", "csv", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    bag = open_store(store)["array"]
    table = np.loadtxt(tmp_path / "array.csv", delimiter=",", skiprows=1)
    header = (tmp_path / "array.csv").read_text().partition("\n")[0].split(",")
    assert header == ["x", "y", *(f"f{number}" for number in range(bag.features.shape[1]))]
    assert np.array_equal(table[:, :2], bag.coords[:])
    assert np.array_equal(table[:, 2:].astype(np.float32), bag.features[:].astype(np.float32))
    again = run(*COMMAND, "convert", store, "--to", "csv", "--out", tmp_path)
    assert "2 there already" in again.stdout


def test_without_it_its_names_are_unknown(store: Path, tmp_path: Path) -> None:
    for options, says in (
        (("embed", store.parent / "slides" / "array.npy", "--reader", "npy"), "--reader npy: choose auto"),
        (("convert", store, "--to", "csv"), "--to csv: choose trident"),
    ):
        done = invoke(*options, "--out", tmp_path / "out")
        assert done.returncode == 2
        assert says in done.stderr


def test_its_own_tests_pass(run: Run, tmp_path: Path) -> None:
    tests = shutil.copytree(PLUGIN / "tests", tmp_path / "tests")
    done = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_the_page_shows_its_entry_points() -> None:
    (shown,) = re.findall(
        r"```toml\n(.*?)```", (ROOT / "docs" / "extending.md").read_text("utf-8"), re.DOTALL
    )
    assert shown in (PLUGIN / "pyproject.toml").read_text("utf-8")


def test_it_is_short() -> None:
    lines = [len(path.read_text("utf-8").splitlines()) for path in (PLUGIN / "wsi_embed_npy").glob("*.py")]
    assert sum(lines) < 100
