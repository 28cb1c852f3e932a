"""Colours: always the same, apart from each other for all eyes, never those of glass or contours."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.plot import class_colours, cluster_colour
from wsi_embed.plot.colours import CLASS_COLOURS

FloatArray = npt.NDArray[np.float64]
# Linear RGB as dichromats see it: Vienot, Brettel and Mollon, "Digital video colourmaps for checking the
# legibility of displays by dichromats", 1999. Not the model of their eyes that chose the colours.
VISION = {
    "normal": np.eye(3),
    "protanope": [[0.1124, 0.8876, 0], [0.1124, 0.8876, 0], [0.0040, -0.0040, 1]],
    "deuteranope": [[0.2928, 0.7072, 0], [0.2928, 0.7072, 0], [-0.0223, 0.0223, 1]],
}


def lab(colours: list[tuple[int, int, int]], vision: str = "normal") -> FloatArray:
    """CIE L*a*b* (D65), for an eye that is not the palette's own OKLab."""
    rgb = np.array(colours) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(VISION[vision]).T).clip(0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
    )
    xyz = seen @ to_xyz.T / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def nearest(points: FloatArray) -> float:
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(points, 2))


def test_colours_never_change() -> None:
    """Pictures of one store, drawn at any time by any version, belong together."""
    assert [cluster_colour(c) for c in (0, 1, 2, 5, 19, 99)] == PINNED


PINNED = [(0, 105, 180), (225, 120, 0), (195, 150, 255), (255, 210, 45), (255, 165, 30), (225, 150, 90)]


@given(st.integers(0, 32767))
def test_every_cluster_has_a_colour_unlike_glass_and_contours(cluster: int) -> None:
    colour = cluster_colour(cluster)
    assert all(0 <= c <= 255 for c in colour)
    lightness = lab([colour])[0, 0]
    assert 25 < lightness < 92


# 2.3 is what an eye just notices side by side
@pytest.mark.parametrize(("vision", "least"), [("normal", 15), ("protanope", 6), ("deuteranope", 6)])
def test_twenty_clusters_are_apart_for_all_eyes(vision: str, least: float) -> None:
    assert nearest(lab([cluster_colour(c) for c in range(20)], vision)) > least


def test_a_hundred_clusters_are_apart() -> None:
    assert nearest(lab([cluster_colour(c) for c in range(100)])) > 7


def test_contours_are_darker_than_clusters_or_stand_in_their_halo() -> None:
    assert max(lab(list(CLASS_COLOURS))[:, 0]) < 42  # white is 100
    assert nearest(lab(list(CLASS_COLOURS))) > 15


def test_classes_keep_their_colours_whatever_slide_comes_first() -> None:
    one, other = class_colours(["Tumor", None, "Stroma"]), class_colours(["Stroma", "Tumor", "Tumor", None])
    assert one == other
    assert list(one) == [None, "Stroma", "Tumor"]
    assert len(set(one.values())) == 3
    assert class_colours([]) == {}


def test_annotations_keep_the_colours_of_their_files() -> None:
    stated = [("Tumor", (200, 0, 0)), ("Stroma", (150, 200, 150)), ("Tumor", (1, 2, 3)), ("Other", None)]
    colours = class_colours(["Tumor", "Stroma", "Other"], stated)
    assert (colours["Tumor"], colours["Stroma"]) == ((200, 0, 0), (150, 200, 150))
    assert colours["Other"] == class_colours(["Other"])["Other"]


def test_a_colour_of_several_classes_is_not_used() -> None:
    """ASAP draws every class in the same yellow until someone chooses colours."""
    yellow = (244, 250, 88)
    stated = [("a", yellow), ("b", yellow), ("c", (9, 9, 9))]
    assert class_colours("abc", stated) == {**class_colours("ab"), "c": (9, 9, 9)}
