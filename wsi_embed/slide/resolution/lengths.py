"""Lengths in the metadata of images."""

from __future__ import annotations

# Units of OME (UnitsLength) for the size of a pixel, and ImageJ's names. `pixel` is no unit of length.
MICROMETERS = {
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4, "\u212b": 1e-4,
    "\u00b5m": 1.0, "\u03bcm": 1.0, "um": 1.0, "\\u00B5m": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "micrometre": 1.0, "micrometers": 1.0, "micrometres": 1.0,
    "\ufffdm": 1.0, "\u00c2\u00b5m": 1.0,  # µm in Latin-1, and in UTF-8 twice
    "in": 25400.0, "inch": 25400.0, "thou": 25.4, "li": 25400 / 12, "pt": 25400 / 72,
}  # fmt: skip


def micrometers(number: str, unit: str) -> float | None:
    """Return a length in micrometres; None if the number or the unit is invalid.

    Args:
        number: Decimal number; see `decimal`.
        unit: Unit, a key of MICROMETERS; words of more than two letters also in capitals.
    """
    unit = unit.strip()
    factor = MICROMETERS.get(unit if len(unit) <= 2 else unit.lower(), MICROMETERS.get(unit))
    try:
        return None if factor is None else decimal(number) * factor
    except ValueError:
        return None


def decimal(text: str) -> float:
    """Return the number in a text, with a point or (as programs of some locales write it) a comma.

    Raises:
        ValueError: If the text is not a number.
    """
    if "_" in text:  # allowed in Python, where it separates digits
        raise ValueError(f"{text!r} is not a number")
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
