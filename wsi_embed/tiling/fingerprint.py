"""The one list of what decides a slide's arrays. Every comparison with an earlier run is made from it.

An option of `Tiling` decides by its value, unless it is among `RESOLVED`: then a fact about the slide says
what came of it. An option that is added to `Tiling` therefore counts everywhere without further work.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

from wsi_embed import __version__
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.regions import read_annotations
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.tiling.settings import Tiling, TilingTarget, plain
from wsi_embed.util.digest import canonical_digest

# Options whose effect depends on the slide, and is among its `SlideFacts`.
RESOLVED = frozenset({"mpp_override", "regions", "icc", "reader", "fast_downsample"})
# Options that every store records. Later ones are recorded where they are not at their default, so that the
# fingerprints of earlier stores stay valid.
ALWAYS = frozenset({"overlap", "edge", "tissue", "min_tissue"})
# Sources of a resolution that opening the slide may contradict, or warn about.
UNSURE_MPP = ("objective power", "manifest", "--mpp-override", None)


@dataclass(frozen=True)
class SlideFacts:
    """What decides a slide's arrays beside the options, known once the slide is open.

    Attributes:
        slide: Fingerprint of the slide's files.
        slide_mpp: Micrometres per level-0 pixel.
        roi: Digest of its regions; None takes the whole slide.
        icc: Digest and name of the ICC profile that is applied; False converts no colours.
        resampling: How pixels of the read level become those of a tile.
        reader: The reader, where another gives other pixels.
        levels: The levels' sizes, where they are not plainly OpenSlide's.
    """

    slide: str
    slide_mpp: float
    roi: str | None = None
    icc: dict[str, Any] | bool = False
    resampling: str = "area"
    reader: str | None = None
    levels: list[list[float]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a reader and levels that decide nothing are left out."""
        facts = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v for k, v in facts.items() if v is not None or k not in ("reader", "levels")}


def decisive_settings(tiling: Tiling, target: TilingTarget, facts: SlideFacts) -> dict[str, Any]:
    """Return everything that decides a slide's arrays, plain values."""
    stated = {
        f.name: plain(getattr(tiling, f.name))
        for f in fields(tiling)
        if f.name in ALWAYS or not (f.name in RESOLVED or _is_default(tiling, f.name))
    }
    return {**target.decisive(), **stated, **facts.to_dict()}


def settings_fingerprint(settings: dict[str, Any]) -> str:
    """Return the digest of decisive settings: the same means the same arrays."""
    return canonical_digest(settings)


def matches_unopened(
    item: SlideInput,
    tiling: Tiling,
    target: TilingTarget,
    committed: dict[str, Any],
    versions: dict[str, str],
) -> bool:
    """Whether a complete slide has these settings, judged without opening it.

    The same versions find the same facts in the same bytes, so the recorded facts are taken. Opening a slide
    costs ten times as much.

    Args:
        item: A slide on this machine.
        tiling: How slides are tiled.
        target: What all slides of the job share.
        committed: Attributes of the complete slide.
        versions: Versions of the libraries in use.

    Returns:
        False means unknown: the slide must be opened.
    """
    settings = committed.get("settings")
    if not isinstance(settings, dict) or committed.get("versions") != versions:
        return False
    if item.mpp is not None or item.roi is not None or committed.get("mpp_source") in UNSURE_MPP:
        return False
    if committed.get("reader_asked") != tiling.reader:
        return False
    if not all(_is_default(tiling, name) for name in RESOLVED - {"icc", "reader"}):
        return False
    icc: Any = settings.get("icc") if tiling.icc else False
    if tiling.icc and not (isinstance(icc, dict) and icc["profile"]):
        return False
    try:
        content = fingerprint(item.path)
    except OSError:
        return False
    mpp, reader, levels = settings.get("slide_mpp", 0.0), settings.get("reader"), settings.get("levels")
    facts = SlideFacts(content, mpp, icc=icc, reader=reader, levels=levels)
    now = decisive_settings(tiling, target, facts)
    return settings_fingerprint(now) == committed.get("settings_fingerprint")


def remote_origin(item: SlideInput, tiling: Tiling, target: TilingTarget) -> str | None:
    """Return the digest of a remote slide's objects and of all options, known without fetching the slide.

    The same digest means the same arrays. Another digest means nothing: the same slide may have been moved,
    and another version may do the same.

    Returns:
        None for a slide on this machine.

    Raises:
        SlideError: If the slide or its annotations do not exist.
        RemoteError: If the server cannot be reached, or refuses.
    """
    if item.remote is None:
        return None
    parts = {
        "objects": [[found.address.name, *found.state] for found in item.remote.objects],
        "target": target.decisive(),
        "tiling": tiling.to_dict(),
        "mpp": item.mpp,
        "roi": _local_roi(item),
        "version": __version__,
    }
    return canonical_digest(parts)


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the settings that differ, for people: `overlap 0 -> 16, tissue.close_um 64 -> 32`."""
    a, b = _flat(before), _flat(now)
    names = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    return ", ".join(f"{k} {a.get(k)} -> {b.get(k)}" for k in names)


def _is_default(tiling: Tiling, name: str) -> bool:
    field = next(f for f in fields(tiling) if f.name == name)
    factory = field.default_factory
    default = field.default if factory is MISSING else factory()
    return bool(getattr(tiling, name) == default)


def _local_roi(item: SlideInput) -> str | None:
    """Digest of annotations on this machine; remote ones are among the objects."""
    local = item.roi is not None and (item.remote is None or item.remote.roi is None)
    return read_annotations(item.roi).digest if item.roi is not None and local else None


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, item in value.items():
        out |= _flat(item, f"{prefix}{name}.") if isinstance(item, dict) else {f"{prefix}{name}": item}
    return out
