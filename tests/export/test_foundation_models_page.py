"""The page of foundation models has the figures of the presets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wsi_embed_export.presets import Preset, preset_rows, presets

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "foundation-models.md").read_text("utf-8")


def row(preset: Preset) -> str:
    pooling = preset.pooling or "its own"
    tile = f"{preset.tile_px}" + f" → {preset.crop}" * (preset.tile_px != preset.crop)
    cells = [
        f"`{preset.name}`", f"[{preset.title}]({preset.repository})" + ", gated" * preset.gated,
        f"{preset.parameters / 1e6:.0f} M", str(preset.feature_dim), pooling, tile,
        "-" if preset.mpp is None else f"{preset.mpp:g}", preset.terms,
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def command(preset: Preset) -> str:
    resolution = "" if preset.mpp else " --mpp 0.5"
    return f"    wsi-embed export {preset.name} --weights {preset.file} --out {preset.name}.onnx{resolution}"


@pytest.mark.parametrize("preset", presets().values(), ids=lambda preset: preset.name)
def test_the_page_has_the_row_and_the_command(preset: Preset) -> None:
    assert row(preset) in PAGE.splitlines()
    assert command(preset) in PAGE.splitlines()


def test_the_page_has_no_others() -> None:
    assert set(re.findall(r"^\| `([\w.-]+)` \|", PAGE, re.MULTILINE)) == presets().keys()


def test_the_list_has_all_presets() -> None:
    header, *rows = preset_rows()
    assert header[0] == "preset"
    assert [name for name, *_ in rows] == list(presets())
    assert all(len(each) == len(header) for each in rows)
