"""A trained multiple-instance network in one ONNX file, which predicts slides without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wsi_embed.encoder.device import Device
from wsi_embed.encoder.onnx_external_files import external_files
from wsi_embed.encoder.onnx_session import open_session
from wsi_embed.errors import ModelError, SlideError, StoreMismatchError
from wsi_embed.store import Store
from wsi_embed.util.json_text import json_text

# The document is stored in metadata_props[KEY] of the file.
KEY = "wsi_embed_mil"
SCHEMA = 2
# Versions that can be read. Before 2 every network was one for classes.
READABLE = (1, 2)
# Name of the output of each task.
OUTPUTS = {"classification": "probabilities", "survival": "risk", "regression": "value"}
_TYPES: dict[str, tuple[type, ...]] = {
    "method": (str,), "classes": (list, tuple), "model_id": (str,), "feature_dim": (int,),
    "mpp": (int, float), "tile_px": (int,), "by": (str,), "training": (dict,),
    "training_slides": (list, tuple), "created": (str,), "parity": (dict,), "schema": (int,), "task": (str,),
}  # fmt: skip


@dataclass(frozen=True)
class MilMetadata:
    """Metadata of an exported multiple-instance network.

    Attributes:
        method: Method, for instance `abmil`.
        classes: Names of the classes, in the order of the probabilities; for a regression the name of the
            value, for survival `risk`.
        model_id: Digest of the encoder that computed the features.
        feature_dim: Number of features per tile.
        mpp: Micrometres per pixel of the tiles.
        tile_px: Side of a tile, pixels.
        by: Whether a bag of the training was a `slide` or a `patient`.
        training: Settings, numbers of bags, epochs, and scores on the folds.
        training_slides: Ids of the slides used in training.
        created: Date of the export (ISO 8601).
        parity: Largest differences between the file and PyTorch.
        schema: Version of this document's schema.
        task: `classification`, `survival` or `regression`.
    """

    method: str
    classes: tuple[str, ...]
    model_id: str
    feature_dim: int
    mpp: float
    tile_px: int
    by: str
    training: dict[str, Any] = field(default_factory=dict)
    training_slides: tuple[str, ...] = ()
    created: str = ""
    parity: dict[str, float] = field(default_factory=dict)
    schema: int = SCHEMA
    task: str = "classification"

    def to_json(self) -> str:
        """Return the JSON document."""
        return json_text(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: object) -> Self:
        """Parse and check a document.

        Args:
            text: JSON document.
            where: File, for messages.

        Raises:
            ModelError: If the document does not follow the schema.
        """
        try:
            values = {"task": "classification", **json.loads(text)}
            if values["schema"] not in READABLE:
                raise ModelError(
                    f"metadata schema {values['schema']!r}, this wsi-embed reads up to {SCHEMA}",
                    where=where,
                    remedy="update wsi-embed",
                )
            known = {each.name: values[each.name] for each in fields(cls)}
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise ModelError(
                "its metadata are damaged", where=where, remedy="export it again with eval mil"
            ) from error
        wrong = [name for name, value in known.items() if not isinstance(value, _TYPES[name])]
        lists = [name for name in ("classes", "training_slides") if name not in wrong]
        wrong += [name for name in lists if not all(isinstance(item, str) for item in known[name])]
        if not wrong and known["task"] not in OUTPUTS:
            wrong = ["task"]
        if not wrong and (len(known["classes"]) != 1) == (known["task"] != "classification"):
            wrong = ["classes"]
        if wrong or not known["classes"]:
            raise ModelError(
                f"its metadata have a wrong {(wrong or ['classes'])[0]}",
                where=where,
                remedy="export it again with eval mil",
            )
        return cls(**known | {name: tuple(known[name]) for name in lists})


class MilModel:
    """Exported multiple-instance network, run by ONNX Runtime on the CPU.

    Args:
        path: File written by `wsi-embed eval mil --export`.
        threads: Number of threads; 0 uses every core.

    Attributes:
        path: The file.
        metadata: Metadata of the file.

    Raises:
        ModelError: If the file is not such a network.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError("no such file", where=self.path, remedy="check the path")
        if external_files(self.path):
            raise ModelError("has weights in other files, which wsi-embed never writes", where=self.path)
        self._session = open_session(self.path, Device("cpu"), threads)[0]
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise ModelError(
                "not a multiple-instance network of wsi-embed",
                where=self.path,
                remedy="make one with `export=` of wsi-embed eval mil",
            )
        self.metadata = MilMetadata.from_json(text, self.path)
        self._check_shapes()

    def _check_shapes(self) -> None:
        dim, classes = self.metadata.feature_dim, len(self.metadata.classes)
        inputs = [(each.name, each.type, each.shape[1:]) for each in self._session.get_inputs()]
        outputs = {each.name: each.shape for each in self._session.get_outputs()}
        columns = (outputs.get("attention") or [0])[-1]
        if (
            inputs != [("features", "tensor(float)", [dim])]
            or outputs.get(OUTPUTS[self.metadata.task]) != [classes]
            or columns not in (1, classes)
        ):
            raise ModelError(
                "its inputs and outputs contradict its metadata",
                where=self.path,
                remedy="export it again with eval mil",
            )

    def check_store(self, store: Store) -> None:
        """Check that a store has features of the encoder and the tiles that the network was trained on.

        Raises:
            StoreMismatchError: If it has other ones.
        """
        settings, wanted = store.attrs["settings"], self.metadata
        pairs = {
            "the encoder": (store.model_id, wanted.model_id),
            "the number of features": (settings.get("feature_dim"), wanted.feature_dim),
            "tile_px": (settings.get("tile_px"), wanted.tile_px),
            "mpp": (settings.get("mpp"), wanted.mpp),
        }
        for what, (found, needed) in pairs.items():
            if found != needed:
                raise StoreMismatchError(
                    f"{what} is {found}, and {self.path.name} was trained with {needed}",
                    where=store.name,
                    remedy="embed the slides with the model and resolution of the training",
                )

    def predict(
        self, features: npt.NDArray[np.floating]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Predict a bag.

        Args:
            features: Features of the tiles, any float dtype [N, D], N > 0.

        Returns:
            Probability of each class, float32 [classes], or the risk or value, float32 [1], and attention of
            the tiles, float32 [N, 1] or [N, classes], each column of which sums to 1.

        Raises:
            SlideError: If ONNX Runtime fails, for example because the memory is too small for the bag.
        """
        inputs = {"features": np.ascontiguousarray(features, np.float32)}
        try:
            outputs, attention = self._session.run([OUTPUTS[self.metadata.task], "attention"], inputs)
        except Exception as error:  # ONNX Runtime's exceptions have no class in common
            reason = str(error).splitlines()[0]
            raise SlideError(f"the network fails on {len(features)} tiles ({reason})") from error
        return outputs, attention


def prediction_of(
    task: str, names: Sequence[str], outputs: npt.NDArray[np.floating]
) -> tuple[str, dict[str, float]]:
    """Return the prediction in words, and the probability of each class.

    Args:
        task: Name of the task.
        names: Names of the outputs.
        outputs: Outputs of a bag, [names].

    Returns:
        The most likely class and the probabilities; for a number its name with its value, and no probability.
    """
    if task == "classification":
        return names[int(outputs.argmax())], dict(zip(names, outputs.tolist(), strict=True))
    return f"{names[0]} {float(outputs[0]):.3g}", {}


def number_column(task: str, name: str) -> str:
    """Return the name of the column of predicted numbers: `risk`, or `predicted age`."""
    return name if task == "survival" else f"predicted {name}"
