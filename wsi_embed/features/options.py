"""Options for the encoding of tiles: the model, its device, and what is stored."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from wsi_embed.encoder import Encoder, EncoderPool, is_demonstration
from wsi_embed.errors import UsageError
from wsi_embed.features.pipeline import BadTile
from wsi_embed.jobs.engines import Engine
from wsi_embed.jobs.options import check_counts
from wsi_embed.slide.resolution.choice import check_mpp
from wsi_embed.util.text import argument

DTYPES = ("float16", "float32")


@dataclass(frozen=True, kw_only=True)
class EncodingOptions:
    """Options for the encoding of tiles.

    Attributes:
        model: Path of an exported model, the name of a built-in one, or a loaded encoder; None is the
            demonstration model.
        mpp: Micrometres per pixel of a tile; None for the model's.
        tile_px: Side of a tile, pixels; None for the model's.
        device: Device or devices, as for `load_encoder`.
        batch_size: Number of tiles per batch; None if the engine determines it.
        dtype: Data type of the features in the store, `float16` or `float32`.
        on_bad_tile: Handling of a tile that cannot be read: `fail` the slide, or take the tile as `white`.
        quality: Whether the quality of every tile is measured and stored.

    Raises:
        UsageError: If a value is invalid.
    """

    model: str | Path | Encoder | None = None
    mpp: float | None = None
    tile_px: int | None = None
    device: str = "auto"
    batch_size: int | None = None
    dtype: str = "float16"
    on_bad_tile: BadTile = "fail"
    quality: bool = True

    def __post_init__(self) -> None:
        for name, choices in (("on_bad_tile", get_args(BadTile)), ("dtype", DTYPES)):
            if (value := getattr(self, name)) not in choices:
                raise UsageError(f"choose {' or '.join(choices)}", where=argument(name, value))
        check_counts(batch_size=self.batch_size)
        check_mpp("mpp", self.mpp)

    def check_loaded_encoder(self, engine: str) -> None:
        """Check that a loaded encoder fits the other options; a path always does.

        Raises:
            UsageError: If an option changes the encoder, or the engine cannot take a loaded one.
        """
        if not isinstance(self.model, Encoder):
            return
        if not (self.mpp is None and self.tile_px is None and self.device == "auto"):
            raise UsageError(
                "a loaded encoder has its mpp, tile_px and device already", remedy="give them to load_encoder"
            )
        if engine != "local":
            raise UsageError(
                "a loaded encoder cannot be sent to Ray's actors", remedy="give the path of its file"
            )

    def open(self, engine: Engine) -> AbstractContextManager[EncoderPool]:
        """Return the loaded encoders as a context manager that closes those it loads."""
        if isinstance(self.model, Encoder):
            return EncoderPool(self.model)
        return engine.load_pool(self.model, self.tile_px, self.mpp)

    def describe(self, encoders: EncoderPool) -> dict[str, Any]:
        """Return facts about the loaded model for the report."""
        encoder = encoders.first
        about = {
            "name": encoder.metadata.name,
            "model_id": encoder.model_id,
            "device": encoders.where,
            "demonstration": is_demonstration(self.model),
        }
        if encoder.metadata.licence:
            about["licence"] = encoder.metadata.licence
        if encoder.metadata.non_commercial:
            about["non_commercial"] = True
        return about
