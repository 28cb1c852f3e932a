"""Legends: the same order on every slide, nothing cut off."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wsi_embed.plot import cluster_colour, store_legend
from wsi_embed.plot.legend import Columns, slide_entries
from wsi_embed.plot.style import Style, shortened, text_width


@given(st.dictionaries(st.integers(0, 99), st.integers(1, 10**6), max_size=100))
def test_a_slides_legend_has_its_largest_clusters_in_the_order_of_their_numbers(
    counts: dict[int, int],
) -> None:
    entries = slide_entries(Counter(counts), {"Tumor": (0, 0, 205)}, tissue=True)
    named = [int(e.text.split()[1]) for e in entries if e.fill]
    assert named == sorted(named)
    left_out = counts.keys() - set(named)
    assert all(counts[c] <= min(counts[n] for n in named) for c in left_out)
    assert [e.text for e in entries[:2]] == ["tissue", "Tumor"]
    assert entries[-1].text == f"{len(left_out)} more" or not left_out
    assert len(entries) <= 25


@given(n=st.integers(0, 130), px=st.sampled_from([100, 1000]), height=st.integers(1, 3000))
def test_columns_stay_inside_the_size_they_tell(n: int, px: int, height: int) -> None:
    entries = slide_entries(Counter(dict.fromkeys(range(n), 1)), {}, tissue=False)
    columns = Columns(entries, Style(px), height)
    assert columns.rows * -(-len(entries) // max(1, columns.rows)) >= len(entries)
    assert columns.size[1] <= max(height, Style(px).row)


def test_the_legend_of_a_store_has_every_cluster_and_class() -> None:
    counts = Counter({c: c + 1 for c in range(0, 100, 3)})
    picture = np.asarray(store_legend(counts, {"Tumor": (0, 0, 205)}))
    found = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert {cluster_colour(c) for c in counts} <= found
    assert (0, 0, 205) in found
    edge = np.concatenate(
        [picture[:4].ravel(), picture[-4:].ravel(), picture[:, :4].ravel(), picture[:, -4:].ravel()]
    )
    assert edge.min() == 255


def test_a_legend_grows_with_the_picture() -> None:
    counts = Counter(dict.fromkeys(range(30), 1))
    small, large = store_legend(counts, {}, max_px=1000), store_legend(counts, {}, max_px=4000)
    shrunk = np.asarray(large.resize(small.size, Image.Resampling.BOX), float)
    assert abs(large.width / small.width - 4) < 0.1
    assert np.abs(shrunk - np.asarray(small, float)).mean() < 12


@given(st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=80), st.integers(40, 400))
def test_long_names_are_shortened_in_the_middle(name: str, width: int) -> None:
    short = shortened(name, 20, width)
    if text_width(name, 20) <= width:
        assert short == name
    else:
        assert text_width(short, 20) <= width or len(short) <= 4
        assert short[0] == name[0]
