"""ONNX files of other tools, wrapped into the contract of wsi-embed."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from wsi_embed.encoder import Encoded, ModelMetadata, load_encoder
from wsi_embed.encoder.base import concatenated
from wsi_embed.encoder.difference import difference
from wsi_embed.encoder.metadata import KEY
from wsi_embed.encoder.onnx_contract import file_digest
from wsi_embed.encoder.onnx_external_files import external_files
from wsi_embed.encoder.onnx_session import plain_session
from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed.util.text import argument
from wsi_embed_export.destination import check_destination, check_space, writing
from wsi_embed_export.foreign_check import check_features, check_no_classes
from wsi_embed_export.foreign_graph import Selection, opset, precision_of, wrap
from wsi_embed_export.foreign_input import Signature, read_signature
from wsi_embed_export.parity import ParityError, feature_checks, limits_of, parity_tiles
from wsi_embed_export.trained import Given
from wsi_embed_export.write import add_onnx_metadata, save_onnx

# First opset in which all operators of the wrapping exist.
OLDEST = 10
# Largest batch of the comparison; the memory of its activations is not known.
MOST = 7
_FEATURES = re.compile(r"(?P<name>.+?)(?:\[(?P<token>\d+)(?P<mean>:)?\])?")


def wrap_onnx(
    source: Path,
    out: Path,
    *,
    given: Given,
    layout: str | None = None,
    features: str | None = None,
    name: str | None = None,
    licence: str = "",
) -> ModelMetadata:
    """Wrap an ONNX file of another tool: raw tiles in, features out, with metadata.

    The file only appears under its name once it returns what the other file returns for normalised images.

    Args:
        source: ONNX file with one input for images.
        out: File to write, ending in `.onnx`.
        given: Normalisation, which is required unless the input is uint8; resolution and tile size, if the
            file does not contain them.
        layout: `nchw` or `nhwc`; by default as the shape of the input shows it.
        features: Output with the features, if there are several. `NAME[0]` is the first of its tokens, and
            `NAME[1:]` the mean of all tokens from the second on.
        name: Display name; by default the stem of `out`.
        licence: Licence of the weights.

    Returns:
        The metadata of the new file.

    Raises:
        UsageError: If the file does not take images, its output is no vector for each tile, or a value is
            missing or contradicts the file.
        ParityError: If the outputs disagree. No file is written.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed_export import Given, wrap_onnx
        >>> given = Given(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), mpp=0.5)
        >>> wrap_onnx(Path("vit.onnx"), Path("wrapped.onnx"), given=given)  # doctest: +SKIP
    """
    if out.suffix != ".onnx":
        raise UsageError("an ONNX file is wrapped as .onnx only", where=argument("out", out))
    check_destination(out)
    if not source.is_file():
        raise UsageError("no such file", where=source)
    files = [source, *(source.parent / each for each in external_files(source))]
    check_space(out.parent, sum(file.stat().st_size for file in files))
    session = plain_session(source)
    if KEY in session.get_modelmeta().custom_metadata_map:
        raise UsageError("was exported by wsi-embed and needs no wrapping", where=source.name)
    signature = read_signature(source, session, given, layout)
    selection, dim = _selection(source, session, signature, given, features)
    of_tiles = functools.partial(_features, session, signature, selection, given)
    check_features(source.name, of_tiles, signature.tile_px, signature.batch)
    proto = onnx.load(str(source))
    if opset(proto) < OLDEST:
        raise UsageError(f"has opset {opset(proto)}, expected {OLDEST} or later", where=source.name)
    metadata = ModelMetadata(
        name=name or out.stem, method="weights", backbone=source.stem, tile_px=signature.tile_px,
        mpp=given.mpp, mean=given.mean or (), std=given.std or (), feature_dim=dim, clusters=None,
        precision=precision_of(proto.graph), outputs=("features",),
        model_id=_model_id(source, signature, selection, given),
        training={"features": str(selection), "layout": signature.layout},
        source_checkpoint=f"{source.name} sha256:{file_digest(source)[:16]}", licence=licence,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )  # fmt: skip
    wrap(proto, signature.name, signature.layout, signature.tile_px, given, selection, dim)
    with writing(out) as temporary:
        try:
            save_onnx(proto, metadata, temporary)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"does not pass the ONNX checker ({reason})", where=source.name) from error
        del proto
        parity = _compare(source, session, temporary, signature, selection, given)
        metadata = replace(metadata, parity=parity)
        add_onnx_metadata(temporary, metadata)
    return metadata


def _selection(
    source: Path, session: Any, signature: Signature, given: Given, features: str | None
) -> tuple[Selection, int]:
    """Return the part of the outputs that is the features, and their number.

    Raises:
        UsageError: If no output, or more than one, may be the features.
    """
    tiles = np.full((signature.batch or 2, signature.tile_px, signature.tile_px, 3), 200, np.uint8)
    found = _run(source, session, signature, given, tiles)
    found = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}  # or a sequence
    floats = {name: value for name, value in found.items() if np.issubdtype(value.dtype, np.floating)}
    listed = ", ".join(f"{name} {list(value.shape)}" for name, value in found.items())
    match = _FEATURES.fullmatch(features) if features else None
    if match and match["name"] in floats:
        token = int(match["token"]) if match["token"] else None
        selection = Selection(match["name"], token, mean=bool(match["mean"]))
    elif features is None and len(floats) == 1:
        selection = Selection(next(iter(floats)))
    else:
        wrong = f"has no output {features!r}" if features else "does not say which output has the features"
        raise UsageError(f"{wrong} (it has {listed})", where=source.name, remedy="give `features=NAME`")
    value = floats[selection.output]
    if selection.token is None and value.ndim == 3:
        raise UsageError(
            f"{selection.output} {list(value.shape)} holds tokens, not one vector for each tile",
            where=source.name,
            remedy=f"give `features='{selection.output}[0]'` for the class token, or "
            f"`features='{selection.output}[1:]'` for the mean of the others",
        )
    try:
        chosen = selection.of(value)
    except IndexError as error:
        shown = f"{selection.output} {list(value.shape)}"
        raise UsageError(f"{shown} has no {selection}", where=source.name) from error
    if chosen.ndim != 2 or len(chosen) != len(tiles):
        shown = f"{selection.output} {list(value.shape)} holds no vector for each of {len(tiles)} tiles"
        raise UsageError(shown, where=source.name, remedy="export it with pooled features")
    if features is None:
        check_no_classes(source.name, selection.output, list(value.shape))
    return selection, chosen.shape[1]


def _run(
    source: Path, session: Any, signature: Signature, given: Given, tiles: UInt8Array
) -> dict[str, npt.NDArray[Any]]:
    names = [output.name for output in session.get_outputs()]
    try:
        values = session.run(names, {signature.name: signature.images(tiles, given)})
    except Exception as error:
        raise UsageError(
            f"cannot encode tiles of {signature.tile_px} pixels ({str(error).splitlines()[0]})",
            where=source.name,
        ) from error
    return dict(zip(names, values, strict=True))


def _model_id(source: Path, signature: Signature, selection: Selection, given: Given) -> str:
    about = {
        "tile_px": signature.tile_px, "layout": signature.layout, "features": str(selection),
        "mean": given.mean, "std": given.std,
    }  # fmt: skip
    text = f"{file_digest(source)} {json.dumps(about, sort_keys=True)}"
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _compare(
    source: Path, session: Any, path: Path, signature: Signature, selection: Selection, given: Given
) -> dict[str, float]:
    """Compare the wrapped file with the other one, which gets normalised images.

    Raises:
        ParityError: If they disagree.
    """
    batches = [tiles for kind in parity_tiles(signature.tile_px, most=MOST) for tiles in kind]
    try:
        encoder = load_encoder(path, device="cpu", mpp=given.mpp or 1.0)
        ours = concatenated([encoder.encode(tiles) for tiles in batches])
    except Exception as error:
        if signature.batch is None:
            raise
        raise UsageError(
            f"takes batches of {signature.batch} only",
            where=source.name,
            remedy="export it with a dynamic batch size",
        ) from error
    theirs = np.concatenate([_features(session, signature, selection, given, tiles) for tiles in batches])
    found = difference(Encoded(theirs), ours)
    checks = feature_checks("features", found, limits_of(encoder.metadata.precision))
    if not all(check.used <= 1 for check in checks):
        raise ParityError(
            f"the wrapped model differs from it ({checks[0].figure}); no file was written",
            where=source.name,
            remedy="export it with a dynamic batch size" if signature.batch else None,
        )
    return found.to_dict()


def _features(
    session: Any, signature: Signature, selection: Selection, given: Given, tiles: UInt8Array
) -> npt.NDArray[np.float32]:
    """Return the features of the other file, in batches of the size that it takes."""
    size = signature.batch or len(tiles)
    parts: list[npt.NDArray[Any]] = []
    for start in range(0, len(tiles), size):
        part = tiles[start : start + size]
        filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), 0)])
        (value,) = session.run([selection.output], {signature.name: signature.images(filled, given)})
        parts.append(selection.of(value)[: len(part)])
    return np.concatenate(parts).astype(np.float32)
