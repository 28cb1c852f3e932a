"""Levels and codecs that the made formats share."""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

UInt8Array = npt.NDArray[np.uint8]


def shrunk(pixels: UInt8Array, factor: int) -> UInt8Array:
    """Area average; what does not divide is left over at the right and bottom edge."""
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    whole = pixels[: size[1] * factor, : size[0] * factor]
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)


def tiles(pixels: UInt8Array, side: int) -> list[UInt8Array]:
    """Tiles in row-major order; those at the edge are filled up with their last pixels."""
    h, w = pixels.shape[:2]
    out = []
    for y in range(0, h, side):
        for x in range(0, w, side):
            part = pixels[y : y + side, x : x + side]
            border = (0, side - part.shape[0], 0, side - part.shape[1])
            out.append(np.asarray(cv2.copyMakeBorder(part, *border, cv2.BORDER_REPLICATE), np.uint8))
    return out


def jpeg(pixels: UInt8Array, *, subsampling: str = "444", restart: int = 0) -> bytes:
    """A baseline JPEG with YCbCr; `restart` is the restart interval in MCUs."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    if subsampling == "420":
        factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def jpeg_rgb(pixels: UInt8Array) -> bytes:
    """A JPEG that keeps RGB, as some scanners write it."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, keep_rgb=True, subsampling=0)
    return out.getvalue()


def jpeg_grey(channel: UInt8Array) -> bytes:
    """A JPEG of one channel."""
    return cv2.imencode(".jpg", channel, [cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes()


def jpeg2000(pixels: UInt8Array, *, ycc: bool = False, mct: bool = False) -> bytes:
    """A lossless JPEG 2000 codestream; `ycc` stores YCbCr, `mct` the codestream's own reversible colours."""
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if ycc:
        image = image.convert("YCbCr")
    image.save(out, "JPEG2000", no_jp2=True, irreversible=False, mct=int(mct))
    return out.getvalue()


def with_bits(data: bytes, number: int) -> bytes:
    """Change what a JPEG 2000 of 8 bits says of the samples of blue: bits - 1, and 128 more if signed."""
    start = data.index(b"\xff\x51") + 2 + 38
    assert data[start : start + 9] == bytes([7, 1, 1] * 3)
    return data[: start + 6] + bytes([number]) + data[start + 7 :]


def png(pixels: UInt8Array) -> bytes:
    """A PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def lzw(data: bytes) -> bytes:
    """LZW as TIFF 6.0 defines it, without ever using its table: codes of 9 bits, cleared in time."""
    codes: list[int] = []
    for start in range(0, len(data), 200):
        codes += [256, *data[start : start + 200]]
    codes.append(257)
    bits = np.unpackbits(np.array(codes, ">u2").view(np.uint8)).reshape(-1, 16)[:, 7:]
    return np.packbits(bits).tobytes()
