"""A case of the fuzzer: mutated files, and what is known about them."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Files = dict[str, bytes]
# What of a case is known to be as in its base: nothing, its pixels or areas, or these and its resolution.
Truth = Literal["nothing", "content", "all"]
LONGEST_MESSAGE = 1000
T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """Mutated files.

    Attributes:
        files: Content by name; the first is the one to open.
        steps: Names of the mutations, in order.
        truth: What is still as in the base.
    """

    files: Files
    steps: tuple[str, ...] = ()
    truth: Truth = "nothing"


class WrongContentError(AssertionError):
    """Pixels or areas are not those that the file holds, and nothing was said about it."""


class WrongResolutionError(AssertionError):
    """The resolution is not the one that a second fact of the file states, and nothing was said about it."""


class BadMessageError(AssertionError):
    """A message for the user that is no line of text."""


def check_message(message: object) -> None:
    """Check that an error or a warning is one line that a terminal and a log can show.

    Raises:
        BadMessageError: It is too long, or has control characters or lone surrogates.
    """
    text = str(message)
    if len(text) > LONGEST_MESSAGE:
        raise BadMessageError(f"{len(text)} characters: {text[:200]!r}")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise BadMessageError(f"not one line of text: {text[:200]!r}")


def pick_steps(
    rng: random.Random, mutations: Sequence[Callable[..., T]], most: int = 4
) -> list[Callable[..., T]]:
    """Choose one to `most` mutations, mostly one."""
    count = min(most, rng.choice((1, 1, 1, 2, 2, 3, 4)))
    return [rng.choice(mutations) for _ in range(count)]
