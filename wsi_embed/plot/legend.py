"""Legends of clusters and annotation classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.plot.annotations import ClassColours
from wsi_embed.plot.colours import HALO, INK, OUTLINE, Colour, cluster_colour
from wsi_embed.plot.style import Style, font, shortened, text_width
from wsi_embed.util.text import percent

# Maximum number of lines in the legend of a slide, and minimum number of clusters in it. The legend of a
# store lists all clusters.
SLIDE_ROWS = 25
LEAST_CLUSTERS = 12
LONGEST_NAME = 14  # in heights of the text


@dataclass(frozen=True)
class Entry:
    """Line of a legend: text with a filled square, a contour or neither, and a value on its right."""

    text: str
    value: str = ""
    fill: Colour | None = None
    line: Colour | None = None
    halo: bool = True


def slide_entries(
    counts: Counter[int], classes: ClassColours, tissue: bool, names: ClusterNames | None = None
) -> list[Entry]:
    """Create the legend of one slide: annotation classes, then its largest clusters by number.

    Args:
        counts: Number of tiles of each cluster.
        classes: Annotation classes on the slide, and their colours.
        tissue: Whether the outline of the tissue mask is drawn.
        names: Names and colours of the clusters.
    """
    counts = _merged(counts, names)
    entries = [Entry("tissue", line=OUTLINE, halo=False)] * tissue + _class_entries(classes)
    room = max(SLIDE_ROWS - len(entries), LEAST_CLUSTERS)
    by_size = [c for c, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    largest = by_size if len(by_size) <= room else by_size[: room - 1]
    entries += _cluster_entries(sorted(largest), counts, names)
    if rest := len(counts) - len(largest):
        share = 1 - sum(counts[c] for c in largest) / counts.total()
        entries.append(Entry(f"{rest} more", percent(share)))
    return entries


def store_legend(
    counts: Counter[int],
    classes: ClassColours,
    *,
    max_px: int = 1000,
    names: ClusterNames | None = None,
) -> Image.Image:
    """Draw a legend for the pictures of several slides, with all clusters that occur, by number.

    Args:
        counts: Number of tiles of each cluster over all slides.
        classes: Annotation classes of all slides, and their colours.
        max_px: Value of `max_px` used for the slides, so that the text has the same size.
        names: Names and colours of the clusters.

    Example:
        >>> from collections import Counter
        >>> from wsi_embed.plot import store_legend
        >>> store_legend(Counter({0: 120, 3: 80}), {}).mode
        'RGB'
    """
    style, counts = Style(max_px), _merged(counts, names)
    entries = _class_entries(classes) + _cluster_entries(sorted(counts), counts, names)
    columns = Columns(entries, style, height=round(0.75 * max_px))
    width, height = columns.size
    picture = Image.new("RGB", (width + 2 * style.margin, height + 2 * style.margin), "white")
    columns.draw(ImageDraw.Draw(picture), (style.margin, style.margin))
    return picture


class Columns:
    """Legend entries in as many columns as needed for a height.

    Args:
        entries: Entries in order, column by column.
        style: Sizes of text and lines.
        height: Available height, pixels. A column has at least one entry.
    """

    def __init__(self, entries: Sequence[Entry], style: Style, height: int) -> None:
        self.style = style
        most = LONGEST_NAME * style.text
        self.entries = [(e, shortened(e.text, style.text, most)) for e in entries]
        columns = -(-len(entries) // max(1, height // style.row))
        self.rows = -(-len(entries) // max(1, columns))  # columns of about equal length
        self.widest = max((_width(entry, text, style) for entry, text in self.entries), default=0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        columns = -(-len(self.entries) // max(1, self.rows))
        return max(0, columns * self.column - self.style.text), self.rows * self.style.row

    @property
    def column(self) -> int:
        """Distance between the left sides of columns, pixels."""
        return self.widest + round(2.5 * self.style.text)

    def draw(self, draw: ImageDraw.ImageDraw, at: tuple[int, int]) -> None:
        """Draw the legend with its top-left corner at `at`."""
        style = self.style
        for index, (entry, text) in enumerate(self.entries):
            x = at[0] + index // self.rows * self.column
            y = at[1] + index % self.rows * style.row
            middle = y + style.row // 2
            if entry.fill is not None:
                half = round(0.45 * style.text)
                draw.rectangle((x, middle - half, x + 2 * half, middle + half), entry.fill)
            if entry.line is not None:
                _sample(draw, (x, middle), entry, style)
            x += round(1.5 * style.text)
            draw.text((x, middle), text, INK, font=font(style.text), anchor="lm")
            if entry.value:
                draw.text((x + self.widest, middle), entry.value, INK, font=font(style.text), anchor="rm")


def _width(entry: Entry, text: str, style: Style) -> int:
    value = text_width(entry.value, style.text) + style.text if entry.value else 0
    return text_width(text, style.text) + value


def _sample(draw: ImageDraw.ImageDraw, at: tuple[int, int], entry: Entry, style: Style) -> None:
    """Draw a piece of contour, on grey so that its halo is visible."""
    x, y = at
    right, half = x + style.text, round(0.45 * style.text)
    if entry.halo:
        draw.rectangle((x, y - half, right, y + half), (190, 190, 190))
        draw.line((x, y, right, y), HALO, 2 * style.line + 1)
    draw.line((x, y, right, y), entry.line, style.line)


def _class_entries(classes: ClassColours) -> list[Entry]:
    return [Entry(label or "annotation", line=colour) for label, colour in classes.items()]


def _merged(counts: Counter[int], names: ClusterNames | None) -> Counter[int]:
    """Count the clusters of the same name together, as the first of them."""
    if names is None:
        return counts
    merged: Counter[int] = Counter()
    for cluster, count in counts.items():
        merged[names.first(cluster)] += count
    return merged


def _cluster_entries(
    clusters: Sequence[int], counts: Counter[int], names: ClusterNames | None
) -> list[Entry]:
    names, total = names or ClusterNames(), counts.total()
    return [Entry(names[c], percent(counts[c] / total), fill=cluster_colour(c, names)) for c in clusters]
