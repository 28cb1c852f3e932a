"""Links that lead to no file are named with where they lead; they end no job, and are one line of usage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.job_tools import invoke, make_model, make_slides
from wsi_embed import open_slide
from wsi_embed.errors import SlideError
from wsi_embed.util.links import broken_link, real_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Links in a loop of three, to themselves, into the loop, to nothing, and to a file; and a file."""
    for name, target in {
        "a.svs": "b.svs", "b.svs": "deeper/../c.svs", "c.svs": "a.svs", "self.svs": "self.svs",
        "in.svs": "b.svs", "gone.svs": "nowhere.svs", "sound.svs": "file.svs",
    }.items():  # fmt: skip
        (tmp_path / name).symlink_to(target)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "file.svs").write_bytes(b"a slide")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.svs", "a loop of links (a.svs -> b.svs -> c.svs -> a.svs) that leads to no file"),
        ("in.svs", "a loop of links (in.svs -> b.svs -> c.svs -> a.svs -> b.svs) that leads to no file"),
        ("self.svs", "a loop of links (self.svs -> self.svs) that leads to no file"),
        ("gone.svs", "a link to a file that does not exist (gone.svs -> nowhere.svs)"),
        ("sound.svs", None),
        ("file.svs", None),
        ("missing.svs", None),
    ],
)
def test_a_link_to_nothing_is_described(folder: Path, name: str, expected: str | None) -> None:
    assert broken_link(folder / name) == expected


def test_real_paths_are_those_of_the_standard_library_where_it_has_one(folder: Path) -> None:
    for name in ("sound.svs", "file.svs", "missing.svs", "gone.svs", "deeper/../file.svs"):
        assert real_path(folder / name) == (folder / name).resolve()
    assert real_path(folder / "self.svs") == folder.resolve() / "self.svs"


def test_opening_it_says_what_to_do(folder: Path) -> None:
    with pytest.raises(SlideError) as caught:
        open_slide(folder / "self.svs")
    expected = (
        "a loop of links (self.svs -> self.svs) that leads to no file; let it lead to the slide, or delete it"
    )
    assert str(caught.value).endswith(f"self.svs: {expected}")


def test_loops_fail_alone_in_a_job(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=1, side=200)
    (slides / "x.svs").symlink_to("y.tif")
    (slides / "y.tif").symlink_to("x.svs")
    done = invoke(slides, "--out", tmp_path / "f.zarr", "--model", make_model(tmp_path), "--device", "cpu")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    failed = [line.partition("failed: ")[2] for line in lines if ": failed: " in line]
    assert [line.partition(" that")[0] for line in failed] == [
        "a loop of links (x.svs -> y.tif -> x.svs)",
        "a loop of links (y.tif -> x.svs -> y.tif)",
    ]
    assert any(line.startswith("1 done, 2 failed") for line in lines)


def test_a_loop_as_the_only_slide_or_as_the_store_is_one_line(folder: Path, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    alone = invoke(folder / "self.svs", "--out", folder / "f.zarr", "--model", model)
    assert (alone.returncode, len(alone.stderr.splitlines())) == (2, 1)
    assert "a loop of links (self.svs -> self.svs)" in alone.stderr
    store = invoke(folder / "file.svs", "--out", folder / "self.svs", "--model", model)
    assert "Traceback" not in store.stderr
    assert "Too many levels of symbolic links" in store.stderr
