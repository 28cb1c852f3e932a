"""ICC profiles made from code, whose effect is known by heart (ICC.1:2001-04, matrix and curves)."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

D50 = (0.9642, 1.0, 0.8249)
# sRGB's primaries, adapted to D50: red, green, blue as XYZ.
PRIMARIES = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def matrix_profile(
    gammas: tuple[float, float, float] = (2.2, 2.2, 2.2), order: str = "rgb", scale: float = 1.0
) -> bytes:
    """A profile with sRGB's primaries.

    Args:
        gammas: Of the three channels.
        order: Which primary each channel has; `bgr` swaps red and blue.
        scale: Below 1, white is darker than white.
    """
    primaries = [tuple(scale * v for v in PRIMARIES["rgb".index(name)]) for name in order]
    tags = {
        "desc": b"desc" + bytes(4) + struct.pack(">I", 9) + b"Dr. Made\0" + bytes(12 + 67),
        "cprt": b"text" + bytes(4) + b"none\0",
        "wtpt": _xyz((0.90, 0.95, 0.80)),  # of the medium: only absolute colorimetry looks at it
        **{f"{name}XYZ": _xyz(xyz) for name, xyz in zip("rgb", primaries, strict=True)},
        **{f"{name}TRC": _curve(gamma) for name, gamma in zip("rgb", gammas, strict=True)},
    }
    return _profile(tags, b"RGB ")


def grey_profile() -> bytes:
    """A profile of grey pixels."""
    return _profile({"wtpt": _xyz(D50), "kTRC": _curve(2.2)}, b"GRAY")


def as_srgb(pixels: UInt8Array, gammas: tuple[float, float, float], order: str = "rgb") -> UInt8Array:
    """What pixels under `matrix_profile` are in sRGB, from IEC 61966-2-1: no colour library."""
    linear = np.stack([(pixels[..., c] / 255.0) ** gammas[c] for c in range(3)], -1)
    linear = linear[..., ["rgb".index(name) for name in order]]  # swapping is its own inverse
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * encoded), np.uint8)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def _profile(tags: dict[str, bytes], space: bytes) -> bytes:
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(data), bytes(4), 0x02400000, b"scnr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += b"".join(struct.pack(">i", round(v * 65536)) for v in D50)
    return head + bytes(128 - len(head)) + table + data
