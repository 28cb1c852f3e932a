"""Layout of a folder of tile images, and the writer for a slide's subfolder.

tiles/
  .wsi-embed-tiles        marks the folder, and carries the locks
  tiles.csv               all tiles of all complete slides; replaced at the end of every job
  <slide_id>/             exists only when complete
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
from wsi_embed.util.json_text import json_text
from wsi_embed.util.text import counted

TABLE = "tiles.csv"
RECORD, ROWS = "tiling.json", "tiling.csv"
_BEFORE = "~before"  # suffix of a slide that is being replaced; slide ids never contain a tilde
RESERVED = frozenset({TABLE, TILES_MARK})
_NEEDED = {"n_tiles", "tile_px", "settings", "settings_fingerprint"}
COLUMNS = (
    "path", "slide_id", "patient", "x", "y", "row", "col", "mpp", "extent", "tissue_fraction",
)  # fmt: skip


class TileFolder:
    """Folder of tile images. Any number of processes may write different slides into it.

    Args:
        path: Path of the folder; created if missing.

    Raises:
        StoreMismatchError: If the folder holds something else.
        StoreError: If the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        mark = path / TILES_MARK
        try:
            foreign = path.is_file() or (path.is_dir() and any(p.suffix != PARTIAL for p in path.iterdir()))
            # check this after the listing: another process may be creating the folder right now
            if not mark.exists():
                if foreign:
                    raise StoreMismatchError(
                        "exists and contains other files", where=path, remedy="choose another `out=`"
                    )
                path.mkdir(parents=True, exist_ok=True)
                create(mark, json_text({"format_version": FORMAT_VERSION}) + "\n")
        except OSError as error:
            raise StoreError(f"cannot make the folder ({error.strerror or error})", where=path) from error

    def committed(self, slide_id: str) -> dict[str, Any] | None:
        """Return the record of a complete slide, or None."""
        folder = self.path / slide_id
        try:
            record = json.loads((folder / RECORD).read_bytes())
            whole = isinstance(record, dict) and record.get("complete") is True and (folder / ROWS).exists()
        except (OSError, ValueError):
            return None  # unreadable: the slide is redone
        return record if whole and record.keys() >= _NEEDED else None

    def slide(self, slide_id: str) -> SlideFolder:
        """Start writing a slide; an existing one stays until the new one is committed."""
        return SlideFolder(self.path / slide_id)

    def complete(self) -> dict[str, dict[str, Any]]:
        """Return the records of all complete slides, sorted by id."""
        ids = sorted(name for name in os.listdir(self.path) if "~" not in name)
        return {slide_id: record for slide_id in ids if (record := self.committed(slide_id))}

    def write_table(self) -> list[str]:
        """Write all complete slides to `tiles.csv`, whichever job wrote them.

        Returns:
            Notes about the content of the table.

        Raises:
            StoreError: If the table cannot be written; an existing one is unchanged.
        """
        table = self.path / TABLE
        temporary = table.with_name(f".{TABLE}~{uuid.uuid4().hex[:8]}")
        try:
            # under the lock, so that the last job lists the slides of all
            with whole_lock(self.path / TILES_MARK):
                records = self.complete()
                with temporary.open("wb") as out:
                    out.write((",".join(COLUMNS) + "\n").encode())
                    for slide_id in records:
                        # a slide that is being replaced is added by the job that replaces it
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
        """Remove what jobs left behind that were killed just after they had replaced a slide."""
        for left in self.path.glob(f".*{_BEFORE}"):
            if (self.path / left.name[1:].removesuffix(_BEFORE)).exists():
                shutil.rmtree(left, ignore_errors=True)


def _about(records: Collection[dict[str, Any]]) -> list[str]:
    tiles = sum(record["n_tiles"] for record in records)
    about = [f"{TABLE} lists {counted(tiles, 'tile')} of {counted(len(records), 'slide')}"]
    kinds = {(record["tile_px"], record["settings"]["mpp"]) for record in records}
    if len(kinds) > 1:
        listed = ", ".join(f"{px} px at {mpp:g} um per pixel" for px, mpp in sorted(kinds))
        about.append(f"warning: tiles of several kinds: {listed}; was another `out=` meant?")
    return about


def _copy_rows(rows: Path, out: Any) -> None:
    with rows.open("rb") as lines:
        lines.readline()
        shutil.copyfileobj(lines, out)


class SlideFolder:
    """Folder of one slide. Files are written to `temporary`; `commit` renames it.

    Leaving the context without `commit` removes the files.

    Args:
        folder: Final path of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder.with_name(f".{folder.name}~")
        self._before = folder.with_name(f".{folder.name}{_BEFORE}")

    def __enter__(self) -> Self:
        try:
            if self.folder.exists() and not (self.folder / RECORD).exists():
                raise StoreError(
                    "exists and contains other files",
                    where=self.folder,
                    remedy="move it, or choose another `out=`",
                )
            for left in (self.temporary, self._before):  # of a killed job
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
        """Write a file. Thread-safe.

        Args:
            name: Name of the file.
            content: Bytes, uint8 [N].

        Raises:
            StoreError: If the file cannot be written.
        """
        try:
            (self.temporary / name).write_bytes(content.data)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def commit(self, record: dict[str, Any], rows: str) -> None:
        """Mark the slide as complete, and give its folder the final name.

        Args:
            record: Facts about the slide for readers, JSON values.
            rows: The slide's rows of the table, as CSV with a header.

        Raises:
            StoreError: If the folder cannot be written.
        """
        try:
            (self.temporary / ROWS).write_text(rows, "utf-8")
            (self.temporary / RECORD).write_text(json_text({**record, "complete": True}, indent=2) + "\n")
            if self.folder.exists():
                self.folder.rename(self._before)
            self.temporary.rename(self.folder)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
