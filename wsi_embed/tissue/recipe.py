"""Settings of a tissue mask: the name of a recipe and its numbers, each with a default and a range."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsi_embed.errors import UsageError
from wsi_embed.util.registry import Registry
from wsi_embed.util.text import argument

if TYPE_CHECKING:
    from wsi_embed.slide.base import UInt8Array
    from wsi_embed.tissue.glass import BoolArray

# Functions that find the tissue in a view, by recipe.
RECIPES: Registry[Callable[[UInt8Array, TissueRecipe, float], tuple[BoolArray, str | None]]] = Registry(
    "tissue",
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
KEEP_PEN = "`tissue_set=['pen=off']` keeps them"  # of pen marks, for messages

_VIEW = ("mask_mpp", "max_px")
_AREAS = ("close_um", "open_um", "min_area_um2", "max_hole_um2")
_ARTEFACTS = ("pen", "pen_um", "edges", "edge_um", "dark")
_CHROMA = ("blur_um", "min_chroma", "max_chroma", "grey", "leak")
_HSV = ("blur_um", "hue_from", "hue_to", "min_saturation", "min_value", "max_value")
_NETWORK = ("threshold", "channel", "activation", "mean", "std", "classes", "keep")
# Settings of each recipe, in the order in which they are listed in messages.
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
    """Recipe of a tissue mask. The settings that it uses are part of the settings fingerprint of a slide.

    Colours are relative to the glass: pixels divided by the colour of the glass, 0 to 255. Chroma is the
    largest minus the smallest channel: 0 for glass and any grey.

    Attributes:
        name: `otsu`, `otsu-local`, `hsv`, `model`, or `none` (everything is tissue).
        mask_mpp: Resolution of the view, um per pixel; never finer than level 0.
        max_px: Maximum length of the longest side of the view, pixels.
        blur_um: Standard deviation of the smoothing before the threshold, um.
        min_chroma: Lower limit of Otsu's threshold, so that empty glass stays empty.
        max_chroma: Upper limit of Otsu's threshold, so that faint tissue beside dark tissue is found.
        grey: Minimum chroma of tissue as a share of its darkness; below it are dust, shadows and edges.
        leak: Minimum chroma of tissue as a share of the strongest chroma near it; below it, colour has leaked
            from there through JPEG compression. One half gives unbiased edges.
        background_um: Side of the blocks in which the colour of the glass is estimated, um; `otsu-local`
            only, as the next one.
        max_tint: Maximum chroma of the glass of a block relative to the glass of the slide.
        hue_from: First hue of tissue, degrees (0 red, 120 green, 240 blue); `hsv` only, as the next four.
        hue_to: Last hue of tissue, degrees; below `hue_from` if the range includes 0.
        min_saturation: Minimum saturation of tissue, 0 to 255.
        min_value: Minimum value (brightness) of tissue, 0 to 255.
        max_value: Maximum value (brightness) of tissue, 0 to 255.
        pen: Whether pen marks are left out.
        pen_um: Minimum width of a pen stroke, um.
        edges: Whether edges of coverslips are left out.
        edge_um: Minimum length of an edge, um.
        dark: Median brightness below which a slide without glass counts as fluorescence or dark field and
            fails, 0 to 255; 0 switches this off.
        close_um: Width below which gaps are closed, um.
        open_um: Width below which parts are removed, um.
        min_area_um2: Area below which pieces are removed as debris, um2; limited to a hundredth of the view,
            for small crops.
        max_hole_um2: Area below which holes are filled, um2: 0 keeps every hole, 1e12 fills all.
        threshold: Threshold of the network's probability; `model` only, as the next four.
        channel: Output channel of the network for tissue, from 0.
        activation: Function from the network's output to probabilities: `none`, `sigmoid`, `softmax`.
        mean: Mean subtracted from RGB in [0, 1], for networks that take float32.
        std: Standard deviation by which RGB is divided after that.
        classes: Names of the network's output channels, in their order; empty for a network of one class.
        keep: Classes that are tissue: a pixel is tissue if its most probable class is one of them. Empty if
            `channel` and `threshold` decide.
        model: File name of the network.
        sha256: First 16 digits of the SHA-256 of the network's file.
        path: Path of the network; not part of the settings.
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
    classes: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    model: str = ""
    sha256: str = ""
    path: Path | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        RECIPES.check(self.name)
        for field in dataclasses.fields(self):
            if field.metadata:
                self._check(field)
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"choose {', '.join(ACTIVATIONS)}", where=self._settings("activation"))
        if self.min_chroma > self.max_chroma:
            raise UsageError(
                "min_chroma is above max_chroma",
                where=self._settings("min_chroma", "max_chroma"),
                remedy="set both",
            )
        if len(set(self.classes)) < len(self.classes):
            raise UsageError("each class has a name of its own", where=self._settings("classes"))
        if strangers := [name for name in self.keep if name not in self.classes]:
            known = f"choose from {', '.join(self.classes)}" if self.classes else "name `classes` too"
            raise UsageError(f"no class is called {strangers[0]!r}; {known}", where=self._settings("keep"))
        if self.name == "model" and not self.sha256:
            raise UsageError("give the network as model:FILE", where="`tissue='model'`")

    def _check(self, field: dataclasses.Field[Any]) -> None:
        low, high = field.metadata["low"], field.metadata["high"]
        value = getattr(self, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(low <= n <= high for n in numbers):  # also refuses NaN
            raise UsageError(f"{field.name} must be {low:g} to {high:g}", where=self._settings(field.name))

    def _settings(self, *names: str) -> str:
        return argument("tissue_set", [f"{name}={as_text(getattr(self, name))}" for name in names])

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the settings that this recipe uses."""
        return USED[self.name]

    def to_dict(self) -> dict[str, Any]:
        """Return the name and the used settings as plain values, for attributes and fingerprints."""
        values: dict[str, Any] = {"name": self.name}
        if self.name == "model":
            values |= {"model": self.model, "sha256": self.sha256}
        unused = {"pen_um"} if not self.pen else set()
        unused |= {"edge_um"} if not self.edges else set()
        # by classes or by a threshold; what does not count is not recorded
        unused |= {"threshold", "channel"} if self.keep else {"classes", "keep"}
        for key in (k for k in self.used if k not in unused):
            value = getattr(self, key)
            values[key] = list(value) if isinstance(value, tuple) else value
        if "keep" in values:  # a set: in the order of the classes, however it was given
            values["keep"] = [name for name in self.classes if name in self.keep]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TissueRecipe:
        """Create a recipe from the result of `to_dict`. The path of a network is not restored.

        Raises:
            UsageError: If there is a setting that this version does not have.
        """
        known = {field.name for field in dataclasses.fields(cls)} - {"path"}
        unknown = sorted(values.keys() - known)
        if unknown:
            raise UsageError(
                f"tissue recipe of another version of wsi-embed: {', '.join(unknown)} is unknown here"
            )
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


def as_text(value: Any) -> str:
    """Format the value of a setting as in `--tissue-set`."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ",".join(map(as_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
