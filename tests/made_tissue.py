"""Low-resolution views of stained slides whose tissue is known, with what a lab's worst slides have.

Everything is light: the lamp's colour times what glass, dyes, ink and dirt let through, then the
camera's noise and JPEG. Densities follow Ruifrok and Johnston (2001) for haematoxylin, eosin and DAB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

MPP = 8.0
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], np.float32)
EOSIN = np.array([0.07, 0.99, 0.11], np.float32)
DAB = np.array([0.27, 0.57, 0.78], np.float32)
# What one layer of ink lets through.
INKS = {
    "blue": (0.15, 0.32, 0.72),
    "green": (0.12, 0.55, 0.35),
    "red": (0.80, 0.10, 0.14),
    "black": (0.12, 0.12, 0.14),
    "orange": (0.93, 0.5, 0.09),
}


@dataclass
class MadeView:
    """A view in the making.

    Attributes:
        light: Share of the lamp's light that comes through, float32 [h, w, 3].
        truth: Where there is tissue, bool [h, w].
        rng: Everything random comes from here.
        lamp: Colour of bare glass.
        unseen: Pixels that no camera has seen, and their colour.
    """

    light: FloatArray
    truth: BoolArray
    rng: np.random.Generator
    lamp: FloatArray
    unseen: list[tuple[BoolArray, int]] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        return self.truth.shape[0], self.truth.shape[1]

    def photograph(self) -> UInt8Array:
        """Noise and JPEG, both drawn at random, RGB uint8 [h, w, 3]."""
        sigma = self.rng.uniform(0.5, 2.0)
        pixels = self.light * self.lamp + self.rng.normal(0, sigma, (*self.shape, 3))
        image = np.rint(pixels.clip(0, 255)).astype(np.uint8)
        for where, colour in self.unseen:
            image[where] = colour
        quality = int(self.rng.integers(70, 95))
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
        for where, colour in self.unseen:  # padding is added by the reader, after JPEG
            image[where] = colour
        return image


def noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> FloatArray:
    """Smooth noise of about standard deviation 1 with blobs of `scale` pixels."""
    small = rng.normal(size=(int(shape[0] / scale) + 4, int(shape[1] / scale) + 4)).astype(np.float32)
    large = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    y, x = rng.integers(0, int(scale) + 1, 2)
    return np.asarray(large[y : y + shape[0], x : x + shape[1]], np.float32)


def outline(rng: np.random.Generator, shape: tuple[int, int], share: float) -> BoolArray:
    """Ragged pieces that cover about `share` of the view and keep away from its border."""
    h, w = shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    edge = np.minimum.reduce([x, y, w - 1 - x, h - 1 - y]) / min(h, w)
    field_ = noise(rng, shape, min(h, w) / 4) + 0.25 * noise(rng, shape, 24) + 0.06 * noise(rng, shape, 5)
    field_ -= 4 * np.maximum(0, 0.12 - edge) / 0.12
    mask = field_ > np.quantile(field_, 1 - share)
    return tidy_truth(np.asarray(mask, np.bool_))


def tidy_truth(mask: BoolArray, area: int = 1600) -> BoolArray:
    """Without pieces and holes of less than 1,600 pixels (0.1 mm2): what is debris is made separately."""
    for value in (1, 0):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (mask == value).astype(np.uint8), connectivity=8 if value else 4
        )
        small = stats[:, cv2.CC_STAT_AREA] < area
        small[0] = False
        mask = np.where(small[labels], not value, mask)
    return np.asarray(mask, np.bool_)


def glass(seed: int, shape: tuple[int, int] = (700, 900)) -> MadeView:
    """Bare glass under a lamp of random brightness and slight tint."""
    rng = np.random.default_rng(seed)
    lamp = (rng.uniform(215, 246) + rng.uniform(-4, 4, 3)).clip(0, 252).astype(np.float32)
    return MadeView(np.ones((*shape, 3), np.float32), np.zeros(shape, np.bool_), rng, lamp)


def stain(view: MadeView, where: BoolArray, density: FloatArray) -> None:
    """Let tissue of an optical density, float32 [h, w, 3], take its part of the light."""
    soft = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 0.7)[..., None]
    view.light *= np.exp(-density * soft)
    view.truth |= where


def haematoxylin_eosin(view: MadeView, where: BoolArray, strength: float = 1.0) -> None:
    """Cells, fibres and slits; `strength` is the thickness of the section."""
    rng, shape = view.rng, view.shape
    cells = np.maximum(0, 0.5 + 0.35 * noise(rng, shape, 30) + 0.3 * noise(rng, shape, 2.2))
    fibres = np.maximum(0.12, 0.45 + 0.15 * noise(rng, shape, 40) + 0.15 * noise(rng, shape, 3))
    slits = np.clip(1.6 - noise(rng, shape, 4), 0, 1)  # small white gaps, part of the tissue
    dyes = cells[..., None] * HAEMATOXYLIN + fibres[..., None] * EOSIN
    stain(view, where, strength * slits[..., None] * dyes)


def immunostain(view: MadeView, where: BoolArray, strength: float = 1.0) -> None:
    """Pale haematoxylin, and DAB in some places."""
    rng, shape = view.rng, view.shape
    pale = np.maximum(0.10, 0.22 + 0.08 * noise(rng, shape, 30) + 0.1 * noise(rng, shape, 2.2))
    brown = np.maximum(0, 0.6 * noise(rng, shape, 50) - 0.5) * np.maximum(0, 1 + 0.4 * noise(rng, shape, 2.5))
    stain(view, where, strength * (pale[..., None] * HAEMATOXYLIN + brown[..., None] * DAB))


def fat(view: MadeView, where: BoolArray, density: float = 0.35) -> None:
    """Adipocytes of about 80 um: pale membranes, one or two pixels wide, around empty lumina."""
    rng, (h, w) = view.rng, view.shape
    size = 80 / MPP
    rows, cols = np.mgrid[0 : int(h / size) + 1, 0 : int(w / size) + 1].astype(np.float32)
    seeds = np.ones((h, w), np.uint8)
    y = ((rows + rng.uniform(0.1, 0.9, rows.shape)) * size).astype(int).clip(0, h - 1)
    x = ((cols + rng.uniform(0.1, 0.9, rows.shape)) * size).astype(int).clip(0, w - 1)
    seeds[y, x] = 0
    _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    walls = np.zeros((h, w), np.float32)
    walls[:, 1:] += cells[:, 1:] != cells[:, :-1]
    walls[1:] += cells[1:] != cells[:-1]
    membranes = cv2.GaussianBlur(np.minimum(walls, 1), (0, 0), 0.5)
    uneven = np.clip(1 + 0.3 * noise(rng, (h, w), 12), 0.3, 2)
    stain(view, where, (density * membranes * uneven)[..., None] * (EOSIN + 0.2 * HAEMATOXYLIN))


def holes(view: MadeView, count: int = 3) -> None:
    """Torn holes of 0.3 to 0.7 mm, larger than any lumen, where there is tissue."""
    inside = cv2.erode(view.truth.astype(np.uint8), np.ones((121, 121), np.uint8))
    places = np.argwhere(inside)
    torn = np.zeros(view.shape, np.uint8)
    for y, x in view.rng.permutation(places)[:count].tolist():
        axes = tuple(int(a) for a in view.rng.uniform(20, 42, 2))
        cv2.ellipse(torn, (x, y), axes, float(view.rng.uniform(0, 180)), 0, 360, 1, -1)
    view.light[torn > 0] = 1
    view.truth &= torn == 0


def stitching(view: MadeView, gain: float = 0.03, tint: float = 0.02, side: int = 130) -> None:
    """Fields of view whose brightness and colour differ, each darker towards its corners."""
    h, w = view.shape
    steps = 1 + view.rng.normal(0, gain, (h // side + 1, w // side + 1, 1))
    steps = steps + view.rng.uniform(-tint, tint, (h // side + 1, w // side + 1, 3))
    y, x = np.mgrid[0:h, 0:w]
    u, v = (x % side) / side - 0.5, (y % side) / side - 0.5
    shading = 1 - 0.12 * (u * u + v * v)
    view.light *= (steps[y // side, x // side] * shading[..., None]).astype(np.float32)


def vignetting(view: MadeView, depth: float = 0.2) -> None:
    """The whole view darker towards its corners."""
    h, w = view.shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    view.light *= (1 - depth * ((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2) * 2)[..., None]


def pen(view: MadeView, ink: str, width_um: float | None = None) -> None:
    """A wavy stroke across the view, near tissue and over it; what lies under it is lost."""
    h, w = view.shape
    rng = view.rng
    width = (width_um or rng.uniform(400, 1200)) / MPP
    t = np.linspace(-0.1, 1.1, 200)
    wave = rng.uniform(0.15, 0.85) + 0.12 * np.sin(rng.uniform(3, 9) * t + rng.uniform(0, 6))
    points = np.stack([t * w, wave * h], 1) if rng.random() < 0.5 else np.stack([wave * w, t * h], 1)
    stroke = np.zeros((h, w), np.uint8)
    cv2.polylines(stroke, [np.rint(points).astype(np.int32)], False, 1, round(width))
    body = cv2.GaussianBlur(stroke.astype(np.float32), (0, 0), 1.5)
    # felt leaves streaks and more ink where it was slow
    layers = body * np.clip(1 + 0.1 * noise(rng, (h, w), 60) + 0.02 * noise(rng, (h, w), 3), 0.5, 1.5)
    view.light *= np.asarray(INKS[ink], np.float32) ** layers[..., None]
    view.truth &= stroke == 0


def debris(view: MadeView, count: int = 60) -> None:
    """Dust and floaters of 10 to 100 um, grey or stained, none of them tissue to keep."""
    rng, (h, w) = view.rng, view.shape
    for _ in range(count):
        x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
        axes = (int(rng.uniform(1, 6)), int(rng.uniform(1, 6)))
        spot = np.zeros((h, w), np.uint8)
        cv2.ellipse(spot, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        dye = (HAEMATOXYLIN, EOSIN, np.ones(3, np.float32))[int(rng.integers(3))]
        view.light[(spot > 0) & ~view.truth] *= np.exp(-rng.uniform(0.3, 1.2) * dye)


def coverslip(view: MadeView) -> None:
    """Two edges that meet in a corner: dark, slightly coloured at their sides, a little askew."""
    rng, (h, w) = view.rng, view.shape
    lean = rng.uniform(-0.02, 0.02)
    x, y = rng.uniform(0.03, 0.08) * w, rng.uniform(0.03, 0.08) * h
    corners = [((x, y), (x + lean * h, h + 9.0)), ((x, y), (w + 9.0, y - lean * w))]
    for shift, share in ((0.0, (0.35, 0.35, 0.36)), (2.0, (0.85, 0.88, 0.93)), (-2.0, (0.94, 0.9, 0.86))):
        line = np.zeros((h, w), np.uint8)
        for (x0, y0), (x1, y1) in corners:
            first, last = (round(x0 + shift), round(y0 + shift)), (round(x1 + shift), round(y1 + shift))
            cv2.line(line, first, last, 1, int(rng.integers(1, 3)))
        soft = cv2.GaussianBlur(line.astype(np.float32), (0, 0), 0.6)
        view.light *= np.asarray(share, np.float32) ** soft[..., None]


def black_padding(view: MadeView) -> None:
    """What lies outside the scanned area, as some formats fill it."""
    h, w = view.shape
    outside = np.ones((h, w), np.bool_)
    outside[int(0.06 * h) : int(0.97 * h), int(0.09 * w) : int(0.94 * w)] = False
    view.unseen.append((outside, 0))
    view.truth &= ~outside


def white_padding(view: MadeView) -> None:
    """Tiles that a scanner left out, pure white."""
    h, w = view.shape
    outside = np.ones((h, w), np.bool_)
    outside[int(0.06 * h) : int(0.97 * h), int(0.09 * w) : int(0.94 * w)] = False
    view.unseen.append((outside, 255))
    view.truth &= ~outside


Step = Callable[[MadeView], None]


def made(seed: int, kind: str, *steps: Step, share: float = 0.3) -> tuple[UInt8Array, BoolArray]:
    """A view of one kind of tissue with anything on top; returns the pixels and where tissue is.

    Args:
        seed: Of shapes, brightness, noise, and JPEG quality.
        kind: `he`, `ihc`, `fat` (beside H&E), `faint` (thin H&E beside dark).
        steps: Applied in this order.
        share: Of the view that is tissue.
    """
    view = glass(seed)
    where = outline(view.rng, view.shape, share)
    if kind == "ihc":
        immunostain(view, where)
    elif kind == "he":
        haematoxylin_eosin(view, where)
    else:
        part = where & (noise(view.rng, view.shape, 250) > 0)
        haematoxylin_eosin(view, where & ~part)
        (fat if kind == "fat" else _faint)(view, part)
    for step in steps:
        step(view)
    return view.photograph(), tidy_truth(view.truth)


def _faint(view: MadeView, where: BoolArray) -> None:
    haematoxylin_eosin(view, where, strength=0.12)


def pens(*inks: str) -> Step:
    """A step that draws one stroke of each ink."""

    def draw(view: MadeView) -> None:
        for ink in inks:
            pen(view, ink)

    return draw


CASES: dict[str, tuple[str, Sequence[Step]]] = {
    "plain": ("he", ()),
    "holes": ("he", (holes,)),
    "IHC": ("ihc", ()),
    "faint": ("faint", ()),
    "fat": ("fat", ()),
    "debris": ("he", (debris,)),
    "coverslip": ("he", (coverslip,)),
    "black padding": ("he", (black_padding,)),
    "white padding": ("he", (white_padding,)),
    "pen blue": ("he", (pens("blue"),)),
    "pen green": ("he", (pens("green"),)),
    "pen red": ("he", (pens("red"),)),
    "pen black": ("he", (pens("black"),)),
    "pen on IHC": ("ihc", (pens("blue", "black"),)),
    "vignetting": ("he", (vignetting,)),
    "stitching": ("he", (stitching,)),
    "stitching, faint": ("faint", (stitching,)),
    "stitching, IHC": ("ihc", (stitching,)),
    "everything": ("faint", (holes, debris, coverslip, pens("blue", "green"), stitching)),
}


def dice(a: BoolArray, b: BoolArray) -> float:
    """Twice the overlap over the sum of both areas."""
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
