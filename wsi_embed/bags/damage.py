"""What a damaged store raises, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wsi_embed.errors import StoreError


@contextmanager
def damage_named(slide_id: str) -> Iterator[None]:
    """Turn what a damaged group raises into one line.

    Raises:
        StoreError: If an attribute or array is missing or makes no sense.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StoreError(
            f"{slide_id}: its group in the store is damaged or incomplete ({what}); run wsi-embed verify"
        ) from error


def positive(value: Any) -> float:
    """Return an attribute as a number.

    Raises:
        ValueError: If it is not a positive, finite number.
        TypeError: If it is no number at all.
    """
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{value!r} is not a positive number")
    return number
