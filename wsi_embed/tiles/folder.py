"""A folder of tile images: what lies where, and how a slide's folder comes to be.

tiles/
  .wsi-embed-tiles        says that the folder is one, and holds the locks
  tiles.csv               all tiles of all complete slides; replaced at the end of every job
  <slide_id>/             there only when complete
    <x>_<y>.png           x, y: top-left corner, level-0 pixels
    tiling.csv            this slide's rows of tiles.csv
    tiling.json           settings, slide, number of tiles
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wsi_embed.errors import StoreError, StoreMismatchError
from wsi_embed.inputs.folders import TILES_MARK
from wsi_embed.slide import UInt8Array
from wsi_embed.storage.folder import cannot_write
from wsi_embed.storage.lock import whole_lock
from wsi_embed.tiles.settings import FORMAT_VERSION
from wsi_embed.util.atomic_files import PARTIAL, create

TABLE = "tiles.csv"
RECORD, ROWS = "tiling.json", "tiling.csv"
_BEFORE = "~before"  # of a slide that is replaced; no slide id holds a tilde
RESERVED = frozenset({TABLE, TILES_MARK})
_NEEDED = {"n_tiles", "tile_px", "settings", "settings_fingerprint"}
COLUMNS = (
    "path", "slide_id", "patient", "x", "y", "row", "col", "mpp", "extent", "tissue_fraction",
)  # fmt: skip


class TileFolder:
    """The folder. Any number of processes may write different slides into one.

    Args:
        path: Made if it is not there.

    Raises:
        StoreMismatchError: If it holds something else.
        StoreError: If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        mark = path / TILES_MARK
        try:
            foreign = path.is_file() or (path.is_dir() and any(p.suffix != PARTIAL for p in path.iterdir()))
            # looked for after the listing: another process may be making the folder right now
            if not mark.exists():
                if foreign:
                    raise StoreMismatchError(
                        f"{path} is there and holds something else; choose another --out"
                    )
                path.mkdir(parents=True, exist_ok=True)
                create(mark, json.dumps({"format_version": FORMAT_VERSION}) + "\n")
        except OSError as error:
            raise StoreError(f"{path}: cannot make the folder ({error.strerror or error})") from error

    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Record of a slide that is complete, or None."""
        folder = self.path / slide_id
        try:
            record = json.loads((folder / RECORD).read_bytes())
            whole = isinstance(record, dict) and record.get("complete") is True and (folder / ROWS).exists()
        except (OSError, ValueError):
            return None  # an unreadable one is redone
        return record if whole and record.keys() >= _NEEDED else None

    def slide(self, slide_id: str) -> SlideFolder:
        """Start a slide; what is there under its id stays until the new one is committed."""
        return SlideFolder(self.path / slide_id)

    def complete(self) -> dict[str, dict[str, Any]]:
        """Records of all complete slides, by id, sorted."""
        ids = sorted(name for name in os.listdir(self.path) if "~" not in name)
        return {slide_id: record for slide_id in ids if (record := self.committed(slide_id))}

    def write_table(self) -> list[str]:
        """Put all complete slides into `tiles.csv`, whichever job they are of.

        Returns:
            What it has, for people, and what is odd about it.

        Raises:
            StoreError: If it cannot be written; an earlier one is left as it was.
        """
        table = self.path / TABLE
        temporary = table.with_name(f".{TABLE}~{uuid.uuid4().hex[:8]}")
        try:
            # whoever comes last sees the slides of all that came before
            with whole_lock(self.path / TILES_MARK):
                records = self.complete()
                with temporary.open("wb") as out:
                    out.write((",".join(COLUMNS) + "\n").encode())
                    for slide_id in records:
                        # a slide that is being replaced right now comes with the job that replaces it
                        with contextlib.suppress(FileNotFoundError):
                            _copy_rows(self.path / slide_id / ROWS, out)
                os.replace(temporary, table)
                self._sweep()
        except OSError as error:
            raise cannot_write(table, error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return _about(records.values())

    def _sweep(self) -> None:
        """Remove what jobs left that were killed just after they had replaced a slide."""
        for left in self.path.glob(f".*{_BEFORE}"):
            if (self.path / left.name[1:].removesuffix(_BEFORE)).exists():
                shutil.rmtree(left, ignore_errors=True)


def _about(records: Collection[dict[str, Any]]) -> list[str]:
    tiles = sum(record["n_tiles"] for record in records)
    about = [f"{TABLE} lists {tiles} tiles of {len(records)} slide{'s' * (len(records) != 1)}"]
    kinds = {(record["tile_px"], record["settings"]["mpp"]) for record in records}
    if len(kinds) > 1:
        listed = ", ".join(f"{px} px at {mpp:g} um per pixel" for px, mpp in sorted(kinds))
        about.append(f"warning: tiles of several kinds: {listed}; was another --out meant?")
    return about


def _copy_rows(rows: Path, out: Any) -> None:
    with rows.open("rb") as lines:
        lines.readline()
        shutil.copyfileobj(lines, out)


class SlideFolder:
    """One slide's folder. Files go to `temporary`; `commit` gives it its name.

    Leaving the context without `commit` removes what was written.

    Args:
        folder: Where it will be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder.with_name(f".{folder.name}~")
        self._before = folder.with_name(f".{folder.name}{_BEFORE}")

    def __enter__(self) -> Self:
        try:
            if self.folder.exists() and not (self.folder / RECORD).exists():
                raise StoreError(
                    f"{self.folder}: is there and holds something else; move it, or choose another --out"
                )
            for left in (self.temporary, self._before):  # by a job that was killed
                if left.exists():
                    shutil.rmtree(left)
            self.temporary.mkdir()
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            if not self.folder.exists() and self._before.exists():
                self._before.rename(self.folder)
        for left in (self.temporary, self._before):
            shutil.rmtree(left, ignore_errors=True)

    def add(self, name: str, content: UInt8Array) -> None:
        """Write a file; several threads may.

        Raises:
            StoreError: If it cannot be written.
        """
        try:
            (self.temporary / name).write_bytes(content.data)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def commit(self, record: dict[str, Any], rows: str) -> None:
        """Make the slide exist.

        Args:
            record: Everything readers should know of the slide, JSON values.
            rows: The slide's rows of the table, with a header.

        Raises:
            StoreError: If it cannot be written.
        """
        try:
            (self.temporary / ROWS).write_text(rows, "utf-8")
            (self.temporary / RECORD).write_text(json.dumps({**record, "complete": True}, indent=2) + "\n")
            if self.folder.exists():
                self.folder.rename(self._before)
            self.temporary.rename(self.folder)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
