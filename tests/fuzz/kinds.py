"""The kinds of files that are fuzzed, and the cases of each."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import annotations as areas
from tests.fuzz import dicom, ome, tiff
from tests.fuzz.case import Case, Files, Truth


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Attributes:
        bases: Writes the files to be mutated into a folder, and returns their content by name of the base;
            the second argument is a real slide as a further base, or None.
        mutated: Returns a case of a base.
        exercise: Does what a job does with the file at a path; returns how it ended, raises what is a find.
    """

    bases: Callable[[Path, Path | None], dict[str, Files]]
    mutated: Callable[[str, Files, random.Random], Case]
    exercise: Callable[[Path, Truth], str]


KINDS = {
    "tiff": Kind(tiff.base_files, tiff.mutated, tiff.exercise),
    "ome": Kind(ome.base_files, ome.mutated, ome.exercise),
    "dicom": Kind(dicom.base_files, dicom.mutated, dicom.exercise),
    "annotations": Kind(areas.base_files, areas.mutated, areas.exercise),
}
# What is known of a stored find, by the first word of its name.
TRUTHS: dict[str, Truth] = {"wrong": "content", "resolution": "all"}


def bases_of(kind: str, real: Path | None = None) -> dict[str, Files]:
    """Return the bases of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        return KINDS[kind].bases(Path(folder), real)


def case(kind: str, bases: dict[str, Files], seed: int, number: int) -> tuple[str, Case]:
    """Return the name of the base, and a case: the same for the same bases, seed and number."""
    names = sorted(bases)
    name = names[number % len(names)]
    return name, KINDS[kind].mutated(name, bases[name], random.Random(f"{seed}:{number}"))


def store_case(found: Case, folder: Path, name: str) -> Path:
    """Keep a case for `stored_case`; returns the file, or the folder of its files."""
    suffix = "".join(Path(next(iter(found.files))).suffixes) if len(found.files) == 1 else ""
    path = folder / f"{name}{suffix}"
    if suffix:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(next(iter(found.files.values())))
        return path
    path.mkdir(parents=True, exist_ok=True)
    for file, content in found.files.items():
        (path / file).write_bytes(content)
    return path


def stored_case(path: Path) -> Case:
    """Return a find as it was kept: a file, or a folder of those that belong together."""
    truth = TRUTHS.get(path.name.partition("-")[0], "nothing")
    if path.is_dir():
        return Case({p.name: p.read_bytes() for p in sorted(path.iterdir())}, truth=truth)
    return Case({path.name: path.read_bytes()}, truth=truth)
