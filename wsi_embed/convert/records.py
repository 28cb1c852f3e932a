"""Records of earlier conversions into a folder, so that a run can resume and never overwrites other files.

OUT/.wsi-embed-convert/<format>/bags/<bag>.json    digest of the input of the bag's files, and their sizes;
                                                   created before they are written, completed afterwards
OUT/.wsi-embed-convert/<format>/shared.json        the same for the files shared by all bags
OUT/.wsi-embed-convert/<format>/part/              temporary files

What a record calls a file may be a folder, whose size is that of all files in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wsi_embed.errors import SlideError
from wsi_embed.storage.folder import cannot_write
from wsi_embed.storage.lock import slide_lock
from wsi_embed.util.atomic_files import replacing

State = Literal["missing", "complete", "other"]
# In place of the digest of files that lack bags which could not be read: any run may write them again.
PARTIAL = "partial"


@dataclass(frozen=True)
class Record:
    """Record of files that are written together.

    Attributes:
        digest: Digest of their input.
        complete: Whether all are written.
        files: Size in bytes by relative path; in an incomplete record, of the previous files.
    """

    digest: str
    complete: bool
    files: dict[str, int]


class Records:
    """Records of one format in a folder.

    Args:
        out: Output folder.
        format_name: Name of the format.
    """

    def __init__(self, out: Path, format_name: str) -> None:
        self.out, self._format = out, format_name
        self._folder = out / ".wsi-embed-convert" / format_name
        self._part = self._folder / "part"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder, and remove the temporary files of killed runs.

        Raises:
            SlideError: If another process is writing this format into the folder.
            StoreError: If the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "lock").open("a").close()
        except OSError as error:
            raise cannot_write(self.out, error) from error
        with slide_lock(self._folder / "lock", self._format) as free:
            if not free:
                raise SlideError(
                    "another conversion is writing into it",
                    where=self.out,
                    remedy="run again when it is done",
                )
            shutil.rmtree(self._part, ignore_errors=True)
            yield

    def state(self, name: str, digest: str, files: Sequence[str]) -> State:
        """Return whether files are missing, complete, or have other content."""
        record = self._read(name)
        existing = [file for file in files if (self.out / file).exists()]
        if record is None:
            return "other" if existing else "missing"
        if record.digest not in (digest, PARTIAL):
            return "other"
        if not record.complete:
            return "missing"
        if any(_size(self.out / file) != record.files.get(file) for file in existing):
            return "other"
        return "complete" if len(existing) == len(files) else "missing"

    @contextlib.contextmanager
    def writing(
        self, name: str, digest: str, files: Sequence[str], *, final: bool = True
    ) -> Iterator[list[Path]]:
        """Yield temporary paths for files or folders, which get their names when all of them are written.

        The temporary files are in a folder of their own, because readers take every file with the right
        suffix. Files of an earlier record that are not among the new ones are removed.

        Args:
            name: Name of the record.
            digest: Digest of the input.
            files: Paths relative to the output folder.
            final: Whether the record is complete; otherwise the next run writes the files again.

        Raises:
            OSError: If a file cannot be written.
        """
        record = self._read(name)
        before = record.files if record else {}
        self._write(name, Record(digest, False, before))
        self._part.mkdir(exist_ok=True)
        paths = [self._part / f"{n}{Path(file).suffix}" for n, file in enumerate(files)]
        try:
            yield paths
            for path, file in zip(paths, files, strict=True):
                self._replace(path, self.out / file)
        finally:
            shutil.rmtree(self._part, ignore_errors=True)
        for old in before.keys() - set(files):
            _remove(self.out / old)
        sizes = {file: _size(self.out / file) for file in files}
        self._write(name, Record(digest if final else PARTIAL, final, sizes))

    def _replace(self, path: Path, target: Path) -> None:
        """Rename a temporary file or folder. A folder cannot replace another, which is moved away first."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and target.exists():
            os.replace(target, path.with_name(f"{path.name}.old"))
        os.replace(path, target)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read(self, name: str) -> Record | None:
        try:
            document: Any = json.loads(self._path(name).read_bytes())
            files = {str(file): int(size) for file, size in document["files"].items()}
            return Record(str(document["digest"]), document["complete"] is True, files)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def _write(self, name: str, record: Record) -> None:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(record.__dict__), "utf-8")


def _size(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, in bytes."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _remove(path: Path) -> None:
    """Remove a file or folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
