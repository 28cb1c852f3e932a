"""Settings that determine a slide's arrays. Every comparison with an earlier run is based on this list.

An option of `Tiling` counts by its value, unless it is in `RESOLVED`: then a fact about the slide records its
effect. A new option of `Tiling` is therefore included everywhere without further work.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

from wsi_embed import __version__
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.regions import read_annotations
from wsi_embed.slide.content_sample import ContentSample, content_sample
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.slide.resolution.choice import BY_DEFAULT
from wsi_embed.tiling.settings import Tiling, TilingTarget, plain
from wsi_embed.util.digest import canonical_digest

# Options whose effect depends on the slide, and the field of `SlideFacts` that records it.
RESOLVED = {
    "mpp_default": "slide_mpp",
    "mpp_override": "slide_mpp",
    "force": "slide_mpp",
    "regions": "roi",
    "icc": "icc",
    "reader": "reader",
    "fast_downsample": "resampling",
}
# Options that every store records. Options added later are recorded only if they differ from the default, so
# that the fingerprints of older stores stay valid.
ALWAYS = frozenset({"overlap", "edge", "tissue", "min_tissue"})
# Fields of a slide input that identify the slide; all others can change its arrays.
IDENTITY = frozenset({"slide_id", "path", "name", "patient", "remote"})
# Sources of a resolution that may cause an error or a warning when the slide is opened.
BY_OVERRIDE = "--mpp-override"  # as stores record it
UNSURE_MPP = ("objective power", "manifest", BY_OVERRIDE, BY_DEFAULT, None)


@dataclass(frozen=True)
class SlideFacts:
    """Facts that determine a slide's arrays besides the options, known once the slide is open.

    Attributes:
        slide: Fingerprint of the slide's files.
        slide_mpp: Micrometres per level-0 pixel.
        roi: Digest of the regions; None for the whole slide.
        icc: Digest and name of the ICC profile that is applied; False if colours are not converted.
        resampling: Resampling from pixels of the read level to those of a tile.
        reader: Name of the reader, if another one would return other pixels.
        levels: Sizes and scales of the levels, if they differ from OpenSlide's.
    """

    slide: str
    slide_mpp: float
    roi: str | None = None
    icc: dict[str, Any] | bool = False
    resampling: str = "area"
    reader: str | None = None
    levels: list[list[float]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, without a reader or levels that are None."""
        facts = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v for k, v in facts.items() if v is not None or k not in ("reader", "levels")}


def decisive_settings(tiling: Tiling, target: TilingTarget, facts: SlideFacts) -> dict[str, Any]:
    """Return all settings that determine a slide's arrays, as JSON values.

    Raises:
        ValueError: If an option has the name of a fact or of a setting of the target, which it would hide.
    """
    stated = {
        f.name: plain(getattr(tiling, f.name))
        for f in fields(tiling)
        if f.name in ALWAYS or not (f.name in RESOLVED or _is_default(tiling, f.name))
    }
    return _joined(target.decisive(), stated, facts.to_dict())


def settings_fingerprint(settings: dict[str, Any]) -> str:
    """Return the digest of decisive settings; equal digests mean equal arrays."""
    return canonical_digest(settings)


def matches_unopened(
    item: SlideInput,
    tiling: Tiling,
    target: TilingTarget,
    committed: dict[str, Any],
    versions: dict[str, str],
) -> bool:
    """Return whether a complete slide was made with these settings, without opening it.

    The same versions find the same facts in the same bytes, so the recorded facts are used. Opening a slide
    takes ten times as long.

    Args:
        item: Local slide.
        tiling: Tiling settings.
        target: Target shared by all slides of the job.
        committed: Attributes of the complete slide.
        versions: Versions of the libraries in use.

    Returns:
        True if it was; False if unknown, so that the slide must be opened.
    """
    settings = committed.get("settings")
    if not isinstance(settings, dict) or committed.get("versions") != versions:
        return False
    if any(value is not None for value in _given(item).values()):
        return False
    if committed.get("mpp_source") in UNSURE_MPP:
        return False
    if committed.get("reader_asked") != tiling.reader:
        return False
    if not all(_is_default(tiling, name) for name in RESOLVED.keys() - {"icc", "reader"}):
        return False
    icc: Any = settings.get("icc") if tiling.icc else False
    if tiling.icc and not (isinstance(icc, dict) and icc["profile"]):
        return False
    try:
        content, sample = fingerprint(item.path), content_sample(item.path)
    except OSError:
        return False
    if not same_sample(committed, sample):
        return False
    mpp, reader, levels = settings.get("slide_mpp", 0.0), settings.get("reader"), settings.get("levels")
    facts = SlideFacts(content, mpp, icc=icc, reader=reader, levels=levels)
    now = decisive_settings(tiling, target, facts)
    return settings_fingerprint(now) == committed.get("settings_fingerprint")


def same_sample(committed: dict[str, Any], sample: ContentSample) -> bool:
    """Return whether a complete slide is of the same content as far as a sample tells.

    The sample is no setting: stores of versions before 0.2 do not record it, and stay valid.
    """
    return committed.get("slide_sample") in (None, sample.digest)


def remote_origin(item: SlideInput, tiling: Tiling, target: TilingTarget) -> str | None:
    """Return a digest of a remote slide's objects and of all options, known without fetching the slide.

    Equal digests mean equal arrays. Different digests mean nothing: the slide may have been moved, and
    another version may give the same arrays.

    Returns:
        The digest; None for a local slide.

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
        "item": {**_given(item), "roi": _local_roi(item)},
        "version": __version__,
    }
    return canonical_digest(parts)


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Describe the settings that differ: `overlap 0 -> 16, tissue.close_um 64 -> 32`."""
    a, b = _flat(before), _flat(now)
    names = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    return ", ".join(f"{name} {_shown(a.get(name))} -> {_shown(b.get(name))}" for name in names)


def _shown(value: Any) -> Any:
    return "none" if value is None else value


def _given(item: SlideInput) -> dict[str, Any]:
    """Return what the user states about a slide, such as its resolution in a manifest."""
    return {f.name: getattr(item, f.name) for f in fields(item) if f.name not in IDENTITY}


def _joined(*parts: dict[str, Any]) -> dict[str, Any]:
    """Merge dictionaries whose keys must all differ."""
    names = [name for part in parts for name in part]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two settings have the name {min(twice)!r}; rename the newer one")
    return {name: value for part in parts for name, value in part.items()}


def _is_default(tiling: Tiling, name: str) -> bool:
    field = next(f for f in fields(tiling) if f.name == name)
    factory = field.default_factory
    default = field.default if factory is MISSING else factory()
    return bool(getattr(tiling, name) == default)


def _local_roi(item: SlideInput) -> str | None:
    """Return the digest of local annotations; remote ones are among the objects."""
    local = item.roi is not None and (item.remote is None or item.remote.roi is None)
    return read_annotations(item.roi).digest if item.roi is not None and local else None


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, item in value.items():
        out |= _flat(item, f"{prefix}{name}.") if isinstance(item, dict) else {f"{prefix}{name}": item}
    return out
