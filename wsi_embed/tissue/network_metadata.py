"""Settings in the metadata of a segmentation network."""

from __future__ import annotations

import json
from typing import Any

from wsi_embed.errors import ModelError, UsageError
from wsi_embed.tissue.recipe import TissueRecipe
from wsi_embed.tissue.setting_values import convert_value, expected_values

KEY = "wsi_embed_tissue"
SETTINGS = ("mean", "std", "threshold", "channel", "activation", "classes", "keep")
# Names in the metadata of the file, and the settings for which they are defaults.
METADATA = {"mpp": "mask_mpp"} | {name: name for name in SETTINGS}


def read_defaults(text: str, file_name: str) -> dict[str, Any]:
    """Read the settings that a network states as defaults.

    Args:
        text: JSON object in the metadata of the file.
        file_name: Name of the file, for messages.

    Raises:
        ModelError: If it is not such an object, or a setting is unknown or out of range.
    """
    try:
        found = {METADATA[k]: _converted(METADATA[k], v) for k, v in json.loads(text).items()}
        TissueRecipe(**found)
    except KeyError as error:
        raise ModelError(f"its metadata say {error}, which is not known", where=file_name) from error
    except (ValueError, TypeError, AttributeError, UsageError) as error:
        why = error.what if isinstance(error, UsageError) else error
        raise ModelError(f"its metadata {KEY!r} cannot be used ({why})", where=file_name) from error
    return found


def _converted(name: str, value: Any) -> Any:
    """Convert a value to the type of a setting.

    An integer stays one, and so does one number for the three colours, because fingerprints of earlier
    slides hold them.

    Raises:
        ValueError: If it is none of that type.
    """
    like = getattr(TissueRecipe(), name)
    if isinstance(value, int | float) and isinstance(like, tuple) and like:
        return value
    try:
        converted = convert_value(value, like)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name}: {expected_values(like)}") from error
    return value if isinstance(value, int) else converted
