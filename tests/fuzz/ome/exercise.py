"""What is done with each OME-TIFF."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.case import Truth
from tests.fuzz.slides import exercise_slide
from wsi_embed.inputs.slides import slide_of_folder


def exercise(path: Path, truth: Truth) -> str:
    """Open, plan and tile a slide; see `exercise_slide`."""
    return exercise_slide(slide_of_folder(path.parent, path), truth)
