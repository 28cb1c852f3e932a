"""Attention of a multiple-instance model over the tiles of a store, saved beside the store.

<name>.zarr/               attributes: `kind`, `format_version`, `model_id` (of the features), `method`
  <slide_id>/              attributes: `label`, `predicted`, `probabilities`, `columns`
    attention  (N, A)      float32; each column sums to 1 over a bag (for a patient: over all slides)
    grid       (N, 2)      int32, (row, col): the rows of the store's slide, in its order

Only embedding writes into a store, which can verify its own completeness; derived data is saved elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import StoreError, StoreMismatchError, UsageError
from wsi_embed.storage.folder import METADATA_FILE, LocalPlace, cannot_write
from wsi_embed.store.layout import read_attributes
from wsi_embed.util.atomic_files import replacing_folder

KIND, FORMAT_VERSION = "attention", 1


@dataclass(frozen=True)
class SlideAttention:
    """Attention over the tiles of a slide.

    Attributes:
        slide_id: Slide id.
        attention: Attention weights, float32 [N, A].
        grid: (row, col) of the tiles, int32 [N, 2].
        columns: Names of the A columns: one per class, or a single `all`.
        label: True class of the bag, or its number in words; empty if it is unknown.
        predicted: Predicted class of the bag, or its number in words.
        probabilities: Predicted probability of each class; empty for a number.
    """

    slide_id: str
    attention: npt.NDArray[np.float32]
    grid: npt.NDArray[np.int32]
    columns: tuple[str, ...]
    label: str
    predicted: str
    probabilities: dict[str, float]

    def column(self, name: str | None = None) -> tuple[str, npt.NDArray[np.float32]]:
        """Return the name and the values of one column.

        Args:
            name: Class of the column; by default the only column, or that of the predicted class.

        Raises:
            UsageError: If there is no column for that class.
        """
        if len(self.columns) == 1 and name is None:
            return self.columns[0], self.attention[:, 0]
        wanted = name or self.predicted
        if wanted not in self.columns:
            has = ", ".join(self.columns)
            raise UsageError(f"no attention for class {wanted!r}: {self.slide_id} has it for {has}")
        return wanted, self.attention[:, self.columns.index(wanted)]


class Attention(Mapping[str, SlideAttention]):
    """Attention saved by `wsi-embed eval mil` or `predict`: a mapping from slide id to `SlideAttention`.

    Args:
        path: The folder `attention.zarr`, or its parent folder.

    Attributes:
        path: The folder `attention.zarr`.
        attrs: Root attributes of the folder.

    Raises:
        StoreError: If the folder holds no attention.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from wsi_embed.store.attention import Attention, SlideAttention, write_attention
        >>> weights, grid = np.ones((1, 1), np.float32), np.zeros((1, 2), np.int32)
        >>> slide = SlideAttention("a", weights, grid, ("all",), "tumour", "tumour", {"tumour": 1.0})
        >>> write_attention(Path("attention.zarr"), {"model_id": "sha256:0", "method": "abmil"}, [slide])
        >>> Attention("attention.zarr")["a"].column()
        ('all', array([1.], dtype=float32))
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        inner = path / f"{KIND}.zarr"
        self.path = inner if inner.is_dir() else path
        self.attrs = read_attributes(LocalPlace(self.path)) if (self.path / METADATA_FILE).is_file() else {}
        if self.attrs.get("kind") != KIND or self.attrs.get("format_version") != FORMAT_VERSION:
            raise StoreError(
                "no attention there", where=path, remedy="give the `out=` folder of wsi-embed eval mil"
            )

    def __getitem__(self, slide_id: str) -> SlideAttention:
        if not slide_id or "/" in slide_id or not (self.path / slide_id / METADATA_FILE).is_file():
            raise KeyError(slide_id)
        with damage_named(slide_id):
            group = zarr.open_group(self.path / slide_id, mode="r", zarr_format=3, use_consolidated=False)
            attrs: dict[str, Any] = dict(group.attrs)
            return SlideAttention(
                slide_id,
                np.asarray(group["attention"], np.float32),
                np.asarray(group["grid"], np.int32),
                tuple(attrs["columns"]),
                attrs["label"],
                attrs["predicted"],
                attrs["probabilities"],
            )

    def __iter__(self) -> Iterator[str]:
        yield from sorted(document.parent.name for document in self.path.glob(f"*/{METADATA_FILE}"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def check_replaceable(path: Path) -> None:
    """Check that a folder is missing, or holds attention that may be replaced.

    Raises:
        StoreMismatchError: If it exists and holds something else.
    """
    if path.exists():
        try:
            Attention(path)
        except StoreError as error:
            raise StoreMismatchError(
                "exists and contains other files", where=path, remedy="choose another `out=`"
            ) from error


def write_attention(path: Path, about: Mapping[str, Any], slides: Iterable[SlideAttention]) -> None:
    """Write attention atomically, replacing that of an earlier run.

    Args:
        path: Folder to create.
        about: Root attributes: `model_id` and `method`.
        slides: Attention of each slide.

    Raises:
        StoreMismatchError: If the folder exists and holds something else.
        StoreError: If the folder cannot be written.
    """
    check_replaceable(path)
    try:
        with replacing_folder(path) as temporary:
            attributes = {"kind": KIND, "format_version": FORMAT_VERSION, **about}
            zarr.create_group(temporary, zarr_format=3, attributes=attributes)
            for slide in slides:
                _write_slide(temporary / slide.slide_id, slide)
    except OSError as error:
        raise cannot_write(path, error) from error


def _write_slide(folder: Path, slide: SlideAttention) -> None:
    facts = {k: v for k, v in asdict(slide).items() if k not in ("slide_id", "attention", "grid")}
    group = zarr.create_group(folder, zarr_format=3, attributes={**facts, "columns": list(slide.columns)})
    for name, values in (("attention", slide.attention), ("grid", slide.grid)):
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(max(1, values.shape[0]), values.shape[1]),
            compressors=[Crc32cCodec()],
        )
        array[:] = values
