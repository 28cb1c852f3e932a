"""How a tissue mask is made: a name and its numbers, each with its default and its range."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsi_embed.errors import UsageError
from wsi_embed.util.registry import Registry

if TYPE_CHECKING:
    from wsi_embed.slide.base import UInt8Array
    from wsi_embed.tissue.glass import BoolArray

# What finds the tissue in a view, for each recipe.
RECIPES: Registry[Callable[[UInt8Array, TissueRecipe, float], tuple[BoolArray, str | None]]] = Registry(
    "--tissue",
    {
        "otsu": "wsi_embed.tissue.finders:find_by_otsu",
        "otsu-local": "wsi_embed.tissue.finders:find_by_local_otsu",
        "hsv": "wsi_embed.tissue.finders:find_by_hsv",
        "none": "wsi_embed.tissue.finders:find_everything",
        "model": "wsi_embed.tissue.finders:find_by_network",
    },
    typed={"model": "model:FILE"},
)
ACTIVATIONS = ("none", "sigmoid", "softmax")

_VIEW = ("mask_mpp", "max_px")
_AREAS = ("close_um", "open_um", "min_area_um2", "max_hole_um2")
_ARTEFACTS = ("pen", "pen_um", "edges", "edge_um", "dark")
_CHROMA = ("blur_um", "min_chroma", "max_chroma", "grey", "leak")
_HSV = ("blur_um", "hue_from", "hue_to", "min_saturation", "min_value", "max_value")
_NETWORK = ("threshold", "channel", "activation", "mean", "std")
# Which numbers each recipe looks at, in the order in which people read of them.
USED: dict[str, tuple[str, ...]] = {
    "otsu": (*_VIEW, *_CHROMA, *_ARTEFACTS, *_AREAS),
    "otsu-local": (*_VIEW, *_CHROMA, "background_um", "max_tint", *_ARTEFACTS, *_AREAS),
    "hsv": (*_VIEW, *_HSV, *_ARTEFACTS, *_AREAS),
    "model": (*_VIEW, *_NETWORK, *_AREAS),
    "none": (),
}


def _number(default: Any, low: float, high: float) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class TissueRecipe:
    """How the mask is made. Those numbers that the recipe uses are part of a slide's settings fingerprint.

    Colours are those of a pixel divided by the glass's, 0 to 255. Chroma is the largest channel less
    the smallest: 0 for glass and for everything grey, whatever its brightness.

    Attributes:
        name: `otsu`, `otsu-local`, `hsv`, `model`, or `none` (everything is tissue).
        mask_mpp: Resolution of the view, um per pixel; never finer than level 0.
        max_px: Longest side of the view, pixels.
        blur_um: Standard deviation of the smoothing before the threshold.
        min_chroma: Floor of Otsu's threshold, so that empty glass stays empty.
        max_chroma: Ceiling of Otsu's threshold, so that faint tissue beside dark is kept.
        grey: What is darker than glass needs this share of its darkness as chroma, or it is dust, a
            shadow, an edge.
        leak: Beside strong colour a pixel needs this share of it as chroma, or the colour has leaked
            there; a half puts edges where they are.
        background_um: Side of the blocks whose glass colour is estimated, `otsu-local` only.
        max_tint: Most chroma that a block's glass may have beside the slide's glass.
        hue_from: First hue of tissue, degrees (0 red, 120 green, 240 blue); `hsv` only, as the next five.
        hue_to: Last hue; below `hue_from` where the range goes over red.
        min_saturation: Least saturation of tissue, 0 to 255.
        min_value: Least brightness of tissue, 0 to 255.
        max_value: Greatest brightness of tissue.
        pen: Whether pen marks are left out.
        pen_um: Least width of a pen stroke.
        edges: Whether edges of coverslips are left out.
        edge_um: Least length of such an edge.
        dark: A slide without glass whose typical brightness is below this counts as fluorescence or
            dark field and fails; 0 switches that off.
        close_um: Gaps narrower than this are closed.
        open_um: What is narrower than this is removed.
        min_area_um2: Smaller pieces are debris; never more than a hundredth of the view, for small crops.
        max_hole_um2: Smaller holes are filled: 0 keeps every hole, 1e12 none.
        threshold: Of the network's probability; `model` only, as the next four.
        channel: The network's output for tissue, counted from 0.
        activation: What turns the network's output into probabilities: `none`, `sigmoid`, `softmax`.
        mean: Subtracted from red, green and blue between 0 and 1, for a network that takes float32.
        std: And then divided by.
        model: File name of the network.
        sha256: First 16 digits of the digest of its content.
        path: Where it is; no part of the settings.
    """

    name: str = "otsu"
    mask_mpp: float = _number(8.0, 0.25, 100)
    max_px: int = _number(8192, 16, 32768)
    blur_um: float = _number(8.0, 0, 1000)
    min_chroma: float = _number(4.0, 0, 255)
    max_chroma: float = _number(6.0, 0, 255)
    grey: float = _number(0.2, 0, 1)
    leak: float = _number(0.5, 0, 1)
    background_um: float = _number(128.0, 16, 10_000)
    max_tint: float = _number(12.0, 0, 255)
    hue_from: float = _number(190.0, 0, 360)
    hue_to: float = _number(50.0, 0, 360)
    min_saturation: int = _number(16, 0, 255)
    min_value: int = _number(25, 0, 255)
    max_value: int = _number(250, 0, 255)
    pen: bool = True
    pen_um: float = _number(150.0, 1, 10_000)
    edges: bool = True
    edge_um: float = _number(3000.0, 100, 100_000)
    dark: int = _number(50, 0, 255)
    close_um: float = _number(80.0, 0, 10_000)
    open_um: float = _number(24.0, 0, 10_000)
    min_area_um2: float = _number(10_000.0, 0, 1e12)
    max_hole_um2: float = _number(50_000.0, 0, 1e12)
    threshold: float = _number(0.5, 0, 1)
    channel: int = _number(0, 0, 10_000)
    activation: str = "none"
    mean: tuple[float, float, float] = _number((0.0, 0.0, 0.0), -255, 255)
    std: tuple[float, float, float] = _number((1.0, 1.0, 1.0), 1e-6, 255)
    model: str = ""
    sha256: str = ""
    path: Path | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        RECIPES.check(self.name)
        for field in dataclasses.fields(self):
            if field.metadata:
                self._check(field)
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"tissue activation={self.activation}: choose {', '.join(ACTIVATIONS)}")
        if self.min_chroma > self.max_chroma:
            raise UsageError(
                f"tissue min_chroma={self.min_chroma:g} is above max_chroma={self.max_chroma:g}: set both"
            )
        if self.name == "model" and not self.sha256:
            raise UsageError("--tissue model: say which network, as model:FILE")

    def _check(self, field: dataclasses.Field[Any]) -> None:
        low, high = field.metadata["low"], field.metadata["high"]
        value = getattr(self, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(low <= n <= high for n in numbers):  # refuses NaN too
            raise UsageError(f"tissue {field.name}={as_text(value)}: {low:g} to {high:g} is expected")

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the numbers that this recipe looks at."""
        return USED[self.name]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for attributes and fingerprints: the name and what the recipe uses."""
        values: dict[str, Any] = {"name": self.name}
        if self.name == "model":
            values |= {"model": self.model, "sha256": self.sha256}
        unused = {"pen_um"} if not self.pen else set()
        unused |= {"edge_um"} if not self.edges else set()
        for key in (k for k in self.used if k not in unused):
            value = getattr(self, key)
            values[key] = list(value) if isinstance(value, tuple) else value
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TissueRecipe:
        """The recipe that `to_dict` was called on; of a network only its name and digest are known.

        Raises:
            UsageError: It has values that this version does not know.
        """
        known = {field.name for field in dataclasses.fields(cls)} - {"path"}
        unknown = sorted(values.keys() - known)
        if unknown:
            raise UsageError(
                f"a tissue recipe of another version of wsi-embed: {', '.join(unknown)} unknown here"
            )
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


def as_text(value: Any) -> str:
    """A setting's value as a user would write it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ",".join(map(as_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
