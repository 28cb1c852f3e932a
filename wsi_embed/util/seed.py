"""Seeds of random numbers."""

from __future__ import annotations

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument

LARGEST = 2**32 - 1


def check_seed(seed: int) -> None:
    """Check that NumPy and scikit-learn accept a seed.

    Raises:
        UsageError: If it is negative, or has more than 32 bits.
    """
    if not 0 <= seed <= LARGEST:
        raise UsageError(f"0 to {LARGEST} is expected", where=argument("seed", seed))
