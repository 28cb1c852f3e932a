"""Slides made from code, so that no test needs a file that is not here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Compression = Literal["jpeg", "deflate"] | None

HEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])
YCBCR_SUBSAMPLING = 530
APERIO = "Aperio Image Library v11.2.1 \r\n{w}x{h} (256x256) JPEG/RGB Q=90"


def blobs(h: int, w: int, seed: int = 0) -> BoolArray:
    """Where `he_pixels` has tissue: some ellipses, the same for the same arguments."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((h, w), np.uint8)
    for _ in range(4):
        center = (int(rng.uniform(0.2, 0.8) * w), int(rng.uniform(0.2, 0.8) * h))
        axes = (max(1, int(rng.uniform(0.12, 0.25) * w)), max(1, int(rng.uniform(0.12, 0.25) * h)))
        cv2.ellipse(mask, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return mask.astype(np.bool_)


def he_pixels(h: int, w: int, seed: int = 0) -> UInt8Array:
    """White glass with pink, nucleated tissue where `blobs` says, uint8 [h, w, 3]."""
    rng = np.random.default_rng(seed + 1)
    texture = rng.random((h, w))
    pink = 0.35 + 0.25 * _smooth_noise(rng, h, w, 24)
    nuclei = np.where(_smooth_noise(rng, h, w, 6) > 0.62, 0.9, 0.08) * (0.8 + 0.4 * texture)
    density = nuclei[..., None] * HEMATOXYLIN + (pink * (0.9 + 0.2 * texture))[..., None] * EOSIN
    tissue = 243 * np.exp(-density)
    glass = 241 + 4 * texture[..., None] * np.ones(3)
    return np.asarray(np.where(blobs(h, w, seed)[..., None], tissue, glass).clip(0, 255), np.uint8)


def write_tiff(
    path: Path,
    pixels: UInt8Array,
    *,
    mpp: float | tuple[float, float] | None = 0.5,
    levels: Sequence[int] = (1, 2, 4),
    tile: int = 256,
    description: str | None = None,
    compression: Compression = None,
    empty_tiles: Sequence[int] = (),
    profile: bytes | None = None,
) -> Path:
    """Write a pyramidal tiled TIFF, which OpenSlide opens as generic-tiff.

    Args:
        path: Where to.
        pixels: Level 0, uint8 [h, w, 3], or [h, w, 4] with premultiplied transparency.
        mpp: Micrometres per pixel, one number or (x, y), as resolution tags; None leaves them out.
        levels: Downsample of each level.
        tile: Side of the file's own tiles.
        description: ImageDescription of level 0.
        compression: `jpeg` is lossy; the others keep every pixel.
        empty_tiles: Numbers of level 0's tiles that the file leaves out (JPEG only).
        profile: ICC profile of level 0.

    Returns:
        The path.
    """
    with tifffile.TiffWriter(path) as tif:
        for downsample in levels:
            size = (max(1, pixels.shape[1] // downsample), max(1, pixels.shape[0] // downsample))
            image = pixels
            if downsample != 1:
                image = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
            first = downsample == levels[0]
            options: dict[str, Any] = {"tile": (tile, tile), "metadata": None, "photometric": "rgb"}
            options |= {"software": False, "subfiletype": 0 if first else 1}
            if pixels.shape[2] == 4:
                options["extrasamples"] = ["assocalpha"]
            if first:
                options |= {"description": description, "iccprofile": profile}
            if mpp is not None:
                x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
                per_cm = (1e4 / x / downsample, 1e4 / y / downsample)
                options |= {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
            if compression == "jpeg":
                data = _jpeg_tiles(image, tile, set(empty_tiles) if first else set())
                options |= {"compression": "zlib", "extratags": [(YCBCR_SUBSAMPLING, "H", 2, (1, 1), True)]}
                tif.write(data, shape=image.shape, dtype=np.uint8, **options)
            else:
                tif.write(image, compression=compression, **options)
    if compression == "jpeg":
        _call_it_jpeg(path)
    return path


def write_svs(
    path: Path,
    pixels: UInt8Array,
    *,
    mpp: float | None = 0.499,
    power: float | None = 20,
    levels: Sequence[int] = (1, 4),
    compression: Compression = None,
    empty_tiles: Sequence[int] = (),
    profile: bytes | None = None,
) -> Path:
    """Write a file that OpenSlide takes for an Aperio SVS; arguments as for `write_tiff`."""
    description = APERIO.format(h=pixels.shape[0], w=pixels.shape[1])
    if power is not None:
        description += f"|AppMag = {power:g}"
    if mpp is not None:
        description += f"|MPP = {mpp:.4f}"
    return write_tiff(
        path,
        pixels,
        mpp=None,
        levels=levels,
        description=description,
        compression=compression,
        empty_tiles=empty_tiles,
        profile=profile,
    )


def dicom_bytes(series: str, payload: bytes = b"") -> bytes:
    """The start of an explicit little-endian DICOM file: preamble, SeriesInstanceUID, then `payload`."""
    uid = series.encode()
    uid += b"\x00" * (len(uid) % 2)
    return b"\x00" * 128 + b"DICM" + b"\x20\x00\x0e\x00UI" + len(uid).to_bytes(2, "little") + uid + payload


def _jpeg_tiles(image: UInt8Array, tile: int, empty: set[int]) -> Iterator[bytes]:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
    quality += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    across = -(-image.shape[1] // tile)
    for number in range(across * -(-image.shape[0] // tile)):
        if number in empty:
            yield b""
            continue
        y, x = number // across * tile, number % across * tile
        part = image[y : y + tile, x : x + tile]
        border = (0, tile - part.shape[0], 0, tile - part.shape[1])
        full = cv2.copyMakeBorder(part, *border, cv2.BORDER_REPLICATE)
        yield cv2.imencode(".jpg", cv2.cvtColor(full, cv2.COLOR_RGB2BGR), quality)[1].tobytes()


def _call_it_jpeg(path: Path) -> None:
    """Correct the tags of JPEG tiles, which tifffile by itself does not write as such."""
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page in tif.pages:
            tags = page.aspage().tags
            tags["Compression"].overwrite(tifffile.COMPRESSION.JPEG)
            tags["PhotometricInterpretation"].overwrite(tifffile.PHOTOMETRIC.YCBCR)


def _smooth_noise(rng: np.random.Generator, h: int, w: int, scale: int) -> npt.NDArray[np.float64]:
    coarse = rng.random((h // scale + 2, w // scale + 2))
    return np.asarray(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC), np.float64)
