"""Export of a viewer as files, which a browser or any web server shows without Python.

<out>/
  index.html, static/                     the page
  api/session.json, api/stores/...        what the server would answer: .json, .bin for packed columns, .jpg
  api/session.json.js, ...                the same as scripts, for a page that is opened as a file

The page asks for the same addresses as with a server, and for the most similar tiles of the tiles of a slide
(`similar.bin`). Nothing can be changed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal
from starlette.applications import Starlette

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.store import Store
from wsi_embed.store.index import Row
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.json_text import json_text
from wsi_embed.util.text import argument
from wsi_embed.viewer.app import STATIC, create_app
from wsi_embed.viewer.in_process import get, get_json
from wsi_embed.viewer.packed import pack
from wsi_embed.viewer.page_script import page_script
from wsi_embed.viewer.pictures import deep_zoom_tile, thumbnail
from wsi_embed.viewer.pyramid import Pyramid
from wsi_embed.viewer.session import Session
from wsi_embed.viewer.shown_store import ShownStore, slide_key
from wsi_embed.viewer.static_neighbours import neighbour_layers

PACKED = ("tiles", "tissue", "contours", "attention")


@dataclass(frozen=True)
class StaticSite:
    """Result of `write_static_site`.

    Attributes:
        slides: Ids of the slides in it, by store.
        files: Number of files.
        bytes: Their size.
        notes: Lines on slides that are left out.
    """

    slides: tuple[tuple[str, ...], ...]
    files: int
    bytes: int
    notes: tuple[str, ...]


def write_static_site(
    session: Session,
    out: Path,
    *,
    finest_um: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> StaticSite:
    """Write the slides of a session that are in its stores, with the page, into a folder.

    Names of patients are left out. Shares of clusters, typical tiles and the map are those of these slides.

    Args:
        session: Session of a viewer.
        out: Output folder; created, or empty.
        finest_um: Finest resolution of the pictures, um per pixel; that of the slides by default.
        say: Function called with the id of each slide that is written.

    Raises:
        UsageError: If the folder is not empty or cannot be written, or there is no slide to show.
    """
    if finest_um is not None and not 0 < finest_um < 1000:
        raise UsageError("um per pixel are expected", where=argument("finest_um", finest_um))
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError("is not empty", where=out, remedy="choose another folder")
    notes: list[str] = []
    stores: list[ShownStore] = []
    try:
        shutil.copytree(STATIC, out, dirs_exist_ok=True)
        _page(out)
        for number, shown in enumerate(session.stores):
            folder = out / "api" / "stores" / str(number) / "slides"
            done = []
            for slide_id in _chosen(shown):
                try:
                    _write_pictures(session, shown, slide_id, folder / slide_key(slide_id), finest_um)
                except WsiEmbedError as error:
                    shutil.rmtree(folder / slide_key(slide_id), ignore_errors=True)
                    notes.append(f"left out, {slide_id}: {error}")
                    continue
                say(slide_id)
                done.append(slide_id)
            stores.append(_part_of(shown, done))
        if not any(shown.items for shown in stores):
            raise UsageError(
                "no slide to show", where=out, remedy="give slides that are in the store (`slides=`)"
            )
        still = replace(session, stores=stores, read_only=True)
        # in another thread, because a notebook already runs an event loop in this one
        with start_blocking_portal() as portal:
            portal.call(_write_documents, create_app(still), still, out, finest_um)
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})", where=out, remedy="choose another folder"
        ) from error
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    return StaticSite(tuple(tuple(s.items) for s in stores), len(sizes), sum(sizes), tuple(notes))


class _PartOfStore(Store):
    """Store with some of its slides only."""

    def __init__(self, store: Store, chosen: set[str]) -> None:
        self.__dict__.update(store.__dict__)
        self._chosen = chosen

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the chosen slides."""
        return (row for row in super().rows() if row.slide_id in self._chosen)


def _chosen(shown: ShownStore) -> list[str]:
    """Return the slides that are in the store, are not damaged, and have a file."""
    sound = {row.slide_id for row in shown.store.rows() if row.damage is None}
    return sorted(sound & shown.items.keys())


def _part_of(shown: ShownStore, slide_ids: list[str]) -> ShownStore:
    items: Mapping[str, SlideInput] = {
        slide_id: replace(shown.items[slide_id], patient=None) for slide_id in slide_ids
    }
    return ShownStore(_PartOfStore(shown.store, set(slide_ids)), items, shown.attention)


def _page(out: Path) -> None:
    """Put the page where the server shows it, as one script, and tell it that there is no server."""
    (out / "static").mkdir()
    for path in list(out.iterdir()):
        if path.name not in ("static", "index.html"):
            path.rename(out / "static" / path.name)
    (out / "static" / "page.js").write_text(page_script(out / "static" / "js"), "utf-8")
    shutil.rmtree(out / "static" / "js")
    page = (out / "index.html").read_text("utf-8").replace("<html ", "<html data-still ", 1)
    page = page.replace('src="static/js/main.js" type="module"', 'src="static/page.js" defer')
    (out / "index.html").write_text(page, "utf-8")


def _finest(pyramid: Pyramid, mpp: float | None, finest_um: float | None) -> int:
    """Return the finest level of the pictures."""
    last = pyramid.levels - 1
    if finest_um is None or mpp is None:
        return last
    return max(
        (level for level in range(last + 1) if mpp * pyramid.factor(level) >= 0.99 * finest_um), default=0
    )


def _write_pictures(
    session: Session, shown: ShownStore, slide_id: str, folder: Path, finest_um: float | None
) -> None:
    """Write thumbnail and deep-zoom tiles of a slide."""
    with session.reading(shown, slide_id) as found:
        pyramid = Pyramid(*found.slide.level_sizes[0])
    bag = shown.bag(slide_id)
    finest = _finest(pyramid, bag.attrs["mpp"] if bag else None, finest_um)

    def write(place: tuple[int, int, int]) -> None:
        level, column, row = place
        path = folder / "pyramid" / str(level) / f"{column}_{row}.jpg"
        path.write_bytes(deep_zoom_tile(session, shown, slide_id, place))

    with ThreadPoolExecutor(cpu_count(), "wsi-embed static") as pool:
        for level in range(finest + 1):
            (folder / "pyramid" / str(level)).mkdir(parents=True)
            columns, rows = (-(-size // pyramid.tile) for size in pyramid.size(level))
            places = [(level, column, row) for row in range(rows) for column in range(columns)]
            for _ in pool.map(write, places):
                pass
    (folder / "thumbnail.jpg").write_bytes(thumbnail(session, shown, slide_id))


async def _write_documents(app: Starlette, session: Session, out: Path, finest_um: float | None) -> None:
    """Write what the server would answer."""
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
            pyramid = Pyramid(facts["width"], facts["height"])
            _write(out, f"{path}.json", _json({**facts, "finest": _finest(pyramid, facts["mpp"], finest_um)}))
            for layer in PACKED:
                if facts["layers"][layer]:
                    _write(out, f"{path}/{layer}.bin", await get(app, f"{path}/{layer}"))
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
