"""Options for the encoding of tiles."""

from __future__ import annotations

from typing import Any

import pytest

from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed.features.options import EncodingOptions


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"on_bad_tile": "black"}, "on_bad_tile.*choose fail or white"),
        ({"dtype": "float64"}, "dtype.*choose float16 or float32"),
        ({"batch_size": 0}, "batch_size"),
        ({"mpp": float("nan")}, "mpp"),
        ({"mpp": -0.5}, "mpp"),
    ],
)
def test_invalid_values_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        EncodingOptions(**wrong)


@pytest.mark.parametrize("changed", [{"mpp": 0.5}, {"tile_px": 224}, {"device": "cpu"}])
def test_a_loaded_encoder_is_not_changed(changed: dict[str, Any]) -> None:
    encoder = load_encoder(device="cpu")
    with pytest.raises(UsageError, match="give them to load_encoder"):
        EncodingOptions(model=encoder, **changed).check_loaded_encoder("local")
    with pytest.raises(UsageError, match="give the path of its file"):
        EncodingOptions(model=encoder).check_loaded_encoder("ray")
    EncodingOptions(model=encoder).check_loaded_encoder("local")
