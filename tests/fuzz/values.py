"""Values that a file should not hold where a number, a unit or a name is expected."""

from __future__ import annotations

import random
import string

ROUND = (0, 1, 2, 3, 7, 8, 15, 16, 31, 63, 255, 256, 4095, 4096, 65535, 65536, 10**6, 2**24)
BORDERS = (2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1)
WHOLE = ("0", "1", "2", "3", "4", "-1", "8", "100", "65536", "2147483648", "99999999999999999999")
FRACTIONS = (
    "0.25", "0.5", "0.51", "1", "2.5", "500", "0.0005", "-0.5", "1e-320", "1e308", "1e400", "-1e400", "nan",
    "NaN", "inf", "Infinity", "0,5", "0.5 ", "\t0.5", "5e-1", "+.5", "0_5", "0x10", "1e", "--1", "0.5 µm",
    "０.５", "٠.٥",
)  # fmt: skip
WORDS = (
    "",
    " ",
    "true",
    "null",
    "None",
    "\u00b5",
    "\u03bc",
    "\ufeff",
    "a\nb",
    "\u202e",
    "../..",
    "%s",
    "{0}",
)
UNITS = (
    "µm", "μm", "um", "nm", "mm", "cm", "m", "km", "pm", "Å", "in", "inch", "pixel", "reference frame",
    "micron", "micrometer", "MM", "Mm", "", " ",
)  # fmt: skip


def bad_text(rng: random.Random) -> str:
    """Return a text that hurts where a number or a name is expected."""
    way = rng.randrange(8)
    if way < 3:
        return rng.choice(FRACTIONS)
    if way < 5:
        return rng.choice(WHOLE)
    if way < 7:
        return rng.choice(WORDS)
    return rng.choice(string.printable[:62] + "µ") * rng.choice((1, 17, 400, 5000))
