"""Clear errors for damaged stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wsi_embed.errors import StoreError


@contextmanager
def damage_named(slide_id: str) -> Iterator[None]:
    """Turn the exceptions raised for a damaged group into a StoreError of one line.

    Args:
        slide_id: Slide id, for the message.

    Raises:
        StoreError: If an attribute or array is missing or invalid.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StoreError(
            f"its group in the store is damaged or incomplete ({what})",
            where=slide_id,
            remedy="run wsi-embed verify",
        ) from error


def positive(value: Any) -> float:
    """Return an attribute as a number.

    Raises:
        ValueError: If the value is not a positive, finite number.
        TypeError: If the value is not a number.
    """
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{value!r} is not a positive number")
    return number
