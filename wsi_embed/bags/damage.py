"""Clear errors for damaged stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wsi_embed.errors import StoreError

if TYPE_CHECKING:
    from wsi_embed.bags.bag import Bag
    from wsi_embed.bags.source import BagSource


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
    except (LookupError, TypeError, ValueError, OSError, RecursionError, MemoryError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StoreError(
            f"its group in the store is damaged or incomplete ({what})",
            where=slide_id,
            remedy="run wsi-embed verify",
        ) from error


def sound_bags(source: BagSource, slide_ids: Iterable[str]) -> tuple[dict[str, Bag], list[str]]:
    """Open the bags of slides, without those that are damaged.

    Args:
        source: Store of the bags.
        slide_ids: Slides to open.

    Returns:
        The bags by slide id, and a line on each slide that is damaged.
    """
    found, damaged = {}, []
    for slide_id in slide_ids:
        try:
            found[slide_id] = source[slide_id]
        except StoreError as error:
            damaged.append(left_out(slide_id, error))
    return found, damaged


def left_out(slide_id: str, error: StoreError) -> str:
    """Return a line on a slide that is left out because it is damaged."""
    text = str(error)
    return f"left out, {text if text.startswith(slide_id) else f'{slide_id}: {text}'}"


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
