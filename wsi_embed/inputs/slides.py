"""Input slides of a job, from files, folders and manifests, each with a unique id."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_embed.errors import RemoteError, SlideError, UsageError
from wsi_embed.inputs.columns import cell_text, first_of, magnification_column, patient_of
from wsi_embed.inputs.folders import TILES_MARK, folder_files
from wsi_embed.inputs.ids import LONGEST, encoded_id, slide_id_of
from wsi_embed.inputs.remote_slides import RemoteSlide, find_below
from wsi_embed.inputs.tables import MANIFEST_COLUMNS, MANIFEST_SUFFIXES, read_manifest
from wsi_embed.slide.fingerprint import slide_files
from wsi_embed.slide.ome_zarr.detection import is_ome_zarr
from wsi_embed.slide.resolution.lengths import decimal
from wsi_embed.slide.suffixes import named_as_slide
from wsi_embed.storage import Address, Location, is_address, location, objects
from wsi_embed.util.links import broken_link, real_path


@dataclass(frozen=True)
class SlideInput:
    """Input slide of a job.

    Attributes:
        slide_id: Slide id, the name of its group in the store.
        path: Slide file; for a remote slide that is not staged, only the file name.
        name: File name as recorded in the store, relative to the input folder or manifest.
        patient: Patient, from the manifest.
        mpp: Micrometres per level-0 pixel, from the manifest.
        roi: Annotation file with the regions to take, from the manifest or from `--roi`.
        remote: Location of a slide that is not on this machine; None for local slides.
        magnification: Column of the manifest with the slide's magnification, which is not used; None if there
            is none, or `mpp` is given.
    """

    slide_id: str
    path: Path
    name: str
    patient: str | None = None
    mpp: float | None = None
    roi: Path | None = None
    remote: RemoteSlide | None = None
    magnification: str | None = None

    @property
    def size(self) -> int:
        """Total size of the slide's files in bytes; 0 if one is missing."""
        try:
            if self.remote is not None:
                return self.remote.size
            return sum(file.stat().st_size for file in slide_files(self.path))
        except (OSError, SlideError, RemoteError):
            return 0


def find_slides(
    sources: Sequence[str | Location], *, remote: bool = False, ext: str | Sequence[str] = ()
) -> list[SlideInput]:
    """Resolve files, folders (at any depth) and manifests (CSV, Parquet) to slides, sorted by id.

    DICOM files of one series in a folder are one slide.

    Args:
        sources: Paths and addresses.
        remote: Whether the caller can stage remote slides.
        ext: Suffixes of the slides to take from folders, `svs` or `.ome.tif`, also as one text with commas;
            empty for all formats. Files and manifests that are given themselves are taken in any case.

    Raises:
        UsageError: If a path is missing, nothing is found, a manifest is invalid, two slides have the same
            id, or a slide is remote and `remote` is false.
        RemoteError: If an address cannot be listed.
    """
    endings = _endings(ext)
    found = [item for source in sources for item in _from_source(location(source), endings)]
    if not found:
        kind = f" that end in {', '.join(endings)}" if endings else ""
        raise UsageError(f"no slides{kind} found in {', '.join(map(str, sources))}")
    if not remote:
        for item in found:
            check_here(item)
    return unique_slides(found)


def check_here(item: SlideInput) -> None:
    """Check that a slide is on this machine.

    Raises:
        UsageError: If it is not.
    """
    if item.remote is not None:
        raise UsageError(
            "only embed and tile fetch slides",
            where=item.remote.address,
            remedy="copy it to this machine first",
        )


def unique_slides(found: Iterable[SlideInput]) -> list[SlideInput]:
    """Return slides sorted by id, without duplicates.

    Raises:
        UsageError: If two slides have the same id, or an id is too long.
    """
    by_id: dict[str, SlideInput] = {}
    for item in found:
        if len(item.slide_id) > LONGEST:
            raise UsageError(
                f"the slide_id {item.slide_id[:40]}... is too long for a file name",
                where=item.path,
                remedy=f"give one of {LONGEST} characters at most",
            )
        other = by_id.setdefault(item.slide_id, item)
        if other is not item:
            _check_same(other, item)
    return [by_id[slide_id] for slide_id in sorted(by_id)]


def _endings(ext: str | Sequence[str]) -> tuple[str, ...]:
    """Return suffixes in lower case, each with its dot."""
    parts = [
        part.strip().lower() for text in ([ext] if isinstance(ext, str) else ext) for part in text.split(",")
    ]
    return tuple(f".{part.lstrip('*').lstrip('.')}" for part in parts if part.strip("*."))


def _from_source(source: Location, endings: tuple[str, ...]) -> list[SlideInput]:
    if isinstance(source, Address):
        return _from_address(source, endings)
    if source.is_dir():
        if (source / TILES_MARK).is_file():
            raise UsageError("is a folder of tiles, not of slides", where=source)
        if is_ome_zarr(source):
            return [slide_of_folder(real_path(source).parent, real_path(source))]
        files = folder_files(source)
        return [slide_of_folder(source, path) for path in files if path.name.lower().endswith(endings or "")]
    if link := broken_link(source):
        raise UsageError(link, where=source, remedy="let it lead to the slide, or delete it")
    if not source.exists():
        raise UsageError("no such file or folder", where=source, remedy="check the path")
    if source.suffix.lower() in MANIFEST_SUFFIXES:
        return [manifest_slide(source, number, row) for number, row in read_manifest(source)]
    return [slide_of_folder(source.parent, source)]


def _from_address(source: Address, endings: tuple[str, ...]) -> list[SlideInput]:
    if source.suffix.lower() in MANIFEST_SUFFIXES:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / source.name
            try:
                table.write_bytes(objects.read(source))
                rows = read_manifest(table, name=source)
                return [manifest_slide(source, number, row) for number, row in rows]
            except FileNotFoundError as error:
                raise UsageError(
                    "there is no such object", where=source, remedy="check the address"
                ) from error
    if named_as_slide(source.name) or not source.listed:
        return [_slide_at(RemoteSlide(source), source.name)]
    start = len(source.key) + 1 if source.key else 0
    below = [s for s in find_below(source) if s.address.name.lower().endswith(endings or "")]
    return [_slide_at(s, s.address.key[start:] or s.address.name) for s in below]


def _slide_at(remote: RemoteSlide, name: str) -> SlideInput:
    return SlideInput(slide_id_of(name), Path(remote.address.name), name, remote=remote)


def slide_of_folder(folder: Path, path: Path) -> SlideInput:
    """Return the input slide for a file in a folder."""
    name = path.relative_to(folder).as_posix()
    return SlideInput(slide_id_of(name), path, name)


def manifest_slide(source: Location, number: int, row: dict[str, Any]) -> SlideInput:
    """Return the input slide for a row of a manifest.

    Args:
        source: Path or address of the manifest.
        number: Number of the row, for messages.
        row: Values by column.

    Raises:
        UsageError: If the row has no path, or an invalid value.
    """
    cells = {name: cell_text(value) for name, value in row.items()}
    values = {names[0]: found for names in MANIFEST_COLUMNS if (found := first_of(cells, names))}
    where = f"{source}, row {number}"
    if wrong := next((name for name, value in cells.items() if "\0" in (value or "")), None):
        raise UsageError(f"{wrong} contains a NUL character", where=where, remedy="save the table as UTF-8")
    if "path" not in values:
        raise UsageError("the path is empty", where=where)
    place = _beside(source, values["path"])
    slide_id = values.get("slide_id")
    if slide_id is None:
        slide_id = slide_id_of(place.name)
    elif encoded_id(f"{slide_id}.x") != slide_id:
        raise UsageError(f"slide_id {slide_id!r} may hold only A-Z a-z 0-9 . _ -", where=where)
    try:
        mpp = decimal(values["mpp"]) if "mpp" in values else None
    except ValueError as error:
        raise UsageError(f"mpp {values['mpp']!r} is not a number", where=where) from error
    roi = _beside(source, values["roi"]) if "roi" in values else None
    # absolute paths are never recorded
    absolute = is_address(values["path"]) or Path(values["path"]).is_absolute()
    name = place.name if absolute else values["path"]
    patient, unused = patient_of(cells), None if mpp else magnification_column(cells)
    if isinstance(place, Path):
        if isinstance(roi, Address):
            raise UsageError(
                "annotations in object storage or on a web server need a slide that is there too",
                where=where,
                remedy=f"copy {roi} here",
            )
        return SlideInput(slide_id, place, name, patient, mpp, roi, magnification=unused)
    local, there = (None, roi) if isinstance(roi, Address) else (roi, None)
    distant = RemoteSlide(place, there)
    return SlideInput(slide_id, Path(place.name), name, patient, mpp, local, distant, unused)


def _beside(source: Location, text: str) -> Location:
    """Resolve a manifest's entry: an address, or a path relative to the manifest."""
    if is_address(text) or Path(text).is_absolute():
        return location(text)
    return source.parent / text


def _check_same(a: SlideInput, b: SlideInput) -> None:
    """Check that two slides with the same id are the same file with the same metadata."""
    where = [item.remote.address if item.remote else item.path for item in (a, b)]
    if not (where[0] == where[1] if a.remote or b.remote else _same_file(a.path, b.path)):
        raise UsageError(
            f"two slides have the id {a.slide_id!r}: {where[0]} and {where[1]}",
            remedy="rename one, or give ids in a manifest (columns path, slide_id)",
        )
    if (a.patient, a.mpp, a.roi) != (b.patient, b.mpp, b.roi):
        raise UsageError(
            f"{b.path} is given twice, with different patient, mpp or roi", remedy="keep one of them"
        )


def _same_file(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return a == b
