"""Selection of the images of a file that are levels of its slide, from metadata only.

A level shows what level 0 shows, completely and exclusively, at a reduced size. Files contain other images
too: labels, macro images, thumbnails, masks, further scans, and in DICOM further areas of the same slide. An
image that is wrongly taken for a level gives wrong tiles and a wrong tissue mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Pair = tuple[float, float]
Size = tuple[int, int]

# Sides of levels are rounded down, up or to nearest at each step of the pyramid: in sum by less than this.
ROUNDING_PX = 1.0
# Pixel sizes that differ by less are equal: they are written with few digits.
SAME_MPP = 0.01
# Direction cosines that differ by less are equal.
SAME_DIRECTION = 0.01
# Scanners write levels at steps of two or four.
LARGEST_STEP = 4.5
MOST_POWER = 12


@dataclass(frozen=True)
class LevelImage:
    """Image that may be a level, as described by the file.

    Attributes:
        name: Name in messages: `image 3`, or a file name.
        size: (width, height), pixels.
        tile: (width, height) of its stored tiles, pixels; None if unknown.
        mpp: Micrometres per pixel, (x, y); None if unknown, or stated as a number that no pixel can have.
        origin: (x, y) of its corner on the glass, micrometres; None if unknown.
        orientation: Directions of its rows and columns on the glass, six cosines; None if unknown.
        container: Identifier of the glass slide; None if unknown.
        role: Role stated by the file, if it is not a level: `label`, `mask`.
        kind: Numbers that describe how its pixels are stored; equal for the levels of most files.
        scan: Whether the file lists it as an image of its own, with a pixel size.
    """

    name: str
    size: Size
    tile: Size | None = None
    mpp: Pair | None = None
    origin: Pair | None = None
    orientation: tuple[float, ...] | None = None
    container: str | None = None
    role: str | None = None
    kind: tuple[int, ...] = ()
    scan: bool = False

    def __post_init__(self) -> None:
        if self.mpp is not None and not all(0 < side < math.inf for side in self.mpp):
            object.__setattr__(self, "mpp", None)


@dataclass(frozen=True)
class Level:
    """Level of a slide.

    Attributes:
        image: Index of its image.
        size: (width, height) without padding, pixels.
        scale: Level-0 pixels per pixel, (x, y).
        doubt: Reason why its pixels have to be compared with level 0's before use, or None.
    """

    image: int
    size: Size
    scale: Pair
    doubt: str | None = None


@dataclass
class Choice:
    """Result of choosing levels.

    Attributes:
        levels: Level 0, and for each image that may be a further level its possible scales, most likely
            first.
        left_out: Images that are not levels, each with the reason.
    """

    levels: list[list[Level]]
    left_out: list[str] = field(default_factory=list)


def choose_levels(images: Sequence[LevelImage]) -> Choice:
    """Choose the images that may be levels.

    Args:
        images: Level 0 and the images that may be further levels, by decreasing width.
    """
    first = images[0]
    choice = Choice([[Level(0, first.size, (1.0, 1.0))]])
    sizes = [image.size for image in images]
    for number, image in enumerate(images[1:], start=1):
        reason = _other_picture(first, image)
        ways = [] if reason else _ways(number, first, image)
        if not ways:
            choice.left_out.append(
                f"{image.name} ({_times(image.size)}): {reason or _odd_sides(first, image)}"
            )
            continue
        if doubt := _doubt(first, image, ways, choice.levels[-1][0], sizes):
            ways = [Level(way.image, way.size, way.scale, way.doubt or doubt) for way in ways]
        choice.levels.append(ways)
    return choice


def _other_picture(first: LevelImage, image: LevelImage) -> str | None:
    """Describe why an image shows something else than level 0, according to the file, or return None."""
    if image.role:
        return f"the file calls it {image.role}"
    if first.container and image.container and first.container != image.container:
        return "it is of another glass slide"
    if first.orientation and image.orientation:
        turned = (abs(a - b) for a, b in zip(first.orientation, image.orientation, strict=True))
        if max(turned) > SAME_DIRECTION:
            return "it is rotated relative to level 0"
    if first.origin and image.origin and image.mpp:
        apart = [abs(a - b) for a, b in zip(first.origin, image.origin, strict=True)]
        if any(distance > mpp / 2 for distance, mpp in zip(apart, image.mpp, strict=True)):
            return f"it begins {max(apart):.4g} um beside level 0"
    return None


def _odd_sides(first: LevelImage, image: LevelImage) -> str:
    across, down = (a / b for a, b in zip(first.size, image.size, strict=True))
    return f"its sides are 1/{across:.4g} and 1/{down:.4g} of level 0's"


def _ways(number: int, first: LevelImage, image: LevelImage) -> list[Level]:
    """Return the scales at which an image may be a level, most likely first; empty if it cannot be one."""
    low, high = factor_range(first.size, image.size)
    by_size: list[Level] = []
    smaller = image.size != first.size and all(a <= b for a, b in zip(image.size, first.size, strict=True))
    if low <= high and smaller:
        across, down = (a / b for a, b in zip(first.size, image.size, strict=True))
        by_size = [Level(number, image.size, (across, down))]
    stated = _stated_factor(first, image)
    if stated is not None and stated > 1 + SAME_MPP:
        return _ways_by_mpp(number, first, image, stated, by_size)
    if stated is not None and low * (1 - SAME_MPP) <= stated <= high * (1 + SAME_MPP):
        return by_size
    if by_size and _power_in(low, high):
        return by_size
    powers = (_padded(number, first, image, 2.0**power) for power in range(1, MOST_POWER))
    return [*(way for way in powers if way), *by_size]


def _ways_by_mpp(
    number: int, first: LevelImage, image: LevelImage, stated: float, by_size: list[Level]
) -> list[Level]:
    """Return the scales of `_ways` for an image whose pixels are `stated` times as large as level 0's.

    Padding may change the sides by less than the error of a pixel size of few digits. If padding explains the
    sides better, both scales are possible.
    """
    low, high = factor_range(first.size, image.size)
    nearest = float(round(stated)) if abs(stated - round(stated)) <= SAME_MPP * stated else stated
    padded = _padded(number, first, image, nearest)
    if low * (1 - SAME_MPP) <= stated <= high * (1 + SAME_MPP):
        exact = low <= stated <= high or low <= nearest <= high
        return by_size if exact or not padded else [padded, *by_size]
    if padded:
        return [padded]
    doubt = f"its pixels are said to be {stated:.4g} times as large as level 0's"
    return [Level(way.image, way.size, way.scale, doubt) for way in by_size]


def factor_range(whole: Size, part: Size) -> tuple[float, float]:
    """Return the range of factors by which both sides may have been divided, with rounding, to another size.

    Returns:
        The smallest and the largest factor; the first exceeds the second if there is none.
    """
    pairs = list(zip(whole, part, strict=True))
    low = max(a / (b + ROUNDING_PX) for a, b in pairs)
    return low, min(a / (b - ROUNDING_PX) if b > ROUNDING_PX else float("inf") for a, b in pairs)


def _stated_factor(first: LevelImage, image: LevelImage) -> float | None:
    """Return the factor between the stated pixel sizes of an image and of level 0, or None.

    TIFF writers copy the resolution of level 0 to all levels, so equal numbers mean nothing.
    """
    if first.mpp is None or image.mpp is None:
        return None
    factors = [b / a for a, b in zip(first.mpp, image.mpp, strict=True)]
    factor = sum(factors) / 2
    return None if max(abs(f - 1) for f in factors) < SAME_MPP or not math.isfinite(factor) else factor


def _padded(number: int, first: LevelImage, image: LevelImage, factor: float) -> Level | None:
    """Return an image as a level that was padded to whole tiles at the right and bottom, or None."""
    if image.tile is None or factor <= 1 or any(a % b for a, b in zip(image.size, image.tile, strict=True)):
        return None
    true = [side / factor for side in first.size]
    spare = [side - part for side, part in zip(image.size, true, strict=True)]
    if not all(
        -ROUNDING_PX < more < tile + ROUNDING_PX for more, tile in zip(spare, image.tile, strict=True)
    ):
        return None
    width, height = (min(max(1, round(part)), side) for part, side in zip(true, image.size, strict=True))
    return Level(number, (width, height), (factor, factor), "it is padded to whole tiles")


def _power_in(low: float, high: float) -> bool:
    """Return whether a power of two lies in a range of factors."""
    return any(low <= 2.0**power <= high for power in range(1, MOST_POWER))


def _doubt(
    first: LevelImage, image: LevelImage, ways: Sequence[Level], before: Level, sizes: Sequence[Size]
) -> str | None:
    """Describe why an image has to be compared with level 0 before it counts as a level, or return None."""
    if len(ways) > 1:
        return "its scale is not certain"
    if sizes.count(image.size) > 1:
        return "several images have its size"
    if image.kind != first.kind:
        return "it is stored in another way than level 0"
    if not _power_in(*factor_range(first.size, image.size)):
        return "its scale is no power of two"
    if ways[0].scale[0] > LARGEST_STEP * before.scale[0]:
        return "levels between are missing"
    return None


def _times(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
