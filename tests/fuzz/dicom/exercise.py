"""What is done with each DICOM series: its slides are found in its folder."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.case import Truth, check_message
from tests.fuzz.slides import exercise_slide
from wsi_embed.errors import WsiEmbedError
from wsi_embed.inputs.slides import find_slides


def exercise(path: Path, truth: Truth) -> str:
    """Open, plan and tile each slide of a folder; returns the worst of what `exercise_slide` returns."""
    try:
        items = find_slides([str(path.parent)])
    except WsiEmbedError as error:
        check_message(error)
        return "refused"
    outcomes = {exercise_slide(item, truth) for item in items}
    return next(name for name in ("warned", "partly", "refused", "read") if name in outcomes)
