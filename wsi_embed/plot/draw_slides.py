"""Drawing of many slides into a folder. A slide that fails is reported, and the others are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import SlideError, UsageError, WsiEmbedError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.plot.annotations import ClassColours
from wsi_embed.plot.attention import Heat, check_attention, slide_heat
from wsi_embed.plot.bag import check_view, plot_bag
from wsi_embed.plot.bag_tiles import check_same_slide, open_embedded, read_tiles
from wsi_embed.plot.colours import Colour, class_colours
from wsi_embed.plot.legend import store_legend
from wsi_embed.plot.save import check_print, save_picture
from wsi_embed.plot.sheet import contact_sheet
from wsi_embed.quality import MEASURES
from wsi_embed.regions import read_annotations, slide_annotations, with_annotations
from wsi_embed.slide import Reader, Slide
from wsi_embed.slide.readers import check_reader
from wsi_embed.store import Bag, Store
from wsi_embed.store.attention import Attention
from wsi_embed.util.progress import tracked
from wsi_embed.util.text import argument, counted, names_of

Say = Callable[[str], None]
NAMED = 5


@dataclass(frozen=True)
class Drawing:
    """Settings of pictures.

    Attributes:
        max_px: Longest side of a view, pixels.
        view: `both`, `map`, or a measure of quality; see `plot_bag`.
        annotations: File or folder of annotations to draw as contours.
        attention: Attention written by `wsi-embed eval mil`, drawn instead of clusters.
        attention_class: Class of the attention; by default the predicted one of each slide.
        dpi: Pixels per inch, recorded in the files.
        format: `png` or `tiff`.
        reader: Slide reader; by default that of the job. See `open_slide`.
    """

    max_px: int = 1000
    view: str = "both"
    annotations: Path | None = None
    attention: Path | None = None
    attention_class: str | None = None
    dpi: int = 300
    format: str = "png"
    reader: Reader | None = None

    def __post_init__(self) -> None:
        check_view(self.view, self.max_px)
        if self.attention is not None and self.view in MEASURES:
            raise UsageError("shows no attention", where=argument("view", self.view))
        check_reader(self.reader or "auto")
        check_print(self.format, self.dpi)

    @property
    def suffix(self) -> str:
        """End of the names of pictures that show something else than clusters."""
        if self.view in MEASURES:
            return f"-{self.view}"
        return "-attention" if self.attention is not None else ""

    def save(self, picture: Image.Image, folder: Path, name: str) -> Path:
        """Write a picture and return its path."""
        path = folder / f"{name}.{self.format}"
        save_picture(picture, path, dpi=self.dpi)
        return path


def draw_slides(
    store: Store, items: Sequence[SlideInput], folder: Path, drawing: Drawing, say: Say, warn: Say
) -> int:
    """Draw slides, and a legend for all of them.

    Args:
        store: Store with the bags of the slides.
        items: Slides, all in the store.
        folder: Existing folder for the pictures.
        drawing: Settings of the pictures.
        say: Function called with the path of every picture.
        warn: Function called with messages about slides that fail or have no annotations.

    Returns:
        Number of slides that failed.

    Raises:
        UsageError: If the settings cannot be used for any slide. Nothing is drawn then.
    """
    attention = _attention(drawing.attention, store)
    items = _with_attention(items, attention, warn)
    files = _annotation_files(drawing.annotations, items, warn)
    stated = [pair for file in files.values() for pair in _stated(file, warn)]
    classes = class_colours((label for label, _ in stated), stated)
    counts: Counter[int] = Counter()
    failed = 0
    for item in tracked(items, "slides drawn"):
        try:
            bag = _bag(store, item.slide_id)
            heat = _heat(attention, bag, drawing)
            picture = _picture(item, bag, files.get(item.slide_id), classes, drawing, heat)
            say(str(drawing.save(picture, folder, item.slide_id + drawing.suffix)))
            if not drawing.suffix:
                counts += read_tiles(bag).counts
        except UsageError:
            raise
        except WsiEmbedError as error:
            failed += 1
            warn(str(error) if error.where == item.slide_id else f"{item.slide_id}: {error}")
    if counts or classes:
        legend = store_legend(counts, classes, max_px=drawing.max_px, names=store.cluster_names)
        say(str(drawing.save(legend, folder, _shared_name(store, "legend"))))
    return failed


def _picture(
    item: SlideInput, bag: Bag, file: Path | None, classes: ClassColours, drawing: Drawing, heat: Heat | None
) -> Image.Image:
    with open_embedded(item.path, bag, drawing.reader) as slide:
        return plot_bag(
            slide,
            bag,
            max_px=drawing.max_px,
            annotations=slide_annotations(file, slide.level_sizes[0], slide.bounds).polygons if file else (),
            classes=classes,
            view=drawing.view,
            heat=heat,
        )


def draw_sheet(
    store: Store, items: Sequence[SlideInput], folder: Path, drawing: Drawing, say: Say, warn: Say
) -> int:
    """Draw the contact sheet of the clusters of a store; arguments and result as for `draw_slides`.

    Raises:
        UsageError: If the store has no clusters or no tiles, or annotations or attention are to be drawn.
    """
    if drawing.annotations is not None or drawing.attention is not None:
        option, what = ("annotations", "contours") if drawing.annotations else ("attention", "attention")
        raise UsageError(f"`contact_sheet=True` shows no {what}", remedy=f"leave `{option}=` out")
    failed = set()

    def on_error(slide_id: str, error: WsiEmbedError) -> None:
        if slide_id not in failed:
            warn(f"{slide_id}: {error}")
        failed.add(slide_id)

    paths = {item.slide_id: item.path for item in items}
    drawable = set()
    for slide_id, path in tracked(paths.items(), "slides opened"):
        try:
            bag = _bag(store, slide_id)
            with open_embedded(path, bag, drawing.reader) as slide, damage_named(slide_id):
                check_same_slide(slide, slide_id, bag.attrs["slide_fingerprint"])
            drawable.add(slide_id)
        except WsiEmbedError as error:
            on_error(slide_id, error)

    def opened(slide_id: str) -> Slide:
        return open_embedded(paths[slide_id], store[slide_id], drawing.reader)

    for name, page in contact_sheet(store, drawable, opened, on_error, store.cluster_names):
        say(str(drawing.save(page, folder, _shared_name(store, name))))
    return len(failed)


def _attention(source: Path | None, store: Store) -> Attention | None:
    """Open the attention, and check that it is for the features of the store."""
    if source is None:
        return None
    attention = Attention(source)
    check_attention(attention, store)
    return attention


def _with_attention(
    items: Sequence[SlideInput], attention: Attention | None, warn: Say
) -> Sequence[SlideInput]:
    """Select the slides with attention if it is to be drawn; raise if none has any."""
    if attention is None:
        return items
    there = [item for item in items if item.slide_id in attention]
    if not there:
        raise UsageError(
            f"about none of {counted(len(items), 'slide')}", where=argument("attention", attention.path)
        )
    if without := [item.slide_id for item in items if item.slide_id not in attention]:
        warn(f"{counted(len(without), 'slide')} without attention left out: {names_of(without, NAMED)}")
    return there


def _heat(attention: Attention | None, bag: Bag, drawing: Drawing) -> Heat | None:
    if attention is None:
        return None
    method = str(attention.attrs.get("method", ""))
    return slide_heat(attention[bag.slide_id], bag, method, drawing.attention_class)


def _annotation_files(source: Path | None, items: Sequence[SlideInput], warn: Say) -> dict[str, Path]:
    """Return the annotation files by slide id; raise if no slide has one."""
    if source is None:
        return {}
    unmarked = [replace(item, roi=None) for item in items]
    found = {item.slide_id: item.roi for item in with_annotations(unmarked, source, "annotations")}
    without = [slide_id for slide_id, file in found.items() if file is None]
    if len(without) == len(items):
        raise UsageError(
            f"no file for any of the {len(items)} slides; they are named like the slides, "
            f"{items[0].slide_id}.xml or .geojson",
            where=argument("annotations", source),
        )
    if without:
        warn(
            f"{counted(len(without), 'slide')} without annotations, drawn without contours: "
            f"{names_of(without, NAMED)}"
        )
    return {slide_id: file for slide_id, file in found.items() if file is not None}


def _stated(file: Path, warn: Say) -> Iterator[tuple[str | None, Colour | None]]:
    """Yield the classes of an annotation file, with their colours."""
    try:
        annotations = read_annotations(file)
    except SlideError:  # reported when the slide is drawn
        return
    for line in annotations.warnings:
        warn(line)
    yield from dict.fromkeys((polygon.label, polygon.colour) for polygon in annotations.polygons)


def _bag(store: Store, slide_id: str) -> Bag:
    with damage_named(slide_id):
        return store[slide_id]


def _shared_name(store: Store, name: str) -> str:
    """Return a file name that differs from those of slides."""
    return f"_{name}" if name in store else name
