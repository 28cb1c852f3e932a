"""Lengths in the metadata of images."""

from __future__ import annotations

# Units of OME (UnitsLength) for the size of a pixel, and ImageJ's names. `pixel` is no unit of length.
MICROMETERS = {
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4, "\u212b": 1e-4,
    "\u00b5m": 1.0, "\u03bcm": 1.0, "um": 1.0, "\\u00B5m": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "micrometre": 1.0,
    "\ufffdm": 1.0, "\u00c2\u00b5m": 1.0,  # µm in Latin-1, and in UTF-8 twice
    "in": 25400.0, "inch": 25400.0, "thou": 25.4, "li": 25400 / 12, "pt": 25400 / 72,
}  # fmt: skip


def micrometers(number: str, unit: str) -> float | None:
    """Return a length in micrometres; None if the number or the unit is invalid.

    Args:
        number: Decimal number, with a point or (as programs of some locales write it) a comma.
        unit: Unit, a key of MICROMETERS.
    """
    factor = MICROMETERS.get(unit.strip())
    try:
        return None if factor is None else float(decimal_point(number)) * factor
    except ValueError:
        return None


def decimal_point(number: str) -> str:
    """Return a number with a decimal point instead of a decimal comma."""
    return number.replace(",", ".") if number.count(",") == 1 and "." not in number else number
