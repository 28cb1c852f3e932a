"""Facts about a slide, slides, a model or a store, for the command `info`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsi_embed.bags.damage import sound_bags
from wsi_embed.diagnostics.slide_folder import describe_slides
from wsi_embed.encoder import PACKAGED, default_model, load_encoder
from wsi_embed.encoder.metadata import KEY
from wsi_embed.encoder.onnx_contract import described
from wsi_embed.encoder.onnx_external_files import external_files
from wsi_embed.encoder.onnx_session import plain_session
from wsi_embed.errors import ResolutionError, StoreError, UsageError
from wsi_embed.inputs.tables import MANIFEST_SUFFIXES
from wsi_embed.slide import Reader, open_slide, resolve_mpp
from wsi_embed.slide.colour.icc import profile_digest
from wsi_embed.slide.ome_zarr.detection import is_ome_zarr
from wsi_embed.storage import Address, Location, location
from wsi_embed.storage.folder import LocalPlace
from wsi_embed.store import Bag, Store, open_store
from wsi_embed.store.index import Row
from wsi_embed.store.layout import is_group
from wsi_embed.store.members import slide_folders
from wsi_embed.util.text import counted

Facts = dict[str, Any]
# Largest number of slides that are opened for their clusters.
OPENED = 200


def describe(
    what: str, reader: Reader = "auto", *, tile_px: int | None = None, mpp: float | None = None
) -> tuple[Facts, list[Facts]]:
    """Describe a slide, the slides of a folder or manifest, an exported model, or a store.

    Args:
        what: Path of a slide, a folder or manifest of slides, a model or a store, URL of a store, or name of
            a packaged model.
        reader: Reader of a slide; see `open_slide`.
        tile_px: Side of a tile in pixels, for a model without metadata.
        mpp: Micrometres per pixel of a tile, for a model without metadata.

    Returns:
        Facts, and for a store or several slides one row of facts for each slide.

    Raises:
        UsageError: If there is no such file, folder or model.
        WsiEmbedError: If it cannot be read.

    Example:
        >>> from wsi_embed.diagnostics.describe import describe
        >>> facts, slides = describe("feats.zarr")
        >>> facts["slides"]
        2
    """
    path = location(what)
    if isinstance(path, Address):
        return _store(path)
    if what in PACKAGED and not path.exists():
        return _model(default_model(what)), []
    if path.is_dir() and not is_ome_zarr(path):
        return _store(path) if is_group(LocalPlace(path)) else describe_slides(path, reader)
    if not path.exists():
        raise UsageError(
            "no such file or folder",
            where=what,
            remedy="give a slide, a folder of slides, a model, a store, `default`, `default-fp16` or "
            "`default-int8`",
        )
    if path.suffix.lower() in (".onnx", ".ts", ".torchscript"):
        return _model(path, tile_px, mpp), []
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return describe_slides(path, reader)
    return _slide(path, reader), []


def _slide(path: Path, reader: Reader) -> Facts:
    with open_slide(path, reader) as slide:
        try:
            resolution = resolve_mpp(slide)
            mpp: Any = f"{resolution.mpp:.4g} um per pixel ({resolution.source})"
        except ResolutionError as error:
            mpp = f"not usable: {error}"
        downsamples = slide.level_downsamples
        levels = [(*slide.level_sizes[level], downsamples[level]) for level in slide.usable_levels()]
        return {
            "kind": "slide",
            "name": path.name,
            "reader": slide.reader,
            "vendor": slide.vendor,
            "mpp": mpp,
            "objective_power": slide.objective_power,
            "levels": [f"{w} x {h} (1/{d:.4g})" for w, h, d in levels],
            **({"left_out": list(slide.left_out)} if slide.left_out else {}),
            **({"warnings": list(slide.warnings)} if slide.warnings else {}),
            "bounds": list(slide.bounds),
            "icc_profile": profile_digest(slide.icc_profile()),
            "fingerprint": slide.fingerprint,
        }


def _model(path: Path, tile_px: int | None = None, mpp: float | None = None) -> Facts:
    signature = _signature(path) if path.suffix.lower() == ".onnx" and path.is_file() else {}
    if signature and not signature.pop("ours") and (tile_px is None or mpp is None):
        return {"kind": "ONNX file of another tool", "file": path.name, **signature}
    metadata = load_encoder(path, device="cpu", tile_px=tile_px, mpp=mpp).metadata
    facts = {k: v for k, v in metadata.__dict__.items() if k != "schema"}
    if digests := metadata.training.get("image_digests"):
        known = f"of {counted(len(digests), 'tile image')}"
        facts["training"] = {**metadata.training, "image_digests": known}
    if metadata.non_commercial:
        facts["use"] = "non-commercial only"
    return {"kind": "model", "file": path.name, **facts, **signature}


def _signature(path: Path) -> Facts:
    """Return what an ONNX file takes and returns, and whether it has metadata of wsi-embed."""
    names = external_files(path)
    session = plain_session(path)
    return {
        "ours": KEY in session.get_modelmeta().custom_metadata_map,
        "takes": [described(value) for value in session.get_inputs()],
        "returns": [described(value) for value in session.get_outputs()],
        **({"weights": names} if names else {}),
    }


def _store(path: Location) -> tuple[Facts, list[Facts]]:
    store = open_store(path)
    try:
        return _store_facts(path, store)
    except (LookupError, TypeError, AttributeError) as error:
        raise StoreError(
            f"damaged attributes ({error!r})", where=path, remedy="run wsi-embed verify"
        ) from error


def _store_facts(path: Location, store: Store) -> tuple[Facts, list[Facts]]:
    """Return the facts of a store, and of each slide; of a large store only those that its index has."""
    rows = list(store.rows())
    if len(rows) > OPENED:
        sound = [row for row in rows if row.damage is None]
        damaged = [f"left out, {row.slide_id}: {row.damage}" for row in rows if row.damage is not None]
        patients = {row.patient for row in sound if row.patient}
        facts = _whole(path, store, len(sound), len(patients), sum(row.tiles for row in sound), damaged, rows)
        return facts, [_row(row) for row in sound]
    found, damaged = sound_bags(store, [row.slide_id for row in rows])
    bags = list(found.values())
    patients = {b.patient for b in bags if b.patient}
    facts = _whole(path, store, len(bags), len(patients), sum(len(b) for b in bags), damaged, rows)
    return facts, [_bag(b) for b in bags]


def _whole(
    path: Location,
    store: Store,
    slides: int,
    patients: int,
    tiles: int,
    damaged: list[str],
    rows: Sequence[Row],
) -> Facts:
    complete = {row.slide_id for row in rows if row.damage is None}
    incomplete = [name for name in slide_folders(store.place) if name not in complete]
    return {
        "kind": "store",
        "name": path.name,
        "format": store.attrs["format_version"],
        "model": store.attrs["model"]["name"],
        **store.attrs["settings"],
        "slides": slides,
        "patients": patients,
        "tiles": tiles,
        "incomplete": incomplete,
        **({"damaged": damaged} if damaged else {}),
    }


def _row(row: Row) -> Facts:
    shown: Facts = {"slide": row.slide_id, "tiles": row.tiles}
    if row.mpp is not None:
        shown["mpp"] = round(row.mpp, 4)
    return shown | ({"patient": row.patient} if row.patient else {})


def _bag(bag: Bag) -> Facts:
    row: Facts = {
        "slide": bag.slide_id,
        "tiles": len(bag),
        "mpp": round(bag.attrs["mpp"], 4),
        "tile (level 0)": round(bag.attrs["extent"], 1),
    }
    if bag.patient:
        row["patient"] = bag.patient
    if icc := bag.attrs["settings"].get("icc"):
        row["colours"] = icc["to"] if icc["profile"] else "no ICC profile"
    if bag.cluster is not None and len(bag):
        counts = Counter(bag.cluster[:].tolist())
        row["clusters used"] = len(counts)
        top = [f"{name}: {100 * count / len(bag):.0f} %" for name, count in counts.most_common(3)]
        row["largest clusters"] = ", ".join(top)
    return row
