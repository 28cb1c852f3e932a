"""Descriptions of a slide's failure: one line, without folders of this machine."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePath

from wsi_embed.errors import WsiEmbedError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.report import SlideResult
from wsi_embed.storage.address import Address, Location
from wsi_embed.util.home import home
from wsi_embed.util.limits import limit_error
from wsi_embed.util.links import real_path


def record_failure(result: SlideResult, error: BaseException, names: Mapping[Location, str]) -> None:
    """Record why a slide failed; an error that is not ours is a bug, so its traceback is kept.

    Args:
        result: Result of the slide.
        error: Exception that was raised.
        names: Names that replace the paths in the error's text.
    """
    if limit := limit_error(error):
        error = limit.at(result.slide)
    elif not isinstance(error, WsiEmbedError):
        result.traceback = without_folders(_traceback(error), names)
        error = WsiEmbedError(f"unexpected {type(error).__name__}: {error}", where=result.slide)
    set_failed(result, error, names)


def set_failed(result: SlideResult, error: WsiEmbedError, names: Mapping[Location, str]) -> None:
    """Set status, reason, problem and remedy of a slide that failed; arguments as for `record_failure`."""
    shown = partial(without_folders, names=names)
    result.status, result.tiles, result.reason = "failed", 0, shown(str(error))
    place, what = shown(error.where or ""), shown(error.what)
    named = place in ("", result.slide, PurePath(result.slide).name)
    result.problem = what if named else f"{place}: {what}"
    result.remedy = None if error.remedy is None else shown(error.remedy)


def path_names(item: SlideInput, out: Location) -> dict[Location, str]:
    """Return the names that reports and logs use for the paths in a slide's errors."""
    names: dict[Location, str] = {item.path: item.name, out: out.name}
    if item.roi is not None:
        names[item.roi] = item.roi.name
    if item.remote is not None:
        names[item.remote.address] = item.name
    return names


def without_folders(text: str, names: Mapping[Location, str]) -> str:
    """Replace paths by their names, and remove the folders of files beside them.

    Reports and logs are shared more widely than slides, and a path may contain the name of a user or patient.
    """
    forms = {form: name for where, name in names.items() for form in _forms(where) if "/" in form}
    for form in sorted(forms, key=len, reverse=True):  # a short path may be part of a long one
        text = text.replace(form, forms[form])
    for path in (where for where in names if isinstance(where, Path)):
        for folder in {str(path.absolute().parent), str(real_path(path).parent)} - {"/"}:
            text = text.replace(f"{folder}/", "")
    user = str(home() or "/")
    return text.replace(user, "~") if len(user) > 1 else text


def _forms(where: Location) -> tuple[str, ...]:
    if isinstance(where, Address):
        return (str(where),)
    return (str(where), str(where.absolute()), str(real_path(where)))


def _traceback(error: BaseException) -> str:
    """Return the traceback with file paths relative to their packages."""
    roots = sorted({p for p in (*sys.path, sys.prefix, sys.base_prefix) if len(p) > 1}, key=len, reverse=True)

    def shorten(match: re.Match[str]) -> str:
        path = match[1]
        root = next((r for r in roots if path.startswith(f"{r}/")), None)
        return f'File "{path[len(root) + 1 :] if root else Path(path).name}"'

    return re.sub(r'File "([^"]+)"', shorten, "".join(traceback.format_exception(error)))
