"""Export of a viewer as files, which a browser or any web server shows without Python.

<out>/
  index.html, static/                     the page
  api/session.json, api/stores/...        what the server would answer: .json, .bin for packed columns, .jpg
  api/session.json.js, ...                the same as scripts, for a page that is opened as a file

The page asks for the same addresses as with a server, and for the most similar tiles of the tiles of a slide
(`similar.bin`). Nothing can be changed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.store import Store
from wsi_embed.store.index import Row
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.text import argument
from wsi_embed.viewer.app import STATIC, create_app
from wsi_embed.viewer.layers import check_present, tile_layer
from wsi_embed.viewer.page_script import page_script
from wsi_embed.viewer.pictures import deep_zoom_tile, thumbnail
from wsi_embed.viewer.pyramid import Pyramid
from wsi_embed.viewer.session import Session
from wsi_embed.viewer.shown_store import ShownStore, slide_key
from wsi_embed.viewer.static_documents import finest_level, write_documents


@dataclass(frozen=True)
class StaticSite:
    """Result of `write_static_site`.

    Attributes:
        slides: Ids of the slides in it, by store.
        files: Number of files.
        bytes: Their size.
        notes: Lines on slides and layers that are left out.
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
    with _written_whole(out):
        shutil.copytree(STATIC, out, dirs_exist_ok=True)
        _page(out)
        for number, shown in enumerate(session.stores):
            folder = out / "api" / "stores" / str(number) / "slides"
            done = []
            for slide_id in _chosen(shown):
                try:
                    tile_layer(check_present(shown.bag(slide_id), slide_id))  # raises if it is damaged
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
            portal.call(write_documents, create_app(still), still, out, finest_um, notes)
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    return StaticSite(tuple(tuple(s.items) for s in stores), len(sizes), sum(sizes), tuple(notes))


@contextlib.contextmanager
def _written_whole(out: Path) -> Iterator[None]:
    """Remove what was written into an empty folder if an error occurs.

    Raises:
        UsageError: If the folder cannot be written.
    """
    existed = out.exists()
    try:
        yield
    except BaseException as error:
        for path in out.iterdir() if existed else [out]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(
                f"cannot be written ({error.strerror})", where=out, remedy="choose another folder"
            ) from error
        raise


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


def _write_pictures(
    session: Session, shown: ShownStore, slide_id: str, folder: Path, finest_um: float | None
) -> None:
    """Write thumbnail and deep-zoom tiles of a slide."""
    with session.reading(shown, slide_id) as found:
        pyramid = Pyramid.of(found.slide)
    bag = shown.bag(slide_id)
    finest = finest_level(pyramid, bag.attrs["mpp"] if bag else None, finest_um)

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
