"""Contract between wsi-embed and an ONNX file: inputs, outputs and metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.encoder.base import Encoded, check_tile_px, foreign_metadata
from wsi_embed.encoder.metadata import KEY, ModelMetadata
from wsi_embed.encoder.onnx_external_files import external_files
from wsi_embed.errors import ModelError
from wsi_embed.util.text import argument

CLUSTERS = ("cluster", "cluster_confidence")


@dataclass(frozen=True)
class Contract:
    """Inputs and outputs of an ONNX file.

    Attributes:
        metadata: Metadata of the file; for a file without metadata, derived from the arguments.
        mpp: Micrometres per pixel of the tiles: the user's, else the file's; None if neither is known.
        input: Name of the input.
        names: Names of the outputs to compute: features and, if there is a cluster head, its two outputs.
    """

    metadata: ModelMetadata
    mpp: float | None
    input: str
    names: tuple[str, ...]

    def encoded(self, arrays: Sequence[npt.NDArray[Any]]) -> Encoded:
        """Convert the outputs, in the order of `names`, to the dtypes of the contract.

        Raises:
            ModelError: If the clusters are no integers.
        """
        features = np.asarray(arrays[0], np.float32)
        if len(self.names) == 1:
            return Encoded(features)
        if arrays[1].dtype.kind not in "iu":
            raise ModelError(f"returns clusters of type {arrays[1].dtype}", remedy="export them as int64")
        return Encoded(features, np.asarray(arrays[1], np.int64), np.asarray(arrays[2], np.float32))


def read_contract(path: Path, session: Any, tile_px: int | None, mpp: float | None) -> Contract:
    """Read the contract of an ONNX file from its session.

    Args:
        path: Model file.
        session: ONNX Runtime session of the file, on any device.
        tile_px: Side of a tile in pixels, for a file without metadata.
        mpp: Micrometres per pixel, for a file that does not state it, or to use it at another resolution.

    Raises:
        ModelError: If the file does not follow the contract.
        UsageError: If the file takes tiles of another size.
    """
    name = _check_input(path, session, tile_px)
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        metadata = foreign_metadata(path, file_digest(path), tile_px, mpp)
    else:
        metadata = ModelMetadata.from_json(text, str(path))
    check_tile_px(metadata, tile_px, path)
    names = [output.name for output in session.get_outputs()]
    features = "features" if "features" in names else names[0]
    clusters = set(CLUSTERS) <= set(names)
    if text is not None and clusters != (metadata.clusters is not None):
        raise ModelError(
            "metadata and outputs disagree about the cluster head", where=path, remedy="export it again"
        )
    wanted = (features, *CLUSTERS) if clusters and metadata.clusters is not None else (features,)
    return Contract(metadata, metadata.mpp if mpp is None else mpp, name, wanted)


def described(tensor: Any) -> str:
    """Describe an input or output of a session: its name, type and shape."""
    kind = str(tensor.type).removeprefix("tensor(").removesuffix(")")
    shape = ", ".join("?" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.name}: {kind} [{shape}]"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file and of its external weight files."""
    digest = hashlib.sha256()
    for file in (path, *(path.parent / name for name in external_files(path))):
        with file.open("rb") as content:
            while block := content.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _check_input(path: Path, session: Any, tile_px: int | None) -> str:
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape is None or len(shape) != 4 or shape[3] != 3 or inputs[0].type != "tensor(uint8)":
        found = ", ".join(map(described, inputs))
        raise ModelError(
            f"takes {found} instead of one tensor of raw tiles, uint8 [batch, tile_px, tile_px, 3]",
            where=path.name,
            remedy="put normalisation and layout into the graph, as `wsi-embed export` does with ONNX files "
            "of other tools (docs/export.md)",
        )
    side = shape[1]
    if tile_px is not None and isinstance(side, int) and side != tile_px:
        raise ModelError(f"{path.name} takes tiles of {side} pixels only", where=argument("tile_px", tile_px))
    return str(inputs[0].name)
