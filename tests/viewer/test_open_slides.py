"""Slides that stay open: how many, for how long, and what happens when a file changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.made_slides import he_pixels, write_tiff
from wsi_embed import Slide, SlideError, open_slide
from wsi_embed.viewer.open_slides import OpenSlides


class Opener:
    """Opens slides, and notes which are open."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []

    def of(self, path: Path) -> Callable[[], Slide]:
        def opened() -> Slide:
            slide = open_slide(path)
            close = slide.close
            self.opened.append(path.name)

            def closed() -> None:
                self.closed.append(path.name)
                close()

            slide.close = closed  # type: ignore[method-assign]
            return slide

        return opened


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [write_tiff(tmp_path / f"{n}.tiff", he_pixels(64, 64, seed=n), levels=(1,)) for n in range(3)]


def test_slides_stay_open_up_to_the_limit(paths: list[Path]) -> None:
    slides, opener = OpenSlides(most=2), Opener()
    for path in [*paths, paths[2], paths[1]]:
        with slides.use(path, path, opener.of(path)) as found:
            assert found.slide.level_sizes == [(64, 64)]
    assert opener.opened == ["0.tiff", "1.tiff", "2.tiff"]
    assert opener.closed == ["0.tiff"]
    slides.close()
    assert sorted(opener.closed) == ["0.tiff", "1.tiff", "2.tiff"]


def test_a_slide_that_is_being_read_is_not_closed(paths: list[Path]) -> None:
    slides, opener = OpenSlides(most=1), Opener()
    with slides.use("0", paths[0], opener.of(paths[0])) as found:
        for path in paths[1:]:
            with slides.use(path, path, opener.of(path)):
                pass
        assert "0.tiff" not in opener.closed
        assert found.slide.read(0, 0, 0, 8, 8).shape == (8, 8, 3)
    assert len(slides) == 1


def test_several_threads_open_a_slide_once(paths: list[Path]) -> None:
    slides, opener, together = OpenSlides(), Opener(), threading.Barrier(6)

    def read() -> None:
        together.wait()
        with slides.use("0", paths[0], opener.of(paths[0])) as found:
            found.slide.read(0, 0, 0, 8, 8)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opener.opened == ["0.tiff"]


def test_a_slide_that_vanishes_is_closed_and_named(paths: list[Path]) -> None:
    slides, opener = OpenSlides(), Opener()
    with slides.use("0", paths[0], opener.of(paths[0])):
        paths[0].unlink()
        with (
            pytest.raises(SlideError, match="the file is gone"),
            slides.use("0", paths[0], opener.of(paths[0])),
        ):
            pass
        assert opener.closed == []
    assert opener.closed == ["0.tiff"]


def test_a_slide_that_is_replaced_is_opened_again(paths: list[Path]) -> None:
    slides, opener = OpenSlides(), Opener()
    for size in (64, 80):
        if size != 64:
            paths[0].unlink()
            write_tiff(paths[0], he_pixels(size, size), levels=(1,))
        with slides.use("0", paths[0], opener.of(paths[0])) as found:
            assert found.slide.level_sizes == [(size, size)]
    assert opener.closed == ["0.tiff"]
