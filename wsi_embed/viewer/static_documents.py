"""Answers of the server as files of an export: JSON, packed columns and the tiles of the contact sheet."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from wsi_embed.errors import WsiEmbedError
from wsi_embed.util.json_text import json_text
from wsi_embed.viewer.in_process import get, get_json
from wsi_embed.viewer.packed import pack
from wsi_embed.viewer.pyramid import Pyramid
from wsi_embed.viewer.session import Session
from wsi_embed.viewer.shown_store import slide_key
from wsi_embed.viewer.static_neighbours import neighbour_layers

PACKED = ("tiles", "tissue", "contours", "attention")


async def write_documents(
    app: Starlette, session: Session, out: Path, finest_um: float | None, notes: list[str]
) -> None:
    """Write what the server would answer.

    Args:
        app: Application of the server.
        session: Its session.
        out: Folder of the export.
        finest_um: Finest resolution of the pictures, um per pixel; that of the slides by default.
        notes: List to which a line is added for each layer that is left out because of an error.

    Raises:
        OSError: If a file cannot be written.
    """
    about = await get_json(app, "api/session")
    _write(out, "api/session.json", _json({**about, "still": True}))
    for number, shown in enumerate(session.stores):
        base = f"api/stores/{number}"
        listed = await get_json(app, f"{base}/slides")
        _write(
            out,
            f"{base}/slides.json",
            _json({"slides": [line | {"patient": None} for line in listed["slides"]]}),
        )
        for line in listed["slides"]:
            path = f"{base}/slides/{line['key']}"
            facts = await get_json(app, path)
            for layer in filter(facts["layers"].get, PACKED):
                try:
                    _write(out, f"{path}/{layer}.bin", await get(app, f"{path}/{layer}"))
                except WsiEmbedError as error:
                    facts["layers"][layer] = False
                    notes.append(f"without {layer}, {line['slide_id']}: {error}")
            pyramid = Pyramid(facts["width"], facts["height"], facts["tile"])
            _write(
                out,
                f"{path}.json",
                _json({**facts, "finest": finest_level(pyramid, facts["mpp"], finest_um)}),
            )
        with contextlib.suppress(WsiEmbedError):  # too few tiles for a map
            _write(out, f"{base}/map.bin", await get(app, f"{base}/map", complete=True))
            _write(out, f"{base}/map/labels.bin", await get(app, f"{base}/map/labels", complete=True))
        for slide_id, columns, facts in neighbour_layers(shown.store):
            _write(out, f"{base}/slides/{slide_key(slide_id)}/similar.bin", pack(columns, facts))
        _write(out, f"{base}/clusters.json", _json(await get_json(app, f"{base}/clusters")))
        if shown.store.clusters:
            await _write_sheet(app, base, out)


async def _write_sheet(app: Starlette, base: str, out: Path) -> None:
    sheet = await get_json(app, f"{base}/sheet")
    _write(out, f"{base}/sheet.json", _json(sheet))
    tiles = [tile for each in sheet["clusters"] for kind in ("typical", "atypical") for tile in each[kind]]
    for tile in tiles:
        path = f"{base}/slides/{tile['key']}/tiles/{tile['tile']}.jpg"
        if not (out / path).exists():
            _write(out, path, await get(app, f"{path}?px=224"))


def _json(value: Any) -> bytes:
    return json_text(value, separators=(",", ":")).encode()


def _write(out: Path, name: str, content: bytes) -> None:
    """Write a file, and if it is not a picture, a script that gives its content to the page."""
    path = out / name
    os.makedirs(path.parent, exist_ok=True)
    path.write_bytes(content)
    if path.suffix != ".jpg":
        script = f'wsiEmbedFile({json.dumps(name)}, "{base64.b64encode(content).decode()}");\n'
        path.with_name(f"{path.name}.js").write_text(script, "utf-8")


def finest_level(pyramid: Pyramid, mpp: float | None, finest_um: float | None) -> int:
    """Return the finest level of the pictures of an export.

    Args:
        pyramid: Pyramid of the slide.
        mpp: Micrometres per level-0 pixel; None if unknown.
        finest_um: Finest resolution of the pictures, um per pixel; that of the slide by default.
    """
    last = pyramid.levels - 1
    if finest_um is None or mpp is None:
        return last
    return max(
        (level for level in range(last + 1) if mpp * pyramid.factor(level) >= 0.99 * finest_um), default=0
    )
