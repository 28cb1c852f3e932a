"""Files of a Zarr hierarchy in a folder or a zip archive."""

from __future__ import annotations

import contextlib
import os
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

from zarr.abc.store import Store
from zarr.storage import LocalStore, ZipStore

from wsi_embed.errors import SlideError
from wsi_embed.slide.ome_zarr.detection import (
    METADATA,
    MOST_JSON,
    files_of,
    images_side_by_side,
    is_foreign,
    ome_attributes,
    read_member,
    zip_root,
)


class ZarrFiles:
    """Files of an OME-Zarr. Several threads may read them.

    Args:
        path: Folder or zip archive.

    Attributes:
        store: The files as a Zarr store.
        root: Path of the hierarchy's root in the store, with `/` at its end; empty if it is the top.

    Raises:
        SlideError: If the archive is truncated or damaged.
        OSError: If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.root = path, ""
        self._packed: zipfile.ZipFile | None = None
        if path.is_dir():
            self.store: Store = LocalStore(path, read_only=True)
            return
        try:
            self._packed = zipfile.ZipFile(path)
            self.root = zip_root(self._packed)
            self._check_one_image(self._packed)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
            self.close()
            raise SlideError(
                f"its zip archive is truncated or damaged ({error})", where=path, remedy="copy it again"
            ) from error
        self.store = ZipStore(path, mode="r", read_only=True)

    def _check_one_image(self, packed: zipfile.ZipFile) -> None:
        several = images_side_by_side(packed) if self.root else []
        if len(several) > 1:
            self.close()
            names = ", ".join(several[:3]) + ", ..." * (len(several) > 3)
            raise SlideError(
                f"its zip archive holds {len(several)} images side by side ({names})",
                where=self.path,
                remedy="unpack it, and name one of them",
            )

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Stored size in bytes of each file, by its path relative to the root; without label images.

        Raises:
            OSError: If a folder cannot be listed.
        """
        if self._packed is None:
            folder = os.path.abspath(self.path)  # `.` is left out of the names of its files
            names = map(str, files_of(Path(folder)))
            return {name[len(folder) + 1 :]: os.stat(name).st_size for name in names}
        start = len(self.root)
        inside = (each for each in self._packed.infolist() if each.filename.startswith(self.root))
        sizes = {each.filename[start:]: each.compress_size for each in inside if not each.is_dir()}
        return {name: size for name, size in sizes.items() if not is_foreign(name)}

    def attributes(self, group: str) -> dict[str, Any]:
        """Return the attributes of a group as OME defines them; empty if there are none.

        Args:
            group: Path relative to the root; empty for the root.

        Raises:
            SlideError: If the archive is damaged.
            OSError: If the file cannot be read.
        """
        found = (ome_attributes(self._read(f"{group}/{name}" if group else name)) for name in METADATA)
        return next((attributes for attributes in found if attributes), {})

    def _read(self, name: str) -> bytes:
        if self.sizes.get(name, MOST_JSON) >= MOST_JSON:
            return b""
        if self._packed is None:
            return (self.path / name).read_bytes()
        try:
            return read_member(self._packed, self.root + name)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise SlideError(
                f"its zip archive is damaged ({error})", where=self.path, remedy="copy it again"
            ) from error

    def close(self) -> None:
        """Close the archive. May be called several times."""
        if self._packed is not None:
            self._packed.close()
            # a store that Zarr has not opened yet has no lock, and nothing to close
            with contextlib.suppress(AttributeError):
                self.store.close()
