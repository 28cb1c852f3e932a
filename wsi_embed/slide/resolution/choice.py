"""Resolution of a slide in micrometres per pixel: its source and plausibility."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_embed.errors import ResolutionError, UsageError
from wsi_embed.slide.base import Slide
from wsi_embed.slide.resolution.stated import MPP_MAX, MPP_MIN, MPP_TIMES_POWER, TOLERANCE, Stated, alike

# Camera adapters change the ratio by a factor of at most 2.2.
MOST_TIMES_POWER = 2.5
# Factor by which a given resolution may differ from the metadata without `force`.
MOST_TIMES = 2.0
# Source of a resolution by `mpp_default`, as stores record it.
BY_DEFAULT = "--mpp-default"
# How a user says a resolution, for messages.
SAY_MPP = "`mpp_override=` or a manifest column mpp"
SAY_ANOTHER_MPP = f"{SAY_MPP}, and `force=True`"
SAY_MISSING_MPP = "`mpp_default=` (um per pixel of level 0) or a manifest column mpp"
SAY_FORCE = (
    "for slides that do not say their resolution give `mpp_default=`; "
    "if the metadata are wrong, add `force=True`"
)


@dataclass(frozen=True)
class Resolution:
    """Resolution of a slide.

    Attributes:
        mpp: Micrometres per level-0 pixel.
        source: Origin of the number.
        warning: Warning about it, or None.
    """

    mpp: float
    source: str
    warning: str | None = None


def resolve_mpp(
    slide: Slide,
    override: float | None = None,
    override_source: str = "override",
    override_words: str | None = None,
    *,
    default: float | None = None,
    force: bool = False,
) -> Resolution:
    """Determine a slide's resolution.

    A value given by the user (manifest column or option) takes precedence and is compared with the metadata;
    then the metadata, whose plausible fields have to agree; then the objective power, with a warning; then
    `default`.

    Args:
        slide: Open slide.
        override: Micrometres per level-0 pixel given by the user.
        override_source: Recorded source of `override`.
        override_words: Description of `override` in messages; None: its value and its source.
        default: Micrometres per level-0 pixel of a slide whose metadata do not say it.
        force: Whether `override` may differ from the metadata by more than a factor of two.

    Raises:
        ResolutionError: If there is no source, a value is outside 0.05 to 20, two values (of x and y, or
            of two metadata fields) differ by more than 2 %, or `override` and the metadata by more than a
            factor of two.
    """
    name = slide.path.name
    if override is not None:
        if not Stated((override, override), override_source).plausible:
            raise _outside(name, override, override_source, SAY_MPP)
        words = override_words or f"{override:g} ({override_source})"
        return Resolution(override, override_source, _disagreement(slide, override, words, force=force))
    if slide.mpp is not None and slide.mpp_source is not None:
        return Resolution(_agreed(slide), slide.mpp_source, _power_disagreement(slide))
    if said := [stated for stated in slide.stated if default is None or not stated.meaningless]:
        (x, y), source = said[0].mpp, said[0].source
        absurd = y if MPP_MIN <= x <= MPP_MAX else x
        say = SAY_MISSING_MPP if said[0].meaningless else SAY_ANOTHER_MPP
        unsaid = "the file does not say its resolution: " if said[0].meaningless else ""
        raise _outside(name, absurd, source, say, unsaid)
    if slide.objective_power:
        mpp = MPP_TIMES_POWER / slide.objective_power
        if not MPP_MIN <= mpp <= MPP_MAX:
            raise _outside(name, mpp, "objective power", SAY_MPP)
        warning = f"{name}: no mpp in the metadata; {slide.objective_power:g}x taken as {mpp:g} um per pixel"
        return Resolution(mpp, "objective power", warning)
    if default is not None:
        return Resolution(default, BY_DEFAULT)
    raise ResolutionError(
        "the file does not say its resolution",
        where=name,
        remedy=f"give it with {SAY_MISSING_MPP}",
    )


def check_mpp(option: str, mpp: float | None) -> None:
    """Check, before any work, that a resolution is plausible for slides.

    Raises:
        UsageError: If it is outside 0.05 to 20.
    """
    if mpp is not None and not MPP_MIN <= mpp <= MPP_MAX:
        raise UsageError(f"must be {MPP_MIN:g} to {MPP_MAX:g} um per pixel", where=f"`{option}={mpp:g}`")


def _outside(name: str, mpp: float, source: str, say: str, before: str = "") -> ResolutionError:
    return ResolutionError(
        f"{before}{mpp:g} um per pixel ({source}) is outside {MPP_MIN:g} to {MPP_MAX:g}",
        where=name,
        remedy=f"if it is right leave the slide out, else give {say}",
    )


def _agreed(slide: Slide) -> float:
    """Return the resolution on which all plausible metadata fields agree."""
    name = slide.path.name
    first, *others = (stated for stated in slide.stated if stated.plausible)
    for other in others:
        if not other.agrees(first.mpp):
            raise ResolutionError(
                f"the metadata contradict each other: {first} um per pixel ({first.source}) or "
                f"{other} ({other.source})",
                where=name,
                remedy=f"give the right one with {SAY_MPP}",
            )
    x, y = first.mpp
    if not alike(x, y):
        raise ResolutionError(
            f"pixels are not square ({x:g} x {y:g} um)",
            where=name,
            remedy=f"if one number is right, give it with {SAY_MPP}",
        )
    return (x + y) / 2


def _disagreement(slide: Slide, override: float, words: str, *, force: bool) -> str | None:
    """Return a warning if the metadata contradict the user, or None.

    Raises:
        ResolutionError: If they contradict by more than a factor of two, without `force`.
    """
    said = [stated for stated in slide.stated if stated.plausible] or slide.stated
    others = [str(stated) for stated in said if not stated.agrees((override, override))]
    if not others:
        return None
    numbers = " or ".join(dict.fromkeys(others))
    factor = min(stated.times(override) for stated in said)
    meaningless = all(stated.meaningless for stated in said)
    if factor > MOST_TIMES * (1 + TOLERANCE) and not meaningless and not force:
        raise ResolutionError(
            f"the metadata say {numbers} um per pixel, which differs from {words} "
            f"by a factor of {factor:.3g}",
            where=slide.path.name,
            remedy=SAY_FORCE,
        )
    return f"{slide.path.name}: the metadata say {numbers} um per pixel; using {words}"


def _power_disagreement(slide: Slide) -> str | None:
    """Return a warning if the nominal objective power is of another order of magnitude, or None."""
    power = slide.objective_power
    if slide.mpp is None or power is None or not power > 0:
        return None
    factor = slide.mpp[0] * power / MPP_TIMES_POWER
    if 1 / MOST_TIMES_POWER <= factor <= MOST_TIMES_POWER:
        return None
    return (
        f"{slide.path.name}: the metadata say {slide.mpp[0]:g} um per pixel ({slide.mpp_source}), but an "
        f"objective of {power:g}x, which gives about {MPP_TIMES_POWER / power:g}; if it is not right, "
        f"give {SAY_MPP}"
    )
