"""How many micrometres a pixel is: from where, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_embed.errors import ResolutionError, UsageError
from wsi_embed.slide.base import Slide

MPP_MIN, MPP_MAX = 0.05, 20.0
ANISOTROPY_MAX = 0.02
# A 10x objective gives about 1 um per pixel on the cameras that scanners use.
MPP_TIMES_POWER = 10.0


@dataclass(frozen=True)
class Resolution:
    """Micrometres per level-0 pixel, where the number comes from, and what to warn about."""

    mpp: float
    source: str
    warning: str | None = None


def resolve_mpp(slide: Slide, override: float | None = None, override_source: str = "override") -> Resolution:
    """Decide a slide's resolution.

    A value given by the user (manifest column or flag) wins and is compared with the metadata; then
    the metadata; then the objective power, with a warning.

    Args:
        slide: An open slide.
        override: Micrometres per level-0 pixel as the user states it.
        override_source: What to record as the source of `override`.

    Raises:
        ResolutionError: No source, a value outside 0.05 to 20, or x and y that differ by over 2 %.
    """
    name = slide.path.name
    if override is not None:
        _check_range(name, override, override_source)
        return Resolution(override, override_source, _disagreement(slide, override, override_source))
    if slide.mpp is not None and slide.mpp_source is not None:
        x, y = slide.mpp
        for value in slide.mpp:
            _check_range(name, value, slide.mpp_source)
        mean = (x + y) / 2
        if abs(x - y) / mean > ANISOTROPY_MAX:
            raise ResolutionError(
                f"{name}: pixels are not square ({x:g} x {y:g} um); if one number is right, "
                "give it with --mpp-override or a manifest column mpp"
            )
        return Resolution(mean, slide.mpp_source)
    if slide.objective_power:
        mpp = MPP_TIMES_POWER / slide.objective_power
        _check_range(name, mpp, "objective power")
        warning = f"{name}: no mpp in the metadata; {slide.objective_power:g}x taken as {mpp:g} um per pixel"
        return Resolution(mpp, "objective power", warning)
    raise ResolutionError(
        f"{name}: the file does not say its resolution; give it with --mpp-override "
        "(um per pixel of level 0) or a manifest column mpp"
    )


def check_mpp(option: str, mpp: float | None) -> None:
    """Refuse a resolution that no slide has, before any work.

    Raises:
        UsageError: It is outside 0.05 to 20.
    """
    if mpp is not None and not MPP_MIN <= mpp <= MPP_MAX:
        raise UsageError(f"{option} {mpp:g}: um per pixel from {MPP_MIN:g} to {MPP_MAX:g} are expected")


def _check_range(name: str, mpp: float, source: str) -> None:
    if not MPP_MIN <= mpp <= MPP_MAX:
        raise ResolutionError(
            f"{name}: {mpp:g} um per pixel ({source}) is outside {MPP_MIN:g} to {MPP_MAX:g}; "
            "if it is right leave the slide out, else give --mpp-override or a manifest column mpp"
        )


def _disagreement(slide: Slide, override: float, source: str) -> str | None:
    if slide.mpp is None or all(abs(v - override) / override <= ANISOTROPY_MAX for v in slide.mpp):
        return None
    stated = " x ".join(f"{v:g}" for v in dict.fromkeys(slide.mpp))
    return f"{slide.path.name}: the metadata say {stated} um per pixel; using {override:g} ({source})"
