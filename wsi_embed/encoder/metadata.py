"""JSON metadata inside an exported model."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from wsi_embed.errors import ModelError
from wsi_embed.util.json_text import json_text

# The document is stored in metadata_props[KEY] of an ONNX file, in the extra file FILE of TorchScript.
KEY = "wsi_embed"
FILE = "wsi_embed.json"
SCHEMA = 1

_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    "schema": (int,), "name": (str,), "method": (str,), "backbone": (str,), "tile_px": (int,),
    "mpp": (*_NUMBER, type(None)), "mean": (list, tuple), "std": (list, tuple), "feature_dim": (int,),
    "clusters": (int, type(None)), "precision": (str,), "model_id": (str,), "training": (dict,),
    "training_slides": (list, tuple), "source_checkpoint": (str, type(None)), "licence": (str,),
    "created": (str,), "parity": (dict,), "outputs": (list, tuple),
}  # fmt: skip
# Valid ranges; std is a divisor, so it may not be zero.
_RANGES: dict[str, tuple[float, float]] = {
    "tile_px": (1, 8192), "mpp": (0.05, 20), "feature_dim": (1, 2**20), "clusters": (1, 2**15),
    "mean": (0, 1), "std": (1e-6, 1),
}  # fmt: skip
LONGEST = 2**24
# Licences name it in full, or as the element NC of Creative Commons.
_NON_COMMERCIAL = re.compile(r"non-?\s?commercial|(?<![a-z])nc(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class ModelMetadata:
    """Metadata of an exported model.

    Attributes:
        name: Display name.
        method: Training method, for instance `clubyol`.
        backbone: Architecture.
        tile_px: Side of an input tile, pixels.
        mpp: Micrometres per pixel of an input tile; None if it was unknown in training.
        mean: RGB mean used by the graph for normalisation, in [0, 1].
        std: RGB standard deviation used by the graph for normalisation, in [0, 1].
        feature_dim: Number of features per tile.
        clusters: Number of clusters; None without a cluster head.
        precision: Precision the file is computed in, for instance `fp32` or `fp16`.
        model_id: Digest of weights, graph, preprocessing, outputs and precision.
        training: Data and settings of the training.
        training_slides: Ids of the slides used in training.
        source_checkpoint: File name and digest of the checkpoint.
        licence: Licence of the weights.
        created: Date of the export (ISO 8601).
        parity: Measured difference between the file and PyTorch in fp32.
        outputs: Names of the outputs, in order; empty in files from before they were recorded.
        schema: Version of this document's schema.

    Example:
        >>> import wsi_embed
        >>> metadata = wsi_embed.load_encoder("model.onnx").metadata
        >>> metadata.mpp
        0.5
    """

    name: str
    method: str
    backbone: str
    tile_px: int
    mpp: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    feature_dim: int
    clusters: int | None
    precision: str
    model_id: str
    training: dict[str, Any] = field(default_factory=dict)
    training_slides: tuple[str, ...] = ()
    source_checkpoint: str | None = None
    licence: str = ""
    created: str = ""
    parity: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def non_commercial(self) -> bool:
        """Whether the licence says that the weights are not for commercial use."""
        return bool(_NON_COMMERCIAL.search(self.licence))

    def to_json(self) -> str:
        """Return the JSON document."""
        return json_text(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """Parse and check a document.

        Args:
            text: JSON document.
            where: Model file, for messages.

        Raises:
            ModelError: If the document does not follow the schema.
        """
        if len(text) > LONGEST:
            raise ModelError(f"its wsi_embed metadata are longer than {LONGEST} characters", where=where)
        try:
            values = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise ModelError(
                "its wsi_embed metadata are not JSON", where=where, remedy="export it again"
            ) from error
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            found = values.get("schema") if isinstance(values, dict) else None
            raise ModelError(
                f"metadata schema {found!r}, this wsi-embed reads {SCHEMA}",
                where=where,
                remedy="update wsi-embed",
            )
        values.setdefault("outputs", ())  # older files lack it
        required = {f.name for f in fields(cls)}
        for name in sorted(required):
            if name not in values:
                raise ModelError(f"its metadata lack {name!r}", where=where, remedy="export it again")
            if not _is_good(name, values[name]):
                shown = repr(values[name])[:80]
                raise ModelError(f"its metadata have {name} = {shown}", where=where, remedy="export it again")
        for name in ("mean", "std", "training_slides", "outputs"):
            values[name] = tuple(values[name])
        return cls(**{k: v for k, v in values.items() if k in required})


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _is_good(name: str, value: Any) -> bool:
    """Return whether a value has the type of its field and a sensible value."""
    if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
        return False
    if isinstance(value, str):  # printed on terminals
        return value.isprintable() and (name != "model_id" or bool(value))
    if isinstance(value, list | tuple):
        if name not in ("mean", "std"):
            return all(isinstance(v, str) for v in value)
        return len(value) in (0, 3) and all(type(v) in _NUMBER and _sensible(name, v) for v in value)
    return value is None or _sensible(name, value)


def _sensible(name: str, value: Any) -> bool:
    low, high = _RANGES.get(name, (None, None))
    return low is None or high is None or bool(low <= value <= high)
